// From the engine to the store: the values that a run assigned become durable versions, and their
// copies on the devices become the resident copies of those versions.
import type { Assigned, Engine } from '../engine/index.ts'
import type { Change, Committed, Idempotency, Staging, VariableRecord } from '../store/index.ts'
import { fitsShape } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { contentOfTensor, type TensorContent } from './tensor-content.ts'

/** A new value, which the engine holds or which is at hand, and the variable that it is for. */
export type Destination = (
  | { readonly assigned: Assigned; readonly content?: undefined }
  | { readonly content: TensorContent; readonly assigned?: undefined }
) & {
  readonly container: string
  readonly name: string
  /** Undefined: the write makes the variable, in collection `variables`. */
  readonly record: VariableRecord | undefined
  /** The version that the variable must still have; absent: whichever. */
  readonly version?: number | undefined
}

/**
 * Commits all values or none. The handles end in either case: adopted under the committed value,
 * or released.
 */
export async function commitAssigned(
  context: Context,
  destinations: readonly Destination[],
  idempotency: Idempotency | undefined,
): Promise<Committed> {
  const staging = context.store.values.stage()
  try {
    const changes: Change[] = []
    for (const destination of destinations) {
      changes.push(await changeOf(context.engine, staging, destination))
    }
    const committed = await context.store.catalogue.commit(changes, idempotency)
    await Promise.all(
      destinations.map(async ({ assigned }, index) => {
        if (assigned === undefined) return
        const { valueId } = committed.variables[index]
        if (valueId === undefined) await context.engine.release(assigned.handle)
        else await context.engine.adopt(assigned.handle, valueId)
      }),
    )
    context.engineUse.count++
    return committed
  } catch (error) {
    await releaseAll(context.engine, destinations)
    throw error
  } finally {
    await staging.discard()
  }
}

async function changeOf(
  engine: Engine,
  staging: Staging,
  { assigned, content, container, name, record, version }: Destination,
): Promise<Change> {
  const given = content ?? contentOfTensor(await engine.read(assigned.handle))
  const value = await staging.add(given)
  const { dtype, shape } = given
  if (record !== undefined) {
    // Only an assignment with validate_shape false gives a shape that does not fit.
    const redeclareShape = !fitsShape(shape, record.shape)
    const expect = version === undefined ? {} : { expect: { version } }
    return { kind: 'write_value', container, name, value, redeclareShape, ...expect }
  }
  return {
    kind: 'create_variable',
    container,
    name,
    dtype,
    shape,
    trainable: false,
    collections: ['variables'],
    device: '',
    initializer: null,
    value,
  }
}

async function releaseAll(engine: Engine, destinations: readonly Destination[]): Promise<void> {
  const held = destinations.flatMap(({ assigned }) => assigned ?? [])
  await Promise.allSettled(held.map(({ handle }) => engine.release(handle)))
}
