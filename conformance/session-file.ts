// The files of session cases, one case a line.
import type { Engine } from '../engine/index.ts'
import type { SessionCase } from './case.ts'
import type { CaseResult, FileResult } from './outcome.ts'
import { runSessionCase } from './session-case.ts'

type Wanted = (name: string) => boolean

/** Runs the wanted cases of one file, in order. */
export async function runSessionFile(
  engine: Engine,
  device: string,
  file: string,
  lines: readonly string[],
  wanted: Wanted,
): Promise<FileResult> {
  const cases: CaseResult[] = []
  for (const line of lines) {
    const recorded = JSON.parse(line) as SessionCase
    if (!wanted(recorded.name)) continue
    cases.push({ name: recorded.name, outcome: await runSessionCase(engine, recorded) })
  }
  return { file, device, cases }
}

/** Gradient cases count as missing: there is no gradient builder yet. */
export async function runGradientFile(
  device: string,
  lines: readonly string[],
  wanted: Wanted,
): Promise<FileResult> {
  const cases = lines
    .map((line) => (JSON.parse(line) as { readonly name: string }).name)
    .filter(wanted)
    .map((name): CaseResult => ({ name, outcome: { kind: 'missing', what: 'gradient builder' } }))
  return { file: 'gradients.jsonl', device, cases }
}
