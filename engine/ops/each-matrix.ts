// Ops that work on one matrix of a batch after the other, on the host; complex matrices are refused.
import {
  elementCountOf,
  type NumericDType,
  type Refusal,
  type Shape,
  tensorOfElements,
} from '../../tensor/index.ts'
import { unsupportedType } from './common.ts'
import type { Lowering } from './definition.ts'
import { placeIn } from './host-broadcast.ts'
import { numbersOf } from './host-numbers.ts'
import type { Matrix, Round } from './matrix.ts'
import { broadcastShape, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Result for one matrix: its shape, and its type where that is not the input's. */
export interface Part {
  readonly shape: Shape
  readonly dtype?: NumericDType
}

/** Runs on each matrix of a batch (batches broadcast), and stacks what comes of it. */
export function eachMatrix(
  at: Lowering,
  inputs: readonly TensorValue[],
  parts: readonly Part[],
  run: (matrices: readonly Matrix[]) => readonly ArrayLike<number>[],
): readonly TensorValue[] {
  const { dtype } = inputs[0]
  if (dtype !== 'float32' && dtype !== 'float64') {
    throw unsupportedType(dtype)
  }
  const batches = inputs.map((input) => input.shape.slice(0, -2))
  const batch = batches.reduce<Shape>(broadcastShape, [])
  const outputs = parts.map((part) => ({
    dtype: part.dtype ?? dtype,
    shape: [...batch, ...part.shape],
  }))
  return at.step({
    inputs,
    outputs,
    run: (tensors) => {
      const all = tensors.map(numbersOf)
      const results = outputs.map(({ shape }) => new Float64Array(elementCountOf(shape)))
      for (let place = 0; place < elementCountOf(batch); place++) {
        const matrices = inputs.map((input, which) =>
          matrixAt(all[which], input.shape, placeIn(place, batch, batches[which])),
        )
        for (const [output, values] of run(matrices).entries()) {
          results[output].set(values, place * values.length)
        }
      }
      return outputs.map((output, which) =>
        tensorOfElements(output.dtype, output.shape, results[which]),
      )
    },
  })
}

function matrixAt(all: Float64Array, shape: Shape, place: number): Matrix {
  const [rows, columns] = shape.slice(-2)
  const size = rows * columns
  return { rows, columns, elements: all.slice(place * size, (place + 1) * size) }
}

/** Rounding to the type of the elements. */
export function roundOf(input: TensorValue): Round {
  return input.dtype === 'float32' ? Math.fround : (value) => value
}

/** The named input, whose last two dimensions are those of matrices; refuses others. */
export function matrixInput(at: Lowering, name: string, isSquare: boolean): TensorValue {
  const input = at.input(name)
  const { shape } = input
  if (shape.length < 2) {
    throw invalid('shape/mismatch', `Input tensor ${name} must have rank >= 2, got ${shape.length}`)
  }
  const [rows, columns] = shape.slice(-2)
  if (isSquare && rows !== columns) {
    throw invalid('shape/mismatch', `Input matrix must be square, got: ${rows} != ${columns}`)
  }
  return input
}

/** Epsilon of the type of the elements. */
export const epsilonOf = (input: TensorValue): number =>
  input.dtype === 'float32' ? 2 ** -23 : 2 ** -52

/** A refusal of a matrix that has not what is asked for. */
export const singular = (message: string): Refusal => invalid('run/singular', message)
