// Writes the reductions of a kernel: accumulators in locals, as vectors where the loops run in lanes, several
// of them where several steps of a reduction loop are taken at once, all joined at the end.
import type { Expression, ExpressionBuilder, Reduction } from '../../ir/index.ts'
import { isPositional, startOfReduction, typeOfReduction } from '../../ir/index.ts'
import { combineInto, type Running } from './combine.ts'
import type { Evaluator } from './evaluate.ts'
import { isNarrow, narrow } from './narrow.ts'
import { constantOf, extractLane, localTypeOf, vectorConstantOf } from './numeric.ts'
import type { Position } from './space.ts'

/** An accumulator: one of a reduction at a position, for one of the steps taken at once. */
interface Accumulating extends Running {
  readonly lanes: number
}

export interface ReductionOptions {
  readonly build: ExpressionBuilder
  /** Whether a product and its sum may be one instruction. */
  readonly fuses: boolean
  /** Positions over the parallel axes that are computed at once. */
  readonly positions: readonly Position[]
}

/** The reductions of what is computed at once. Made at the innermost parallel scope. */
export class ReductionWriter {
  readonly #evaluator: Evaluator
  readonly #options: ReductionOptions
  readonly #depth: number
  /** Flat position over the reduction loops, for argmax and argmin. */
  readonly #place: Expression
  /** By reduction, position, step and lanes. */
  readonly #accumulators = new Map<string, Accumulating>()

  constructor(evaluator: Evaluator, options: ReductionOptions) {
    this.#evaluator = evaluator
    this.#options = options
    this.#depth = evaluator.writer.depth
    const { build } = options
    const { loops, reduced } = evaluator.space.kernel
    this.#place = reduced.reduce<Expression>(
      (outer, extent, at) => {
        const scaled = build.apply('mul', [outer, build.constant('int32', extent)])
        return build.apply('add', [scaled, build.loop(loops.length + at, extent)])
      },
      build.constant('int32', 0),
    )
  }

  get #reductions(): readonly Reduction[] {
    return this.#evaluator.space.kernel.reductions
  }

  /** Takes the bodies into the accumulators, inside of all reduction loops; `axes`: those unrolled. */
  step(axes: readonly number[]): void {
    const steps = this.#evaluator.space.positionsOver(axes)
    for (const [at, position] of this.#options.positions.entries()) {
      for (const [index, step] of steps.entries()) {
        const whole: number[] = [...position]
        for (const axis of axes) whole[axis] = step[axis]!
        for (const [number, reduction] of this.#reductions.entries()) {
          this.#take(reduction, this.#accumulator(number, at, index), whole)
        }
      }
    }
  }

  /** Joins the accumulators and makes the results known. */
  finish(): void {
    for (const [number, reduction] of this.#reductions.entries()) {
      for (const [at, position] of this.#options.positions.entries()) {
        this.#finishOne(number, reduction, at, position)
      }
    }
  }

  #accumulator(number: number, at: number, step: number): Accumulating {
    const { lanes } = this.#evaluator.space
    const key = `${number} ${at} ${step} ${lanes}`
    let accumulator = this.#accumulators.get(key)
    if (accumulator === undefined) {
      accumulator = this.#start(this.#reductions[number]!, lanes)
      this.#accumulators.set(key, accumulator)
    }
    return accumulator
  }

  #start(reduction: Reduction, lanes: number): Accumulating {
    const { writer } = this.#evaluator
    const constant = (
      dtype: Expression['dtype'],
      value: ReturnType<typeof startOfReduction>,
    ): number => {
      const instruction =
        lanes > 1 ? vectorConstantOf(dtype, value, lanes) : constantOf(dtype, value)
      writer.emit(this.#depth, ...instruction)
      return writer.save(this.#depth, lanes > 1 ? 'v128' : localTypeOf(dtype))
    }
    const local = constant(reduction.dtype, startOfReduction(reduction))
    return {
      local,
      place: isPositional(reduction.combine) ? constant('int32', 0) : undefined,
      lanes,
    }
  }

  #take(reduction: Reduction, into: Accumulating, position: Position): void {
    const { writer } = this.#evaluator
    if (this.#fuse(reduction, into, position)) return
    const depth = writer.depth
    const out = this.#evaluator.emitter(depth, into.lanes > 1)
    const place = into.place === undefined ? undefined : this.#local(this.#place, position, into)
    const value = this.#local(reduction.body, position, into)
    combineInto(reduction, into, value, place, into.lanes, out)
  }

  /** A local with the value, as a vector where the accumulator is one. */
  #local(expression: Expression, position: Position, into: Accumulating): number {
    if (into.lanes > 1) return this.#evaluator.vector(expression, position)
    const { writer } = this.#evaluator
    const value = this.#evaluator.value(expression, position)
    if (value.kind === 'scalar') return value.local
    this.#evaluator.push(writer.depth, expression, position)
    return writer.save(writer.depth, localTypeOf(expression.dtype))
  }

  /** A product that goes into a sum as one instruction. */
  #fuse({ combine, dtype, body }: Reduction, into: Accumulating, position: Position): boolean {
    if (!this.#options.fuses || into.lanes === 1 || combine !== 'sum') return false
    if (dtype !== 'float32' && dtype !== 'float64') return false
    if (body.kind !== 'apply' || body.row !== 'mul') return false
    const [a, b] = body.operands.map((operand) => this.#evaluator.vector(operand, position))
    const out = this.#evaluator.emitter(this.#evaluator.writer.depth, true)
    out.emit('local.get', a!)
    out.emit('local.get', b!)
    out.emit('local.get', into.local)
    out.emit(`${dtype === 'float32' ? 'f32x4' : 'f64x2'}.relaxed_madd`)
    out.emit('local.set', into.local)
    return true
  }

  #finishOne(number: number, reduction: Reduction, at: number, position: Position): void {
    const { space } = this.#evaluator
    const prefix = `${number} ${at} `
    const parts = [...this.#accumulators]
      .filter(([key]) => key.startsWith(prefix))
      .map(([, accumulator]) => accumulator)
    const lanes = space.lanes
    const same = parts.filter((part) => part.lanes === lanes)
    const total = same.shift() ?? this.#start(reduction, lanes)
    for (const part of same) this.#join(reduction, total, part)
    // Lanes of a reduction loop become one value; those of a parallel loop stay.
    const [first, ...others] = parts.filter((part) => part.lanes !== lanes)
    if (first !== undefined && isPositional(reduction.combine)) {
      for (const part of [first, ...others]) this.#spread(reduction, total, part)
    } else if (first !== undefined) {
      for (const part of others) this.#join(reduction, first, part)
      this.#spread(reduction, total, first)
    }
    this.#define(number, reduction, total, position)
  }

  /** Takes one accumulator into another of as many lanes. */
  #join(reduction: Reduction, into: Accumulating, part: Accumulating): void {
    const out = this.#evaluator.emitter(this.#depth, into.lanes > 1)
    combineInto(reduction, into, part.local, part.place, into.lanes, out, true)
  }

  /** Takes the lanes of an accumulator into a scalar one. */
  #spread(reduction: Reduction, into: Accumulating, part: Accumulating): void {
    const { writer } = this.#evaluator
    const out = this.#evaluator.emitter(this.#depth, false)
    const laneOf = (dtype: Expression['dtype'], vector: number, lane: number): number => {
      out.emit('local.get', vector)
      extractLane(dtype, part.lanes, lane, out)
      return writer.save(this.#depth, localTypeOf(dtype))
    }
    for (let lane = 0; lane < part.lanes; lane++) {
      const value = laneOf(reduction.dtype, part.local, lane)
      const place = part.place === undefined ? undefined : laneOf('int32', part.place, lane)
      combineInto(reduction, into, value, place, 1, out, true)
    }
  }

  #define(number: number, reduction: Reduction, total: Accumulating, position: Position): void {
    const { writer } = this.#evaluator
    const lanes = total.lanes > 1
    let local = total.place ?? total.local
    if (total.place === undefined && isNarrow(reduction.dtype)) {
      writer.emit(this.#depth, 'local.get', local)
      narrow(reduction.dtype, this.#evaluator.emitter(this.#depth, lanes))
      local = writer.save(this.#depth, lanes ? 'v128' : localTypeOf(reduction.dtype))
    }
    const result = this.#options.build.accumulator(typeOfReduction(reduction), number)
    this.#evaluator.define(result, position, { kind: lanes ? 'vector' : 'scalar', local })
  }
}
