// Judges an HTTP cache by http-cache-tests: starts the suite's origin, puts the cache in front of
// it, plays the suite's client against the cache and scores with the suite's own logic.
//
// README.md beside this file says what the results mean; `cargo xtask conformance` is the usual
// way to call it.

import fs from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { bless, compare, readExpected } from './ratchet.mjs'
import { startCache, startOrigin } from './servers.mjs'
import { loadSuite } from './suite.mjs'

const USAGE = `usage: node run.mjs --suite DIR (--cache BINARY | --proxy-url URL --origin-port PORT) [options]

  --suite DIR          where npm has installed http-cache-tests; logs go there too
  --cache BINARY       the nigh to judge; it is started in front of the suite's origin
  --proxy-url URL      judge a cache that runs already, at this URL ...
  --origin-port PORT   ... and that takes its content from 127.0.0.1:PORT
  --id TEST            one test only, with all that went over the wire; no comparison
  --expected FILE      the ratchet to compare with (only with --cache is there a default)
  --bless              write what got better into the ratchet
  --json               print every result as JSON and nothing else`

const EXIT_FAILED = 1
const EXIT_USAGE = 2

function readArguments () {
  const text = { type: 'string' }
  const flag = { type: 'boolean', default: false }
  let options
  try {
    options = parseArgs({
      options: {
        suite: text,
        cache: text,
        'proxy-url': text,
        'origin-port': text,
        id: text,
        expected: text,
        bless: flag,
        json: flag,
        help: flag
      }
    }).values
  } catch (error) {
    usage(error.message)
  }
  if (options.help) {
    console.log(USAGE)
    process.exit(0)
  }
  if (!options.suite) usage('--suite is missing')
  if (Boolean(options.cache) === Boolean(options['proxy-url'])) usage('give either --cache or --proxy-url')
  if (options['proxy-url'] && !options['origin-port']) usage('--proxy-url needs --origin-port')
  if (options.id && options.bless) usage('--bless needs the results of all tests: leave --id out')
  if (options.cache && !options.expected) {
    options.expected = fileURLToPath(new URL('expected.json', import.meta.url))
  }
  if (options.bless && !options.expected) usage('--bless needs --expected FILE')
  return options
}

function usage (message) {
  console.error(`${message}\n\n${USAGE}`)
  process.exit(EXIT_USAGE)
}

// The three kinds of test, and the result that counts as passed for each.
const KINDS = [
  { kind: 'required', passes: 'pass', title: 'required by the RFCs' },
  { kind: 'optimal', passes: 'pass', title: 'optimal: allowed, and better for the user' },
  { kind: 'check', passes: 'yes', title: 'behaviour: neither answer is wrong' }
]

function printResults (outcomes) {
  for (const { kind, passes, title } of KINDS) {
    const ofKind = outcomes.filter(outcome => outcome.kind === kind)
    const others = ofKind.filter(outcome => outcome.result !== passes)
    console.log(`\n${kind}: ${ofKind.length - others.length} of ${ofKind.length} ${passes} (${title})`)
    if (kind === 'check') continue
    for (const { id, result, reason } of others) {
      console.log(`  ${result.padEnd(15)} ${id}${reason ? `: ${reason}` : ''}`)
    }
  }
}

function printComparison (file, { worse, better, changed, unknown, gone }) {
  const lines = (title, list) => {
    if (list.length === 0) return
    console.log(`\n${title}`)
    for (const { id, was, result, reason } of list) {
      console.log(`  ${id}: was ${was}, is ${result}${reason ? ` (${reason})` : ''}`)
    }
  }
  const name = path.relative(process.cwd(), file)
  lines(`WORSE than ${name} says; mend the cache:`, worse)
  lines(`BETTER than ${name} says; record it with --bless:`, better)
  lines(`DIFFERENT from what ${name} says; if that is meant, record it with --bless:`, changed)
  lines(`NOT IN ${name}; record it with --bless:`, unknown)
  lines(`ONLY IN ${name}; the suite has no such test, take it out with --bless:`, gone)
}

async function main () {
  const options = readArguments()
  const suite = await loadSuite(options.suite)
  const origin = await startOrigin(options.suite, options['origin-port'] ?? '0')
  let cache
  let outcomes
  try {
    cache = options.cache ? await startCache(options.cache, origin.port, options.suite) : undefined
    const started = Date.now()
    outcomes = await suite.run(options['proxy-url'] ?? cache.url, options.id)
    if (!options.json) console.log(`${outcomes.length} tests in ${((Date.now() - started) / 1000).toFixed(1)} s`)
    if (cache?.exited()) {
      console.error(`The cache ended before the tests did (${cache.exited()}); its last words:\n${cache.lastWords()}`)
      return EXIT_FAILED
    }
  } finally {
    await cache?.stop()
    await origin.stop()
  }

  if (options.json) {
    console.log(JSON.stringify(outcomes, null, 2))
    return 0
  }
  if (options.id) {
    for (const { id, result, reason } of outcomes) console.log(`${result} ${id}${reason ? `: ${reason}` : ''}`)
    return outcomes.at(-1).passed ? 0 : EXIT_FAILED
  }
  printResults(outcomes)
  fs.writeFileSync(path.join(options.suite, 'results.json'), JSON.stringify(outcomes, null, 2))

  const judged = outcomes.filter(outcome => outcome.kind !== 'check')
  const passed = judged.filter(outcome => outcome.passed).length
  const summary = `conformance: ${passed} passed, ${judged.length - passed} failed`
  const failure = options.expected ? judgeByRatchet(options, outcomes) : undefined
  console.log(`\n${summary}${failure ? `; ${failure}` : ''}`)
  return failure ? EXIT_FAILED : 0
}

// Returns why the run fails, or undefined when the results are the expected ones.
function judgeByRatchet (options, outcomes) {
  const expected = readExpected(options.expected)
  if (options.bless) {
    const refused = bless(options.expected, expected, outcomes)
    if (refused.length === 0) {
      console.log(`\nRecorded in ${options.expected}.`)
      return undefined
    }
    printComparison(options.expected, { worse: refused, better: [], changed: [], unknown: [], gone: [] })
    console.log('\nWhat got worse was not recorded: --bless only tightens. The rest was.')
    return `${refused.length} worse than recorded`
  }
  if (expected === undefined) {
    console.log(`\nThere is no ${options.expected} to compare with: record these results with --bless.`)
    return 'nothing to compare with'
  }
  const differences = compare(expected, outcomes)
  printComparison(options.expected, differences)
  const counts = Object.entries(differences)
    .filter(([, list]) => list.length > 0)
    .map(([name, list]) => `${list.length} ${name}`)
  return counts.length > 0 ? `not as recorded: ${counts.join(', ')}` : undefined
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`conformance: ${error.message}`)
  process.exitCode = EXIT_FAILED
}
