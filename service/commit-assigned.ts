// From the engine to the store: the values that a run assigned become durable versions, and their
// copies on the devices become the resident copies of those versions.
import type { Assigned, ByteRange, Engine } from '../engine/index.ts'
import type {
  Change,
  Committed,
  Idempotency,
  StagedValue,
  Staging,
  VariableRecord,
} from '../store/index.ts'
import { fitsShape } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { heldContent } from './held-content.ts'
import type { TensorContent } from './tensor-content.ts'

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
      context.engineVariables.note(destination.container, destination.name)
      changes.push(await changeOf(context.engine, staging, destination))
    }
    const before = destinations.flatMap(({ assigned, record }) =>
      assigned === undefined || record === undefined ? [] : [record],
    )
    const committed = await context.adoptions.during(before, async () => {
      const outcome = await context.store.catalogue.commit(changes, idempotency)
      await Promise.all(
        destinations.map(async ({ assigned }, index) => {
          if (assigned === undefined) return
          const { valueId } = outcome.variables[index]
          if (valueId === undefined) await context.engine.release(assigned.handle)
          else await context.engine.adopt(assigned.handle, valueId)
        }),
      )
      return outcome
    })
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
  const { dtype, shape } = content ?? assigned
  const value =
    content !== undefined
      ? await staging.add(content)
      : await stagedOf(engine, staging, assigned, record)
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

/** Takes an assigned value in; where it is the variable's present one with few changes, only those are read. */
async function stagedOf(
  engine: Engine,
  staging: Staging,
  assigned: Assigned,
  record: VariableRecord | undefined,
): Promise<StagedValue> {
  const { handle, base, dirty } = assigned
  if (base !== undefined && dirty !== undefined && record?.value?.valueId === base) {
    return staging.addPatched(base, patchesOf(engine, handle, dirty))
  }
  return staging.add(await heldContent(engine, assigned))
}

/** Ranges and bytes that are read from a device at once, at most. */
const maxRangesAtOnce = 4096
const maxBytesAtOnce = 4 * 2 ** 20

async function* patchesOf(
  engine: Engine,
  handle: Assigned['handle'],
  dirty: readonly ByteRange[],
): AsyncGenerator<{ readonly offset: number; readonly bytes: Uint8Array }> {
  const pieces = dirty.flatMap(piecesOf)
  for (let first = 0; first < pieces.length; ) {
    let byteLength = pieces[first].length
    let end = first + 1
    while (end < pieces.length && end - first < maxRangesAtOnce) {
      byteLength += pieces[end].length
      if (byteLength > maxBytesAtOnce) break
      end++
    }
    const ranges = pieces.slice(first, end)
    const parts = await engine.readRanges(handle, ranges)
    for (const [place, { offset }] of ranges.entries()) yield { offset, bytes: parts[place] }
    first = end
  }
}

function piecesOf({ offset, length }: ByteRange): readonly ByteRange[] {
  const count = Math.ceil(length / maxBytesAtOnce)
  return Array.from({ length: count }, (_, place) => {
    const start = place * maxBytesAtOnce
    return { offset: offset + start, length: Math.min(maxBytesAtOnce, length - start) }
  })
}

async function releaseAll(engine: Engine, destinations: readonly Destination[]): Promise<void> {
  const held = destinations.flatMap(({ assigned }) => assigned ?? [])
  await Promise.allSettled(held.map(({ handle }) => engine.release(handle)))
}
