// The values of variables on their way in: replacing them here; what one op makes of them is
// variable-update.ts's.
import type { Change, StagedValue, VariableDeclaration, VariableRecord } from '../store/index.ts'
import { fitsShape, type Shape } from '../tensor/index.ts'
import { type BatchReply, type BatchRequest, runBatch } from './batch.ts'
import type { Context } from './context.ts'
import { findDeclaration, findVariable } from './find-variable.ts'
import { once } from './idempotency.ts'
import type { ReadableValue } from './readable.ts'
import { storedReadable } from './stored-values.ts'
import { checkAssignable, type Declaration, type TensorInput } from './tensor-input.ts'
import { type UpdateRequest, updateVariable, type ValueUpdated } from './variable-update.ts'
import { variableKey } from './write-order.ts'
import {
  checkVersion,
  replacedSince,
  type ValueWritten,
  valueWritten,
  type WriteOptions,
} from './written.ts'

/** How a value is assigned. */
export interface AssignOptions extends WriteOptions {
  /** False: the variable takes the value's shape, whatever its own was. */
  readonly validateShape?: boolean | undefined
}

export interface VariableWrites {
  /** The value that a write left, for a reply that shows it. */
  written(written: ValueWritten): Promise<ReadableValue>
  /** Replaces the value. `shape` is the new shape where the variable was declared anew. */
  assign(
    container: string,
    name: string,
    input: TensorInput,
    options: AssignOptions,
  ): Promise<ValueWritten & { readonly shape?: Shape }>
  /** Runs the one op of a verb on the value. */
  update(request: UpdateRequest): Promise<ValueUpdated>
  /** Does many reads and writes in order, all or none. */
  batch(request: BatchRequest): Promise<BatchReply>
}

/** Writes to a store's variables. */
export function createVariableWrites(context: Context): VariableWrites {
  return {
    async written(written) {
      const value = await context.store.values.record(written.valueId)
      if (value === undefined) throw replacedSince(written)
      return storedReadable(context.store.values, value)
    },
    assign: (container, name, input, options) => assign(context, container, name, input, options),
    update: (request) => updateVariable(context, request),
    batch: (request) => runBatch(context, request),
  }
}

async function assign(
  context: Context,
  container: string,
  name: string,
  input: TensorInput,
  options: AssignOptions,
): Promise<ValueWritten & { readonly shape?: Shape }> {
  const { validateShape = true, idempotencyKey, ifVersion } = options
  // The store itself holds a value against its variable; only what depends on more than that has to
  // know the variable as it is now.
  const isPlain = validateShape && (ifVersion === undefined || ifVersion === '*')
  const present = isPlain ? undefined : await findVariable(context, container, name)
  if (present !== undefined && idempotencyKey === undefined) checkVersion(present, ifVersion)
  const declared = present ?? (await findDeclaration(context, container, name))
  const content = await input(declared)
  checkAssignable(name, takenBy(declared, validateShape), content)
  options.checkResult?.(content)
  const staging = context.store.values.stage()
  try {
    // The body is taken in before the turn: a slow client must not hold up other writers.
    const value = await staging.add(content)
    const { dtype, shape, digest } = value
    const described = ['assign', container, name, dtype, shape, digest, validateShape]
    const committed = await once(context, idempotencyKey, described, (idempotency) =>
      context.writes.turn([variableKey(container, name)], 'overlapping', async () => {
        const change: WriteValue = isPlain
          ? { kind: 'write_value', container, name, value }
          : changeOf(await findVariable(context, container, name), value, options)
        return context.store.catalogue.commit([change], idempotency)
      }),
    )
    const written = valueWritten(committed)
    return validateShape ? written : { ...written, shape }
  } finally {
    await staging.discard()
  }
}

type WriteValue = Extract<Change, { readonly kind: 'write_value' }>

/** The write of a value to the variable as it is now, where its version or its shape matters. */
function changeOf(
  record: VariableRecord,
  value: StagedValue,
  { validateShape = true, ifVersion }: AssignOptions,
): WriteValue {
  const { container, name, version } = record
  checkAssignable(name, takenBy(record, validateShape), value)
  checkVersion(record, ifVersion)
  return {
    kind: 'write_value',
    container,
    name,
    value,
    ...(fitsShape(value.shape, record.shape) ? {} : { redeclareShape: true }),
    ...(ifVersion === undefined || ifVersion === '*' ? {} : { expect: { version } }),
  }
}

/** What the variable takes. A part of a partitioned variable keeps its shape, or there would be a hole. */
function takenBy(declared: VariableDeclaration, validateShape: boolean): Declaration {
  const { dtype, shape, slice } = declared
  return validateShape || slice !== undefined ? { dtype, shape } : { dtype, shape: undefined }
}
