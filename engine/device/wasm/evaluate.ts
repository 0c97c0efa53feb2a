// Writes the code of expressions: each value once for each position that it differs at, in the outermost
// scope where it can be known, as one scalar, as a vector, or lane by lane where there is no vector form.
// Which rows there are it does not know: instructions come from the rows.

import { byteLengthOf } from '../../../tensor/index.ts'
import type { Apply, Expression, ExpressionBuilder, Load, Scalar } from '../../ir/index.ts'
import type { Rest } from '../../tile/access.ts'
import {
  type Address,
  AddressWriter,
  type Place,
  placeOf,
  protectedPlace,
  splitLoad,
} from './address.ts'
import type { Instruction } from './assembler.ts'
import { instructionsOf } from './lower.ts'
import { isNarrow, narrow, type WordEmitter } from './narrow.ts'
import {
  constantOf,
  extractLane,
  fitsLanes,
  loadLanes,
  loadScalar,
  localTypeOf,
  movesByLane,
  movesInLanes,
  replaceLane,
  splat,
  vectorConstantOf,
} from './numeric.ts'
import type { IterationSpace, Position } from './space.ts'
import type { FunctionWriter } from './writer.ts'

/** A value at a position: where it is. */
export type Value =
  | { readonly kind: 'constant'; readonly value: Scalar }
  | { readonly kind: 'scalar'; readonly local: number }
  | { readonly kind: 'vector'; readonly local: number }
  | { readonly kind: 'lanes'; readonly locals: readonly number[] }

/** Rows whose results are one of their operands, or as short: nothing is left to narrow. */
const keepsNarrow = new Set(['select', 'min', 'max', 'bitwise_and', 'bitwise_or', 'bitwise_xor'])

/** Writes values into a function. */
export class Evaluator {
  readonly writer: FunctionWriter
  readonly space: IterationSpace
  readonly addresses: AddressWriter
  readonly #build: ExpressionBuilder
  readonly #lower: (expression: Expression) => Expression
  readonly #places = new Map<Load, Place>()
  readonly #openPlaces = new Map<Load, Place>()
  readonly #staged = new Map<Expression, Place>()
  /** Guards known to hold in the open scopes from this depth on. */
  #assumed: { readonly guards: ReadonlySet<Expression>; readonly depth: number } | undefined

  constructor(
    writer: FunctionWriter,
    space: IterationSpace,
    build: ExpressionBuilder,
    lower: (expression: Expression) => Expression,
  ) {
    this.writer = writer
    this.space = space
    this.addresses = new AddressWriter(writer, space)
    this.#build = build
    this.#lower = lower
  }

  /** Makes a value known that is computed elsewhere, such as a reduction's result. */
  define(expression: Expression, position: Position, value: Value): void {
    const { memo } = this.writer.scope(this.space.depthOf(expression))
    memo.set(this.space.keyOf(expression, position), value)
  }

  /**
   * Has vectors of the expression loaded from scratch bytes, where they were put, instead of being computed; undefined:
   * no more.
   */
  stage(expression: Expression, place: Place | undefined): void {
    if (place === undefined) this.#staged.delete(expression)
    else this.#staged.set(expression, place)
  }

  /** Writes code in a scope of its own, entered where `condition` holds, in which guards are known to hold. */
  assume(guards: ReadonlySet<Expression>, condition: () => void, write: () => void): void {
    this.writer.region(condition, () => {
      this.#assumed = { guards, depth: this.writer.depth }
      write()
      this.#assumed = undefined
    })
  }

  /** The value at a position, written where it is not known yet. */
  value(expression: Expression, position: Position): Value {
    const stack = [expression]
    while (stack.length > 0) {
      const node = stack.at(-1)!
      if (this.#known(node, position) !== undefined) {
        stack.pop()
        continue
      }
      const missing =
        node.kind === 'apply' && !this.#isStaged(node)
          ? node.operands.filter((operand) => this.#known(operand, position) === undefined)
          : []
      if (missing.length > 0) {
        stack.push(...missing)
        continue
      }
      stack.pop()
      this.define(node, position, this.#write(node, position))
    }
    return this.#known(expression, position)!
  }

  /** A local with the value in all lanes. */
  vector(expression: Expression, position: Position): number {
    const { lanes } = this.space
    const { dtype } = expression
    if (expression.kind === 'load' && this.#known(expression, position) === undefined) {
      if (!this.space.isVarying(expression) && movesByLane(dtype, lanes)) {
        return this.#writeSplat(expression, position)
      }
    }
    const value = this.value(expression, position)
    if (value.kind === 'vector') return value.local
    if (!fitsLanes(dtype, lanes)) throw new Error(`${dtype} has no vector of ${lanes} lanes`)
    const depth = this.space.depthOf(expression)
    const key = `vector ${lanes} ${this.space.keyOf(expression, position)}`
    return this.writer.once(depth, key, () => {
      const out = this.emitter(depth, true)
      if (value.kind === 'constant') out.emit(...vectorConstantOf(dtype, value.value, lanes))
      else if (value.kind === 'scalar') {
        splat(dtype, lanes, () => out.emit('local.get', value.local), out)
      } else {
        for (const [lane, local] of value.locals.entries()) {
          const push = () => out.emit('local.get', local)
          if (lane === 0) splat(dtype, lanes, push, out)
          else replaceLane(dtype, lanes, lane, push, out)
        }
      }
      return this.writer.save(depth, 'v128')
    })
  }

  /**
   * Leaves the value of one lane on the stack of the scope at `depth`. What has to be computed first is
   * written there too, above whatever the stack holds.
   */
  push(depth: number, expression: Expression, position: Position, lane = 0): void {
    const value = this.value(expression, position)
    if (value.kind === 'constant') {
      this.writer.emit(depth, ...constantOf(expression.dtype, value.value))
    } else if (value.kind === 'vector') {
      this.writer.emit(depth, 'local.get', this.#lane(expression, position, value.local, lane))
    } else {
      const local = value.kind === 'lanes' ? value.locals[lane]! : value.local
      this.writer.emit(depth, 'local.get', local)
    }
  }

  /** Instructions into the scope at `depth`, on words or on lanes. */
  emitter(depth: number, lanes: boolean): WordEmitter {
    return {
      lanes,
      emit: (...instruction: Instruction) => this.writer.emit(depth, ...instruction),
      temporary: () => this.writer.local(lanes ? 'v128' : 'i32'),
    }
  }

  /** Address of an element at a place; rests are evaluated at the position and lane. */
  address(
    buffer: number,
    dtype: Expression['dtype'],
    place: Place,
    position: Position,
    lane: number,
  ): Address {
    const rest = ({ expression }: Rest) => ({
      key: `${this.space.keyOf(expression, position)}${this.space.isVarying(expression) ? `.${lane}` : ''}`,
      depth: this.space.depthOf(expression),
      push: (depth: number) => this.push(depth, expression, position, lane),
    })
    return this.addresses.address(buffer, byteLengthOf(dtype), place, position, lane, rest)
  }

  /** How far neighbouring lanes lie apart in memory, in elements; undefined where it depends on data. */
  laneStride(place: Place): number | undefined {
    const { laneAxis } = this.space.tiling
    if (place.rests.some(({ expression }) => this.space.isVarying(expression))) return undefined
    return place.terms.find(([axis]) => axis === laneAxis)?.[1] ?? 0
  }

  #known(expression: Expression, position: Position): Value | undefined {
    const { memo } = this.writer.scope(this.space.depthOf(expression))
    return memo.get(this.space.keyOf(expression, position)) as Value | undefined
  }

  #lane(expression: Expression, position: Position, vector: number, lane: number): number {
    const depth = this.space.depthOf(expression)
    const key = `lane ${lane} ${this.space.keyOf(expression, position)}`
    return this.writer.once(depth, key, () => {
      const out = this.emitter(depth, false)
      out.emit('local.get', vector)
      extractLane(expression.dtype, this.space.lanes, lane, out)
      return this.writer.save(depth, localTypeOf(expression.dtype))
    })
  }

  #isStaged(node: Expression): boolean {
    return this.space.lanes > 1 && this.#staged.has(node)
  }

  #writeStaged(node: Expression, position: Position): Value {
    const depth = this.space.depthOf(node)
    const place = this.#staged.get(node)!
    const vector = 16 * (position[this.space.tiling.laneAxis!] ?? 0)
    const at = { ...place, constant: place.constant + vector }
    const { local, offset } = this.addresses.staged(at, position)
    this.writer.emit(depth, 'local.get', local)
    this.writer.emit(depth, 'v128.load', offset)
    return { kind: 'vector', local: this.writer.save(depth, 'v128') }
  }

  /** The guard of a load, unless it is known to hold where the load is. */
  #guardOf(load: Load): Expression | undefined {
    const { guard } = load
    if (guard === undefined || this.#assumed === undefined) return guard
    // A load further out is written outside of what is assumed; a position that is data is clamped by its guard's axes.
    const inside = this.space.depthOf(load) >= this.#assumed.depth
    const holds = inside && this.#assumed.guards.has(guard) && !this.space.isData(load.index)
    return holds ? undefined : guard
  }

  #write(node: Expression, position: Position): Value {
    if (this.#isStaged(node)) return this.#writeStaged(node, position)
    switch (node.kind) {
      case 'constant':
        return { kind: 'constant', value: node.value }
      case 'loop':
        return this.#writeCounter(node.axis, position)
      case 'load':
        return this.#writeLoad(node, position)
      case 'accumulator':
        throw new Error('the result of a reduction is asked for before it is known')
      case 'apply':
        return this.#writeApply(node, position)
      default:
        return node satisfies never
    }
  }

  #writeCounter(axis: number, position: Position): Value {
    const { counter, depth, lanes } = this.space.binding(axis)
    const offset = (position[axis] ?? 0) * lanes
    const at = (lane: number): number => {
      if (counter.kind === 'fixed') this.writer.emit(depth, 'i32.const', counter.value)
      else this.writer.emit(depth, 'local.get', counter.local)
      this.writer.emit(depth, 'i32.const', offset + lane)
      this.writer.emit(depth, 'i32.add')
      return this.writer.save(depth, 'i32')
    }
    if (lanes === 1) {
      if (counter.kind === 'fixed') return { kind: 'constant', value: counter.value + offset }
      return { kind: 'scalar', local: offset === 0 ? counter.local : at(0) }
    }
    if (!fitsLanes('int32', lanes)) {
      return { kind: 'lanes', locals: Array.from({ length: lanes }, (_, lane) => at(lane)) }
    }
    const out = this.emitter(depth, true)
    const first = at(0)
    splat('int32', lanes, () => out.emit('local.get', first), out)
    const steps = new Int32Array(4).map((_, lane) => lane)
    out.emit('v128.const', new Uint8Array(steps.buffer))
    out.emit('i32x4.add')
    return { kind: 'vector', local: this.writer.save(depth, 'v128') }
  }

  #writeApply(node: Apply, position: Position): Value {
    const form = instructionsOf(node)
    if (form === undefined) throw new Error(`row ${node.row} was not lowered`)
    const { lanes } = this.space
    const varying = this.space.isVarying(node)
    const order = form.order ?? node.operands.map((_, index) => index)
    const depth = this.space.depthOf(node)
    if (varying && form.vector !== undefined && this.#hasVectorForm(node)) {
      const locals = node.operands.map((operand, index) =>
        index === form.uniformOperand ? 0 : this.vector(operand, position),
      )
      const out = this.emitter(depth, true)
      for (const index of order) {
        if (index === form.uniformOperand) {
          this.#pushCount(depth, node.operands[index]!, position)
          continue
        }
        out.emit('local.get', locals[index]!)
        // A mask that is counted with is 1, not all ones.
        if (
          node.operands[index]!.dtype === 'bool' &&
          node.dtype !== 'bool' &&
          node.row !== 'select'
        ) {
          out.emit(...vectorConstantOf('int32', 1, lanes))
          out.emit('v128.and')
        }
      }
      for (const name of form.vector) out.emit(name)
      this.#narrow(node, depth, true)
      return { kind: 'vector', local: this.writer.save(depth, 'v128') }
    }
    const one = (lane: number): number => {
      for (const index of order) this.push(depth, node.operands[index]!, position, lane)
      for (const name of form.scalar) this.writer.emit(depth, name)
      this.#narrow(node, depth, false)
      return this.writer.save(depth, localTypeOf(node.dtype))
    }
    if (!varying) return { kind: 'scalar', local: one(0) }
    return { kind: 'lanes', locals: Array.from({ length: lanes }, (_, lane) => one(lane)) }
  }

  /** A count for all lanes, as one i32. */
  #pushCount(depth: number, count: Expression, position: Position): void {
    this.push(depth, count, position)
    if (localTypeOf(count.dtype) === 'i64') this.writer.emit(depth, 'i32.wrap_i64')
  }

  #hasVectorForm(node: Apply): boolean {
    const form = instructionsOf(node)
    const { lanes } = this.space
    if (!fitsLanes(node.dtype, lanes)) return false
    return node.operands.every((operand, index) =>
      index === form?.uniformOperand
        ? !this.space.isVarying(operand)
        : fitsLanes(operand.dtype, lanes),
    )
  }

  #narrow(node: Apply, depth: number, lanes: boolean): void {
    if (!isNarrow(node.dtype) || keepsNarrow.has(node.row)) return
    narrow(node.dtype, this.emitter(depth, lanes))
  }

  /** One element in all lanes. */
  #writeSplat(load: Load, position: Position): number {
    const { lanes } = this.space
    const depth = this.space.depthOf(load)
    const key = `vector ${lanes} ${this.space.keyOf(load, position)}`
    return this.writer.once(depth, key, () => {
      const { local, offset } = this.address(
        load.input,
        load.dtype,
        this.#placeOf(load),
        position,
        0,
      )
      this.writer.emit(depth, 'local.get', local)
      this.writer.emit(depth, `v128.load${128 / lanes}_splat`, offset)
      return this.#masked(load, position, depth)
    })
  }

  #writeLoad(load: Load, position: Position): Value {
    const { lanes } = this.space
    const depth = this.space.depthOf(load)
    if (!this.space.isVarying(load)) {
      return { kind: 'scalar', local: this.#loadOne(load, position, 0, depth) }
    }
    const edge = this.#writeEdge(load, position)
    if (edge !== undefined) return edge
    const place = this.#placeOf(load)
    const stride = this.laneStride(place)
    if (stride === 1 && movesInLanes(load.dtype, lanes)) {
      const { local, offset } = this.address(load.input, load.dtype, place, position, 0)
      const out = this.emitter(depth, true)
      out.emit('local.get', local)
      loadLanes(load.dtype, offset, out)
      return { kind: 'vector', local: this.#masked(load, position, depth) }
    }
    if (movesByLane(load.dtype, lanes)) {
      this.#gather(load, place, position, depth)
      return { kind: 'vector', local: this.#masked(load, position, depth) }
    }
    const locals = Array.from({ length: lanes }, (_, lane) =>
      this.#loadOne(load, position, lane, depth),
    )
    return { kind: 'lanes', locals }
  }

  /** The vector on the stack, with zeros where the guard does not hold. */
  #masked(load: Load, position: Position, depth: number): number {
    const loaded = this.writer.save(depth, 'v128')
    const guard = this.#guardOf(load)
    if (guard === undefined) return loaded
    const mask = this.vector(guard, position)
    this.writer.emit(depth, 'local.get', loaded)
    this.writer.emit(depth, 'local.get', mask)
    this.writer.emit(depth, 'v128.and')
    return this.writer.save(depth, 'v128')
  }

  /** Elements from anywhere, one after the other into the lanes of the vector on the stack. */
  #gather(load: Load, place: Place, position: Position, depth: number): void {
    const { lanes } = this.space
    const bits = 128 / lanes
    const addresses = Array.from({ length: lanes }, (_, lane) =>
      this.address(load.input, load.dtype, place, position, lane),
    )
    let vector = 0
    for (const [lane, { local, offset }] of addresses.entries()) {
      this.writer.emit(depth, 'local.get', local)
      if (lane === 0) this.writer.emit(depth, `v128.load${bits}_zero`, offset)
      else {
        this.writer.emit(depth, 'local.get', vector)
        this.writer.emit(depth, `v128.load${bits}_lane`, offset, lane)
      }
      if (lane < lanes - 1) vector = this.writer.save(depth, 'v128')
    }
  }

  #loadOne(load: Load, position: Position, lane: number, depth: number): number {
    const place = this.#placeOf(load)
    const { local, offset } = this.address(load.input, load.dtype, place, position, lane)
    const guard = this.#guardOf(load)
    this.writer.emit(depth, 'local.get', local)
    loadScalar(load.dtype, offset, this.emitter(depth, false))
    if (guard !== undefined) {
      this.writer.emit(depth, ...constantOf(load.dtype, 0))
      this.push(depth, guard, position, lane)
      this.writer.emit(depth, 'select')
    }
    return this.writer.save(depth, localTypeOf(load.dtype))
  }

  /**
   * Neighbours of which a guard excludes some lanes: one vector from a position that is clamped so that
   * at least one lane could be inside of the buffer, and a mask. What a lane outside reads is masked out, and is
   * memory of this device still.
   */
  #writeEdge(load: Load, position: Position): Value | undefined {
    const { lanes, tiling } = this.space
    const guard = this.#guardOf(load)
    if (guard === undefined || !this.space.isVarying(guard)) return undefined
    if (!movesInLanes(load.dtype, lanes) || this.space.isData(load.index)) return undefined
    const { fixed, free, low, high } = splitLoad(load, this.space, this.#build)
    const place = this.#plainPlace(fixed)
    const stride = place.terms.find(([axis]) => axis === tiling.laneAxis)?.[1]
    if (stride !== 1 || this.laneStride(place) !== 1) return undefined
    const depth = this.space.depthOfAxes(this.space.axesOf(fixed))
    const key = `edge ${this.space.keyOf(load, position)}`
    const index = this.writer.once(depth, key, () => {
      this.#pushIndex(depth, place, position)
      const sum = this.writer.save(depth, 'i32')
      const above = this.#extreme(depth, sum, low - (lanes - 1), 'i32.gt_s')
      return this.#extreme(depth, above, high, 'i32.lt_s')
    })
    const moving: Place = {
      constant: 0,
      terms: free,
      rests: [{ expression: load.index, coefficient: 1, low: low - (lanes - 1) }],
    }
    const rest = () => ({
      key,
      depth,
      push: (at: number) => this.writer.emit(at, 'local.get', index),
    })
    const bytes = byteLengthOf(load.dtype)
    const { local, offset } = this.addresses.address(load.input, bytes, moving, position, 0, rest)
    const at = this.space.depthOf(load)
    this.writer.emit(at, 'local.get', local)
    loadLanes(load.dtype, offset, this.emitter(at, true))
    return { kind: 'vector', local: this.#masked(load, position, at) }
  }

  /** The larger (or smaller) of a local and a number. */
  #extreme(depth: number, local: number, bound: number, keeps: string): number {
    this.writer.emit(depth, 'local.get', local)
    this.writer.emit(depth, 'i32.const', bound)
    this.writer.emit(depth, 'local.get', local)
    this.writer.emit(depth, 'i32.const', bound)
    this.writer.emit(depth, keeps)
    this.writer.emit(depth, 'select')
    return this.writer.save(depth, 'i32')
  }

  /** The flat position of the first lane. */
  #pushIndex(depth: number, place: Place, position: Position): void {
    this.writer.emit(depth, 'i32.const', place.constant)
    for (const [axis, coefficient] of place.terms) {
      const { counter, lanes } = this.space.binding(axis)
      const offset = (position[axis] ?? 0) * lanes
      if (counter.kind === 'fixed') this.writer.emit(depth, 'i32.const', counter.value + offset)
      else {
        this.writer.emit(depth, 'local.get', counter.local)
        this.writer.emit(depth, 'i32.const', offset)
        this.writer.emit(depth, 'i32.add')
      }
      this.writer.emit(depth, 'i32.const', coefficient)
      this.writer.emit(depth, 'i32.mul')
      this.writer.emit(depth, 'i32.add')
    }
    for (const { expression, coefficient } of place.rests) {
      this.push(depth, expression, position)
      this.writer.emit(depth, 'i32.const', coefficient)
      this.writer.emit(depth, 'i32.mul')
      this.writer.emit(depth, 'i32.add')
    }
  }

  #plainPlace(index: Expression): Place {
    const place = placeOf(index)
    return {
      ...place,
      rests: place.rests.map((rest) => ({ ...rest, expression: this.#lower(rest.expression) })),
    }
  }

  #placeOf(load: Load): Place {
    const open = this.#guardOf(load) !== load.guard
    const places = open ? this.#openPlaces : this.#places
    let place = places.get(load)
    if (place === undefined) {
      place = open
        ? this.#plainPlace(load.index)
        : protectedPlace(load, this.space, this.#build, this.#lower)
      places.set(load, place)
    }
    return place
  }
}
