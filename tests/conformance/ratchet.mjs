// The ratchet: what each test gave when it was last recorded. Results may get better, never worse.

import fs from 'node:fs'

// The higher, the better. Tests of behaviour answer yes or no, and neither is better.
const RANK = {
  pass: 3,
  yes: 3,
  no: 3,
  optional_fail: 2,
  fail: 1,
  dependency_fail: 1,
  retry: 1,
  setup_fail: 0,
  harness_fail: 0,
  untested: 0
}

/** The recorded results by test, or undefined when none were recorded yet. */
export function readExpected (file) {
  if (!fs.existsSync(file)) return undefined
  const expected = JSON.parse(fs.readFileSync(file, 'utf8'))
  for (const [id, result] of Object.entries(expected)) {
    if (!(result in RANK)) throw new Error(`${file}: ${id} has the result "${result}", which does not exist`)
  }
  return expected
}

/** Sorts the differences between what was recorded and what came out. */
export function compare (expected, outcomes) {
  const differences = { worse: [], better: [], changed: [], unknown: [], gone: [] }
  const seen = new Set()
  for (const outcome of outcomes) {
    seen.add(outcome.id)
    const was = expected[outcome.id]
    if (was === outcome.result) continue
    differences[directionOf(was, outcome.result)].push({ ...outcome, was: was ?? 'not recorded' })
  }
  for (const [id, was] of Object.entries(expected)) {
    if (!seen.has(id)) differences.gone.push({ id, was, result: 'not in the suite' })
  }
  return differences
}

function directionOf (was, is) {
  if (was === undefined) return 'unknown'
  if (RANK[is] === RANK[was]) return 'changed'
  return RANK[is] > RANK[was] ? 'better' : 'worse'
}

/** Records the outcomes, but keeps what was recorded where it is better; returns those. */
export function bless (file, expected, outcomes) {
  const { worse } = compare(expected ?? {}, outcomes)
  const kept = new Map(worse.map(({ id, was }) => [id, was]))
  const results = outcomes.map(({ id, result }) => [id, kept.get(id) ?? result])
  results.sort(([a], [b]) => (a < b ? -1 : 1))
  fs.writeFileSync(file, JSON.stringify(Object.fromEntries(results), null, 2) + '\n')
  return worse
}
