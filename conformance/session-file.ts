// The files of session cases, one case a line.
import type { Engine } from '../engine/index.ts'
import type { SessionCase } from './case.ts'
import { type GradientCase, runGradientCase } from './gradient-case.ts'
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

/** Runs the wanted gradient cases, in order. */
export async function runGradientFile(
  engine: Engine,
  device: string,
  lines: readonly string[],
  wanted: Wanted,
): Promise<FileResult> {
  const cases: CaseResult[] = []
  for (const line of lines) {
    const recorded = JSON.parse(line) as GradientCase
    if (!wanted(recorded.name)) continue
    cases.push({ name: recorded.name, outcome: await runGradientCase(engine, recorded) })
  }
  return { file: 'gradients.jsonl', device, cases }
}
