// Whether nodes have the inputs that their ops take: what runs is checked by whoever runs it, but gradients
// are written from a node's inputs before that.
import { Refusal } from '../../tensor/index.ts'
import { type BuiltNode, nameOfOutput, type OpCatalogue } from '../builder/index.ts'

function refuse(node: BuiltNode, word: string, problem: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    `graph/${word}`,
    `Node "${node.name}" (op ${node.op}) ${problem}.`,
    { names: { node: node.name, op: node.op } },
  )
}

/** Refuses (INVALID_ARGUMENT, `graph/inputs`, `graph/type`) a node whose inputs are not those of its op. */
export function checkInputs(node: BuiltNode, catalogue: OpCatalogue): void {
  const wanted = catalogue(node.op, node.attributes)?.inputs
  if (wanted === undefined) {
    throw refuse(
      node,
      'inputs',
      'has attributes that do not tell its inputs, or its op is not known',
    )
  }
  if (wanted.length !== node.inputs.length) {
    throw refuse(node, 'inputs', `has ${node.inputs.length} inputs; its op takes ${wanted.length}`)
  }
  for (const [place, input] of node.inputs.entries()) {
    if (input.dtype === wanted[place]) continue
    const words = `takes ${nameOfOutput(input)} of type ${input.dtype}; ${wanted[place]} is wanted`
    throw refuse(node, 'type', words)
  }
}
