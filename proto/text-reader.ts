// Messages from protobuf's text format (`.pbtxt`, the `checkpoint` state file).
// Fields that the schema leaves out are stepped over, as on the wire.
import { encode } from './codec.ts'
import { type EnumName, numberOfEnum } from './enums.ts'
import {
  type Field,
  type FieldValue,
  type MessageShape,
  messageShape,
  pushTo,
  setOneof,
} from './field.ts'
import type { Message } from './message.ts'
import { anyTypes, type MessageName, type ScalarName } from './schema.ts'
import { joined, TextTokens } from './text-token.ts'
import { maxDepth } from './wire.ts'

/** The message of that name in `text`. Throws `WireError`, naming the line, where it is none. */
export function parseText<Name extends MessageName>(name: Name, text: string): Message<Name> {
  const tokens = new TextTokens(text)
  const shape = messageShape(name)
  const message = shape.create()
  readFields(tokens, shape, message, undefined, maxDepth)
  return message as Message<Name>
}

type Fields = Record<string, unknown>

/** Reads fields up to `close`, or to the end of the text where that is undefined. */
function readFields(
  tokens: TextTokens,
  shape: MessageShape,
  message: Fields,
  close: string | undefined,
  depth: number,
): void {
  if (depth <= 0) throw tokens.error(`messages are nested deeper than ${maxDepth}`)
  for (;;) {
    if (close !== undefined && tokens.accept(close)) return
    const token = tokens.take()
    if (token.kind === 'end' && close === undefined) return
    if (token.kind === 'sign' && token.text === '[' && shape.name === 'Any') {
      readAny(tokens, message, depth)
    } else if (token.kind === 'name') {
      const field = shape.byName.get(token.text)
      if (field === undefined) skipValue(tokens, depth)
      else readField(tokens, shape, field, message, depth)
    } else {
      throw tokens.error(`a field of ${shape.name} was expected`)
    }
    if (!tokens.accept(',')) tokens.accept(';')
  }
}

function readField(
  tokens: TextTokens,
  shape: MessageShape,
  field: Field,
  message: Fields,
  depth: number,
): void {
  const colon = tokens.accept(':')
  if (!colon && field.kind !== 'message' && field.label !== 'map' && field.label !== 'map_uint32') {
    throw tokens.error(`":" was expected after ${field.name}`)
  }
  if (tokens.accept('[')) {
    if (tokens.accept(']')) return
    do put(tokens, shape, field, message, depth)
    while (tokens.accept(','))
    tokens.expect(']')
  } else {
    put(tokens, shape, field, message, depth)
  }
}

function put(
  tokens: TextTokens,
  shape: MessageShape,
  field: Field,
  message: Fields,
  depth: number,
): void {
  switch (field.label) {
    case 'map':
    case 'map_uint32':
      readMapEntry(tokens, field, message, depth - 1)
      return
    case 'repeated':
      pushTo(message, field.name, readValue(tokens, field, undefined, depth))
      return
    case 'oneof':
      setOneof(shape, message, field.name, readValue(tokens, field, message[field.name], depth))
      return
    case undefined:
      message[field.name] = readValue(tokens, field, message[field.name], depth)
      return
    default:
      field.label satisfies never
  }
}

function readMapEntry(tokens: TextTokens, field: Field, message: Fields, depth: number): void {
  if (depth <= 0) throw tokens.error(`messages are nested deeper than ${maxDepth}`)
  const close = openMessage(tokens)
  const keyType = field.label === 'map' ? 'string' : 'uint32'
  let key: FieldValue = field.label === 'map' ? '' : 0
  let value: FieldValue
  while (!tokens.accept(close)) {
    const name = tokens.take()
    if (name.kind !== 'name') throw tokens.error(`an entry of ${field.name} was expected`)
    const hasColon = tokens.accept(':')
    if (name.text === 'key' && hasColon) key = readScalar(tokens, keyType)
    else if (name.text === 'value') value = readValue(tokens, field, value, depth)
    else throw tokens.error(`an entry of ${field.name} holds ${name.text}`)
    if (!tokens.accept(',')) tokens.accept(';')
  }
  value ??=
    field.kind === 'message'
      ? messageShape(field.type as MessageName).create()
      : field.type === 'string'
        ? ''
        : 0
  ;(message[field.name] as Map<FieldValue, FieldValue>).set(key, value)
}

function readAny(tokens: TextTokens, message: Fields, depth: number): void {
  let url = ''
  while (!tokens.accept(']')) {
    const token = tokens.take()
    if (token.kind === 'end' || token.kind === 'quoted') throw tokens.error('"]" was expected')
    url += token.text
  }
  const name = anyTypes[url.slice(url.lastIndexOf('/') + 1)]
  tokens.accept(':')
  message.type_url = url
  if (name === undefined) {
    throw tokens.error(`the message type ${url.slice(0, 100)} is unknown`)
  }
  const shape = messageShape(name)
  const inner = shape.create()
  readFields(tokens, shape, inner, openMessage(tokens), depth - 1)
  message.value = encode(name, inner)
}

function openMessage(tokens: TextTokens): string {
  if (tokens.accept('{')) return '}'
  if (tokens.accept('<')) return '>'
  throw tokens.error('"{" was expected')
}

function readValue(
  tokens: TextTokens,
  field: Field,
  existing: FieldValue,
  depth: number,
): FieldValue {
  if (field.kind === 'enum') return readEnum(tokens, field.type as EnumName)
  if (field.kind === 'scalar') return readScalar(tokens, field.type as ScalarName)
  const shape = messageShape(field.type as MessageName)
  const message = (existing as Fields | undefined) ?? shape.create()
  readFields(tokens, shape, message, openMessage(tokens), depth - 1)
  return message
}

function readEnum(tokens: TextTokens, name: EnumName): number {
  const token = tokens.peek()
  if (token.kind !== 'name') return Number(readInteger(tokens, -(2n ** 31n), 2n ** 31n))
  const number = numberOfEnum(name, token.text)
  if (number === undefined) throw tokens.error(`${token.text} is no ${name}`)
  tokens.take()
  return number
}

function readScalar(tokens: TextTokens, type: ScalarName): FieldValue {
  switch (type) {
    case 'int32':
      return Number(readInteger(tokens, -(2n ** 31n), 2n ** 31n))
    case 'uint32':
    case 'fixed32':
      return Number(readInteger(tokens, 0n, 2n ** 32n))
    case 'int53':
      return Number(readInteger(tokens, 1n - 2n ** 53n, 2n ** 53n))
    case 'int64':
      return readInteger(tokens, -(2n ** 63n), 2n ** 63n)
    case 'uint64':
      return readInteger(tokens, 0n, 2n ** 64n)
    case 'bool':
      return readBool(tokens)
    case 'float':
      return Math.fround(readNumber(tokens))
    case 'double':
      return readNumber(tokens)
    case 'string':
      return readText(tokens)
    case 'bytes':
      return readBytes(tokens)
    default:
      return type satisfies never
  }
}

/** A whole number from `low` to below `high`. */
function readInteger(tokens: TextTokens, low: bigint, high: bigint): bigint {
  const isNegative = tokens.accept('-')
  const { kind, text } = tokens.peek()
  const isWhole = kind === 'number' && /^(?:0[xX][0-9a-fA-F]+|[0-9]{1,40})$/.test(text)
  if (!isWhole || text.length > 40) throw tokens.error('a whole number was expected')
  const isOctal = /^0[0-7]+$/.test(text)
  const magnitude = BigInt(isOctal ? `0o${text.slice(1)}` : text)
  const value = isNegative ? -magnitude : magnitude
  if (value < low || value >= high) throw tokens.error(`the number ${value} does not fit`)
  tokens.take()
  return value
}

function readNumber(tokens: TextTokens): number {
  const sign = tokens.accept('-') ? -1 : 1
  const { kind, text } = tokens.peek()
  const word = text.toLowerCase()
  let value: number
  if (kind === 'number') {
    value = /^0x/.test(word) ? Number(word) : Number.parseFloat(word)
  } else if (kind === 'name' && (word === 'inf' || word === 'infinity')) {
    value = Number.POSITIVE_INFINITY
  } else if (kind === 'name' && word === 'nan') {
    value = Number.NaN
  } else {
    throw tokens.error('a number was expected')
  }
  tokens.take()
  return sign * value
}

const boolWords = new Map([
  ['true', true],
  ['True', true],
  ['t', true],
  ['1', true],
  ['false', false],
  ['False', false],
  ['f', false],
  ['0', false],
])

function readBool(tokens: TextTokens): boolean {
  const value = boolWords.get(tokens.peek().text)
  if (value === undefined) throw tokens.error('true or false was expected')
  tokens.take()
  return value
}

function readBytes(tokens: TextTokens): Uint8Array {
  const parts: Uint8Array[] = []
  for (let bytes = tokens.peek().bytes; bytes !== undefined; bytes = tokens.peek().bytes) {
    parts.push(bytes)
    tokens.take()
  }
  if (parts.length === 0) throw tokens.error('a quoted string was expected')
  return joined(parts)
}

function readText(tokens: TextTokens): string {
  const bytes = readBytes(tokens)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw tokens.error('the text before is not UTF-8')
  }
}

/** Steps over the value of a field that the schema leaves out. */
function skipValue(tokens: TextTokens, depth: number): void {
  if (depth <= 0) throw tokens.error(`messages are nested deeper than ${maxDepth}`)
  const hasColon = tokens.accept(':')
  if (tokens.accept('{')) skipFields(tokens, '}', depth - 1)
  else if (tokens.accept('<')) skipFields(tokens, '>', depth - 1)
  else if (hasColon && tokens.accept('[')) skipList(tokens, depth - 1)
  else if (hasColon) skipScalar(tokens)
  else throw tokens.error('":" or "{" was expected')
}

function skipFields(tokens: TextTokens, close: string, depth: number): void {
  while (!tokens.accept(close)) {
    const token = tokens.take()
    if (token.kind === 'sign' && token.text === '[') {
      while (!tokens.accept(']')) {
        if (tokens.take().kind === 'end') throw tokens.error('"]" was expected')
      }
    } else if (token.kind !== 'name') {
      throw tokens.error('a field was expected')
    }
    skipValue(tokens, depth)
    if (!tokens.accept(',')) tokens.accept(';')
  }
}

function skipList(tokens: TextTokens, depth: number): void {
  if (tokens.accept(']')) return
  do {
    if (tokens.accept('{')) skipFields(tokens, '}', depth)
    else if (tokens.accept('<')) skipFields(tokens, '>', depth)
    else skipScalar(tokens)
  } while (tokens.accept(','))
  tokens.expect(']')
}

function skipScalar(tokens: TextTokens): void {
  if (tokens.peek().kind === 'quoted') {
    readBytes(tokens)
    return
  }
  tokens.accept('-')
  const { kind } = tokens.take()
  if (kind !== 'name' && kind !== 'number') throw tokens.error('a value was expected')
}
