// Which inputs and outputs a node has, told by its op's definition and its attributes alone: for those who
// write graphs and do not run them.
import type { AttributeDraft, AttributeValue } from '../../graph/index.ts'
import { type DType, Refusal } from '../../tensor/index.ts'
import { Attributes } from './attributes.ts'
import { typesOf } from './definition.ts'
import { definitionOf } from './registry.ts'

/** Types of a node's inputs, and its named output lists with the type of each output. */
interface NodeArguments {
  readonly inputs: readonly DType[]
  readonly outputs: readonly { readonly name: string; readonly dtypes: readonly DType[] }[]
}

/**
 * The inputs and outputs of such a node; undefined for an op that has no definition, and for a node whose
 * attributes do not tell.
 */
export function argumentsOfOp(
  op: string,
  attributes: ReadonlyMap<string, AttributeDraft>,
): NodeArguments | undefined {
  const definition = definitionOf(op)
  if (definition === undefined) return undefined
  const filled = new Map([...attributes].map(([name, value]) => [name, filledIn(value)]))
  const node = { name: '', op, device: '', attributes: filled, inputs: [], controls: [] }
  const read = new Attributes(node, definition.attributes)
  try {
    return {
      inputs: definition.inputs.flatMap((input) => typesOf(input, read)),
      outputs: definition.outputs.map((output) => ({
        name: output.name,
        dtypes: typesOf(output, read),
      })),
    }
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}

/** An attribute as it is read, of one as it is written: lists are there even if empty. */
function filledIn(value: AttributeDraft): AttributeValue {
  if (value.list === undefined) return value as AttributeValue
  const empty = { s: [], i: [], f: [], b: [], type: [], shape: [], tensor: [], func: [] }
  return { list: { ...empty, ...value.list } } as AttributeValue
}
