// What a restore found, told whole: what fits, what does not, and with which names on both sides. And the
// refusal of a strict one, in TensorFlow's words where it has some.
// Source: tensorflow/python/training/saver.py (Saver.restore, _wrap_restore_error_with_msg).
import { Refusal } from '../tensor/index.ts'
import type { Sources } from './restore-sources.ts'

/** A tensor that does not fit its variable. */
export interface Mismatch {
  /** Of the variable. */
  readonly name: string
  /** Stored name. */
  readonly tensor: string
  /** What the variable has .. */
  readonly expected: string
  /** .. and what is stored. */
  readonly found: string
}

/** What a restore did, or would do. Names are variables', but where they are said to be stored ones. */
export interface RestoreReport {
  readonly checkpoint: string
  readonly container: string
  readonly restored: readonly string[]
  /** Those of `restored` that the restore made. */
  readonly created: readonly string[]
  /** Stored names asked for that are not there, else variables that the checkpoint does not have; the latter stay as they are. */
  readonly missing: readonly string[]
  /** Stored tensors without a variable. */
  readonly unexpected: readonly string[]
  /** Stored tensors that a rule sends nowhere. */
  readonly skipped: readonly string[]
  readonly shapeMismatches: readonly Mismatch[]
  readonly dtypeMismatches: readonly Mismatch[]
  /** Where values come from other than from the tensor of the variable's own name. */
  readonly sources: readonly {
    readonly name: string
    readonly tensor: string
    readonly slice: string | null
  }[]
  /** Version by variable; empty for a dry run. */
  readonly versions: Readonly<Record<string, number>>
}

/** Names of each kind that a refusal's sentence spells out, and that it lists for programs. */
const mostSpelt = 8
const mostNamed = 100

/** Refuses (FAILED_PRECONDITION `checkpoint/restore-mismatch`) unless all that is meant was found to fit. */
export function checkStrict(
  report: RestoreReport,
  { absent, byVariable }: Sources,
  { allowMissing = true }: { readonly allowMissing?: boolean | undefined },
): void {
  const missing = allowMissing ? [...absent.keys()] : report.missing
  const targets = targetsByTensor(byVariable)
  const { unexpected, shapeMismatches, dtypeMismatches } = report
  const problems = [
    sentence('not in the checkpoint', missing),
    sentence(
      'in the checkpoint without a variable',
      unexpected.map((name) => withTargets(name, targets.get(name))),
    ),
    sentence('of another shape', shapeMismatches.map(shown)),
    sentence('of another dtype', dtypeMismatches.map(shown)),
  ].filter((problem) => problem !== undefined)
  if (problems.length === 0) return
  const namesOf = (mismatches: readonly Mismatch[]) => mismatches.map(({ name }) => name)
  throw new Refusal(
    'FAILED_PRECONDITION',
    'checkpoint/restore-mismatch',
    `${wordsOfTensorFlow(missing, report)}Checkpoint ${report.checkpoint} does not fit the variables: ${problems.join('; ')}. Nothing was restored.`,
    {
      fix: 'Send "strict": false to restore what fits, "create": true to make what is not there, or "names" to choose. With "dry_run" the whole report comes without a change.',
      names: {
        checkpoint: report.checkpoint,
        missing: missing.slice(0, mostNamed),
        unexpected: unexpected.slice(0, mostNamed),
        shape_mismatches: namesOf(shapeMismatches).slice(0, mostNamed),
        dtype_mismatches: namesOf(dtypeMismatches).slice(0, mostNamed),
      },
    },
  )
}

function wordsOfTensorFlow(
  missing: readonly string[],
  { shapeMismatches: [shape], dtypeMismatches: [dtype] }: RestoreReport,
): string {
  const [key] = missing
  if (key === undefined && shape === undefined && dtype === undefined) return ''
  const cause =
    key !== undefined
      ? 'a Variable name or other graph key that is missing'
      : 'a mismatch between the current graph and the graph'
  return `Restoring from checkpoint failed. This is most likely due to ${cause} from the checkpoint. Please ensure that you have not altered the graph expected based on the checkpoint. Original error: ${originalError(key, shape, dtype)} `
}

function originalError(
  key: string | undefined,
  shape: Mismatch | undefined,
  dtype: Mismatch | undefined,
): string {
  if (key !== undefined) return `Key ${key} not found in checkpoint.`
  if (shape !== undefined) {
    return `Assign requires shapes of both tensors to match. lhs shape= ${shape.expected} rhs shape= ${shape.found}.`
  }
  return `tensor_name = ${dtype?.tensor}; expected dtype ${dtype?.expected} does not equal original dtype ${dtype?.found}.`
}

function targetsByTensor(byVariable: Sources['byVariable']): ReadonlyMap<string, string[]> {
  const targets = new Map<string, string[]>()
  for (const [variable, { name }] of byVariable) {
    const known = targets.get(name)
    if (known === undefined) targets.set(name, [variable])
    else known.push(variable)
  }
  return targets
}

function withTargets(tensor: string, targets: readonly string[] = []): string {
  const others = targets.filter((name) => name !== tensor)
  return others.length === 0 ? tensor : `${tensor} (for ${others.slice(0, 2).join(', ')})`
}

function shown({ name, tensor, expected, found }: Mismatch): string {
  const from = tensor === name ? '' : `${tensor} has `
  return `${name} (expected ${expected}, ${from === '' ? 'found ' : from}${found})`
}

function sentence(problem: string, names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined
  const listed = names.slice(0, mostSpelt).join(', ')
  const more = names.length > mostSpelt ? `, and ${names.length - mostSpelt} more` : ''
  return `${problem}: ${listed}${more}`
}
