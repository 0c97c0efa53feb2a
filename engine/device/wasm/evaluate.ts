// Writes the code of expressions: each value once for each position that it differs at, in the outermost
// scope where it can be known, as one scalar, as a vector, or lane by lane where there is no vector form.
// Which rows there are it does not know: instructions come from the rows.

import { byteLengthOf } from '../../../tensor/index.ts'
import type { Apply, Expression, ExpressionBuilder } from '../../ir/index.ts'
import type { Rest } from '../../tile/access.ts'
import { type Address, AddressWriter, type Place } from './address.ts'
import type { Instruction } from './assembler.ts'
import { LoadWriter } from './load.ts'
import { instructionsOf } from './lower.ts'
import { isNarrow, narrow, type WordEmitter } from './narrow.ts'
import {
  constantOf,
  extractLane,
  fitsLanes,
  localTypeOf,
  movesByLane,
  replaceLane,
  splat,
  vectorConstantOf,
} from './numeric.ts'
import type { IterationSpace, Position } from './space.ts'
import type { Value, Values } from './value.ts'
import type { FunctionWriter } from './writer.ts'

/** Rows whose results are one of their operands, or as short: nothing is left to narrow. */
const keepsNarrow = new Set(['select', 'min', 'max', 'bitwise_and', 'bitwise_or', 'bitwise_xor'])

/** Writes values into a function. */
export class Evaluator implements Values {
  readonly writer: FunctionWriter
  readonly space: IterationSpace
  readonly addresses: AddressWriter
  readonly #loads: LoadWriter
  readonly #staged = new Map<Expression, Place>()

  constructor(
    writer: FunctionWriter,
    space: IterationSpace,
    build: ExpressionBuilder,
    lower: (expression: Expression) => Expression,
  ) {
    this.writer = writer
    this.space = space
    this.addresses = new AddressWriter(writer, space)
    this.#loads = new LoadWriter(this, build, lower)
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
    this.writer.region(condition, () => this.#loads.assume(guards, write))
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
      const chosen = this.#chosen(node)
      const missing = this.#needs(node, chosen).filter(
        (operand) => this.#known(operand, position) === undefined,
      )
      if (missing.length > 0) {
        stack.push(...missing)
        continue
      }
      stack.pop()
      const value = chosen && this.#known(chosen, position)
      this.define(node, position, value ?? this.#write(node, position))
    }
    return this.#known(expression, position)!
  }

  /** A local with the value in all lanes. */
  vector(expression: Expression, position: Position): number {
    const { lanes } = this.space
    const { dtype } = expression
    if (expression.kind === 'load' && this.#known(expression, position) === undefined) {
      if (!this.space.isVarying(expression) && movesByLane(dtype, lanes)) {
        return this.#loads.splat(expression, position)
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

  /** What has to be known before a node is written. */
  #needs(node: Expression, chosen: Expression | undefined): readonly Expression[] {
    if (node.kind !== 'apply' || this.#isStaged(node)) return []
    return chosen === undefined ? node.operands : [chosen]
  }

  /** What a node chooses, where its condition is known to hold. */
  #chosen(node: Expression): Expression | undefined {
    if (node.kind !== 'apply' || node.row !== 'select' || this.#isStaged(node)) return undefined
    const [condition, chosen] = node.operands
    return this.#loads.holds(condition!, node) ? chosen : undefined
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

  #write(node: Expression, position: Position): Value {
    if (this.#isStaged(node)) return this.#writeStaged(node, position)
    switch (node.kind) {
      case 'constant':
        return { kind: 'constant', value: node.value }
      case 'loop':
        return this.#writeCounter(node.axis, position)
      case 'load':
        return this.#loads.write(node, position)
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
}
