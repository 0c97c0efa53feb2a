// The values of variables on their way in: replacing them, and the one-op updates, which run on the
// engine like any other graph.
import type { Change, ValueRecord, VariableRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { applyUpdate, type UpdateOp } from './one-op.ts'
import { checkAssignable, type TensorInput } from './tensor-input.ts'
import { findVariable } from './variable-reads.ts'
import { variableKey } from './write-order.ts'
import { checkVersion, type ValueWritten, valueWritten, type WriteOptions } from './written.ts'

export interface VariableWrites {
  /** The value that a write left, for a reply that shows it. */
  written(written: ValueWritten): Promise<ValueRecord>
  assign(
    container: string,
    name: string,
    input: TensorInput,
    options: WriteOptions,
  ): Promise<ValueWritten>
  /** `assign_add` or `assign_sub`. */
  update(
    op: UpdateOp,
    container: string,
    name: string,
    input: TensorInput,
    options: WriteOptions,
  ): Promise<ValueWritten>
}

/** Writes to a store's variables. */
export function createVariableWrites(context: Context): VariableWrites {
  return {
    async written({ container, name, version, valueId }) {
      const value = await context.store.values.record(valueId)
      if (value !== undefined) return value
      throw new Refusal(
        'NOT_FOUND',
        'value/gone',
        `Version ${version} of variable ${name} was written, and has been replaced since.`,
        { names: { variable: name, container, version } },
      )
    },
    async assign(container, name, input, options) {
      const declared = await findVariable(context, container, name)
      if (options.idempotencyKey === undefined) checkVersion(declared, options.ifVersion)
      const content = await input(declared)
      checkAssignable(name, declared, content)
      const staging = context.store.values.stage()
      try {
        // The body is taken in before the turn: a slow client must not hold up other writers.
        const staged = await staging.add(content)
        return await context.writes.turn(
          [variableKey(container, name)],
          'overlapping',
          async () => {
            const record = await findVariable(context, container, name)
            checkAssignable(name, record, staged)
            const described = ['assign', container, name, staged.dtype, staged.shape, staged.digest]
            return write(context, record, described, options, async () => staged)
          },
        )
      } finally {
        await staging.discard()
      }
    },
    async update(op, container, name, input, options) {
      const declared = await findVariable(context, container, name)
      const content = await input(declared)
      checkAssignable(name, declared, content)
      return applyUpdate(context, op, { container, name, content, options })
    },
  }
}

/** Commits one new value and says what came of it. */
async function write(
  context: Context,
  record: VariableRecord,
  described: readonly unknown[],
  options: WriteOptions,
  value: () => Promise<Extract<Change, { kind: 'write_value' }>['value']>,
): Promise<ValueWritten> {
  const { container, name } = record
  const committed = await once(context, options.idempotencyKey, described, async (idempotency) => {
    checkVersion(record, options.ifVersion)
    const expect = versionExpectation(record, options)
    const change: Change = { kind: 'write_value', container, name, value: await value(), ...expect }
    return context.store.catalogue.commit([change], idempotency)
  })
  return valueWritten(committed)
}

function versionExpectation(record: VariableRecord, options: WriteOptions) {
  const conditional = options.ifVersion !== undefined && options.ifVersion !== '*'
  return conditional ? { expect: { version: record.version } } : {}
}
