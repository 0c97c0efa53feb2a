// What writes have in common: the conditions that they may carry, and what they say was done.
import assert from 'node:assert/strict'
import type { Committed, ValueId, VariableRecord } from '../store/index.ts'
import { Refusal, type TensorType } from '../tensor/index.ts'

/** What a write did to a variable. */
export interface Written {
  readonly container: string
  readonly name: string
  readonly version: number
}

/** Conditions and marks that any write may carry. */
export interface WriteOptions {
  /** The version that the variable must have (`If-Match`); `*`: any, but it must exist. */
  readonly ifVersion?: readonly number[] | '*' | undefined
  readonly idempotencyKey?: string | undefined
  /** Looks at the form of the value before it is written, and may refuse it. */
  readonly checkResult?: ((value: TensorType) => void) | undefined
}

/** What a write did, and the value that it left. */
export interface ValueWritten extends Written {
  readonly valueId: ValueId
  /** Of a partitioned variable: the values of its parts, the first of which is `valueId`. */
  readonly parts?: readonly ValueId[] | undefined
}

/** What a commit of one value did. */
export function valueWritten(committed: Committed): ValueWritten {
  const [written] = committed.variables
  const { container, name, version, valueId } = written
  assert(valueId !== undefined, 'a written variable has a value')
  return { container, name, version, valueId }
}

/** What a commit of nothing does. */
export const nothingDone: Committed = {
  sequence: 0,
  at: 0,
  variables: [],
  checkpoints: [],
  replayed: false,
}

/** NOT_FOUND `value/gone`: the value that a write left is to be shown, and is not there any more. */
export function replacedSince({ container, name, version }: Written): Refusal {
  return new Refusal(
    'NOT_FOUND',
    'value/gone',
    `Version ${version} of variable ${name} was written, and has been replaced since.`,
    {
      fix: 'Read the variable for its present value.',
      names: { variable: name, container, version },
    },
  )
}

/** Refuses (FAILED_PRECONDITION `variable/version-mismatch`) where the condition, which `said` names, does not hold. */
export function checkVersion(
  record: Pick<VariableRecord, 'name' | 'version'>,
  wanted: WriteOptions['ifVersion'],
  said = 'If-Match',
): void {
  if (wanted === undefined || wanted === '*' || wanted.includes(record.version)) return
  throw new Refusal(
    'FAILED_PRECONDITION',
    'variable/version-mismatch',
    `Variable ${record.name} is at version ${record.version}; ${said} asked for ${wanted.join(' or ') || 'no version that it could have'}.`,
    {
      fix: 'Read the variable again and decide on its present version.',
      names: { variable: record.name, version: record.version },
    },
  )
}
