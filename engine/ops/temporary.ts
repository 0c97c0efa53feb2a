// Temporary variables: a reference that lives from its creation to the op that takes its value.
import { defineOp, type OpDefinition } from './definition.ts'
import { variableIn } from './variables.ts'

/**
 * A reference to nothing yet, to be assigned. It declares no variable of the graph: what a run does
 * with it is over when the run is.
 */
const temporaryVariable = defineOp({
  name: 'TemporaryVariable',
  outputs: ['ref: Ref(dtype)'],
  attributes: ['shape: shape', 'dtype: type', "var_name: string = ''"],
  lower: (at) => {
    const name = at.attributes.text('var_name')
    const variable = at.variable({
      name: `${name === '' ? at.node.name : name}\u0000temporary`,
      container: '',
      dtype: at.attributes.type('dtype'),
      shape: at.attributes.shape('shape'),
      reference: true,
    })
    at.clear(variable)
    return [at.reference(variable)]
  },
})

/** The value of a temporary variable, which ends. */
const destroyTemporaryVariable = defineOp({
  name: 'DestroyTemporaryVariable',
  inputs: ['ref: Ref(T)'],
  outputs: ['value: T'],
  attributes: ['T: type', 'var_name: string'],
  lower: (at) => {
    const variable = variableIn(at, 'ref')
    const value = at.read(variable)
    at.clear(variable)
    return [value]
  },
})

/** Temporary variables. */
export const temporaryOps: readonly OpDefinition[] = [temporaryVariable, destroyTemporaryVariable]
