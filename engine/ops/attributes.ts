// Attributes of a node as the ops see them: typed, with defaults, placeholders of functions resolved.
import { tensorOfProto } from '../../formats/index.ts'
import { type AttributeValue, type GraphNode, shapeOfProto } from '../../graph/index.ts'
import {
  type DType,
  dtypeOfNumber,
  type PartialShape,
  Refusal,
  type Tensor,
} from '../../tensor/index.ts'
import type { AttributeSpec } from './signature.ts'

/** Attributes of a function call, for the placeholders in its body. */
export type Bindings = ReadonlyMap<string, AttributeValue>

/** A function that an attribute names, with its own attributes. */
export interface FunctionReference {
  readonly name: string
  readonly bindings: Bindings
}

const decoder = new TextDecoder()

/** Reads attributes; every getter refuses (INVALID_ARGUMENT, `graph/attribute`) what is missing or of another kind. */
export class Attributes {
  readonly specs: ReadonlyMap<string, AttributeSpec>
  readonly #node: GraphNode
  readonly #bindings: Bindings

  constructor(
    node: GraphNode,
    specs: ReadonlyMap<string, AttributeSpec>,
    bindings: Bindings = new Map(),
  ) {
    this.#node = node
    this.specs = specs
    this.#bindings = bindings
  }

  /** The attribute as the graph has it, a placeholder resolved; undefined where it is absent. */
  raw(name: string): AttributeValue | undefined {
    const value = this.#node.attributes.get(name)
    if (value?.placeholder === undefined) return value
    return this.#bindings.get(value.placeholder)
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined
  }

  /** A whole number; refuses one beyond 2^53. */
  int(name: string): number {
    const value = Number(this.bigint(name))
    if (!Number.isSafeInteger(value)) throw this.#refuse(name, 'is too large')
    return value
  }

  bigint(name: string): bigint {
    const value = this.raw(name)
    if (value === undefined) return BigInt(this.#fallback(name, 'number') as number)
    if (value.i === undefined) throw this.#refuse(name, 'is no int')
    const { minimum } = this.specs.get(name) ?? {}
    if (minimum !== undefined && value.i < BigInt(minimum)) {
      throw this.#refuse(name, `is ${value.i}; at least ${minimum} is wanted`)
    }
    return value.i
  }

  ints(name: string): number[] {
    const value = this.raw(name)
    if (value === undefined) return [...(this.#fallback(name, 'list') as readonly number[])]
    return this.#list(name, value).i.map(Number)
  }

  float(name: string): number {
    const value = this.raw(name)
    if (value === undefined) return this.#fallback(name, 'number') as number
    if (value.f === undefined) throw this.#refuse(name, 'is no float')
    return value.f
  }

  floats(name: string): readonly number[] {
    const value = this.raw(name)
    if (value === undefined) return this.#fallback(name, 'list') as readonly number[]
    return this.#list(name, value).f
  }

  bool(name: string): boolean {
    const value = this.raw(name)
    if (value === undefined) return this.#fallback(name, 'boolean') as boolean
    if (value.b === undefined) throw this.#refuse(name, 'is no bool')
    return value.b
  }

  /** A string as text; refuses one that the op does not allow. */
  text(name: string): string {
    const value = this.raw(name)
    if (value === undefined) return this.#fallback(name, 'string') as string
    if (value.s === undefined) throw this.#refuse(name, 'is no string')
    const text = decoder.decode(value.s)
    const allowed = this.specs.get(name)?.allowed
    if (allowed !== undefined && !allowed.includes(text)) {
      throw this.#refuse(name, `is "${text}"; wanted one of ${allowed.join(', ')}`)
    }
    return text
  }

  bytes(name: string): Uint8Array {
    const value = this.raw(name)
    if (value === undefined) {
      return new TextEncoder().encode(this.#fallback(name, 'string') as string)
    }
    if (value.s === undefined) throw this.#refuse(name, 'is no string')
    return value.s
  }

  texts(name: string): string[] {
    const value = this.raw(name)
    if (value === undefined) return [...(this.#fallback(name, 'list') as readonly string[])]
    return this.#list(name, value).s.map((bytes) => decoder.decode(bytes))
  }

  /** An element type; refuses numbers that are none, and types that the op does not allow. */
  type(name: string): DType {
    const value = this.raw(name)
    if (value === undefined) return this.#fallback(name, 'string') as DType
    if (value.type === undefined) throw this.#refuse(name, 'is no type')
    const dtype = this.#dtype(name, value.type)
    const allowed = this.specs.get(name)?.allowed
    if (allowed !== undefined && !allowed.includes(dtype)) {
      throw this.#refuse(name, `is ${dtype}; wanted one of ${allowed.join(', ')}`)
    }
    return dtype
  }

  types(name: string): DType[] {
    const value = this.raw(name)
    if (value === undefined) return [...(this.#fallback(name, 'list') as readonly DType[])]
    return this.#list(name, value).type.map((number) => this.#dtype(name, number))
  }

  shape(name: string): PartialShape {
    const value = this.raw(name)
    if (value === undefined) return this.#fallback(name, 'shape') as PartialShape
    if (value.shape === undefined) throw this.#refuse(name, 'is no shape')
    return shapeOfProto(value.shape)
  }

  shapes(name: string): PartialShape[] {
    const value = this.raw(name)
    if (value === undefined) return [...(this.#fallback(name, 'list') as readonly PartialShape[])]
    return this.#list(name, value).shape.map(shapeOfProto)
  }

  tensor(name: string): Tensor {
    const value = this.raw(name)
    if (value?.tensor === undefined) throw this.#refuse(name, 'is no tensor')
    return tensorOfProto(value.tensor)
  }

  function(name: string): FunctionReference {
    const value = this.raw(name)
    if (value?.func === undefined) throw this.#refuse(name, 'is no function')
    return { name: value.func.name, bindings: value.func.attr }
  }

  functions(name: string): FunctionReference[] {
    const value = this.raw(name)
    if (value === undefined) throw this.#refuse(name, 'is missing')
    return this.#list(name, value).func.map((func) => ({ name: func.name, bindings: func.attr }))
  }

  #list(name: string, value: AttributeValue): NonNullable<AttributeValue['list']> {
    if (value.list === undefined) throw this.#refuse(name, 'is no list')
    return value.list
  }

  #dtype(name: string, number: number): DType {
    const dtype = dtypeOfNumber(number > 100 ? number - 100 : number)
    if (dtype === undefined) throw this.#refuse(name, `has the type number ${number}`)
    return dtype
  }

  #fallback(name: string, kind: string): unknown {
    const fallback = this.specs.get(name)?.fallback
    if (fallback === undefined) throw this.#refuse(name, 'is missing')
    if (kind === 'shape') return fallback === 'unknown' ? undefined : fallback
    return fallback
  }

  #refuse(name: string, problem: string): Refusal {
    const { name: node, op } = this.#node
    return new Refusal(
      'INVALID_ARGUMENT',
      'graph/attribute',
      `Attribute "${name}" of node "${node}" (op ${op}) ${problem}.`,
      { names: { node, op, attribute: name } },
    )
  }
}
