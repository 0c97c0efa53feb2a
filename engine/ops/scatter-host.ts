// Scatter in JavaScript: for types that no kernel holds, and for slices that take very many updates.
import {
  byteLengthOf,
  type DType,
  type Element,
  type ElementArray,
  elementArrayOf,
  elementCountOf,
  isNumeric,
  type NumericDType,
  numericTensor,
  Refusal,
  readElement,
  type Shape,
  stringTensor,
  type Tensor,
  writeElement,
} from '../../tensor/index.ts'
import { invalid } from './shapes.ts'

/** How an update combines with what is there. */
export type ScatterCombine = 'update' | 'add' | 'sub' | 'mul' | 'div' | 'min' | 'max'

/** What is updated: `before`, or zeros (empty strings). */
export interface ScatterTarget {
  readonly dtype: DType
  readonly shape: Shape
  readonly before: Tensor | undefined
}

/** The target with update `i` (`width` elements, or one element for all) put at slice `places[i]`; -1 is dropped. */
export function scatteredOnHost(
  { dtype, shape, before }: ScatterTarget,
  places: Int32Array,
  width: number,
  updates: Tensor,
  combine: ScatterCombine,
): Tensor {
  const isScalar = updates.shape.length === 0
  const each = (put: (to: number, from: number) => void): void => {
    for (const [update, place] of places.entries()) {
      if (place < 0) continue
      for (let one = 0; one < width; one++) {
        put(place * width + one, isScalar ? 0 : update * width + one)
      }
    }
  }
  if (updates.dtype === 'string') {
    const former = before?.dtype === 'string' ? before.strings : undefined
    const empty = new Uint8Array(0)
    const strings = [...(former ?? new Array<Uint8Array>(elementCountOf(shape)).fill(empty))]
    each((to, from) => {
      strings[to] = stringOf(combine, strings[to], updates.strings[from])
    })
    return stringTensor(shape, strings)
  }
  if (!isNumeric(dtype)) throw unable(combine, dtype)
  const bytes =
    before !== undefined && before.dtype !== 'string'
      ? before.bytes.slice()
      : new Uint8Array(elementCountOf(shape) * byteLengthOf(dtype))
  const array = elementArrayOf(dtype, bytes)
  const source = elementArrayOf(dtype, updates.bytes)
  each((to, from) => combineElement(dtype, array, to, readElement(dtype, source, from), combine))
  return numericTensor(dtype, shape, bytes)
}

function unable(combine: ScatterCombine, dtype: DType): Refusal {
  return new Refusal(
    'UNIMPLEMENTED',
    'op/type',
    `Scatter (${combine}) is not implemented for ${dtype}.`,
  )
}

function stringOf(combine: ScatterCombine, former: Uint8Array, update: Uint8Array): Uint8Array {
  if (combine === 'update') return update
  if (combine !== 'add') throw unable(combine, 'string')
  const joined = new Uint8Array(former.byteLength + update.byteLength)
  joined.set(former)
  joined.set(update, former.byteLength)
  return joined
}

/** Combines one element of an array with an update, as the type's arithmetic does. */
export function combineElement(
  dtype: NumericDType,
  array: ElementArray,
  to: number,
  update: Element,
  combine: ScatterCombine,
): void {
  const former = readElement(dtype, array, to)
  let value: Element
  if (combine === 'update') value = update
  else if (Array.isArray(former)) {
    value = complexOf(combine, former as [number, number], update as [number, number])
  } else if (typeof former === 'bigint') value = bigintOf(combine, former, update as bigint)
  else if (typeof former === 'boolean') {
    if (combine !== 'add') throw unable(combine, dtype)
    value = former || (update as boolean)
  } else {
    value = numberOf(combine, former as number, update as number, isIntegerArray(dtype))
  }
  writeElement(dtype, array, to, value)
}

function isIntegerArray(dtype: NumericDType): boolean {
  return /^q?u?int/.test(dtype)
}

function byZero(): Refusal {
  return invalid('run/division-by-zero', 'Integer division by zero')
}

function numberOf(combine: ScatterCombine, x: number, y: number, isInteger: boolean): number {
  switch (combine) {
    case 'update':
      return y
    case 'add':
      return x + y
    case 'sub':
      return x - y
    case 'mul':
      return isInteger ? Math.imul(x, y) : x * y
    case 'div':
      if (isInteger && y === 0) throw byZero()
      return isInteger ? Math.trunc(x / y) : x / y
    case 'min':
      return Math.min(x, y)
    case 'max':
      return Math.max(x, y)
    default:
      return combine satisfies never
  }
}

function bigintOf(combine: ScatterCombine, x: bigint, y: bigint): bigint {
  switch (combine) {
    case 'update':
      return y
    case 'add':
      return x + y
    case 'sub':
      return x - y
    case 'mul':
      return x * y
    case 'div':
      if (y === 0n) throw byZero()
      return x / y
    case 'min':
      return x < y ? x : y
    case 'max':
      return x > y ? x : y
    default:
      return combine satisfies never
  }
}

type Complex = readonly [number, number]

function complexOf(combine: ScatterCombine, x: Complex, y: Complex): Complex {
  switch (combine) {
    case 'update':
      return y
    case 'add':
      return [x[0] + y[0], x[1] + y[1]]
    case 'sub':
      return [x[0] - y[0], x[1] - y[1]]
    case 'mul':
      return [x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]]
    case 'div': {
      const scale = y[0] * y[0] + y[1] * y[1]
      return [(x[0] * y[0] + x[1] * y[1]) / scale, (x[1] * y[0] - x[0] * y[1]) / scale]
    }
    case 'min':
    case 'max':
      throw unable(combine, 'complex64')
    default:
      return combine satisfies never
  }
}
