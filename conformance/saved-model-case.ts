// Recorded calls of SavedModels, made in order on one loaded model.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { differenceOf, type RecordedTensor, type Tolerance, tensorOfRecorded } from './case.ts'
import type { Bench } from './devices.ts'
import {
  type CaseResult,
  type FileResult,
  failed,
  type Outcome,
  outcomeOfError,
  passed,
} from './outcome.ts'
import { loadSavedModel } from './saved-model.ts'

interface Expected {
  readonly tolerance?: Tolerance
  readonly calls: readonly {
    readonly signature: string
    readonly inputs: Readonly<Record<string, RecordedTensor>>
    readonly outputs: Readonly<Record<string, RecordedTensor>>
  }[]
}

/** A model's folder, and the file of its recorded calls. */
interface Recording {
  readonly name: string
  readonly folder: string
  readonly expected: string
}

/** Models below `path` with recorded calls: `NAME.expected.json` beside, or `expected_calls.json` inside. */
export function recordingsIn(path: string): Recording[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((one) => one.endsWith('.expected.json') || one.endsWith('expected_calls.json'))
    .sort()
    .map((one) => {
      const expected = join(path, one)
      const folder = one.endsWith('.expected.json')
        ? expected.slice(0, -'.expected.json'.length)
        : join(expected, '..')
      return { name: relative(path, folder), folder, expected }
    })
    .filter(({ folder }) => existsSync(folder))
}

/** Runs every wanted model below `path`. */
export async function runSavedModels(
  bench: Bench,
  device: string,
  path: string,
  place: string,
  wanted: (name: string) => boolean,
): Promise<FileResult> {
  const cases: CaseResult[] = []
  for (const recording of recordingsIn(path).filter(({ name }) => wanted(name))) {
    cases.push({ name: recording.name, outcome: await runSavedModel(bench, recording) })
  }
  return { file: place, device, cases }
}

/** Runs one model's calls; never throws. */
export async function runSavedModel(bench: Bench, recording: Recording): Promise<Outcome> {
  try {
    const expected = JSON.parse(readFileSync(recording.expected, 'utf8')) as Expected
    const model = await loadSavedModel(bench, recording.folder, recording.name)
    try {
      for (const [index, { signature, inputs, outputs }] of expected.calls.entries()) {
        const feeds = Object.fromEntries(
          Object.entries(inputs).map(([name, one]) => [name, tensorOfRecorded(one)]),
        )
        const got = await model.call(signature, feeds)
        for (const [name, want] of Object.entries(outputs)) {
          const difference = differenceOf(got[name], want, expected.tolerance)
          if (difference !== undefined) {
            return failed(`call ${index} of ${signature}, ${name}: ${difference}`)
          }
        }
      }
      return passed
    } finally {
      await model.close()
    }
  } catch (error) {
    return outcomeOfError(error)
  }
}
