// Runs a kernel in the plainest way: every iteration in loop order, every node in operand order, every
// value rounded to its type. Speed is no concern here; being obviously right is.
import assert from 'node:assert'
import { type ElementArray, readElement, writeElement } from '../../../tensor/index.ts'
import {
  combiningRows,
  type Expression,
  evaluate,
  isPositional,
  type Kernel,
  orderOf,
  type Reduction,
  roundTo,
  rowOf,
  type Scalar,
  scalarOf,
  startOfReduction,
  typeOfReduction,
} from '../../ir/index.ts'
import type { CheckFailure } from '../device.ts'

/** A buffer's elements, in the layout of their type. */
export type Elements = ElementArray

type Step = () => void

/** Runs `kernel` on its inputs and outputs, and answers with the first check that failed. */
export function interpret(
  kernel: Kernel,
  inputs: readonly Elements[],
  outputs: readonly Elements[],
): Omit<CheckFailure, 'command'> | undefined {
  const extents = [...kernel.loops, ...kernel.reduced]
  const counters = extents.map(() => 0)
  const values = new Map<Expression, Scalar>()
  const results: Scalar[] = []
  const at = (node: Expression): Scalar => values.get(node) as Scalar

  const evaluated = (node: Expression): Scalar => {
    switch (node.kind) {
      case 'constant':
        return node.value
      case 'loop':
        return counters[node.axis] as number
      case 'load': {
        if (node.guard !== undefined && at(node.guard) === false) return scalarOf(node.dtype, 0)
        const count = (kernel.inputs[node.input] as Kernel['inputs'][number]).elementCount
        const index = at(node.index) as number
        const inBounds = index >= 0 && index < count
        assert(inBounds || kernel.checks.length > 0, `position ${index} of ${count} is read`)
        if (count === 0) return scalarOf(node.dtype, 0)
        const place = Math.min(Math.max(index, 0), count - 1)
        return readElement(node.dtype, inputs[node.input] as Elements, place) as Scalar
      }
      case 'accumulator':
        return results[node.reduction] as Scalar
      case 'apply': {
        const operands = node.operands.map(at)
        const operandType = (node.operands[0] as Expression).dtype
        return evaluate(rowOf(node.row), node.dtype, operandType, operands)
      }
      default:
        return node satisfies never
    }
  }
  const stepsOf = (roots: readonly Expression[]): Step[] =>
    orderOf(roots).map((node) => () => values.set(node, evaluated(node)))

  const inner = stepsOf([
    ...kernel.reductions.map((reduction) => reduction.body),
    ...kernel.checks.map((check) => check.ok),
  ])
  const outer = stepsOf(kernel.stores.flatMap((store) => [store.index, store.value]))
  let failure: Omit<CheckFailure, 'command'> | undefined

  forEach(counters, kernel.loops, 0, () => {
    const accumulators = kernel.reductions.map((reduction) => accumulatorOf(reduction))
    forEach(counters, kernel.reduced, kernel.loops.length, (position) => {
      for (const step of inner) step()
      for (const { ok, code } of kernel.checks) {
        if (failure === undefined && at(ok) === false) failure = { code, position: [...counters] }
      }
      for (const [place, { body }] of kernel.reductions.entries()) {
        accumulators[place]?.take(at(body), position)
      }
    })
    for (const [place, accumulator] of accumulators.entries()) results[place] = accumulator.result()
    for (const step of outer) step()
    // All values first: a store may change what another store's value was read from.
    for (const { output, index, value } of kernel.stores) {
      const { dtype, elementCount, inPlaceOf } = kernel.outputs[output] as Kernel['outputs'][number]
      const place = at(index) as number
      const inBounds = place >= 0 && place < elementCount
      const mayBeNowhere = inPlaceOf !== undefined || kernel.checks.length > 0
      assert(inBounds || mayBeNowhere, `position ${place} of ${elementCount} is stored`)
      if (inBounds) writeElement(dtype, outputs[output] as Elements, place, at(value))
    }
  })
  return failure
}

/** Counts `counters[first ..]` through the extents, the last one fastest; `position` is row-major. */
function forEach(
  counters: number[],
  extents: readonly number[],
  first: number,
  run: (position: number) => void,
): void {
  const count = extents.reduce((product, extent) => product * extent, 1)
  for (let position = 0; position < count; position++) {
    let rest = position
    for (let axis = extents.length - 1; axis >= 0; axis--) {
      const extent = extents[axis] as number
      counters[first + axis] = rest % extent
      rest = Math.floor(rest / extent)
    }
    run(position)
  }
}

interface RunningValue {
  take(value: Scalar, position: number): void
  result(): Scalar
}

/** One accumulator, rounded to its type after every step. */
function accumulatorOf(reduction: Reduction): RunningValue {
  const { combine, dtype } = reduction
  let best = startOfReduction(reduction)
  if (isPositional(combine)) {
    let place = 0
    return {
      take(value, position) {
        if (combine === 'argmax' ? value > best : value < best) [best, place] = [value, position]
      },
      result: () => roundTo(typeOfReduction(reduction), place),
    }
  }
  const row = rowOf(combiningRows[combine])
  return {
    take(value) {
      best = evaluate(row, dtype, dtype, [best, value])
    },
    result: () => best,
  }
}
