// Products and sums of complex tensors over named axes, on the host: no kernel holds complex numbers.
import {
  elementArrayOf,
  elementCountOf,
  type NumericTensor,
  stridesOf,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { unsupportedType } from './common.ts'
import { type Contraction, contractionOf } from './contraction.ts'
import type { Lowering } from './definition.ts'
import type { TensorValue } from './value.ts'

/** The contraction of complex operands, those in `conjugate` conjugated; refuses other types. */
export function contractComplex(
  at: Lowering,
  inputs: readonly TensorValue[],
  of: Contraction,
  conjugate: readonly boolean[] = [],
): TensorValue {
  const { dtype } = inputs[0]
  if (dtype !== 'complex64' && dtype !== 'complex128') {
    throw unsupportedType(dtype)
  }
  const shape = of.output.map((name) => of.sizes.get(name) as number)
  const [output] = at.step({
    inputs,
    outputs: [{ dtype, shape }],
    run: (tensors) => [tensorOfElements(dtype, shape, contracted(tensors, of, conjugate))],
  })
  return output
}

/** `[.., m, k] x [.., k, n]` of complex numbers; `adjoint` conjugates what it transposes. */
export function complexMatrixProduct(
  at: Lowering,
  a: TensorValue,
  b: TensorValue,
  transposeA: boolean,
  transposeB: boolean,
  adjoint: boolean,
): TensorValue {
  const equation = `...${transposeA ? 'ki' : 'ik'},...${transposeB ? 'jk' : 'kj'}->...ij`
  const of = contractionOf(equation, [a.shape, b.shape])
  return contractComplex(at, [a, b], of, [adjoint && transposeA, adjoint && transposeB])
}

function contracted(
  tensors: readonly Tensor[],
  of: Contraction,
  conjugate: readonly boolean[],
): (readonly [number, number])[] {
  // Names of the result first: the sums over the others then run through neighbouring steps.
  const names = [...new Set(of.output), ...of.summed]
  const extents = names.map((name) => of.sizes.get(name) as number)
  const operands = tensors.map((tensor, input) => {
    const strides = stridesOf(tensor.shape)
    const steps = names.map((name) =>
      of.operands[input].reduce(
        (sum, own, axis) => sum + (own === name && tensor.shape[axis] !== 1 ? strides[axis] : 0),
        0,
      ),
    )
    const { dtype, bytes } = tensor as NumericTensor
    const parts = elementArrayOf(dtype, bytes) as Float64Array
    return { steps, parts, sign: conjugate[input] ? -1 : 1 }
  })
  const shape = of.output.map((name) => of.sizes.get(name) as number)
  const outer = stridesOf(shape)
  const outputSteps = names.map((name) =>
    of.output.reduce((sum, own, axis) => sum + (own === name ? outer[axis] : 0), 0),
  )
  const sums = new Float64Array(2 * elementCountOf(shape))
  const total = elementCountOf(extents)
  const counters = new Array<number>(names.length).fill(0)
  for (let step = 0; step < total; step++) {
    let [re, im] = [1, 0]
    for (const { steps, parts, sign } of operands) {
      const place = 2 * dot(steps, counters)
      const [x, y] = [parts[place], sign * parts[place + 1]]
      ;[re, im] = [re * x - im * y, re * y + im * x]
    }
    const place = 2 * dot(outputSteps, counters)
    sums[place] += re
    sums[place + 1] += im
    advance(counters, extents)
  }
  return Array.from({ length: sums.length / 2 }, (_, place) => [
    sums[2 * place],
    sums[2 * place + 1],
  ])
}

function dot(steps: readonly number[], counters: readonly number[]): number {
  let sum = 0
  for (let axis = 0; axis < steps.length; axis++) sum += steps[axis] * counters[axis]
  return sum
}

function advance(counters: number[], extents: readonly number[]): void {
  for (let axis = extents.length - 1; axis >= 0; axis--) {
    counters[axis]++
    if (counters[axis] < extents[axis]) return
    counters[axis] = 0
  }
}
