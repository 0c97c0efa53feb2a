// Nodes of a graph under construction: they refer to each other directly, and may still be changed.
import type { DType } from '../../tensor/index.ts'
import type { AttributeDraft } from './attributes.ts'

/** One output of a node. There is one object for each, so that outputs can be compared. */
export interface Output {
  readonly node: BuiltNode
  readonly index: number
  readonly dtype: DType
}

/** A named list of a node's outputs, as function bodies name them. */
export interface Port {
  readonly name: string
  readonly dtypes: readonly DType[]
}

/** A node. Inputs and controls may change while the graph is under construction: loops need it. */
export interface BuiltNode {
  readonly name: string
  op: string
  device: string
  readonly attributes: Map<string, AttributeDraft>
  readonly inputs: Output[]
  readonly controls: Set<BuiltNode>
  ports: readonly Port[]
  readonly outputs: Output[]
}

/**
 * What the ops are that nodes may have: inputs and outputs of such a node, by its attributes; undefined
 * for an op that nobody knows. The engine's definitions tell it; see `argumentsOfOp` there.
 */
export type OpCatalogue = (
  op: string,
  attributes: ReadonlyMap<string, AttributeDraft>,
) => { readonly inputs: readonly DType[]; readonly outputs: readonly Port[] } | undefined

/** `w:0`: the name of an output. */
export function nameOfOutput({ node, index }: Output): string {
  return `${node.name}:${index}`
}
