// Writes loads: neighbours as vectors, scattered elements lane by lane, one element for all lanes, and what
// guards exclude as zeros, without reading outside of the buffers.
import { byteLengthOf } from '../../../tensor/index.ts'
import type { Expression, ExpressionBuilder, Load } from '../../ir/index.ts'
import { type Place, placeOf, protectedPlace, splitLoad } from './address.ts'
import {
  constantOf,
  loadLanes,
  loadScalar,
  localTypeOf,
  movesByLane,
  movesInLanes,
} from './numeric.ts'
import type { Position } from './space.ts'
import type { Value, Values } from './value.ts'

/** Writes the loads of a function. */
export class LoadWriter {
  readonly #values: Values
  readonly #build: ExpressionBuilder
  readonly #lower: (expression: Expression) => Expression
  readonly #places = new Map<Load, Place>()
  readonly #openPlaces = new Map<Load, Place>()
  /** Guards known to hold in the open scopes from this depth on. */
  #assumed: { readonly guards: ReadonlySet<Expression>; readonly depth: number } | undefined

  constructor(
    values: Values,
    build: ExpressionBuilder,
    lower: (expression: Expression) => Expression,
  ) {
    this.#values = values
    this.#build = build
    this.#lower = lower
  }

  /** Writes code in which guards are known to hold, in the innermost scope and those inside it. */
  assume(guards: ReadonlySet<Expression>, write: () => void): void {
    this.#assumed = { guards, depth: this.#values.writer.depth }
    write()
    this.#assumed = undefined
  }

  /** One element in all lanes. */
  splat(load: Load, position: Position): number {
    const { lanes } = this.#values.space
    const depth = this.#values.space.depthOf(load)
    const key = `vector ${lanes} ${this.#values.space.keyOf(load, position)}`
    return this.#values.writer.once(depth, key, () => {
      const { local, offset } = this.#values.address(
        load.input,
        load.dtype,
        this.#placeOf(load),
        position,
        0,
      )
      this.#values.writer.emit(depth, 'local.get', local)
      this.#values.writer.emit(depth, `v128.load${128 / lanes}_splat`, offset)
      return this.#masked(load, position, depth)
    })
  }

  /** The value of a load: as a vector if it can be, with zeros where the guard does not hold. */
  write(load: Load, position: Position): Value {
    const { lanes } = this.#values.space
    const depth = this.#values.space.depthOf(load)
    if (!this.#values.space.isVarying(load)) {
      return { kind: 'scalar', local: this.#loadOne(load, position, 0, depth) }
    }
    const edge = this.#writeEdge(load, position)
    if (edge !== undefined) return edge
    const place = this.#placeOf(load)
    const stride = this.#values.laneStride(place)
    if (stride === 1 && movesInLanes(load.dtype, lanes)) {
      const { local, offset } = this.#values.address(load.input, load.dtype, place, position, 0)
      const out = this.#values.emitter(depth, true)
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
    const loaded = this.#values.writer.save(depth, 'v128')
    const guard = this.#guardOf(load)
    if (guard === undefined) return loaded
    const mask = this.#values.vector(guard, position)
    this.#values.writer.emit(depth, 'local.get', loaded)
    this.#values.writer.emit(depth, 'local.get', mask)
    this.#values.writer.emit(depth, 'v128.and')
    return this.#values.writer.save(depth, 'v128')
  }

  /** Elements from anywhere, one after the other into the lanes of the vector on the stack. */
  #gather(load: Load, place: Place, position: Position, depth: number): void {
    const { lanes } = this.#values.space
    const bits = 128 / lanes
    const addresses = Array.from({ length: lanes }, (_, lane) =>
      this.#values.address(load.input, load.dtype, place, position, lane),
    )
    let vector = 0
    for (const [lane, { local, offset }] of addresses.entries()) {
      this.#values.writer.emit(depth, 'local.get', local)
      if (lane === 0) this.#values.writer.emit(depth, `v128.load${bits}_zero`, offset)
      else {
        this.#values.writer.emit(depth, 'local.get', vector)
        this.#values.writer.emit(depth, `v128.load${bits}_lane`, offset, lane)
      }
      if (lane < lanes - 1) vector = this.#values.writer.save(depth, 'v128')
    }
  }

  #loadOne(load: Load, position: Position, lane: number, depth: number): number {
    const place = this.#placeOf(load)
    const { local, offset } = this.#values.address(load.input, load.dtype, place, position, lane)
    const guard = this.#guardOf(load)
    this.#values.writer.emit(depth, 'local.get', local)
    loadScalar(load.dtype, offset, this.#values.emitter(depth, false))
    if (guard !== undefined) {
      this.#values.writer.emit(depth, ...constantOf(load.dtype, 0))
      this.#values.push(depth, guard, position, lane)
      this.#values.writer.emit(depth, 'select')
    }
    return this.#values.writer.save(depth, localTypeOf(load.dtype))
  }

  /**
   * Neighbours of which a guard excludes some lanes: one vector from a position that is clamped so that
   * at least one lane could be inside of the buffer, and a mask. What a lane outside reads is masked out, and is
   * memory of this device still.
   */
  #writeEdge(load: Load, position: Position): Value | undefined {
    const { lanes, tiling } = this.#values.space
    const guard = this.#guardOf(load)
    if (guard === undefined || !this.#values.space.isVarying(guard)) return undefined
    if (!movesInLanes(load.dtype, lanes) || this.#values.space.isData(load.index)) return undefined
    const { fixed, free, low, high } = splitLoad(load, this.#values.space, this.#build)
    const place = this.#plainPlace(fixed)
    const stride = place.terms.find(([axis]) => axis === tiling.laneAxis)?.[1]
    if (stride !== 1 || this.#values.laneStride(place) !== 1) return undefined
    const depth = this.#values.space.depthOfAxes(this.#values.space.axesOf(fixed))
    const key = `edge ${this.#values.space.keyOf(load, position)}`
    const index = this.#values.writer.once(depth, key, () => {
      this.#pushIndex(depth, place, position)
      const sum = this.#values.writer.save(depth, 'i32')
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
      push: (at: number) => this.#values.writer.emit(at, 'local.get', index),
    })
    const bytes = byteLengthOf(load.dtype)
    const { local, offset } = this.#values.addresses.address(
      load.input,
      bytes,
      moving,
      position,
      0,
      rest,
    )
    const at = this.#values.space.depthOf(load)
    this.#values.writer.emit(at, 'local.get', local)
    loadLanes(load.dtype, offset, this.#values.emitter(at, true))
    return { kind: 'vector', local: this.#masked(load, position, at) }
  }

  /** The larger (or smaller) of a local and a number. */
  #extreme(depth: number, local: number, bound: number, keeps: string): number {
    this.#values.writer.emit(depth, 'local.get', local)
    this.#values.writer.emit(depth, 'i32.const', bound)
    this.#values.writer.emit(depth, 'local.get', local)
    this.#values.writer.emit(depth, 'i32.const', bound)
    this.#values.writer.emit(depth, keeps)
    this.#values.writer.emit(depth, 'select')
    return this.#values.writer.save(depth, 'i32')
  }

  /** The flat position of the first lane. */
  #pushIndex(depth: number, place: Place, position: Position): void {
    this.#values.writer.emit(depth, 'i32.const', place.constant)
    for (const [axis, coefficient] of place.terms) {
      const { counter, lanes } = this.#values.space.binding(axis)
      const offset = (position[axis] ?? 0) * lanes
      if (counter.kind === 'fixed')
        this.#values.writer.emit(depth, 'i32.const', counter.value + offset)
      else {
        this.#values.writer.emit(depth, 'local.get', counter.local)
        this.#values.writer.emit(depth, 'i32.const', offset)
        this.#values.writer.emit(depth, 'i32.add')
      }
      this.#values.writer.emit(depth, 'i32.const', coefficient)
      this.#values.writer.emit(depth, 'i32.mul')
      this.#values.writer.emit(depth, 'i32.add')
    }
    for (const { expression, coefficient } of place.rests) {
      this.#values.push(depth, expression, position)
      this.#values.writer.emit(depth, 'i32.const', coefficient)
      this.#values.writer.emit(depth, 'i32.mul')
      this.#values.writer.emit(depth, 'i32.add')
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
        : protectedPlace(load, this.#values.space, this.#build, this.#lower)
      places.set(load, place)
    }
    return place
  }

  /** Whether a guard is known to hold where `node`, which depends on it, is written. */
  holds(guard: Expression, node: Expression): boolean {
    if (this.#assumed === undefined || !this.#assumed.guards.has(guard)) return false
    // What is further out is written outside of what is assumed.
    return this.#values.space.depthOf(node) >= this.#assumed.depth
  }

  /** The guard of a load, unless it is known to hold where the load is. */
  #guardOf(load: Load): Expression | undefined {
    const { guard } = load
    if (guard === undefined) return undefined
    // A position that is data is clamped by its guard's axes.
    const holds = this.holds(guard, load) && !this.#values.space.isData(load.index)
    return holds ? undefined : guard
  }
}
