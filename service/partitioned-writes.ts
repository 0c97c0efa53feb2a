// Writes to partitioned variables: the whole is cut, and what its parts become is one commit.
import type { Change, Committed, PartitionedRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { stageParts } from './part-streams.ts'
import { argumentsOfParts, checkForParts } from './part-updates.ts'
import {
  findPartitioned,
  joinedReadable,
  orPartitioned,
  slicesOfParts,
  versionOf,
} from './partitioned.ts'
import type { ReadableValue } from './readable.ts'
import { checkAssignable, type TensorInput } from './tensor-input.ts'
import {
  commitUpdates,
  describedArguments,
  type UpdateRequest,
  type ValueUpdated,
} from './variable-update.ts'
import type { AssignOptions, VariableWrites } from './variable-writes.ts'
import { variableKey } from './write-order.ts'
import { checkVersion, replacedSince, type ValueWritten } from './written.ts'

/** `writes` for every name: where it stands for no variable but for parts, they are written as one. */
export function withPartitionedWrites(context: Context, writes: VariableWrites): VariableWrites {
  return {
    ...writes,
    written: (written) =>
      written.parts === undefined
        ? writes.written(written)
        : joinedParts(context, written, written.parts),
    assign: (container, name, input, options) =>
      orPartitioned(
        context,
        container,
        name,
        () => writes.assign(container, name, input, options),
        (whole) => assignParts(context, whole, input, options),
      ),
    update: (request) =>
      orPartitioned(
        context,
        request.container,
        request.name,
        () => writes.update(request),
        (whole) => updateParts(context, whole, request),
      ),
  }
}

async function assignParts(
  context: Context,
  whole: PartitionedRecord,
  input: TensorInput,
  options: AssignOptions,
): Promise<ValueWritten> {
  const { container, name, dtype, shape } = whole
  const { idempotencyKey, ifVersion } = options
  if (idempotencyKey === undefined) checkVersion({ name, version: versionOf(whole) }, ifVersion)
  const declared = { dtype, shape }
  const content = await input(declared)
  // Parts keep their shapes, or there would be holes: validate_shape false changes nothing here.
  checkAssignable(name, declared, content)
  options.checkResult?.(content)
  const staging = context.store.values.stage()
  try {
    const staged = await stageParts(context, staging, content, slicesOfParts(whole))
    const digests = staged.map(({ digest }) => digest)
    const described = ['assign', container, name, dtype, shape, digests]
    return await commitParts(
      context,
      whole,
      { described, options },
      async (record, idempotency) => {
        const isConditional = ifVersion !== undefined && ifVersion !== '*'
        const changes = record.parts.map(
          (part, place): Change => ({
            kind: 'write_value',
            container,
            name: part.name,
            value: staged[place],
            ...(isConditional ? { expect: { version: part.version } } : {}),
          }),
        )
        return context.store.catalogue.commit(changes, idempotency)
      },
    )
  } finally {
    await staging.discard()
  }
}

async function updateParts(
  context: Context,
  whole: PartitionedRecord,
  { verb, container, name, input, options }: UpdateRequest,
): Promise<ValueUpdated> {
  checkForParts(verb, whole)
  const { dtype, shape } = whole
  if (options.idempotencyKey === undefined) {
    checkVersion({ name, version: versionOf(whole) }, options.ifVersion)
  }
  const given = await input({ dtype, shape })
  const parts = argumentsOfParts(verb, whole, given)
  options.checkResult?.({ dtype, shape })
  const described = [verb, container, name, ...describedArguments(given)]
  const written = await commitParts(
    context,
    whole,
    { described, options },
    (record, idempotency) => {
      const updates = record.parts.map((part, place) => ({
        record: part,
        verb,
        given: parts[place],
      }))
      return commitUpdates(context, updates, idempotency)
    },
  )
  return { ...written, output: undefined }
}

interface PartsCommit {
  readonly described: readonly unknown[]
  readonly options: AssignOptions
}

/** Commits new values of all parts, alone among their writers; says what became of the whole. */
async function commitParts(
  context: Context,
  whole: PartitionedRecord,
  { described, options }: PartsCommit,
  commit: (
    record: PartitionedRecord,
    idempotency: Parameters<Parameters<typeof once>[3]>[0],
  ) => Promise<Committed>,
): Promise<ValueWritten> {
  const { container, name } = whole
  const keys = [name, ...whole.parts.map((part) => part.name)].map((one) =>
    variableKey(container, one),
  )
  const committed = await once(context, options.idempotencyKey, described, (idempotency) =>
    context.writes.turn(keys, 'exclusive', async () => {
      const record = await findPartitioned(context, container, name)
      if (!samePartition(record, whole)) throw madeAnew(whole)
      checkVersion({ name, version: versionOf(record) }, options.ifVersion)
      return commit(record, idempotency)
    }),
  )
  const version = committed.variables.reduce((sum, part) => sum + part.version, 0)
  const parts = committed.variables.map(({ valueId }) => {
    if (valueId === undefined) throw new Error('a written part has a value')
    return valueId
  })
  return { container, name, version, valueId: parts[0], parts }
}

function samePartition(a: PartitionedRecord, b: PartitionedRecord): boolean {
  return (
    a.dtype === b.dtype &&
    String(a.shape) === String(b.shape) &&
    String(a.partitions) === String(b.partitions)
  )
}

function madeAnew({ container, name }: PartitionedRecord): Refusal {
  return new Refusal(
    'ABORTED',
    'partition/made-anew',
    `${name} was deleted and made with other parts while the value was on its way.`,
    {
      fix: 'Read the variable again, then send the value again.',
      names: { variable: name, container },
    },
  )
}

/** The whole that a write left, from the values of its parts. */
async function joinedParts(
  context: Context,
  written: ValueWritten,
  valueIds: readonly number[],
): Promise<ReadableValue> {
  const { container, name } = written
  const whole = await findPartitioned(context, container, name)
  const slices = slicesOfParts(whole)
  const records = await Promise.all(valueIds.map((id) => context.store.values.record(id)))
  const parts = records.flatMap((value, place) =>
    value === undefined || slices[place] === undefined ? [] : [{ slice: slices[place], value }],
  )
  if (parts.length === whole.parts.length) {
    return joinedReadable(context.store.values, whole, parts, context.limits.feedBytes)
  }
  throw replacedSince(written)
}
