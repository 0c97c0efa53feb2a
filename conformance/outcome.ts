// How a case went, and the table of how many went how.
import { Refusal } from '../tensor/index.ts'

export type Outcome =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly why: string }
  /** Something that is not there yet; `what` names it (an op, a part of the product). */
  | { readonly kind: 'missing'; readonly what: string }

export interface CaseResult {
  readonly name: string
  readonly outcome: Outcome
}

/** All cases of one file on one device. */
export interface FileResult {
  readonly file: string
  readonly device: string
  readonly cases: readonly CaseResult[]
}

export const passed: Outcome = { kind: 'passed' }

/** A case that failed, in one line. */
export function failed(why: string): Outcome {
  return { kind: 'failed', why: why.replaceAll('\n', ' ').slice(0, 300) }
}

/** What an error thrown by a case means: an op without a definition is missing, the rest has failed. */
export function outcomeOfError(error: unknown): Outcome {
  if (error instanceof Refusal && error.code === 'UNIMPLEMENTED') {
    const { op } = error.names
    return { kind: 'missing', what: typeof op === 'string' ? op : error.reason }
  }
  if (error instanceof Refusal) return failed(`${error.code} ${error.reason}: ${error.message}`)
  return failed(String(error))
}

/** Cases of a file by outcome, with what is missing and how often. */
export function countsOf(result: FileResult): {
  readonly passed: number
  readonly failed: number
  readonly missing: number
  readonly missed: ReadonlyMap<string, number>
} {
  const missed = new Map<string, number>()
  const count = { passed: 0, failed: 0, missing: 0 }
  for (const { outcome } of result.cases) {
    count[outcome.kind]++
    if (outcome.kind === 'missing') missed.set(outcome.what, (missed.get(outcome.what) ?? 0) + 1)
  }
  return { ...count, missed }
}

/** The table that docs/conformance.md keeps: a row for each file and device, then what is not passed. */
export function markdownOf(results: readonly FileResult[]): string {
  const lines = [
    '# Conformance',
    '',
    'What real TensorFlow did, run here by `npm run conformance`. *Missing* means that an op or a part is',
    'not there yet; nothing is skipped.',
    '',
    '| file | device | passed | failed | missing |',
    '|---|---|--:|--:|--:|',
  ]
  for (const result of results) {
    const counts = countsOf(result)
    lines.push(
      `| ${result.file} | ${result.device} | ${counts.passed} | ${counts.failed} | ${counts.missing} |`,
    )
  }
  lines.push('', ...notPassed(results))
  return `${lines.join('\n')}\n`
}

function notPassed(results: readonly FileResult[]): string[] {
  const lines: string[] = []
  for (const result of results) {
    const { failed: failures, missed } = countsOf(result)
    if (failures === 0 && missed.size === 0) continue
    lines.push(`## ${result.file} on ${result.device}`, '')
    if (missed.size > 0) {
      const list = [...missed].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
      lines.push(`Missing: ${list.map(([what, times]) => `${what} (${times})`).join(', ')}.`, '')
    }
    for (const { name, outcome } of result.cases) {
      if (outcome.kind === 'failed') lines.push(`- ${name}: ${outcome.why.replaceAll('|', '\\|')}`)
    }
    if (failures > 0) lines.push('')
  }
  return lines
}
