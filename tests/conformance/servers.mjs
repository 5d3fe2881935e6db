// The processes around a run: the suite's origin and the cache that is judged.

import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import process from 'node:process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

// How long a process may take to be ready, and to end after it was asked to.
const START_LIMIT_MS = 20_000
const STOP_LIMIT_MS = 5_000
const LAST_WORDS_LINES = 20

/** Starts the suite's own server on `port`; '0' takes a free one. */
export async function startOrigin (directory, port) {
  const suite = path.resolve(directory, 'node_modules', 'http-cache-tests')
  const server = start('origin', process.execPath, ['server/server.mjs'], directory, {
    cwd: suite,
    env: {
      ...process.env,
      npm_config_protocol: 'http',
      npm_config_port: port,
      npm_config_pidfile: path.resolve(directory, 'origin.pid')
    }
  })
  await server.until(() => /^Listening on .*:(\d+)\/$/m.test(server.log()))
  return { ...server, port: Number(/^Listening on .*:(\d+)\/$/m.exec(server.log())[1]) }
}

/** Starts `<binary> edge` in front of the origin, with no settings beyond the two addresses. */
export async function startCache (binary, originPort, directory) {
  const port = await freePort()
  const cache = start('cache', path.resolve(binary), [
    'edge', '--to', `http://127.0.0.1:${originPort}`, '--listen', `127.0.0.1:${port}`
  ], directory, {})
  await cache.until(() => accepts(port))
  return { ...cache, url: `http://127.0.0.1:${port}` }
}

function start (name, command, args, directory, options) {
  const logFile = path.resolve(directory, `${name}.log`)
  const output = fs.openSync(logFile, 'w')
  const child = spawn(command, args, { ...options, stdio: ['ignore', output, output] })
  fs.closeSync(output)
  let end
  child.on('error', error => { end = error.message })
  child.on('exit', (code, signal) => { end ??= signal ?? `exit code ${code}` })
  // Whatever ends this process must not leave the other one behind.
  process.on('exit', () => child.kill('SIGKILL'))

  const log = () => fs.readFileSync(logFile, 'utf8')
  const exited = () => end
  const lastWords = () => log().trimEnd().split('\n').slice(-LAST_WORDS_LINES).join('\n')
  const until = async ready => {
    const limit = Date.now() + START_LIMIT_MS
    while (!(await ready())) {
      const problem = exited() ?? (Date.now() > limit ? `not ready after ${START_LIMIT_MS} ms` : undefined)
      if (problem) {
        child.kill('SIGKILL')
        throw new Error(`the ${name} did not start (${problem}): ${command} ${args.join(' ')}\n${lastWords()}`)
      }
      await sleep(20)
    }
  }
  const stop = async () => {
    if (exited()) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
    await ended
    clearTimeout(killer)
  }
  return { log, exited, lastWords, until, stop }
}

async function freePort () {
  const server = net.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

function accepts (port) {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('connect', () => { socket.destroy(); resolve(true) })
    socket.on('error', () => resolve(false))
  })
}
