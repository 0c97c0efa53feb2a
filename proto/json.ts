// Messages in protobuf's JSON form. Read in camelCase and snake_case, written in camelCase; 64-bit
// integers as strings, bytes as base64, enumerations by name.
// Source: https://protobuf.dev/programming-guides/json/
import { base64OfBytes, bytesOfBase64 } from './base64.ts'
import { sortedKeys } from './codec.ts'
import { type EnumName, nameOfEnum, numberOfEnum } from './enums.ts'
import { type Field, type FieldValue, type MessageShape, messageShape, setOneof } from './field.ts'
import type { Draft, Message } from './message.ts'
import type { MessageName, ScalarName } from './schema.ts'
import { maxDepth, WireError } from './wire.ts'

/** A value as `JSON.parse` gives it. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** The JSON form of a message. Defaults are left out; map entries come by key. */
export function jsonOfMessage<Name extends MessageName>(
  name: Name,
  message: Draft<Name>,
): JsonValue {
  return objectOf(messageShape(name), message as Readonly<Record<string, unknown>>)
}

/**
 * The message that a JSON value describes. Unknown keys are stepped over. Throws `WireError` where
 * a value is not of its field's kind, naming the path to it.
 */
export function messageOfJson<Name extends MessageName>(
  name: Name,
  json: JsonValue,
): Message<Name> {
  return readObject(messageShape(name), json, name, maxDepth) as Message<Name>
}

function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

function objectOf(shape: MessageShape, message: Readonly<Record<string, unknown>>): JsonValue {
  const entries: [string, JsonValue][] = []
  for (const field of shape.fields) {
    const value = message[field.name]
    if (value === undefined) continue
    const json = jsonOfField(field, value)
    if (field.label === 'oneof' || !isEmpty(json)) entries.push([camelCase(field.name), json])
  }
  return Object.fromEntries(entries)
}

function isEmpty(json: JsonValue): boolean {
  if (json === '' || json === '0' || json === false || json === 0) return !Object.is(json, -0)
  if (Array.isArray(json)) return json.length === 0
  return false
}

function jsonOfField(field: Field, value: FieldValue): JsonValue {
  if (field.label === 'repeated') {
    return (value as readonly FieldValue[]).map((item) => jsonOfValue(field, item))
  }
  if (field.label !== 'map' && field.label !== 'map_uint32') {
    if (field.kind === 'enum' && value === 0 && field.label === undefined) return 0
    return jsonOfValue(field, value)
  }
  const map = value as ReadonlyMap<string | number, FieldValue>
  if (map.size === 0) return []
  return Object.fromEntries(
    sortedKeys(map).map((key) => [String(key), jsonOfValue(field, map.get(key))]),
  )
}

function jsonOfValue(field: Field, value: FieldValue): JsonValue {
  if (field.kind === 'message') {
    const shape = messageShape(field.type as MessageName)
    return objectOf(shape, value as Readonly<Record<string, unknown>>)
  }
  if (field.kind === 'enum') {
    return nameOfEnum(field.type as EnumName, value as number) ?? (value as number)
  }
  if (value instanceof Uint8Array) return base64OfBytes(value)
  if (typeof value === 'bigint') return String(value)
  if (field.type === 'int53') return String(value)
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return value as JsonValue
}

function readObject(
  shape: MessageShape,
  json: JsonValue,
  path: string,
  depth: number,
): Record<string, unknown> {
  if (depth <= 0) throw wrong(path, `is nested deeper than ${maxDepth} levels`)
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw wrong(path, 'is not an object')
  }
  const message = shape.create()
  const names = new Map(shape.fields.map((field) => [camelCase(field.name), field]))
  for (const [key, value] of Object.entries(json)) {
    const field = shape.byName.get(key) ?? names.get(key)
    if (field === undefined || value === null) continue
    const read = readField(field, value, `${path}.${field.name}`, depth)
    if (field.label === 'oneof') setOneof(shape, message, field.name, read)
    else message[field.name] = read
  }
  return message
}

function readField(field: Field, json: JsonValue, path: string, depth: number): FieldValue {
  switch (field.label) {
    case 'repeated':
      if (!Array.isArray(json)) throw wrong(path, 'is not a list')
      return json.map((item, index) => readValue(field, item, `${path}[${index}]`, depth))
    case 'map':
    case 'map_uint32':
      return readMap(field, json, path, depth)
    case 'oneof':
    case undefined:
      return readValue(field, json, path, depth)
    default:
      return field.label satisfies never
  }
}

function readMap(field: Field, json: JsonValue, path: string, depth: number): FieldValue {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw wrong(path, 'is not an object')
  }
  const map = new Map<string | number, FieldValue>()
  for (const [key, value] of Object.entries(json)) {
    const isText = field.label === 'map'
    const typedKey = isText ? key : (readScalar('uint32', key, path) as number)
    map.set(typedKey, readValue(field, value, `${path}.${key}`, depth - 1))
  }
  return map
}

function readValue(field: Field, json: JsonValue, path: string, depth: number): FieldValue {
  if (field.kind === 'message') {
    return readObject(messageShape(field.type as MessageName), json, path, depth - 1)
  }
  if (field.kind === 'scalar') return readScalar(field.type as ScalarName, json, path)
  if (typeof json !== 'string') return readScalar('int32', json, path)
  const number = numberOfEnum(field.type as EnumName, json)
  if (number === undefined) throw wrong(path, `is no ${field.type}`)
  return number
}

function readScalar(type: ScalarName, json: JsonValue, path: string): FieldValue {
  switch (type) {
    case 'int32':
      return Number(readInteger(json, path, -(2n ** 31n), 2n ** 31n))
    case 'uint32':
    case 'fixed32':
      return Number(readInteger(json, path, 0n, 2n ** 32n))
    case 'int53':
      return Number(readInteger(json, path, 1n - 2n ** 53n, 2n ** 53n))
    case 'int64':
      return readInteger(json, path, -(2n ** 63n), 2n ** 63n)
    case 'uint64':
      return readInteger(json, path, 0n, 2n ** 64n)
    case 'bool':
      if (typeof json !== 'boolean') throw wrong(path, 'is neither true nor false')
      return json
    case 'float':
      return Math.fround(readNumber(json, path))
    case 'double':
      return readNumber(json, path)
    case 'string':
      if (typeof json !== 'string') throw wrong(path, 'is not a string')
      return json
    case 'bytes': {
      const bytes = typeof json === 'string' ? bytesOfBase64(json) : undefined
      if (bytes === undefined) throw wrong(path, 'is not base64')
      return bytes
    }
    default:
      return type satisfies never
  }
}

function readInteger(json: JsonValue, path: string, low: bigint, high: bigint): bigint {
  const isWhole =
    typeof json === 'string' ? /^-?[0-9]{1,20}$/.test(json) : Number.isSafeInteger(json)
  if (!isWhole) throw wrong(path, 'is not an exact whole number; write large ones as strings')
  const value = BigInt(json as string | number)
  if (value < low || value >= high) throw wrong(path, 'does not fit its type')
  return value
}

function readNumber(json: JsonValue, path: string): number {
  if (typeof json === 'number') return json
  if (json === 'NaN') return Number.NaN
  if (json === 'Infinity') return Number.POSITIVE_INFINITY
  if (json === '-Infinity') return Number.NEGATIVE_INFINITY
  const isNumber = typeof json === 'string' && /^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$/.test(json)
  if (!isNumber) throw wrong(path, 'is not a number')
  return Number(json)
}

function wrong(path: string, problem: string): WireError {
  return new WireError(`${path.slice(0, 200)} ${problem}.`, 0)
}
