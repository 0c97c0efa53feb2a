// Sums and zeros of TensorLists, as gradients need them: the ops are those of tensors, and take lists too.
// Source: tensorflow/core/kernels/list_kernels.h (TensorListBinaryAdd, TensorListZerosLike).
import { elementwise, scalarType } from './common.ts'
import type { Lowering, OpDefinition } from './definition.ts'
import { elementwiseOps } from './elementwise.ts'
import { zerosOf } from './lists.ts'
import { invalid } from './shapes.ts'
import type { ListValue, Value } from './value.ts'

function isTensor(value: Value): value is Extract<Value, { kind: 'known' | 'array' }> {
  return value.kind === 'known' || value.kind === 'array'
}

/** Zeros in place of every element that is there. */
function zeros(at: Lowering, value: Value): Value {
  if (value.kind === 'list') {
    return { ...value, elements: value.elements.map((one) => one && zeros(at, one)) }
  }
  if (isTensor(value)) return zerosOf(at, value.dtype, value.shape)
  throw invalid('graph/type', `There are no zeros of a ${value.kind}.`)
}

/** The sum of two elements; one that is not there counts as zeros. */
function added(at: Lowering, x: Value | undefined, y: Value | undefined): Value | undefined {
  if (x === undefined || y === undefined) return x ?? y
  if (x.kind === 'list' && y.kind === 'list') return addedLists(at, x, y)
  if (isTensor(x) && isTensor(y)) {
    return elementwise(at, [x, y], scalarType(x.dtype), (b, [p, q]) => b.add(p, q))
  }
  throw invalid('graph/type', `A ${x.kind} and a ${y.kind} cannot be added.`)
}

function addedLists(at: Lowering, x: ListValue, y: ListValue): ListValue {
  if (x.elements.length !== y.elements.length) {
    throw invalid(
      'shape/mismatch',
      `Trying to add two lists of tensors with different lengths. One is ${x.elements.length} and the other is ${y.elements.length}`,
    )
  }
  const elements = x.elements.map((one, place) => added(at, one, y.elements[place]))
  return { ...x, elementShape: x.elementShape ?? y.elementShape, elements }
}

/** The op of tensors, which does something of its own where it is given lists. */
function overLists(
  name: string,
  ofLists: (at: Lowering, lists: readonly ListValue[]) => Value,
): OpDefinition {
  const plain = elementwiseOps.find((definition) => definition.name === name)
  if (plain === undefined) throw new Error(`there is no op ${name}`)
  return {
    ...plain,
    lower: (at) => {
      const lists = at.raw.filter((value) => value.kind === 'list')
      if (lists.length === 0 || lists.length < at.raw.length) return plain.lower(at)
      return [ofLists(at, lists)]
    },
  }
}

/** Ops of tensors that take lists of tensors too; they stand in place of those that do not. */
export const listArithmeticOps: readonly OpDefinition[] = [
  overLists('AddN', (at, [first, ...rest]) =>
    rest.reduce((sum, one) => addedLists(at, sum, one), first),
  ),
  overLists('ZerosLike', (at, [list]) => zeros(at, list)),
]
