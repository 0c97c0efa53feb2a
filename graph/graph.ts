// What a verified graph is: nodes that refer to each other by place, and a library of functions.
// It knows structure only; what an op means is the engine's.
import type { Message } from '../proto/index.ts'
import type { PartialShape } from '../tensor/index.ts'

/** An attribute of a node as the wire message has it. */
export type AttributeValue = Message<'AttrValue'>

/** A use of a node's output. `port` names an output list in function bodies, '' elsewhere. */
export interface Edge {
  /** Place of the producing node in its body. */
  readonly node: number
  readonly port: string
  readonly index: number
}

export interface GraphNode {
  readonly name: string
  readonly op: string
  /** As written; empty where nothing was asked. */
  readonly device: string
  readonly attributes: ReadonlyMap<string, AttributeValue>
  readonly inputs: readonly Edge[]
  /** Places of the nodes that must run before, ascending, each once. */
  readonly controls: readonly number[]
}

/** Nodes that refer to each other: a graph's own, or those of a function. */
export interface Body {
  readonly nodes: readonly GraphNode[]
  readonly byName: ReadonlyMap<string, number>
}

/** One argument or result of a function. `type` is a DataType number, 0 where `typeAttribute` names it. */
export interface FunctionValue {
  readonly name: string
  readonly type: number
  readonly typeAttribute: string
}

/** A function: the first nodes of the body are its arguments (op `_Arg`), in order. */
export interface GraphFunction extends Body {
  readonly name: string
  readonly inputs: readonly FunctionValue[]
  readonly outputs: readonly (FunctionValue & { readonly source: Edge })[]
  /** Nodes that run whenever the function does, beside what its results need. */
  readonly controlOutputs: readonly number[]
}

export interface Graph extends Body {
  readonly functions: ReadonlyMap<string, GraphFunction>
  /** GraphDef version that the graph was made for. */
  readonly producer: number
}

/** The shape message as sizes; undefined where the rank is unknown or there is no message. */
export function shapeOfProto(shape: Message<'TensorShapeProto'> | undefined): PartialShape {
  if (shape === undefined || shape.unknown_rank) return undefined
  return shape.dim.map((dim) => (dim.size < 0 ? -1 : dim.size))
}
