// Runs small kernels while planning, by the reference interpreter: constants folded, and the value that
// a failed check shows.
import {
  byteLengthOf,
  elementArrayOf,
  type NumericTensor,
  numericTensor,
  Refusal,
  readElement,
} from '../../tensor/index.ts'
import { interpret } from '../device/reference/index.ts'
import {
  type Combine,
  type Expression,
  expressionBuilder,
  isWide,
  type Kernel,
  limitsOf,
  mapExpression,
  orderOf,
  type Scalar,
  type ScalarType,
  scalarOf,
} from '../ir/index.ts'
import type { CheckRecord, PlannedKernel } from './kernel.ts'

/** Nodes evaluated to run a kernel: what folding weighs. */
export function workOf(kernel: Kernel): number {
  const product = (extents: readonly number[]): number => extents.reduce((all, e) => all * e, 1)
  const inner = orderOf([
    ...kernel.reductions.map((reduction) => reduction.body),
    ...kernel.checks.map((check) => check.ok),
  ]).length
  const outer = orderOf(kernel.stores.map((store) => store.value)).length
  return product(kernel.loops) * (outer + product(kernel.reduced) * inner)
}

/** The outputs of a kernel whose inputs are known, flat. Throws the Refusal of a failed check. */
export function runKnown(
  { kernel, checks }: PlannedKernel,
  inputs: readonly NumericTensor[],
): readonly NumericTensor[] {
  const outputs = kernel.outputs.map(({ dtype, elementCount }) =>
    numericTensor(dtype, [elementCount], new Uint8Array(elementCount * byteLengthOf(dtype))),
  )
  const arrays = (tensors: readonly NumericTensor[]) =>
    tensors.map(({ dtype, bytes }) => elementArrayOf(dtype, bytes))
  const failure = interpret(kernel, arrays(inputs), arrays(outputs))
  if (failure !== undefined) {
    throw refusalOfCheck(checks[failure.code], kernel, failure.position, inputs)
  }
  return outputs
}

/** The refusal that a failed check stands for. `position`: counters of the kernel's loops. */
export function refusalOfCheck(
  { compute, check }: CheckRecord,
  kernel: Kernel,
  position: readonly number[],
  inputs: readonly NumericTensor[],
): Refusal {
  let flat = 0
  for (const [axis, extent] of kernel.loops.entries()) flat = flat * extent + position[axis]
  const own: number[] = []
  for (let axis = compute.shape.length - 1; axis >= 0; axis--) {
    own.unshift(flat % compute.shape[axis])
    flat = Math.floor(flat / compute.shape[axis])
  }
  const shown =
    check.shown === undefined ? '' : String(valueAt(check.shown, position, kernel, inputs))
  const { code, reason, message } = check.message(own, shown)
  return new Refusal(code, reason, `${message} [node "${compute.node}", op ${compute.op}]`, {
    names: { node: compute.node, op: compute.op },
  })
}

/** Value of an expression of a kernel at one place. */
function valueAt(
  expression: Expression,
  position: readonly number[],
  kernel: Kernel,
  inputs: readonly NumericTensor[],
): Scalar {
  const build = expressionBuilder()
  const value = mapExpression(build, expression, (node) =>
    node.kind === 'loop' ? build.constant('int32', position[node.axis]) : undefined,
  )
  const { dtype } = value
  const output = numericTensor(dtype, [1], new Uint8Array(byteLengthOf(dtype)))
  const array = elementArrayOf(dtype, output.bytes)
  interpret(
    {
      inputs: kernel.inputs,
      outputs: [{ dtype, elementCount: 1 }],
      loops: [],
      reduced: [],
      reductions: [],
      stores: [{ output: 0, index: build.constant('int32', 0), value }],
      checks: [],
    },
    inputs.map((tensor) => elementArrayOf(tensor.dtype, tensor.bytes)),
    [array],
  )
  return readElement(dtype, array, 0) as Scalar
}

/** What a reduction over nothing gives: 0, 1, the lowest or highest value, true or false. */
export function identityOf(combine: Combine, dtype: ScalarType): Scalar {
  switch (combine) {
    case 'sum':
      return scalarOf(dtype, 0)
    case 'product':
      return scalarOf(dtype, 1)
    case 'max':
    case 'argmax':
      return limitOf(dtype, 0)
    case 'min':
    case 'argmin':
      return limitOf(dtype, 1)
    case 'all':
      return true
    case 'any':
      return false
    default:
      return combine satisfies never
  }
}

/** The lowest (0) or highest (1) value of a type, exactly. */
function limitOf(dtype: ScalarType, end: 0 | 1): Scalar {
  if (!isWide(dtype)) return limitsOf(dtype)[end]
  if (dtype === 'uint64') return end === 0 ? 0n : (1n << 64n) - 1n
  return end === 0 ? -(1n << 63n) : (1n << 63n) - 1n
}
