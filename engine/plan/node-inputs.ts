// A node's inputs by the names that its op's definition has for them, checked against it.
import type { GraphNode } from '../../graph/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { type Attributes, countOf, type OpDefinition, typesOf, type Value } from '../ops/index.ts'

/** A node with what it is given. */
export interface GivenNode {
  readonly node: GraphNode
  /** Its name, after the calls that it is in. */
  readonly name: string
  readonly definition: OpDefinition
  readonly attributes: Attributes
  readonly raw: readonly Value[]
}

/**
 * The inputs by name. Refuses (INVALID_ARGUMENT) another number of them than the op has
 * (`graph/input-count`), and other types, or values where references are wanted (`graph/type`).
 */
export function inputsByName(given: GivenNode): ReadonlyMap<string, readonly Value[]> {
  const { definition, attributes, raw } = given
  const byName = new Map<string, readonly Value[]>()
  let at = 0
  for (const argument of definition.inputs) {
    const types = typesOf(argument, attributes)
    for (const [place, wanted] of types.entries()) {
      const value = raw[at + place]
      if (value === undefined) throw inputCount(given)
      if (value.dtype !== wanted && value.kind !== 'dead') {
        throw wrongInput(given, argument.name, `is ${value.dtype}; ${wanted} is wanted.`)
      }
      if (argument.reference && value.kind !== 'reference') {
        throw wrongInput(given, argument.name, "is not a variable's reference.")
      }
    }
    byName.set(argument.name, raw.slice(at, at + types.length))
    at += types.length
  }
  if (at !== raw.length) throw inputCount(given)
  return byName
}

/** INVALID_ARGUMENT `graph/type`: an input is not what the op wants. */
export function wrongInput(
  { node: { op }, name: node }: Pick<GivenNode, 'node' | 'name'>,
  input: string,
  problem: string,
): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'graph/type',
    `Input "${input}" of node "${node}" (op ${op}) ${problem}`,
    { names: { node, op, input } },
  )
}

function inputCount({ node: { op }, name, definition, attributes, raw }: GivenNode): Refusal {
  const wanted = definition.inputs.reduce((sum, input) => sum + countOf(input, attributes), 0)
  return new Refusal(
    'INVALID_ARGUMENT',
    'graph/input-count',
    `Node "${name}" (op ${op}) has ${raw.length} inputs; ${wanted} are wanted.`,
    { names: { node: name, op } },
  )
}
