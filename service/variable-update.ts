// Updates of variables by one op each: in turn among the variable's writers, committed before the
// reply. What an op computes is the engine's (one-op.ts); which ops there are, update-verbs.ts says.

import type { Assigned } from '../engine/index.ts'
import { tensorToJson } from '../formats/index.ts'
import type { Committed, Idempotency, Json, VariableRecord } from '../store/index.ts'
import type { Tensor } from '../tensor/index.ts'
import { commitAssigned } from './commit-assigned.ts'
import type { Context } from './context.ts'
import { findVariable } from './find-variable.ts'
import { once } from './idempotency.ts'
import { checkType, runUpdate, type UpdateArguments, type UpdateTarget } from './one-op.ts'
import { type Declaration, digestOfTensor } from './tensor-input.ts'
import { type UpdateVerbName, updateVerb } from './update-verbs.ts'
import { variableKey } from './write-order.ts'
import { checkVersion, type ValueWritten, valueWritten, type WriteOptions } from './written.ts'

/** What a request brings to an update, once it is told what the variable is. */
export type UpdateInput = (variable: Declaration) => Promise<UpdateArguments>

export interface UpdateRequest {
  readonly verb: UpdateVerbName
  readonly container: string
  readonly name: string
  readonly input: UpdateInput
  readonly options: WriteOptions
}

/** What an update did. */
export interface ValueUpdated extends ValueWritten {
  /** The op's output as JSON, where its verb shows one. */
  readonly output: Json | undefined
}

/** One variable's part in {@link commitUpdates}. */
export interface VariableUpdate {
  readonly record: VariableRecord
  readonly verb: UpdateVerbName
  readonly given: UpdateArguments
}

/** Runs the verb's op on the variable and commits the result, in its turn among the variable's writers. */
export async function updateVariable(
  context: Context,
  { verb, container, name, input, options }: UpdateRequest,
): Promise<ValueUpdated> {
  const declared = await findVariable(context, container, name)
  checkType(verb, updateVerb(verb), declared)
  if (options.idempotencyKey === undefined) checkVersion(declared, options.ifVersion)
  // The body is taken in before the turn: a slow client must not hold up other writers.
  const given = await input(presentForm(declared))
  const committed = await once(
    context,
    options.idempotencyKey,
    () => [verb, container, name, ...describedArguments(given)],
    (idempotency) =>
      context.writes.turn([variableKey(container, name)], 'exclusive', async () => {
        const record = await findVariable(context, container, name)
        checkVersion(record, options.ifVersion)
        if (record.value !== undefined) options.checkResult?.(record.value)
        return commitUpdates(context, [{ record, verb, given }], idempotency)
      }),
  )
  return { ...valueWritten(committed), output: outputsOf(committed)[0] ?? undefined }
}

/**
 * Runs one op on each variable and commits their new values together: all or none. The caller has the
 * variables' turn. The commit's note lists the ops' outputs as JSON, null where there is none.
 */
export async function commitUpdates(
  context: Context,
  updates: readonly VariableUpdate[],
  idempotency: Idempotency | undefined,
): Promise<Committed> {
  const assigned: Assigned[] = []
  const outputs: (Tensor | undefined)[] = []
  try {
    for (const { record, verb, given } of updates) {
      const updated = await runUpdate(context, verb, targetOf(record), given)
      assigned.push(updated.assigned)
      outputs.push(updated.output)
    }
  } catch (error) {
    await Promise.allSettled(assigned.map(({ handle }) => context.engine.release(handle)))
    throw error
  }
  const destinations = updates.map(({ record }, place) => ({
    assigned: assigned[place],
    container: record.container,
    name: record.name,
    record,
    version: record.version,
  }))
  const note = outputs.map((output) =>
    output === undefined ? null : (tensorToJson(output) as Json),
  )
  const noted = idempotency && { ...idempotency, note }
  return { ...(await commitAssigned(context, destinations, noted)), note }
}

/** What {@link commitUpdates} noted: the ops' outputs, null where there is none. */
export function outputsOf({ note }: Committed): readonly Json[] {
  return Array.isArray(note) ? note : []
}

/** A stored variable as an op's target. */
export function targetOf({ name, device, dtype, value }: VariableRecord): UpdateTarget {
  const binding =
    value === undefined ? null : { value: value.valueId, dtype: value.dtype, shape: value.shape }
  return { name, device, dtype, binding }
}

/** The variable as its present value has it, where it has one. */
export function presentForm({ dtype, shape, value }: VariableRecord): Declaration {
  return value === undefined ? { dtype, shape } : { dtype, shape: value.shape }
}

/** What an update is given, for telling requests apart. */
export function describedArguments({ tensors, limit, slice }: UpdateArguments): readonly unknown[] {
  const given = [...tensors].map(([name, tensor]) => [name, digestOfTensor(tensor)])
  return [given.sort(), limit && digestOfTensor(limit), slice]
}
