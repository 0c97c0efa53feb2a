// The notation of TensorFlow's own op registry: `values: N * T`, `axis: int = 0`. It says how many
// inputs and outputs a node has and of which types. Source: tensorflow/core/framework/op_def_builder.cc.
import { type DType, dtypeOfName } from '../../tensor/index.ts'

/** One argument: a single tensor, `count` of one type, or a list of types. */
export interface ArgumentSpec {
  readonly name: string
  /** A fixed type, or the attribute that names it. */
  readonly type: { readonly dtype: DType } | { readonly attribute: string }
  /** Attribute that counts, where the argument is a list of one type. */
  readonly countAttribute: string | undefined
  /** Whether the type attribute is a list of types, one for each tensor. */
  readonly typeList: boolean
  /** Whether it is a reference-typed edge. */
  readonly reference: boolean
}

/** One attribute. `fallback` is its default as a JavaScript value. */
export interface AttributeSpec {
  readonly name: string
  readonly type: string
  readonly fallback?: unknown
  readonly allowed?: readonly string[]
  readonly minimum?: number
}

const typeSets: Readonly<Record<string, readonly string[]>> = {
  numbertype: [
    'float32 float64 int32 uint8 int16 int8 complex64 int64 qint8 quint8 qint32 bfloat16 qint16',
    'quint16 uint16 complex128 float16 uint32 uint64',
  ]
    .join(' ')
    .split(' '),
  realnumbertype:
    'float32 float64 int32 uint8 int16 int8 int64 bfloat16 uint16 float16 uint32 uint64'.split(' '),
}

/** TensorFlow's registry spells types so. */
const registryTypes: Readonly<Record<string, DType>> = {
  float: 'float32',
  double: 'float64',
  half: 'float16',
}

function dtypeOfText(text: string): DType | undefined {
  return registryTypes[text] ?? dtypeOfName(text)
}

/** Reads `name: type`, `name: N * type`, `name: Ref(type)`; a type is fixed or an attribute. */
export function parseArgument(text: string, attributes: readonly AttributeSpec[]): ArgumentSpec {
  const match = /^(\w+): (?:(\w+) \* )?(?:Ref\((\w+)\)|(\w+))$/.exec(text)
  if (match === null) throw new Error(`"${text}" is not the notation of an argument`)
  const [, name, countAttribute, referenced, plain] = match
  const typeText = referenced ?? plain
  const attribute = attributes.find((spec) => spec.name === typeText)
  const dtype = dtypeOfText(typeText)
  if (attribute === undefined && dtype === undefined) {
    throw new Error(`"${text}" names neither a type nor an attribute`)
  }
  return {
    name,
    type: attribute === undefined ? { dtype: dtype as DType } : { attribute: typeText },
    countAttribute,
    typeList: attribute?.type === 'list(type)',
    reference: referenced !== undefined,
  }
}

/** Reads `name: kind`, with `>= minimum` and `= default`; a kind in braces lists what is allowed. */
export function parseAttribute(text: string): AttributeSpec {
  const match = /^(\w+): (.+?)(?: >= (-?\d+))?(?: = (.*))?$/.exec(text)
  if (match === null) throw new Error(`"${text}" is not the notation of an attribute`)
  const [, name, kind, minimum, fallback] = match
  const allowed = allowedOf(kind)
  const type = allowed === undefined ? kind : allowed.isText ? 'string' : 'type'
  return {
    name,
    type,
    ...(allowed === undefined ? {} : { allowed: allowed.values }),
    ...(minimum === undefined ? {} : { minimum: Number(minimum) }),
    ...(fallback === undefined ? {} : { fallback: fallbackOf(fallback) }),
  }
}

function allowedOf(
  kind: string,
): { readonly isText: boolean; readonly values: readonly string[] } | undefined {
  if (Object.hasOwn(typeSets, kind)) return { isText: false, values: typeSets[kind] }
  if (!kind.startsWith('{')) return undefined
  const items = kind
    .slice(1, -1)
    .split(',')
    .map((item) => item.trim())
  if (items.every((item) => item.startsWith("'"))) {
    return { isText: true, values: items.map((item) => item.slice(1, -1)) }
  }
  const values = items.map((item) => {
    const dtype = dtypeOfText(item)
    if (dtype === undefined) throw new Error(`"${item}" is not a type`)
    return dtype
  })
  return { isText: false, values }
}

function fallbackOf(text: string): unknown {
  if (text === 'true') return true
  if (text === 'false') return false
  if (text === 'unknown') return 'unknown'
  if (text.startsWith("'")) return text.slice(1, -1)
  if (text.startsWith('[')) {
    const items = text
      .slice(1, -1)
      .split(',')
      .filter((item) => item.trim() !== '')
    return items.map((item) => fallbackOf(item.trim()))
  }
  const dtype = dtypeOfText(text)
  if (dtype !== undefined) return dtype
  const number = Number(text)
  if (Number.isNaN(number)) throw new Error(`"${text}" is not the notation of a default`)
  return number
}
