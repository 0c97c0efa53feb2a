// The values of variables on their way out: what a name stands for now, from one snapshot, once it has a
// version, or in a checkpoint; whole or a part. The bytes come from the readable value.
import type { PartitionedRecord, VariableRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import { checkpointTensor, findCheckpoint } from './checkpoint-reads.ts'
import type { Context } from './context.ts'
import { findVariable, type InitializedVariable, initialized } from './find-variable.ts'
import {
  findManyNamed,
  findNamed,
  isPartitioned,
  partitionedReadable,
  variablesOf,
  versionOf,
} from './partitioned.ts'
import type { ReadableValue } from './readable.ts'
import { sliceReadable } from './slices.ts'
import { storedReadable } from './stored-values.ts'
import type { VersionWaits } from './version-waits.ts'

/** What a name stands for. */
export interface VariableValue {
  readonly container: string
  readonly name: string
  /** The variable's version; undefined where the value is a checkpoint's. */
  readonly version: number | undefined
  /** The id of the checkpoint that the value is from; undefined where it is the present one. */
  readonly checkpoint: string | undefined
  readonly value: ReadableValue
}

/** Which value is wanted, and what of it. */
export interface ReadWishes {
  /** A part in NumPy's notation. */
  readonly slice?: string | undefined
  /** An id or a label of a checkpoint, or `latest` of the container. */
  readonly checkpoint?: string | undefined
  /** Waits until the variables have at least this version .. */
  readonly minVersion?: number | undefined
  /** .. for so long at most. */
  readonly timeoutMs?: number | undefined
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined
}

export interface VariableReads {
  /** What `value` gives, where the variable is in memory and initialized: at once, without a promise. */
  atHand(container: string, name: string): VariableValue | undefined
  /**
   * The value of a variable. Refuses an unknown variable, an uninitialized one, what a checkpoint does
   * not hold, a slice that does not fit, and a version that is not reached in time.
   */
  value(container: string, name: string, wishes?: ReadWishes): Promise<VariableValue>
  /** Several from one snapshot, in the order asked. */
  values(
    container: string,
    names: readonly string[],
    wishes?: ReadWishes,
  ): Promise<readonly VariableValue[]>
  /** A checkpoint's tensor by its stored name, or a part of it. */
  tensor(
    ref: string,
    container: string | undefined,
    name: string,
    slice: string | undefined,
  ): Promise<VariableValue>
  /** The variable with its value's record. Refuses as `value` does. */
  read(container: string, name: string): Promise<InitializedVariable>
  /** Several from one snapshot, in the order asked; the parts of partitioned ones in their place. */
  readMany(container: string, names: readonly string[]): Promise<readonly InitializedVariable[]>
}

/** Reads of a store's variables. */
export function createVariableReads(
  context: Context,
  { waitForVersions }: Pick<VersionWaits, 'waitForVersions'>,
): VariableReads {
  const { catalogue, values } = context.store
  // The store hands out the same record until the variable changes.
  const atHand = new WeakMap<VariableRecord, VariableValue>()

  function present(record: VariableRecord): VariableValue {
    const { container, name, version, value } = initialized(record)
    return { container, name, version, checkpoint: undefined, value: storedReadable(values, value) }
  }

  function presentWhole(whole: PartitionedRecord): VariableValue {
    const { container, name } = whole
    const value = partitionedReadable(context, whole)
    return { container, name, version: versionOf(whole), checkpoint: undefined, value }
  }

  async function presentMany(
    container: string,
    names: readonly string[],
  ): Promise<readonly VariableValue[]> {
    const found = await findManyNamed(context, container, names)
    return found.map((named) => (isPartitioned(named) ? presentWhole(named) : present(named)))
  }

  async function pastMany(
    ref: string,
    container: string | undefined,
    names: readonly string[],
  ): Promise<readonly VariableValue[]> {
    const record = await findCheckpoint(context, ref, container)
    const past: VariableValue[] = []
    for (const name of names) {
      const value = await checkpointTensor(context, record, name)
      const { id: checkpoint } = record
      past.push({ container: record.container, name, version: undefined, checkpoint, value })
    }
    return past
  }

  async function whole(
    container: string,
    names: readonly string[],
    { checkpoint, minVersion, timeoutMs, signal }: ReadWishes,
  ): Promise<readonly VariableValue[]> {
    if (checkpoint !== undefined) {
      if (minVersion !== undefined) throw bothPastAndFuture()
      return pastMany(checkpoint, container, names)
    }
    if (minVersion !== undefined) {
      await waitForVersions(container, names, minVersion, { timeoutMs, signal })
    }
    return presentMany(container, names)
  }

  async function sliced(found: VariableValue, slice: string | undefined): Promise<VariableValue> {
    if (slice === undefined) return found
    const value = await sliceReadable(found.value, slice, context.limits.feedBytes)
    return { ...found, value }
  }

  async function readMany(
    container: string,
    names: readonly string[],
  ): Promise<readonly InitializedVariable[]> {
    const found = await findManyNamed(context, container, names)
    return found.flatMap(variablesOf).map(initialized)
  }

  return {
    atHand(container, name) {
      const record = catalogue.variableAtHand(container, name)
      if (record?.value === undefined) return undefined
      let known = atHand.get(record)
      if (known === undefined) {
        known = present(record)
        atHand.set(record, known)
      }
      return known
    },
    async value(container, name, wishes) {
      if (wishes === undefined) {
        const named = await findNamed(context, container, name)
        return isPartitioned(named) ? presentWhole(named) : present(named)
      }
      const [found] = await whole(container, [name], wishes)
      return sliced(found, wishes.slice)
    },
    async values(container, names, wishes = {}) {
      const found = await whole(container, names, wishes)
      if (wishes.slice === undefined) return found
      return Promise.all(found.map((one) => sliced(one, wishes.slice)))
    },
    async tensor(ref, container, name, slice) {
      const [found] = await pastMany(ref, container, [name])
      return sliced(found, slice)
    },
    async read(container, name) {
      return initialized(await findVariable(context, container, name))
    },
    readMany,
  }
}

function bothPastAndFuture(): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'read/checkpoint-and-version',
    'Both checkpoint and min_version were given: a checkpoint does not change, so there is nothing to wait for.',
    { fix: 'Give one of them.' },
  )
}
