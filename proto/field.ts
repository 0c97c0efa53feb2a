// The schema's rows in the form that the codecs walk: one Field per row, and an empty message per name.
import { type EnumName, enums } from './enums.ts'
import { type FieldRow, type Label, type MessageName, type ScalarName, schema } from './schema.ts'

/** One field of a message, resolved. */
export interface Field {
  readonly number: number
  readonly name: string
  readonly label: Label | undefined
  readonly type: ScalarName | EnumName | MessageName
  readonly kind: 'scalar' | 'enum' | 'message'
}

/** A message type, resolved. Fields are in the order of their numbers. */
export interface MessageShape {
  readonly name: MessageName
  readonly fields: readonly Field[]
  readonly byNumber: ReadonlyMap<number, Field>
  readonly byName: ReadonlyMap<string, Field>
  readonly oneofNames: readonly string[]
  /** A message with every default, to be filled by a reader. */
  create(): Record<string, unknown>
}

/** The value of a field as it travels through the codecs, before its row gives it a type. */
export type FieldValue = unknown

const emptyList: readonly never[] = Object.freeze([])

function fieldOf(name: string, row: FieldRow): Field {
  const [number, type, label] = row
  const kind = type in schema ? 'message' : type in enums ? 'enum' : 'scalar'
  return { number, name, label, type, kind }
}

function defaultOf(field: Field): FieldValue {
  if (field.label === 'repeated') return emptyList
  if (field.label === 'oneof' || field.kind === 'message') return undefined
  switch (field.type) {
    case 'string':
      return ''
    case 'bytes':
      return new Uint8Array()
    case 'bool':
      return false
    case 'int64':
    case 'uint64':
      return 0n
    default:
      return 0
  }
}

function shapeOf(name: MessageName): MessageShape {
  const rows: Readonly<Record<string, FieldRow>> = schema[name]
  const fields = Object.keys(rows)
    .map((fieldName) => fieldOf(fieldName, rows[fieldName]))
    .sort((a, b) => a.number - b.number)
  const maps = fields.filter(({ label }) => label === 'map' || label === 'map_uint32')
  const mapNames = new Set(maps.map((field) => field.name))
  const template = Object.fromEntries(
    fields.map((field) => [field.name, mapNames.has(field.name) ? undefined : defaultOf(field)]),
  )
  return {
    name,
    fields,
    byNumber: new Map(fields.map((field) => [field.number, field])),
    byName: new Map(fields.map((field) => [field.name, field])),
    oneofNames: fields.filter(({ label }) => label === 'oneof').map((field) => field.name),
    create() {
      const message: Record<string, unknown> = { ...template }
      for (const map of maps) message[map.name] = new Map()
      return message
    },
  }
}

const shapes = new Map<MessageName, MessageShape>()

/** The resolved form of a message type; resolved at first use, the same object afterwards. */
export function messageShape(name: MessageName): MessageShape {
  const known = shapes.get(name)
  if (known !== undefined) return known
  const shape = shapeOf(name)
  shapes.set(name, shape)
  return shape
}

/** Adds to a repeated field, replacing the shared empty list by a list of the message's own. */
export function pushTo(message: Record<string, unknown>, name: string, value: FieldValue): void {
  const list = message[name] as FieldValue[]
  if (list.length === 0) message[name] = [value]
  else list.push(value)
}

/** Sets a field of a oneof and unsets its siblings. */
export function setOneof(
  shape: MessageShape,
  message: Record<string, unknown>,
  name: string,
  value: FieldValue,
): void {
  for (const sibling of shape.oneofNames) message[sibling] = undefined
  message[name] = value
}
