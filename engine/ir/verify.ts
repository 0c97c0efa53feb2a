// What a legal kernel is, checked by machine. A kernel that fails here is a mistake of the planner.
import assert from 'node:assert'
import { resultTypeOf } from './build.ts'
import type { Expression } from './expression.ts'
import type { Kernel } from './kernel.ts'
import { rangeOf } from './range.ts'
import { typeOfReduction } from './reduction.ts'
import { rowOf } from './rows.ts'
import { visit } from './walk.ts'

/** Limits of one kernel; the planner splits before it reaches them. */
export const kernelLimits = {
  loops: 16,
  buffers: 1024,
  reductions: 64,
  stores: 64,
  checks: 64,
  nodes: 1_000_000,
  elements: 2 ** 31 - 1,
} as const

/** Asserts that the kernel is legal; the message says what is not. */
export function verifyKernel(kernel: Kernel): void {
  verifySizes(kernel)
  const extents = [...kernel.loops, ...kernel.reduced]
  const verify = (root: Expression, axes: number, inStore: boolean, at: string) =>
    verifyExpression(kernel, root, extents.slice(0, axes), inStore, at)
  for (const [place, reduction] of kernel.reductions.entries()) {
    const at = `reduction ${place}`
    const truth = reduction.combine === 'all' || reduction.combine === 'any'
    assert(
      truth === (reduction.dtype === 'bool'),
      `${at}: ${reduction.combine} of ${reduction.dtype}`,
    )
    assert(reduction.body.dtype === reduction.dtype, `${at}: its body has another type`)
    verify(reduction.body, extents.length, false, at)
  }
  for (const [place, store] of kernel.stores.entries()) {
    const at = `store ${place}`
    const output = kernel.outputs[store.output]
    assert(output !== undefined, `${at}: there is no output ${store.output}`)
    assert(store.value.dtype === output.dtype, `${at}: its value has another type than its output`)
    assert(store.index.dtype === 'int32', `${at}: its index is not int32`)
    verify(store.value, kernel.loops.length, true, at)
    verify(store.index, kernel.loops.length, false, at)
    if (extents.every((extent) => extent > 0)) {
      const [low, high] = rangeOf(store.index)
      assert(
        output.elementCount === 0 || (low < output.elementCount && high >= 0),
        `${at}: every position is outside its output`,
      )
    }
  }
  for (const [place, check] of kernel.checks.entries()) {
    assert(check.ok.dtype === 'bool', `check ${place}: it is not a truth value`)
    assert(Number.isInteger(check.code), `check ${place}: its code is not a whole number`)
    verify(check.ok, extents.length, false, `check ${place}`)
  }
  verifyOutputs(kernel)
}

function verifySizes(kernel: Kernel): void {
  const limits = kernelLimits
  const extents = [...kernel.loops, ...kernel.reduced]
  assert(extents.length <= limits.loops, `a kernel has at most ${limits.loops} loops`)
  for (const extent of extents) {
    assert(Number.isInteger(extent) && extent >= 0, `${extent} is not an extent`)
  }
  const iterations = extents.reduce((product, extent) => product * extent, 1)
  assert(iterations <= Number.MAX_SAFE_INTEGER, 'more iterations than can be counted')
  const parallel = kernel.loops.reduce((product, extent) => product * extent, 1)
  assert(parallel <= limits.elements, 'more parallel iterations than positions')
  const buffers = [...kernel.inputs, ...kernel.outputs]
  assert(buffers.length <= limits.buffers, `a kernel has at most ${limits.buffers} buffers`)
  for (const { elementCount } of buffers) {
    assert(
      Number.isInteger(elementCount) && elementCount >= 0 && elementCount <= limits.elements,
      `${elementCount} is not an element count`,
    )
  }
  assert(kernel.reductions.length <= limits.reductions, 'too many reductions')
  assert(kernel.stores.length <= limits.stores, 'too many stores')
  assert(kernel.checks.length <= limits.checks, 'too many checks')
  assert(
    kernel.reductions.length > 0 || kernel.reduced.length === 0 || kernel.checks.length > 0,
    'reduction loops without a reduction or a check',
  )
}

function verifyExpression(
  kernel: Kernel,
  root: Expression,
  extents: readonly number[],
  inStore: boolean,
  at: string,
): void {
  let count = 0
  visit(root, (node) => {
    count++
    switch (node.kind) {
      case 'constant':
        return
      case 'loop':
        assert(extents[node.axis] === node.extent, `${at}: no loop ${node.axis} of ${node.extent}`)
        return
      case 'load': {
        const input = kernel.inputs[node.input]
        assert(input !== undefined, `${at}: there is no input ${node.input}`)
        assert(input.dtype === node.dtype, `${at}: input ${node.input} is ${input.dtype}`)
        assert(node.index.dtype === 'int32', `${at}: an index is not int32`)
        assert(node.guard === undefined || node.guard.dtype === 'bool', `${at}: a guard's type`)
        return
      }
      case 'accumulator': {
        assert(inStore, `${at}: an accumulator outside of a stored value`)
        const reduction = kernel.reductions[node.reduction]
        assert(reduction !== undefined, `${at}: there is no reduction ${node.reduction}`)
        assert(typeOfReduction(reduction) === node.dtype, `${at}: an accumulator's type`)
        return
      }
      case 'apply':
        assert(
          resultTypeOf(rowOf(node.row), node.operands, node.dtype) === node.dtype,
          `${at}: ${node.row} gives another type than ${node.dtype}`,
        )
        return
      default:
        node satisfies never
    }
  })
  assert(count <= kernelLimits.nodes, `${at}: more than ${kernelLimits.nodes} nodes`)
}

/** Every output is written: by one store of each iteration, as many as it has elements, or in place. */
function verifyOutputs(kernel: Kernel): void {
  const parallel = kernel.loops.reduce((product, extent) => product * extent, 1)
  const donors = new Set<number>()
  for (const [place, output] of kernel.outputs.entries()) {
    const stores = kernel.stores.filter((store) => store.output === place).length
    assert(stores > 0, `output ${place} is never stored to`)
    if (output.inPlaceOf === undefined) {
      assert(
        stores * parallel === output.elementCount,
        `output ${place} has ${output.elementCount} elements, ${stores * parallel} are stored`,
      )
      continue
    }
    const input = kernel.inputs[output.inPlaceOf]
    assert(input !== undefined, `output ${place}: there is no input ${output.inPlaceOf}`)
    assert(
      input.dtype === output.dtype && input.elementCount === output.elementCount,
      `output ${place}: input ${output.inPlaceOf} is of another type or count`,
    )
    assert(!donors.has(output.inPlaceOf), `input ${output.inPlaceOf} is updated twice`)
    donors.add(output.inPlaceOf)
  }
  verifyInPlaceReads(kernel, donors)
}

/** An input that is updated is read only where the same iteration stores to it. */
function verifyInPlaceReads(kernel: Kernel, donors: ReadonlySet<number>): void {
  if (donors.size === 0) return
  const stored = new Map<number, Set<Expression>>()
  for (const store of kernel.stores) {
    const input = kernel.outputs[store.output]?.inPlaceOf
    if (input === undefined) continue
    stored.set(input, (stored.get(input) ?? new Set()).add(store.index))
  }
  const roots = [
    ...kernel.reductions.map((reduction) => reduction.body),
    ...kernel.stores.flatMap((store) => [store.index, store.value]),
    ...kernel.checks.map((check) => check.ok),
  ]
  visit(roots, (node) => {
    if (node.kind !== 'load' || !donors.has(node.input)) return
    assert(
      stored.get(node.input)?.has(node.index),
      `input ${node.input} is updated in place, but read at another position than it is stored at`,
    )
  })
}
