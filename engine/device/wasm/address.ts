// Addresses of elements: pointers that move along with the loops instead of being computed anew, and
// what keeps a position that is data, or that a guard excludes, inside its buffer.
import type { Expression, ExpressionBuilder, Load } from '../../ir/index.ts'
import { rangeOf } from '../../ir/index.ts'
import { affineOf, boundsOf, type Rest, spanOf } from '../../tile/access.ts'
import { reservedBytes } from './memory.ts'
import type { IterationSpace, Position } from './space.ts'
import type { FunctionWriter } from './writer.ts'

/** A rest of a position, with the least value that it has. */
interface BoundedRest extends Rest {
  readonly low: number
}

/** A position ready to be an address: safe to read wherever the loops are. */
export interface Place {
  readonly constant: number
  readonly terms: readonly (readonly [axis: number, coefficient: number])[]
  readonly rests: readonly BoundedRest[]
}

/** A local with a pointer, and what to add to it: the immediate offset of an access. */
export interface Address {
  readonly local: number
  readonly offset: number
}

/** The position of an expression that needs no protection. */
export function placeOf(index: Expression): Place {
  const { constant, terms, rests } = affineOf(index)
  return {
    constant,
    terms: [...terms],
    rests: rests.map((rest) => ({ ...rest, low: lowestOf(rest) })),
  }
}

function lowestOf({ expression, coefficient }: Rest): number {
  const [low, high] = rangeOf(expression)
  return Math.min(low * coefficient, high * coefficient) / coefficient
}

/** Parameters of every kernel's function, all i32. */
export const kernelParameters = {
  /** Address of the addresses of the buffers: inputs, then outputs. */
  buffers: 0,
  /** Range of the outermost loop's counter to run, end exclusive. */
  begin: 1,
  end: 2,
  /** Address of the thread's failure: an i64, the least of position * checks + check that failed. */
  failure: 3,
  /** Address of the thread's scratch bytes. */
  scratch: 4,
} as const

/** Stands for the thread's scratch bytes where a buffer's number is asked for. */
const scratch = -1

/** What a load's position is split into, to be protected. */
export interface SplitLoad {
  /** Part on the axes that the guard or the data depend on, as an expression. */
  readonly fixed: Expression
  /** The other loops' part, which takes any of its values with any of the first part's. */
  readonly free: Place['terms']
  /** Values of the fixed part at which all of the free part is inside of the buffer. */
  readonly low: number
  readonly high: number
}

/**
 * A load's position as a part to protect and a part that cannot leave the buffer then: what has no axis
 * in common with guard and data meets all values of the rest, so that if a position is right, all are.
 */
export function splitLoad(load: Load, space: IterationSpace, build: ExpressionBuilder): SplitLoad {
  const { constant, terms, rests } = affineOf(load.index)
  let axes = load.guard === undefined ? 0 : space.axesOf(load.guard)
  for (const rest of rests) axes |= space.axesOf(rest.expression)
  const free = [...terms].filter(([axis]) => (axes & (1 << axis)) === 0)
  const [least, most] = spanOf(free, space.extents)
  const last = space.kernel.inputs[load.input]!.elementCount - 1
  const roomy = most - least <= last
  if (!roomy) return { fixed: load.index, free: [], low: 0, high: Math.max(0, last) }
  const int = (value: number) => build.constant('int32', value)
  let fixed: Expression = int(constant)
  const add = (part: Expression, coefficient: number) => {
    fixed = build.apply('add', [fixed, build.apply('mul', [part, int(coefficient)])])
  }
  for (const [axis, coefficient] of terms) {
    if ((axes & (1 << axis)) !== 0) add(build.loop(axis, space.extents[axis]!), coefficient)
  }
  for (const { expression, coefficient } of rests) add(expression, coefficient)
  return { fixed, free, low: -least, high: last - most }
}

/** Whether only a check of the kernel keeps the position inside of its buffer. */
function isUncertain(load: Load, space: IterationSpace): boolean {
  if (space.isData(load.index)) return true
  if (load.guard !== undefined || space.kernel.checks.length === 0) return false
  const [low, high] = boundsOf(affineOf(load.index), space.extents)
  return low < 0 || high >= space.kernel.inputs[load.input]!.elementCount
}

/** The position of a load, protected by choosing or clamping the part that could be wrong. */
export function protectedPlace(
  load: Load,
  space: IterationSpace,
  build: ExpressionBuilder,
  lower: (expression: Expression) => Expression,
): Place {
  const uncertain = isUncertain(load, space)
  if (load.guard === undefined && !uncertain) {
    const place = placeOf(load.index)
    return {
      ...place,
      rests: place.rests.map((rest) => ({ ...rest, expression: lower(rest.expression) })),
    }
  }
  const { fixed, free, low, high } = splitLoad(load, space, build)
  const int = (value: number) => build.constant('int32', value)
  let safe = fixed
  if (uncertain) safe = build.apply('min', [build.apply('max', [safe, int(low)]), int(high)])
  if (load.guard !== undefined) safe = build.apply('select', [load.guard, safe, int(low)])
  const bounded = uncertain || rangeOf(safe)[0] >= low ? low : rangeOf(safe)[0]
  return {
    constant: 0,
    terms: free,
    rests: [{ expression: lower(safe), coefficient: 1, low: bounded }],
  }
}

/** How far below a buffer a pointer may be: so much for its constant, so much again for its rests. */
const marginBytes = reservedBytes / 2

/** Where a pointer starts from. */
interface Root {
  readonly key: string
  readonly local: number
  readonly depth: number
}

/** Makes pointers. `rest` leaves a rest's value on the stack of the scope at `depth`. */
export class AddressWriter {
  readonly #writer: FunctionWriter
  readonly #space: IterationSpace

  constructor(writer: FunctionWriter, space: IterationSpace) {
    this.#writer = writer
    this.#space = space
  }

  /** A local with the address of a buffer; `number` is its place in the arguments, or {@link scratch}. */
  base(number: number): number {
    if (number === scratch) return kernelParameters.scratch
    return this.#writer.once(0, `base ${number}`, () => {
      this.#writer.emit(0, 'local.get', kernelParameters.buffers)
      this.#writer.emit(0, 'i32.load', 4 * number)
      return this.#writer.save(0, 'i32')
    })
  }

  /**
   * Address of the element at `place` (of `bytes` bytes each) in buffer `number`, at a position
   * and a lane. `rest` gives key and value of a rest there.
   */
  address(
    number: number,
    bytes: number,
    place: Place,
    position: Position,
    lane: number,
    rest: (rest: Rest) => {
      readonly key: string
      readonly depth: number
      push(depth: number): void
    },
  ): Address {
    const { terms, constant } = this.#placed(place, position, lane)
    const rests = place.rests.map((one) => ({ ...rest(one), coefficient: one.coefficient }))
    const low = place.rests.reduce((sum, one) => sum + one.low * one.coefficient, 0)
    const forward = terms.every(({ coefficient }) => coefficient > 0) && low * bytes >= -marginBytes
    const start = constant * bytes
    const { root, offset } = this.#root(number, start, forward)
    let from = root
    const depths = [...terms.map((term) => term.depth), ...rests.map((one) => one.depth)]
    for (const depth of [...new Set(depths)].sort((a, b) => a - b)) {
      for (const term of terms) {
        if (term.depth === depth) from = this.#moving(from, term.axis, term.coefficient * bytes)
      }
      for (const one of rests) {
        if (one.depth !== depth) continue
        const scale = Math.imul(one.coefficient, bytes)
        from = this.#plus(from, depth, `${one.key}*${scale}`, scale, one.push)
      }
    }
    return { local: from.local, offset }
  }

  /** Address of bytes of the thread's scratch; the place counts bytes and has no rests. */
  staged(place: Place, position: Position): Address {
    return this.address(scratch, 1, place, position, 0, () => {
      throw new Error('scratch has no rests')
    })
  }

  /** The pointer `from` plus `scale` times what `push` leaves, in the scope at `depth`. */
  #plus(
    from: Root,
    depth: number,
    term: string,
    scale: number,
    push: (depth: number) => void,
  ): Root {
    const key = `${from.key}+${term}`
    const local = this.#writer.once(depth, key, () => {
      this.#writer.emit(depth, 'local.get', from.local)
      push(depth)
      if (scale !== 1) {
        this.#writer.emit(depth, 'i32.const', scale)
        this.#writer.emit(depth, 'i32.mul')
      }
      this.#writer.emit(depth, 'i32.add')
      return this.#writer.save(depth, 'i32')
    })
    return { key, local, depth }
  }

  /** Counters that are known become part of the constant; the others stay terms. */
  #placed(place: Place, position: Position, lane: number) {
    let constant = place.constant
    const terms: { readonly axis: number; readonly coefficient: number; readonly depth: number }[] =
      []
    for (const [axis, coefficient] of place.terms) {
      const binding = this.#space.binding(axis)
      const isLane = binding.lanes > 1
      constant += coefficient * ((position[axis] ?? 0) * binding.lanes + (isLane ? lane : 0))
      if (binding.counter.kind === 'fixed') constant += coefficient * binding.counter.value
      else terms.push({ axis, coefficient, depth: binding.depth })
    }
    return { terms, constant }
  }

  /** Where the pointer starts so that the rest of the constant is an offset, which is never negative. */
  #root(number: number, start: number, forward: boolean): { root: Root; offset: number } {
    const base = this.base(number)
    if (forward && start >= 0) {
      return { root: { key: `pointer ${number}`, local: base, depth: 0 }, offset: start }
    }
    // In steps, so that neighbours share a pointer. It may lie below the buffer, by less than a step.
    const shift = Math.floor(start / marginBytes) * marginBytes
    const root = this.#plus(
      { key: 'pointer', local: base, depth: 0 },
      0,
      `${number}+${shift}`,
      1,
      (depth) => this.#writer.emit(depth, 'i32.const', shift),
    )
    return { root, offset: start - shift }
  }

  /** The pointer `from`, moving by `scale` bytes with the loop of an axis. */
  #moving(from: Root, axis: number, scale: number): Root {
    const { counter, depth } = this.#space.binding(axis)
    if (counter.kind === 'fixed') throw new Error('a fixed counter moves no pointer')
    const key = `${from.key}+axis ${axis}*${scale}`
    const local = this.#writer.once(depth, key, () => {
      const pointer = this.#writer.local('i32')
      const before = depth - 1
      this.#writer.emit(before, 'local.get', from.local)
      if (counter.start !== 0) {
        if (typeof counter.start === 'number') {
          this.#writer.emit(before, 'i32.const', counter.start)
        } else this.#writer.emit(before, 'local.get', counter.start.local)
        this.#writer.emit(before, 'i32.const', scale)
        this.#writer.emit(before, 'i32.mul')
        this.#writer.emit(before, 'i32.add')
      }
      this.#writer.emit(before, 'local.set', pointer)
      this.#writer
        .scope(depth)
        .latch.push(
          ['local.get', pointer],
          ['i32.const', scale * counter.step],
          ['i32.add'],
          ['local.set', pointer],
        )
      return pointer
    })
    return { key, local, depth }
  }
}
