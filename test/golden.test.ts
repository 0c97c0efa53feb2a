// The recorded cases kept with the tests, on every device; and all recorded models where they are beside.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import type { SessionCase } from '../conformance/case.ts'
import { runCheckpoints } from '../conformance/checkpoint-case.ts'
import { type Bench, deviceNames, withDevice } from '../conformance/devices.ts'
import type { Outcome } from '../conformance/outcome.ts'
import { recordingsIn, runSavedModel } from '../conformance/saved-model-case.ts'
import { runSessionCase } from '../conformance/session-case.ts'

// Two devices go through all recordings: longer than tap's usual half a minute where much else runs.
t.setTimeout(180_000)

const golden = resolve(import.meta.dirname, 'golden')
const shared = resolve(import.meta.dirname, '../../shared')

/** Models that must answer as recorded on every device. */
const requiredModels = [/^linear_tf1$/, /^convnet_tf1$/, /^keras_mlp$/, /half_plus_two/]

interface Asserting {
  pass(message: string): unknown
  fail(message: string): unknown
  comment(message: string): unknown
}

function judge(t: Asserting, name: string, outcome: Outcome): void {
  if (outcome.kind === 'passed') t.pass(name)
  else t.fail(`${name}: ${outcome.kind === 'failed' ? outcome.why : `missing ${outcome.what}`}`)
}

for (const device of deviceNames) {
  t.test(`on ${device}, recorded models answer as TensorFlow did`, async (t) => {
    await withDevice(device, async (bench) => {
      const recordings = recordingsIn(join(golden, 'saved_models'))
      t.equal(recordings.length, 4)
      if (existsSync(shared))
        recordings.push(...recordingsIn(join(shared, 'fixtures/saved_models')))
      for (const recording of recordings) {
        if (!requiredModels.some((pattern) => pattern.test(recording.name))) continue
        judge(t, recording.name, await runSavedModel(bench, recording))
      }
    })
  })

  t.test(`on ${device}, recorded sessions go as TensorFlow's did`, async (t) => {
    await withDevice(device, async (bench) => {
      for (const file of readdirSync(join(golden, 'sessions'))) {
        await runSessions(t, bench, join(golden, 'sessions', file))
      }
    })
  })
}

/** Ops of recorded cases that have no definition yet; the conformance table counts them as missing. */
const notYet = new Set(['EncodePng'])

async function runSessions(t: Asserting, { engine }: Bench, path: string): Promise<void> {
  for (const line of readFileSync(path, 'utf8').split('\n').filter(Boolean)) {
    const recorded = JSON.parse(line) as SessionCase
    const outcome = await runSessionCase(engine, recorded)
    if (outcome.kind === 'missing' && notYet.has(outcome.what)) {
      t.comment(`${recorded.name}: no ${outcome.what} yet`)
    } else judge(t, recorded.name, outcome)
  }
}

t.test('recorded checkpoints are read, written and read again with the same bytes', async (t) => {
  const { cases } = await runCheckpoints(join(golden, 'checkpoints'), 'golden', () => true)
  t.equal(cases.length, 5)
  for (const { name, outcome } of cases) judge(t, name, outcome)
})
