// Messages to and from the protobuf wire format, driven by the schema's rows.
import type { Field, FieldValue, MessageShape } from './field.ts'
import { messageShape, pushTo, setOneof } from './field.ts'
import type { Draft, Message } from './message.ts'
import type { MessageName, ScalarName } from './schema.ts'
import { maxDepth, readWire, WireError, type WireReader, WireWriter, wireTypes } from './wire.ts'

/** Limits on what a decoded message may hold. */
export interface DecodeLimits {
  /**
   * Bound on the memory that decoding takes, in cells of about 8 bytes: a small number takes one, a
   * 64-bit integer four, a message eight. Two bytes of input can make a message.
   */
  readonly maxCells?: number
}

const defaultMaxCells = 2 ** 27

interface Decoding {
  readonly reader: WireReader
  cells: number
}

const cellsOfMessage = 8
const cellsOfBigInt = 4

/**
 * The message of that name in `bytes`. Unknown fields are skipped; of a field given twice the last
 * counts (messages are merged). Byte fields are views into `bytes`. Throws {@link WireError} for
 * whatever is truncated, malformed, nested deeper than {@link maxDepth} or larger than the limits.
 */
export function decode<Name extends MessageName>(
  name: Name,
  bytes: Uint8Array,
  limits: DecodeLimits = {},
): Message<Name> {
  const shape = messageShape(name)
  const message = shape.create()
  readWire(bytes, (reader) => {
    const decoding = { reader, cells: limits.maxCells ?? defaultMaxCells }
    decodeInto(decoding, shape, message, maxDepth)
  })
  return message as Message<Name>
}

function spend(decoding: Decoding, cells: number): void {
  decoding.cells -= cells
  if (decoding.cells < 0) throw decoding.reader.error('the message holds more than the limit')
}

function decodeInto(
  decoding: Decoding,
  shape: MessageShape,
  message: Record<string, unknown>,
  depth: number,
): void {
  const { reader } = decoding
  if (depth <= 0) throw reader.error(`messages are nested deeper than ${maxDepth}`)
  spend(decoding, cellsOfMessage)
  while (reader.hasMore) {
    const tag = reader.tag()
    const field = shape.byNumber.get(tag >>> 3)
    if (field === undefined) reader.skip(tag, depth)
    else decodeField(decoding, shape, field, message, tag & 7, depth)
  }
}

function decodeField(
  decoding: Decoding,
  shape: MessageShape,
  field: Field,
  message: Record<string, unknown>,
  wireType: number,
  depth: number,
): void {
  const { reader } = decoding
  const wanted = wireTypeOf(field)
  if (wireType !== wanted) {
    if (field.label !== 'repeated' || wireType !== wireTypes.lengthDelimited) {
      throw reader.error(`${shape.name}.${field.name} has the wire type ${wireType}`)
    }
    decodePacked(decoding, field, message)
    return
  }
  switch (field.label) {
    case 'map':
    case 'map_uint32':
      decodeMapEntry(decoding, field, message, depth - 1)
      return
    case 'repeated':
      pushTo(message, field.name, decodeValue(decoding, field, undefined, depth))
      return
    case 'oneof':
      setOneof(shape, message, field.name, decodeValue(decoding, field, message[field.name], depth))
      return
    case undefined:
      message[field.name] = decodeValue(decoding, field, message[field.name], depth)
      return
    default:
      field.label satisfies never
  }
}

function decodePacked(decoding: Decoding, field: Field, message: Record<string, unknown>): void {
  const { reader } = decoding
  const type = field.kind === 'enum' ? 'int32' : (field.type as ScalarName)
  const outerEnd = reader.enter()
  while (reader.hasMore) pushTo(message, field.name, decodeScalar(decoding, type))
  reader.leave(outerEnd)
}

function decodeMapEntry(
  decoding: Decoding,
  field: Field,
  message: Record<string, unknown>,
  depth: number,
): void {
  const { reader } = decoding
  if (depth <= 0) throw reader.error(`messages are nested deeper than ${maxDepth}`)
  spend(decoding, cellsOfMessage)
  const isText = field.label === 'map'
  let key: string | number = isText ? '' : 0
  let value: FieldValue
  const outerEnd = reader.enter()
  while (reader.hasMore) {
    const tag = reader.tag()
    const [number, wireType] = [tag >>> 3, tag & 7]
    if (number === 1 && wireType === (isText ? wireTypes.lengthDelimited : wireTypes.varint)) {
      key = isText ? reader.string() : reader.uint32()
    } else if (number === 2 && wireType === valueWireTypeOf(field)) {
      value = decodeValue(decoding, field, value, depth)
    } else if (number <= 2) {
      throw reader.error(`an entry of ${field.name} has the wire type ${wireType}`)
    } else {
      reader.skip(tag, depth)
    }
  }
  reader.leave(outerEnd)
  value ??= emptyMapValue(field)
  ;(message[field.name] as Map<string | number, FieldValue>).set(key, value)
}

function emptyMapValue(field: Field): FieldValue {
  if (field.kind === 'message') return messageShape(field.type as MessageName).create()
  return field.type === 'string' ? '' : 0
}

function decodeValue(
  decoding: Decoding,
  field: Field,
  existing: FieldValue,
  depth: number,
): FieldValue {
  if (field.kind === 'enum') return decodeScalar(decoding, 'int32')
  if (field.kind === 'scalar') return decodeScalar(decoding, field.type as ScalarName)
  const shape = messageShape(field.type as MessageName)
  const message = (existing as Record<string, unknown> | undefined) ?? shape.create()
  const outerEnd = decoding.reader.enter()
  decodeInto(decoding, shape, message, depth - 1)
  decoding.reader.leave(outerEnd)
  return message
}

function decodeScalar(decoding: Decoding, type: ScalarName): FieldValue {
  const { reader } = decoding
  spend(decoding, type === 'int64' || type === 'uint64' ? cellsOfBigInt : 1)
  switch (type) {
    case 'int32':
      return reader.int32()
    case 'uint32':
      return reader.uint32()
    case 'int53':
      return reader.int53()
    case 'int64':
      return reader.int64()
    case 'uint64':
      return reader.uint64()
    case 'bool':
      return reader.bool()
    case 'float':
      return reader.float()
    case 'double':
      return reader.double()
    case 'fixed32':
      return reader.fixed32()
    case 'string':
      return reader.string()
    case 'bytes':
      return reader.bytes()
    default:
      return type satisfies never
  }
}

function wireTypeOf(field: Field): number {
  if (field.label === 'map' || field.label === 'map_uint32') return wireTypes.lengthDelimited
  return valueWireTypeOf(field)
}

function valueWireTypeOf(field: Field): number {
  if (field.kind === 'message') return wireTypes.lengthDelimited
  switch (field.type) {
    case 'float':
    case 'fixed32':
      return wireTypes.fixed32
    case 'double':
      return wireTypes.fixed64
    case 'string':
    case 'bytes':
      return wireTypes.lengthDelimited
    default:
      return wireTypes.varint
  }
}

/**
 * The wire form of a message: fields by number, map entries by key, numbers packed, defaults left
 * out; so equal messages give equal bytes.
 */
export function encode<Name extends MessageName>(name: Name, message: Draft<Name>): Uint8Array {
  const writer = new WireWriter()
  encodeInto(writer, messageShape(name), message as Record<string, unknown>, maxDepth)
  return writer.finish()
}

function encodeInto(
  writer: WireWriter,
  shape: MessageShape,
  message: Readonly<Record<string, unknown>>,
  depth: number,
): void {
  if (depth <= 0) {
    throw new WireError(`Messages are nested deeper than ${maxDepth}.`, writer.byteLength)
  }
  for (const field of shape.fields) {
    const value = message[field.name]
    if (value !== undefined) encodeField(writer, field, value, depth)
  }
}

function encodeField(writer: WireWriter, field: Field, value: FieldValue, depth: number): void {
  switch (field.label) {
    case 'map':
    case 'map_uint32':
      encodeMap(writer, field, value as ReadonlyMap<string | number, FieldValue>, depth - 1)
      return
    case 'repeated':
      encodeRepeated(writer, field, value as readonly FieldValue[], depth)
      return
    case 'oneof':
      encodeTagged(writer, field.number, field, value, depth)
      return
    case undefined:
      if (!isDefault(value)) encodeTagged(writer, field.number, field, value, depth)
      return
    default:
      field.label satisfies never
  }
}

function isDefault(value: FieldValue): boolean {
  if (value instanceof Uint8Array) return value.byteLength === 0
  return value === 0 ? !Object.is(value, -0) : value === '' || value === false || value === 0n
}

function encodeMap(
  writer: WireWriter,
  field: Field,
  map: ReadonlyMap<string | number, FieldValue>,
  depth: number,
): void {
  for (const key of sortedKeys(map)) {
    writer.tag(field.number, wireTypes.lengthDelimited)
    writer.lengthDelimited(() => {
      if (typeof key === 'string') {
        writer.tag(1, wireTypes.lengthDelimited)
        writer.string(key)
      } else {
        writer.tag(1, wireTypes.varint)
        writer.uint32(key)
      }
      encodeTagged(writer, 2, field, map.get(key), depth)
    })
  }
}

/** A map's keys in the order in which every form writes them. */
export function sortedKeys<Key extends string | number>(map: ReadonlyMap<Key, FieldValue>): Key[] {
  return [...map.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

function encodeRepeated(
  writer: WireWriter,
  field: Field,
  values: readonly FieldValue[],
  depth: number,
): void {
  if (values.length === 0) return
  if (wireTypeOf(field) === wireTypes.lengthDelimited) {
    for (const value of values) encodeTagged(writer, field.number, field, value, depth)
    return
  }
  writer.tag(field.number, wireTypes.lengthDelimited)
  writer.lengthDelimited(() => {
    for (const value of values) encodeValue(writer, field, value, depth)
  })
}

function encodeTagged(
  writer: WireWriter,
  number: number,
  field: Field,
  value: FieldValue,
  depth: number,
): void {
  writer.tag(number, valueWireTypeOf(field))
  encodeValue(writer, field, value, depth)
}

function encodeValue(writer: WireWriter, field: Field, value: FieldValue, depth: number): void {
  if (field.kind === 'message') {
    const shape = messageShape(field.type as MessageName)
    writer.lengthDelimited(() =>
      encodeInto(writer, shape, value as Readonly<Record<string, unknown>>, depth - 1),
    )
  } else {
    encodeScalar(writer, field.kind === 'enum' ? 'int32' : (field.type as ScalarName), value)
  }
}

function encodeScalar(writer: WireWriter, scalar: ScalarName, value: FieldValue): void {
  switch (scalar) {
    case 'int32':
      writer.int32(value as number)
      return
    case 'uint32':
      writer.uint32(value as number)
      return
    case 'int53':
      writer.int53(value as number)
      return
    case 'int64':
      writer.int64(value as bigint)
      return
    case 'uint64':
      writer.uint64(value as bigint)
      return
    case 'bool':
      writer.bool(value as boolean)
      return
    case 'float':
      writer.float(value as number)
      return
    case 'double':
      writer.double(value as number)
      return
    case 'fixed32':
      writer.fixed32(value as number)
      return
    case 'string':
      writer.string(value as string)
      return
    case 'bytes':
      writer.bytes(value as Uint8Array)
      return
    default: {
      scalar satisfies never
    }
  }
}
