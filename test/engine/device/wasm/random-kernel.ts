// Random legal kernels whose results are exact on every device: small whole numbers, and reductions over
// few of them. All from one seed.
import {
  type Check,
  type Combine,
  type Expression,
  type ExpressionBuilder,
  expressionBuilder,
  type Kernel,
  type KernelBuffer,
  type Reduction,
  type ScalarType,
  scalarOf,
  setScalar,
  typeOfReduction,
} from '../../../../engine/ir/index.ts'
import { byteLengthOf } from '../../../../tensor/index.ts'

/** Whole numbers from a seed (xorshift). */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = (seed * 2654435761) | 1
  }

  /** 0 .. count - 1. */
  roll(count: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % count
  }

  pick<One>(list: readonly One[]): One {
    return list[this.roll(list.length)]!
  }
}

const types: readonly ScalarType[] = [
  'float32',
  'float32',
  'float32',
  'int32',
  'float64',
  'int64',
  'uint8',
  'int16',
  'float16',
  'bfloat16',
  'uint32',
  'uint64',
  'bool',
]

/** Bytes of so many small values. */
function valuesOf(dice: Dice, { dtype, elementCount }: KernelBuffer, below: number): Uint8Array {
  const size = byteLengthOf(dtype)
  const bytes = new Uint8Array(elementCount * size)
  const view = new DataView(new ArrayBuffer(8))
  const signed = !dtype.startsWith('u') && dtype !== 'bool' && below === 0
  for (let at = 0; at < elementCount; at++) {
    const number = below > 0 ? dice.roll(below) : dice.roll(4) - (signed ? 1 : 0)
    setScalar(view, 0, dtype, dtype === 'bool' ? number % 2 === 1 : scalarOf(dtype, number))
    bytes.set(new Uint8Array(view.buffer, 0, size), at * size)
  }
  return bytes
}

/** A kernel and the bytes of its inputs. */
export interface RandomKernel {
  readonly kernel: Kernel
  readonly inputs: readonly Uint8Array[]
}

class Maker {
  readonly dice: Dice
  readonly build: ExpressionBuilder = expressionBuilder()
  readonly buffers: KernelBuffer[] = []
  readonly bytes: Uint8Array[] = []
  readonly checks: Check[] = []
  readonly loops: readonly number[]
  readonly reduced: readonly number[]

  constructor(seed: number) {
    this.dice = new Dice(seed)
    const { dice } = this
    const extent = () => dice.pick([1, 2, 3, 4, 5, 7, 8, 9, 12, 17])
    this.loops = Array.from({ length: dice.roll(4) }, extent)
    this.reduced = Array.from({ length: dice.pick([0, 0, 1, 1, 2]) }, extent)
  }

  int(value: number): Expression {
    return this.build.constant('int32', value)
  }

  counters(axes: number): Expression[] {
    const extents = [...this.loops, ...this.reduced].slice(0, axes)
    return extents.map((extent, axis) => this.build.loop(axis, extent))
  }

  /** Row-major position over the counters in the order given. */
  flat(order: readonly number[], extents: readonly number[]): Expression {
    return order.reduce<Expression>(
      (sum, axis) =>
        this.build.apply('add', [
          this.build.apply('mul', [sum, this.int(extents[axis]!)]),
          this.build.loop(axis, extents[axis]!),
        ]),
      this.int(0),
    )
  }

  /** A load of a new input, along some of the first `axes` loops. */
  load(dtype: ScalarType, axes: number): Expression {
    const { dice, build } = this
    const extents = [...this.loops, ...this.reduced]
    const kept = Array.from({ length: axes }, (_, axis) => axis).filter(() => dice.roll(4) > 0)
    if (dice.roll(3) === 0) kept.reverse()
    const count = kept.reduce((product, axis) => product * extents[axis]!, 1)
    const index = this.flat(kept, extents)
    switch (dice.roll(7)) {
      case 0: {
        // Padding: shifted, and guarded at both ends.
        const shift = dice.roll(7) - 3
        const moved = build.apply('add', [index, this.int(shift)])
        const guard = build.apply('logical_and', [
          build.apply('greater_equal', [moved, this.int(0)]),
          build.apply('less', [moved, this.int(count)]),
        ])
        return this.input(dtype, count, moved, guard)
      }
      case 1:
        // Backwards.
        return this.input(dtype, count, build.apply('sub', [this.int(count - 1), index]))
      case 2: {
        // A gather: rows by data, one of them possibly outside, which a check says.
        const rows = 1 + dice.roll(5)
        const row = this.input(
          'int32',
          count,
          index,
          undefined,
          rows + (dice.roll(8) === 0 ? 1 : 0),
        )
        const width = extents[axes - 1] ?? 1
        this.checks.push({
          ok: build.apply('less', [row, this.int(rows)]),
          code: 100 + this.checks.length,
        })
        const inner = axes > 0 ? build.loop(axes - 1, width) : this.int(0)
        const place = build.apply('add', [build.apply('mul', [row, this.int(width)]), inner])
        return this.input(dtype, rows * width, place)
      }
      case 3: {
        // A guard by data.
        const flag = this.input('bool', count, index)
        return this.input(dtype, count, index, flag)
      }
      case 4: {
        // Every second element, through a division as well.
        const half = build.apply('floor_div', [index, this.int(2)])
        return this.input(dtype, count, build.apply('sub', [index, half]))
      }
      default:
        return this.input(dtype, count, index)
    }
  }

  input(
    dtype: ScalarType,
    elementCount: number,
    index: Expression,
    guard?: Expression,
    below = 0,
  ): Expression {
    const buffer = { dtype, elementCount }
    this.bytes.push(valuesOf(this.dice, buffer, below))
    return this.build.load(dtype, this.buffers.push(buffer) - 1, index, guard)
  }

  /** A value of the type of the first `axes` loops. */
  value(dtype: ScalarType, axes: number, depth: number): Expression {
    const { dice, build } = this
    if (depth === 0) return this.load(dtype, axes)
    const again = () => this.value(dtype, axes, depth - 1)
    if (dtype === 'bool') {
      if (dice.roll(2) === 0) return build.apply('logical_and', [again(), again()])
      const other = dice.pick(types)
      return build.apply(other === 'bool' || dice.roll(2) === 0 ? 'equal' : 'less', [
        this.value(other, axes, 0),
        this.value(other, axes, 0),
      ])
    }
    switch (dice.roll(6)) {
      case 0:
        return build.apply('add', [again(), again()])
      case 1:
        return build.apply('mul', [again(), again()])
      case 2:
        return build.apply('max', [again(), again()])
      case 3:
        return build.apply('select', [this.value('bool', axes, 0), again(), again()])
      case 4: {
        const axis = dice.roll(Math.max(1, axes))
        const counter = this.counters(axes)[axis] ?? this.int(1)
        return build.apply('add', [build.apply('cast', [counter], dtype), again()])
      }
      default:
        return build.apply('cast', [this.value(dice.pick(types), axes, depth - 1)], dtype)
    }
  }

  reduction(dtype: ScalarType): Reduction {
    const combines: readonly Combine[] =
      dtype === 'bool' ? ['all', 'any'] : ['sum', 'sum', 'max', 'min', 'argmax', 'argmin']
    const axes = this.loops.length + this.reduced.length
    return { combine: this.dice.pick(combines), dtype, body: this.value(dtype, axes, 1) }
  }

  make(): RandomKernel {
    const { dice, build } = this
    const main = dice.pick(types)
    const narrow = ['float16', 'bfloat16'].includes(main)
    const count = this.reduced.length > 0 ? 1 + dice.roll(2) : 0
    const reductions = Array.from({ length: count }, () =>
      this.reduction(narrow ? 'float32' : main),
    )
    const parallel = this.loops.length
    const order = this.loops.map((_, axis) => axis)
    if (dice.roll(3) === 0) order.reverse()
    const values: Expression[] = reductions.map((reduction, at) =>
      build.accumulator(typeOfReduction(reduction), at),
    )
    if (values.length === 0 || dice.roll(2) === 0) values.push(this.value(main, parallel, 2))
    const elementCount = this.loops.reduce((product, extent) => product * extent, 1)
    const index = this.flat(order, this.loops)
    const kernel: Kernel = {
      inputs: this.buffers,
      outputs: values.map(({ dtype }) => ({ dtype, elementCount })),
      loops: this.loops,
      reduced: this.reduced,
      reductions,
      stores: values.map((value, output) => ({ output, index, value })),
      checks: this.checks,
    }
    return { kernel, inputs: this.bytes }
  }
}

/** The kernel of a seed. */
export function randomKernel(seed: number): RandomKernel {
  return new Maker(seed).make()
}
