// The suite itself, as npm installed it: its tests, its client, its scoring. Nothing here decides
// whether a test passed; the suite's `determineTestResult` does.

import fs from 'node:fs'
import path from 'node:path'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

// A request that takes longer has failed. The suite itself would wait for ever; the longest pause
// that it asks an origin for is three seconds.
const REQUEST_TIMEOUT_MS = 20_000

// How many tests run at once: what the suite's own command line does. Most of the time is pauses of
// three seconds, one in a test at most, so that a run takes about fifteen seconds in all.
const TESTS_AT_ONCE = 100

// The suite scores with symbols, which it shows on its web site; these are their names.
const NAMES = new Map([
  ['✅', 'pass'],
  ['⛔️', 'fail'],
  ['⚠️', 'optional_fail'],
  ['Y', 'yes'],
  ['N', 'no'],
  ['🔹', 'setup_fail'],
  ['⁉️', 'harness_fail'],
  ['⚪️', 'dependency_fail'],
  ['↻', 'retry'],
  ['-', 'untested']
])

/** Loads the suite from `<directory>/node_modules`. */
export async function loadSuite (directory) {
  const root = path.resolve(directory, 'node_modules', 'http-cache-tests')
  if (!fs.existsSync(root)) {
    throw new Error(`${root} is missing: cargo xtask conformance installs it`)
  }
  const part = name => import(pathToFileURL(path.join(root, name)))
  const { default: groups } = await part('tests/index.mjs')
  const runner = await part('client/runner.mjs')
  const display = await part('lib/display.mjs')
  const fetch = createRequire(path.join(root, 'cli.mjs'))('node-fetch')

  // The suite also has tests for Surrogate-Control, outside its index; RFC 9213 has replaced it.
  const tests = groups.flatMap(group => group.tests).filter(test => test.browser_only !== true)

  const outcomeOf = (test, results, honourDependencies) => {
    const symbol = display.determineTestResult(groups, test.id, results, honourDependencies)[2]
    const result = NAMES.get(symbol)
    if (result === undefined) throw new Error(`the suite has a result of a new kind, ${symbol}, for ${test.id}`)
    return {
      id: test.id,
      kind: test.kind ?? 'required',
      result,
      passed: result === 'pass' || result === 'yes',
      reason: reasonOf(test, results, result)
    }
  }

  /** Runs all tests, or one with a trace, against `baseUrl`. */
  const run = async (baseUrl, id) => {
    const chosen = id === undefined ? tests : tests.filter(test => test.id === id)
    if (chosen.length === 0) throw new Error(`the suite has no test ${id}`)
    if (id !== undefined) chosen[0].dump = true
    const limited = (url, init) => fetch(url, { ...init, timeout: REQUEST_TIMEOUT_MS })
    await runner.runTests([{ tests: chosen }], limited, false, baseUrl.replace(/\/$/, ''), TESTS_AT_ONCE)
    const results = runner.getResults()
    return chosen.map(test => outcomeOf(test, results, id === undefined))
  }

  return { run }
}

function reasonOf (test, results, result) {
  if (result === 'pass' || result === 'yes') return undefined
  if (result === 'dependency_fail') return `needs ${test.depends_on.join(', ')}`
  const recorded = results[test.id]
  return Array.isArray(recorded) ? `${recorded[0]}: ${recorded[1]}` : undefined
}
