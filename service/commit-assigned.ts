// From the engine to the store: the values that a run assigned become durable versions, and their
// copies on the devices become the resident copies of those versions.
import type { Assigned, Engine } from '../engine/index.ts'
import type { Change, Committed, Idempotency, Staging, VariableRecord } from '../store/index.ts'
import { fitsShape } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { contentOfTensor } from './tensor-content.ts'

/** An assigned value and the variable that it is for. */
export interface Destination {
  readonly assigned: Assigned
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
      destinations.map(({ assigned }, index) => {
        const { valueId } = committed.variables[index]
        return valueId === undefined
          ? context.engine.release(assigned.handle)
          : context.engine.adopt(assigned.handle, valueId)
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
  { assigned, container, name, record, version }: Destination,
): Promise<Change> {
  const value = await staging.add(contentOfTensor(await engine.read(assigned.handle)))
  if (record !== undefined) {
    // Only an assignment with validate_shape false gives a shape that does not fit.
    const redeclareShape = !fitsShape(assigned.shape, record.shape)
    const expect = version === undefined ? {} : { expect: { version } }
    return { kind: 'write_value', container, name, value, redeclareShape, ...expect }
  }
  return {
    kind: 'create_variable',
    container,
    name,
    dtype: assigned.dtype,
    shape: assigned.shape,
    trainable: false,
    collections: ['variables'],
    device: '',
    initializer: null,
    value,
  }
}

async function releaseAll(engine: Engine, destinations: readonly Destination[]): Promise<void> {
  await Promise.allSettled(destinations.map(({ assigned }) => engine.release(assigned.handle)))
}
