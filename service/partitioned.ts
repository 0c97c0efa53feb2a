// Partitioned variables: one name for several variables, seen as one. What a name stands for is found
// here: the name itself first, so that a plain variable costs nothing more. How parts are written is
// partitioned-writes.ts's.
import { createHash } from 'node:crypto'
import { joinSlices, type SliceSpec } from '../formats/index.ts'
import { slicesOf } from '../graph/index.ts'
import type {
  Json,
  PartitionedRecord,
  ValueRecord,
  Values,
  VariableRecord,
} from '../store/index.ts'
import {
  byteLengthOf,
  isNumeric,
  packStrings,
  Refusal,
  sameShape,
  type TensorType,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { joinTensors } from './cut-tensor.ts'
import { canReadJoined, readJoined } from './joined-parts.ts'
import { everyItem } from './pages.ts'
import { cutOf } from './part-cut.ts'
import {
  type ByteRange,
  checkHeld,
  gatherBytes,
  type ReadableValue,
  tensorOfReadable,
} from './readable.ts'
import {
  formOfTensor,
  type GivenInitializer,
  isTensorForm,
  tensorOfForm,
} from './stored-initializer.ts'
import { storedReadable } from './stored-values.ts'
import { unknownVariable } from './unknown-variable.ts'

/** What a name stands for: a variable, or several seen as one. */
export type NamedVariable = VariableRecord | PartitionedRecord

/** Whether a name stands for parts. */
export function isPartitioned(named: NamedVariable): named is PartitionedRecord {
  return 'parts' in named
}

/** The variables that a name stands for: its parts in order, or itself. */
export function variablesOf(named: NamedVariable): readonly VariableRecord[] {
  return isPartitioned(named) ? named.parts : [named]
}

/** The variable, or the partitioned variable, of that name. Refuses NOT_FOUND `variable/unknown`. */
export async function findNamed(
  context: Context,
  container: string,
  name: string,
): Promise<NamedVariable> {
  const record = await context.store.catalogue.variable(container, name)
  return record ?? findPartitioned(context, container, name)
}

/**
 * What several names stand for, from one snapshot, in the order asked. Refuses as {@link findNamed}.
 */
export async function findManyNamed(
  context: Context,
  container: string,
  names: readonly string[],
): Promise<readonly NamedVariable[]> {
  const { catalogue } = context.store
  const records = byName(await catalogue.variables(container, names))
  if (records.size === new Set(names).size)
    return names.map((name) => records.get(name) as VariableRecord)
  const others = names.filter((name) => !records.has(name))
  const wholes = byName(await catalogue.partitioned(container, others))
  const missing = others.find((name) => !wholes.has(name))
  if (missing !== undefined) throw unknownVariable(container, missing)
  // Once it is known which variables are meant, one look takes them all.
  const partNames = [...wholes.values()].flatMap(({ parts }) => parts.map(({ name }) => name))
  const all = byName(await catalogue.variables(container, [...names, ...partNames]))
  const present = (name: string): VariableRecord => {
    const record = all.get(name)
    if (record === undefined) throw unknownVariable(container, name)
    return record
  }
  return names.map((name) => {
    const whole = wholes.get(name)
    if (whole === undefined) return present(name)
    return { ...whole, parts: whole.parts.map((part) => present(part.name)) }
  })
}

function byName<T extends { readonly name: string }>(records: readonly T[]): Map<string, T> {
  return new Map(records.map((record) => [record.name, record]))
}

/** The partitioned variable of that name. Refuses NOT_FOUND `variable/unknown`. */
export async function findPartitioned(
  context: Context,
  container: string,
  name: string,
): Promise<PartitionedRecord> {
  const [whole] = await context.store.catalogue.partitioned(container, [name])
  if (whole === undefined) throw unknownVariable(container, name)
  return whole
}

/**
 * Does `plain`, and where it finds no variable `name` but a partitioned one has that name, `whole`
 * instead. `plain` looks for the variable before it does anything else.
 */
export async function orPartitioned<T>(
  context: Context,
  container: string,
  name: string,
  plain: () => Promise<T>,
  whole: (record: PartitionedRecord) => Promise<T>,
): Promise<T> {
  try {
    return await plain()
  } catch (error) {
    const isUnknown = error instanceof Refusal && error.reason === 'variable/unknown'
    if (!isUnknown || error.names.variable !== name) throw error
    const [found] = await context.store.catalogue.partitioned(container, [name])
    if (found === undefined) throw error
    return whole(found)
  }
}

/** Every partitioned variable of a container, page by page. */
export function everyPartitioned(
  context: Context,
  container: string,
): AsyncIterable<PartitionedRecord> {
  const { catalogue } = context.store
  return everyItem(context, (page) => catalogue.listPartitioned(container, page))
}

/** The version of what a name stands for; of parts, the sum of theirs, which only grows as well. */
export function versionOf(named: NamedVariable): number {
  return variablesOf(named).reduce((sum, part) => sum + part.version, 0)
}

/** What is known of a partitioned variable as one. */
export interface PartitionedView {
  readonly trainable: boolean
  readonly collections: readonly string[]
  readonly device: string
  /** As it was given for the whole. */
  readonly initializer: Json
  readonly version: number
  /** Whether every part has a value. */
  readonly isInitialized: boolean
  /** Bytes of the parts' present values. */
  readonly byteLength: number
  /** Milliseconds since the epoch: of the first part that was made .. */
  readonly createdAt: number
  /** .. and of the last that was changed. */
  readonly updatedAt: number
}

/** The parts seen as one; what parts have in common is the first one's. */
export function partitionedView(whole: PartitionedRecord): PartitionedView {
  const { parts } = whole
  const [{ trainable, collections, device }] = parts
  return {
    trainable,
    collections,
    device,
    initializer: initializerOfParts(whole),
    version: versionOf(whole),
    isInitialized: parts.every(({ value }) => value !== undefined),
    byteLength: parts.reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0),
    createdAt: parts.reduce((first, { createdAt }) => Math.min(first, createdAt), Infinity),
    updatedAt: parts.reduce((last, { updatedAt }) => Math.max(last, updatedAt), 0),
  }
}

/** The initializer that the whole was given: of a tensor, every part keeps its stretch. */
function initializerOfParts(whole: PartitionedRecord): Json {
  const { dtype, shape, parts } = whole
  const given = parts.map(({ initializer }) => initializer as GivenInitializer | null)
  const slices = slicesOfParts(whole)
  const tensors = given.flatMap((one, place) => {
    if (one === null || !isTensorForm(one)) return []
    const tensor = tensorOfForm(one, dtype, Number.POSITIVE_INFINITY)
    const slice = slices[place]
    return sameShape(tensor.shape, slice.shape) ? [{ slice, tensor }] : []
  })
  if (tensors.length < parts.length) return parts[0].initializer
  return formOfTensor(joinTensors({ dtype, shape }, tensors)) as Json
}

/** Where the parts lie in the whole, in order. */
export function slicesOfParts({
  name,
  shape,
  partitions,
}: PartitionedRecord): readonly SliceSpec[] {
  return slicesOf(name, shape, partitions).map(({ fullShape, offset, shape }) => ({
    fullShape,
    starts: offset,
    shape,
  }))
}

/** A part of a whole and its value. */
export interface ValuePart {
  readonly slice: SliceSpec
  readonly value: ValueRecord
}

/**
 * The whole of a partitioned variable as a readable value. Refuses (FAILED_PRECONDITION) one of which a
 * part has no value (`variable/uninitialized`), or one of another shape (`partition/part-reshaped`).
 */
export function partitionedReadable(context: Context, whole: PartitionedRecord): ReadableValue {
  const slices = slicesOfParts(whole)
  const parts = whole.parts.map((part, place): ValuePart => {
    const { value } = part
    if (value === undefined) throw uninitializedPart(whole, part)
    const slice = slices[place]
    if (!sameShape(value.shape, slice.shape)) throw reshapedPart(whole, part)
    return { slice, value }
  })
  return joinedReadable(context.store.values, whole, parts, context.limits.feedBytes)
}

/**
 * Parts that together cover a tensor, as one value: read piece by piece; strings at once, and refused
 * above `maxStringBytes`.
 */
export function joinedReadable(
  values: Values,
  { dtype, shape }: TensorType,
  parts: readonly ValuePart[],
  maxStringBytes: number,
): ReadableValue {
  const byteLength = parts.reduce((sum, { value }) => sum + value.byteLength, 0)
  const digest = digestOfParts(parts)
  if (!isNumeric(dtype)) {
    return stringsJoined(values, { dtype, shape, byteLength, digest }, parts, maxStringBytes)
  }
  const cut = cutOf(
    shape,
    parts.map(({ slice }) => slice),
    byteLengthOf(dtype),
  )
  const readPart = (part: number, range: ByteRange) => values.read(parts[part].value.valueId, range)
  const joined = parts.map(({ slice }, part) => ({
    starts: slice.starts,
    shape: slice.shape,
    read: (offset: number, length: number) =>
      gatherBytes(readPart(part, { offset, length }), length),
  }))
  const read: ReadableValue['read'] = (range = { offset: 0, length: byteLength }) => {
    if (range.length === 0) return nothing()
    if (cut !== undefined && canReadJoined(cut)) return readJoined(cut, readPart, range)
    return joinSlices({ dtype, shape }, joined, range)
  }
  const bytes = () => gatherBytes(read(), byteLength)
  return { dtype, shape, byteLength, digest, read, bytes }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function digestOfParts(parts: readonly ValuePart[]): string {
  const hash = createHash('sha256')
  for (const { slice, value } of parts) {
    hash.update(`[${slice.starts}][${slice.shape}]${value.digest};`)
  }
  return hash.digest('hex')
}

function stringsJoined(
  values: Values,
  type: Omit<ReadableValue, 'read' | 'bytes'>,
  parts: readonly ValuePart[],
  maxBytes: number,
): ReadableValue {
  async function bytes(): Promise<Uint8Array> {
    checkHeld(joined, maxBytes, 'Putting strings together')
    const tensors = []
    for (const { slice, value } of parts) {
      tensors.push({ slice, tensor: await tensorOfReadable(storedReadable(values, value)) })
    }
    const tensor = joinTensors(type, tensors)
    if (tensor.dtype !== 'string') throw new Error('strings give strings')
    return packStrings(tensor)
  }
  const joined: ReadableValue = {
    ...type,
    bytes,
    async *read(range) {
      const all = await bytes()
      yield range === undefined ? all : all.slice(range.offset, range.offset + range.length)
    },
  }
  return joined
}

/** Refuses (INVALID_ARGUMENT `partition/not-one`) what can be done to one variable only. */
export function notForParts(verb: string, { container, name, parts }: PartitionedRecord): Refusal {
  const names = parts.map((part) => part.name)
  const shown = names.length > 4 ? `${names.slice(0, 3).join(', ')}, ..` : names.join(', ')
  return new Refusal(
    'INVALID_ARGUMENT',
    'partition/not-one',
    `${verb} works on one variable; ${name} is partitioned, its parts are ${shown}.`,
    {
      fix: `Send it to a part, such as ${names[0]}.`,
      names: { variable: name, container, parts: names.slice(0, 100) },
    },
  )
}

function uninitializedPart({ name, container }: PartitionedRecord, part: VariableRecord): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'variable/uninitialized',
    `Attempting to use uninitialized value ${part.name}`,
    {
      fix: `Initialize all parts of ${name} with :initialize, or give it a value with :assign.`,
      names: { variable: name, part: part.name, container },
    },
  )
}

/** FAILED_PRECONDITION `partition/part-reshaped`. */
export function reshapedPart(
  { name, container }: PartitionedRecord,
  part: VariableRecord,
): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'partition/part-reshaped',
    `${part.name} has another shape now than its part of ${name}.`,
    {
      fix: `Assign a value of its own shape to ${part.name}, or assign ${name} as a whole.`,
      names: { variable: name, part: part.name, container },
    },
  )
}
