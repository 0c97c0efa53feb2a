// Bitcast: the same bytes as elements of another type. On the host, where no bit of a NaN is lost.
import {
  byteLengthOf,
  formatShape,
  isNumeric,
  type NumericDType,
  numericTensor,
  type Shape,
  type Tensor,
} from '../../tensor/index.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { invalid } from './shapes.ts'

/** A narrower type adds a last dimension, a wider one takes the last dimension up. */
function shapeAs(shape: Shape, from: NumericDType, to: NumericDType): Shape {
  const [own, wanted] = [byteLengthOf(from), byteLengthOf(to)]
  if (own === wanted) return shape
  if (own > wanted) return [...shape, own / wanted]
  if (shape[shape.length - 1] === wanted / own) return shape.slice(0, -1)
  throw invalid(
    'shape/mismatch',
    `Cannot bitcast from ${from} to ${to}: shape ${formatShape(shape)}`,
  )
}

const bitcast = defineOp({
  name: 'Bitcast',
  inputs: ['input: T'],
  outputs: ['output: type'],
  attributes: ['T: numbertype', 'type: numbertype'],
  lower: (at) => {
    const input = at.input('input')
    const to = at.attributes.type('type')
    if (!isNumeric(input.dtype) || !isNumeric(to)) {
      throw invalid('op/type', `Cannot bitcast from ${input.dtype} to ${to}`)
    }
    const shape = shapeAs(input.shape, input.dtype, to)
    const cast = (tensor: Tensor): Tensor => {
      if (tensor.dtype === 'string') throw new Error('strings have no fixed bytes')
      return numericTensor(to, shape, tensor.bytes)
    }
    const known = at.knownContentOf(input)
    if (known !== undefined) return [at.known(cast(known))]
    return at.step({
      inputs: [input],
      outputs: [{ dtype: to, shape }],
      run: ([tensor]) => [cast(tensor)],
    })
  },
})

/** Other views of the same bytes. */
export const bitcastOps: readonly OpDefinition[] = [bitcast]
