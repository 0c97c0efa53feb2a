// Messages in protobuf's text format: fields by number, map entries by key, two blanks a level.
import { sortedKeys } from './codec.ts'
import { type EnumName, nameOfEnum } from './enums.ts'
import { type Field, type FieldValue, type MessageShape, messageShape } from './field.ts'
import type { Draft } from './message.ts'
import type { MessageName } from './schema.ts'

/** The text form of a message; equal messages give equal text. Defaults are left out. */
export function formatText<Name extends MessageName>(name: Name, message: Draft<Name>): string {
  const lines: string[] = []
  writeFields(lines, messageShape(name), message as Readonly<Record<string, unknown>>, '')
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`
}

function writeFields(
  lines: string[],
  shape: MessageShape,
  message: Readonly<Record<string, unknown>>,
  indent: string,
): void {
  for (const field of shape.fields) {
    const value = message[field.name]
    if (value === undefined) continue
    if (field.label === 'repeated') {
      for (const item of value as readonly FieldValue[]) writeValue(lines, field, item, indent)
    } else if (field.label === 'map' || field.label === 'map_uint32') {
      writeMap(lines, field, value as ReadonlyMap<string | number, FieldValue>, indent)
    } else if (field.label === 'oneof' || !isDefault(field, value)) {
      writeValue(lines, field, value, indent)
    }
  }
}

function isDefault(field: Field, value: FieldValue): boolean {
  if (field.type === 'bytes') return (value as Uint8Array).byteLength === 0
  return value === '' || value === 0 || value === 0n || value === false
}

function writeMap(
  lines: string[],
  field: Field,
  map: ReadonlyMap<string | number, FieldValue>,
  indent: string,
): void {
  const inner = `${indent}  `
  for (const key of sortedKeys(map)) {
    lines.push(`${indent}${field.name} {`)
    lines.push(`${inner}key: ${typeof key === 'string' ? quotedText(key) : key}`)
    writeValue(lines, { ...field, name: 'value', label: undefined }, map.get(key), inner)
    lines.push(`${indent}}`)
  }
}

function writeValue(lines: string[], field: Field, value: FieldValue, indent: string): void {
  if (field.kind === 'message') {
    const shape = messageShape(field.type as MessageName)
    lines.push(`${indent}${field.name} {`)
    writeFields(lines, shape, value as Readonly<Record<string, unknown>>, `${indent}  `)
    lines.push(`${indent}}`)
  } else {
    lines.push(`${indent}${field.name}: ${scalarText(field, value)}`)
  }
}

function scalarText(field: Field, value: FieldValue): string {
  if (field.kind === 'enum') {
    return nameOfEnum(field.type as EnumName, value as number) ?? String(value)
  }
  if (value instanceof Uint8Array) return quotedBytes(value)
  if (typeof value === 'string') return quotedText(value)
  if (typeof value !== 'number') return String(value)
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf'
  if (Object.is(value, -0)) return '-0'
  return field.type === 'float' ? shortestFloat(value) : String(value)
}

/** The fewest digits that read back as the same float32. */
export function shortestFloat(value: number): string {
  for (let digits = 6; digits <= 9; digits++) {
    const text = String(Number(value.toPrecision(digits)))
    if (Math.fround(Number(text)) === value) return text
  }
  return String(value)
}

function quotedText(text: string): string {
  return quotedBytes(new TextEncoder().encode(text))
}

const escapes = new Map([
  [10, '\\n'],
  [13, '\\r'],
  [9, '\\t'],
  [34, '\\"'],
  [39, "\\'"],
  [92, '\\\\'],
])

function quotedBytes(bytes: Uint8Array): string {
  let text = '"'
  for (const byte of bytes) {
    const short = escapes.get(byte)
    if (short !== undefined) text += short
    else if (byte >= 32 && byte < 127) text += String.fromCharCode(byte)
    else text += `\\${byte.toString(8).padStart(3, '0')}`
  }
  return `${text}"`
}
