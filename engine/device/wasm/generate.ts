// Writes a kernel as a function: its loop nest, cut into what is computed at once and what is left over,
// its reductions, checks and stores. Every choice is the tiling's; every value is the evaluator's.
import {
  type Check,
  type Expression,
  type ExpressionBuilder,
  type Kernel,
  rangeOf,
  type Store,
} from '../../ir/index.ts'
import type { WasmTiling } from '../../tile/wasm.ts'
import { kernelParameters, type Place, placeOf } from './address.ts'
import type { AssembledFunction, Instruction } from './assembler.ts'
import { Evaluator } from './evaluate.ts'
import {
  extractLane,
  localTypeOf,
  movesByLane,
  movesInLanes,
  shapeOf,
  storeLanes,
  storeScalar,
} from './numeric.ts'
import { ReductionWriter } from './reduce.ts'
import { type Segment, segmentsOf } from './segment.ts'
import { IterationSpace, type Position } from './space.ts'
import { StagedWriter } from './stage.ts'
import { versionLevelOf, writeVersions } from './version.ts'
import { type Counter, FunctionWriter } from './writer.ts'

/** What the generator may use beside the kernel. */
export interface GeneratorOptions {
  readonly name: string
  readonly build: ExpressionBuilder
  /** Puts an expression made by `build` into rows with instructions. */
  readonly lower: (expression: Expression) => Expression
  readonly relaxedSimd: boolean
}

/**
 * The function of a kernel whose rows all have instructions and whose loops all run at least once (the reduction
 * loops may run not at all). It runs the outermost loop's share and keeps the least failure.
 */
export function generateKernel(
  kernel: Kernel,
  tiling: WasmTiling,
  options: GeneratorOptions,
): AssembledFunction {
  const writer = new FunctionWriter(options.name, ['i32', 'i32', 'i32', 'i32', 'i32'])
  const space = new IterationSpace(kernel, tiling)
  const evaluator = new Evaluator(writer, space, options.build, options.lower)
  new KernelWriter(kernel, tiling, evaluator, options).write()
  return writer.finish()
}

class KernelWriter {
  readonly #kernel: Kernel
  readonly #tiling: WasmTiling
  readonly #evaluator: Evaluator
  readonly #options: GeneratorOptions
  readonly #stores: ReadonlyMap<Store, Place>
  readonly #staged: StagedWriter

  constructor(kernel: Kernel, tiling: WasmTiling, evaluator: Evaluator, options: GeneratorOptions) {
    this.#kernel = kernel
    this.#tiling = tiling
    this.#evaluator = evaluator
    this.#options = options
    this.#staged = new StagedWriter(evaluator)
    this.#stores = new Map(
      kernel.stores.map((store) => {
        const place = placeOf(store.index)
        const rests = place.rests.map((rest) => ({
          ...rest,
          expression: options.lower(rest.expression),
        }))
        return [store, { ...place, rests }]
      }),
    )
  }

  write(): void {
    this.#openParallel(0)
  }

  /** Opens the parallel loops from `at` in the tiling's order, and writes what is inside. */
  #openParallel(at: number): void {
    const axis = this.#tiling.order[at]
    if (axis === undefined) {
      this.#writeBody()
      return
    }
    for (const segment of segmentsOf(this.#tiling, axis, this.#kernel.loops[axis]!)) {
      const inside = () => this.#staged.around(axis, segment, () => this.#openParallel(at + 1))
      if (at === 0) this.#openShared(segment, axis, inside)
      else this.#open(segment, axis, inside)
    }
  }

  /** Opens a segment of a loop that runs whole. */
  #open(segment: Segment, axis: number, write: () => void): void {
    const { writer } = this.#evaluator
    const { start, end, step } = segment
    if (end - start === step) {
      writer.region(undefined, () =>
        this.#inside(axis, segment, { kind: 'fixed', value: start }, write),
      )
    } else {
      writer.loop({ start, end, step, some: true }, (counter) =>
        this.#inside(axis, segment, counter, write),
      )
    }
  }

  /** Opens a segment of the outermost loop: the part of it that lies in this call's share. */
  #openShared(segment: Segment, axis: number, write: () => void): void {
    const { writer } = this.#evaluator
    const { start, end, step } = segment
    const { begin, end: last } = kernelParameters
    if (end - start === step) {
      writer.region(
        () => {
          writer.emit(0, 'local.get', begin)
          writer.emit(0, 'i32.const', start)
          writer.emit(0, 'i32.le_s')
          writer.emit(0, 'i32.const', start)
          writer.emit(0, 'local.get', last)
          writer.emit(0, 'i32.lt_s')
          writer.emit(0, 'i32.and')
        },
        () => this.#inside(axis, segment, { kind: 'fixed', value: start }, write),
      )
      return
    }
    const from = this.#bound(begin, start, 'i32.gt_s')
    const to = this.#bound(last, end, 'i32.lt_s')
    writer.loop({ start: { local: from }, end: { local: to }, step, some: false }, (counter) =>
      this.#inside(axis, segment, counter, write),
    )
  }

  #bound(parameter: number, bound: number, keeps: string): number {
    const { writer } = this.#evaluator
    writer.emit(0, 'local.get', parameter)
    writer.emit(0, 'i32.const', bound)
    writer.emit(0, 'local.get', parameter)
    writer.emit(0, 'i32.const', bound)
    writer.emit(0, keeps)
    writer.emit(0, 'select')
    return writer.save(0, 'i32')
  }

  #inside(axis: number, segment: Segment, counter: Counter, write: () => void): void {
    const { space, writer } = this.#evaluator
    const { unroll, lanes } = segment
    space.bind({ axis, depth: writer.depth, counter, unroll, lanes })
    write()
    space.unbind(axis)
  }

  /** What is inside of all parallel loops: checks, reductions, stores. */
  #writeBody(): void {
    const { space, writer } = this.#evaluator
    const positions = space.positionsOver(this.#positionAxes())
    space.setResultDepth(writer.depth)
    const parallelAxes = (1 << this.#kernel.loops.length) - 1
    const isInner = (check: Check) => (space.axesOf(check.ok) & ~parallelAxes) !== 0
    const { build, relaxedSimd: fuses } = this.#options
    const reductions = new ReductionWriter(this.#evaluator, { build, fuses, positions })
    if (!this.#kernel.reduced.includes(0)) {
      this.#writeChecks((check) => !isInner(check), positions)
      this.#openReduced(0, () => {
        const axes = [...this.#positionAxes(), ...this.#reducedAxes()]
        this.#writeChecks(isInner, space.positionsOver(axes))
        reductions.step(this.#reducedAxes())
      })
    }
    reductions.finish()
    for (const position of positions) this.#writeStores(position)
  }

  #openReduced(at: number, write: () => void): void {
    if (at === this.#kernel.reduced.length) {
      write()
      return
    }
    const axis = this.#kernel.loops.length + at
    const open = () => {
      for (const segment of segmentsOf(this.#tiling, axis, this.#kernel.reduced[at]!)) {
        this.#open(segment, axis, () => this.#openReduced(at + 1, write))
      }
    }
    if (at === versionLevelOf(this.#kernel.reduced)) {
      writeVersions(this.#evaluator, this.#options, at, open)
    } else open()
  }

  /** Unrolled parallel axes, the lane axis last. */
  #positionAxes(): number[] {
    const { unrolled, laneAxis } = this.#tiling
    const axes = unrolled.filter((axis) => axis < this.#kernel.loops.length)
    return axes.sort((a, b) => Number(a === laneAxis) - Number(b === laneAxis))
  }

  #reducedAxes(): number[] {
    return this.#tiling.unrolled.filter((axis) => axis >= this.#kernel.loops.length)
  }

  #writeChecks(wanted: (check: Check) => boolean, positions: readonly Position[]): void {
    for (const [index, check] of this.#kernel.checks.entries()) {
      if (!wanted(check)) continue
      for (const position of positions) this.#writeCheck(check, index, position)
    }
  }

  #writeCheck(check: Check, index: number, position: Position): void {
    const { space, writer } = this.#evaluator
    const depth = space.depthOf(check.ok)
    writer.once(depth, `check ${index} ${space.keyOf(check.ok, position)}`, () => {
      if (space.isVarying(check.ok)) this.#writeVectorCheck(check, index, position, depth)
      else {
        this.#evaluator.push(depth, check.ok, position)
        writer.emit(depth, 'i32.eqz')
        writer.emit(depth, 'if')
        this.#writeFailure(depth, check, index, position, 0)
        writer.emit(depth, 'end')
      }
      return true
    })
  }

  /** All lanes together first; which one failed is found out only if one did. */
  #writeVectorCheck(check: Check, index: number, position: Position, depth: number): void {
    const { lanes } = this.#evaluator.space
    const mask = this.#evaluator.vector(check.ok, position)
    const out = this.#evaluator.emitter(depth, false)
    out.emit('local.get', mask)
    out.emit(`${shapeOf('bool', lanes)}.all_true`)
    out.emit('i32.eqz')
    out.emit('if')
    for (let lane = 0; lane < lanes; lane++) {
      out.emit('local.get', mask)
      extractLane('bool', lanes, lane, out)
      out.emit('i32.eqz')
      out.emit('if')
      this.#writeFailure(depth, check, index, position, lane)
      out.emit('end')
    }
    out.emit('end')
  }

  /** Keeps the least of the failure known so far and this one. */
  #writeFailure(
    depth: number,
    check: Check,
    index: number,
    position: Position,
    lane: number,
  ): void {
    const { space, writer } = this.#evaluator
    const emit = (...instruction: Instruction) => writer.emit(depth, ...instruction)
    const axes = space.axesOf(check.ok)
    emit('i64.const', 0)
    for (const [axis, extent] of space.extents.entries()) {
      if (extent !== 1) {
        emit('i64.const', extent)
        emit('i64.mul')
      }
      if ((axes & (1 << axis)) === 0) continue
      const { counter, lanes } = space.binding(axis)
      if (counter.kind === 'fixed') emit('i32.const', counter.value)
      else emit('local.get', counter.local)
      emit('i32.const', (position[axis] ?? 0) * lanes + (lanes > 1 ? lane : 0))
      emit('i32.add')
      emit('i64.extend_i32_u')
      emit('i64.add')
    }
    emit('i64.const', this.#kernel.checks.length)
    emit('i64.mul')
    emit('i64.const', index)
    emit('i64.add')
    const key = writer.save(depth, 'i64')
    const { failure } = kernelParameters
    emit('local.get', failure)
    emit('local.get', key)
    emit('local.get', failure)
    emit('i64.load', 0)
    emit('local.get', key)
    emit('local.get', failure)
    emit('i64.load', 0)
    emit('i64.lt_u')
    emit('select')
    emit('i64.store', 0)
  }

  /** The stores of one position: all values first, since a store may change what another was read from. */
  #writeStores(position: Position): void {
    const { space, writer } = this.#evaluator
    for (const store of this.#kernel.stores) {
      if (this.#isVector(store)) this.#evaluator.vector(store.value, position)
      else this.#evaluator.value(store.value, position)
      for (const rest of this.#stores.get(store)!.rests) {
        this.#evaluator.value(rest.expression, position)
      }
    }
    const depth = writer.depth
    for (const store of this.#kernel.stores) {
      if (this.#isVector(store)) this.#storeVector(store, position, depth)
      else {
        for (let lane = 0; lane < space.lanes; lane++) this.#storeOne(store, position, lane, depth)
      }
    }
  }

  #isVector(store: Store): boolean {
    const { space } = this.#evaluator
    const { dtype } = store.value
    if (space.lanes === 1 || this.#isUncertain(store)) return false
    const stride = this.#evaluator.laneStride(this.#stores.get(store)!)
    return stride === 1 && movesInLanes(dtype, space.lanes)
  }

  #storeVector(store: Store, position: Position, depth: number): void {
    const { dtype } = store.value
    const place = this.#stores.get(store)!
    const vector = this.#evaluator.vector(store.value, position)
    const { local, offset } = this.#evaluator.address(
      this.#bufferOf(store),
      dtype,
      place,
      position,
      0,
    )
    this.#evaluator.writer.emit(depth, 'local.get', local)
    this.#evaluator.writer.emit(depth, 'local.get', vector)
    storeLanes(dtype, offset, this.#evaluator.emitter(depth, true))
  }

  #storeOne(store: Store, position: Position, lane: number, depth: number): void {
    const { writer, space } = this.#evaluator
    const { dtype } = store.value
    const place = this.#stores.get(store)!
    const uncertain = this.#isUncertain(store)
    const { local, offset } = this.#evaluator.address(
      this.#bufferOf(store),
      dtype,
      place,
      position,
      lane,
    )
    const value = this.#evaluator.value(store.value, position)
    const byLane = !uncertain && value.kind === 'vector' && movesByLane(dtype, space.lanes)
    if (byLane) {
      writer.emit(depth, 'local.get', local)
      writer.emit(depth, 'local.get', value.local)
      writer.emit(depth, `v128.store${128 / space.lanes}_lane`, offset, lane)
      return
    }
    const out = this.#evaluator.emitter(depth, false)
    if (!uncertain) {
      out.emit('local.get', local)
      this.#evaluator.push(depth, store.value, position, lane)
      storeScalar(dtype, offset, out)
      return
    }
    // The value before the branch: what is written in it is not known after it.
    this.#evaluator.push(depth, store.value, position, lane)
    const stored = writer.save(depth, localTypeOf(dtype))
    this.#evaluator.push(depth, this.#options.lower(store.index), position, lane)
    out.emit('i32.const', this.#kernel.outputs[store.output]!.elementCount)
    out.emit('i32.lt_u')
    out.emit('if')
    out.emit('local.get', local)
    out.emit('local.get', stored)
    storeScalar(dtype, offset, out)
    out.emit('end')
  }

  /** Whether the position is data, so that only a check keeps it inside of the output. */
  #isUncertain(store: Store): boolean {
    const { space } = this.#evaluator
    if (space.isData(store.index)) return true
    if (this.#kernel.checks.length === 0) return false
    const [low, high] = rangeOf(store.index)
    return low < 0 || high >= this.#kernel.outputs[store.output]!.elementCount
  }

  #bufferOf(store: Store): number {
    const output = this.#kernel.outputs[store.output]!
    return output.inPlaceOf ?? this.#kernel.inputs.length + store.output
  }
}
