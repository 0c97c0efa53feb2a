// What restoring one tensor changes: a variable points at the stored value where that is cut as the
// variable is; else the bytes are put together or cut on their way.
import type { SliceSpec } from '../formats/index.ts'
import { maxParts, slicesOf } from '../graph/index.ts'
import type { Change, PartitionedRecord, Staging, ValueSource } from '../store/index.ts'
import { sameShape } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { checkGoing, type Watch } from './operations.ts'
import { stageParts } from './part-streams.ts'
import { isPartitioned, type NamedVariable, slicesOfParts } from './partitioned.ts'
import { type ReadableValue, streamOfReadable } from './readable.ts'
import type { RestoreSource } from './restore-sources.ts'
import { type SlicedTensor, storedTensorReadable } from './stored-tensors.ts'
import type { TensorContent } from './tensor-content.ts'

/** The changes of one variable, or of all parts of one. */
export interface RestoreStep {
  /** Names of the variables that it writes. */
  readonly writes: readonly string[]
  /** Makes them; what has to be copied is copied. */
  changes(copies: Copies): Promise<readonly Change[]>
}

/**
 * Copies of what cannot be pointed at. Made once: what was copied before a restore had its turn is there
 * when it has it, unless variables have become others meanwhile.
 */
export interface Copies {
  take(
    key: string,
    source: RestoreSource,
    stage: (staging: Staging, content: TensorContent) => Promise<readonly ValueSource[]>,
  ): Promise<readonly ValueSource[]>
  /** Gives back what no commit has used. */
  discard(): Promise<void>
}

/** No copies yet. Their bytes are told to `progress` as they pass. */
export function createCopies(
  context: Context,
  watch: Watch | undefined,
  progress: (byteLength: number) => void,
): Copies {
  const staging = context.store.values.stage()
  const made = new Map<string, readonly ValueSource[]>()
  return {
    async take(key, source, stage) {
      const known = made.get(key)
      if (known !== undefined) return known
      const value = readableOf(context, source)
      const content = streamOfReadable(source.name, value)
      const chunks = () => passing(content.chunks(), watch?.signal, progress)
      const copies = await stage(staging, { ...content, chunks })
      made.set(key, copies)
      return copies
    },
    discard: () => staging.discard(),
  }
}

async function* passing(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  progress: (byteLength: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    checkGoing(signal)
    progress(chunk.byteLength)
    yield chunk
  }
}

function readableOf(context: Context, source: RestoreSource): ReadableValue {
  return source.form === 'cut' ? source.value : storedTensorReadable(context, source)
}

/** Bytes of a source. */
export function byteLengthOfSource(source: RestoreSource): number {
  switch (source.form) {
    case 'plain':
      return source.entry.value.byteLength
    case 'sliced':
      return source.parts.reduce((sum, { entry }) => sum + entry.value.byteLength, 0)
    case 'cut':
      return source.value.byteLength
    default:
      throw new Error(`unknown form ${source satisfies never}`)
  }
}

/** Names of the parts, in order. */
export function namesOfParts({ parts }: PartitionedRecord): readonly string[] {
  return parts.map(({ name }) => name)
}

/** Puts a tensor into what is there: by pointing where it is cut alike, else by copying. */
export function writingOf(
  context: Context,
  target: NamedVariable,
  source: RestoreSource,
): RestoreStep {
  const { container, name } = target
  const kind = 'write_value'
  if (!isPartitioned(target)) {
    return {
      writes: [name],
      async changes(copies) {
        return [{ kind, container, name, value: await wholeValue(copies, source) }]
      },
    }
  }
  const writes = namesOfParts(target)
  return {
    writes,
    async changes(copies) {
      const values = await partValues(context, copies, slicesOfParts(target), source)
      return writes.map((part, place) => ({ kind, container, name: part, value: values[place] }))
    },
  }
}

async function wholeValue(copies: Copies, source: RestoreSource): Promise<ValueSource> {
  if (source.form === 'plain') return { valueId: source.entry.value.valueId }
  if (source.form === 'sliced' && source.parts.length === 1) {
    return { valueId: source.parts[0].entry.value.valueId }
  }
  const [value] = await copies.take(keyOf(source, []), source, async (staging, content) => [
    await staging.add(content),
  ])
  return value
}

async function partValues(
  context: Context,
  copies: Copies,
  slices: readonly SliceSpec[],
  source: RestoreSource,
): Promise<readonly ValueSource[]> {
  if (source.form === 'sliced' && areCutAlike(source, slices)) {
    return source.parts.map(({ entry }) => ({ valueId: entry.value.valueId }))
  }
  return copies.take(keyOf(source, slices), source, (staging, content) =>
    stageParts(context, staging, content, slices),
  )
}

/** Names a copy by what it is of and how it is cut. */
function keyOf(source: RestoreSource, slices: readonly SliceSpec[]): string {
  const cut = slices.map(({ starts, shape }) => [starts, shape])
  return JSON.stringify([source.name, source.form === 'cut' ? source.slice : null, cut])
}

function areCutAlike({ parts }: SlicedTensor, slices: readonly SliceSpec[]): boolean {
  return (
    parts.length === slices.length &&
    parts.every(
      ({ slice }, place) =>
        sameShape(slice.starts, slices[place].starts) &&
        sameShape(slice.shape, slices[place].shape),
    )
  )
}

/** How a variable is made that is not there. */
interface Creation {
  readonly step: RestoreStep
  /** Names of the parts, where it is made in parts. */
  readonly parts?: readonly string[]
}

/** Makes what a tensor is for: in parts where it is cut as partitioning cuts, else whole. */
export function creationOf(container: string, name: string, source: RestoreSource): Creation {
  const { dtype, shape } = source
  const common = { container, dtype, trainable: false, collections: ['variables'], device: '' }
  const kind = 'create_variable'
  const partitions = source.form === 'sliced' ? partitionsOfSlices(source) : undefined
  if (source.form !== 'sliced' || partitions === undefined) {
    const step: RestoreStep = {
      writes: [name],
      async changes(copies) {
        const value = await wholeValue(copies, source)
        return [{ kind, ...common, name, shape, initializer: null, value }]
      },
    }
    return { step }
  }
  const parts = source.parts.map((_, place) => `${name}/part_${place}`)
  const made = source.parts.map(
    ({ entry, slice }, place): Change => ({
      kind,
      ...common,
      name: parts[place],
      shape: slice.shape,
      initializer: null,
      slice: { fullName: name, fullShape: shape, offset: slice.starts },
      value: { valueId: entry.value.valueId },
    }),
  )
  const whole: Change = {
    kind: 'create_partitioned',
    container,
    name,
    dtype,
    shape,
    partitions,
    parts,
  }
  return { step: { writes: [name, ...parts], changes: async () => [...made, whole] }, parts }
}

/** The partitions that would cut a tensor so; undefined where none would. */
function partitionsOfSlices(tensor: SlicedTensor): readonly number[] | undefined {
  const { name, shape, parts } = tensor
  const [{ slice }] = parts
  const partitions = shape.map((size, axis) => (slice.shape[axis] === size ? 1 : parts.length))
  if (parts.length > maxParts || partitions.filter((count) => count > 1).length !== 1) {
    return undefined
  }
  const cut = slicesOf(name, shape, partitions).map(({ offset, ...rest }) => ({
    ...rest,
    starts: offset,
  }))
  return areCutAlike(tensor, cut) ? partitions : undefined
}
