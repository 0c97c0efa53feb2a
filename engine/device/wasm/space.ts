// Where code generation is in the iteration space: which loops are open, at which scope, how many positions
// of each are computed at once, and which of them are lanes of a vector.
import type { Expression } from '../../ir/expression.ts'
import type { Kernel } from '../../ir/kernel.ts'
import { type Analysis, dependenceOf } from '../../tile/access.ts'
import type { WasmTiling } from '../../tile/wasm.ts'
import type { Counter } from './writer.ts'

/** An open loop. Its counter at position `p`, lane `l` is `counter + p * stride + l`. */
export interface Binding {
  readonly axis: number
  readonly depth: number
  readonly counter: Counter
  readonly unroll: number
  /** Lanes of its vectors: 1 on axes that are not the lane axis, and in its remainder. */
  readonly lanes: number
}

/** Offsets within what is computed at once, by axis; 0 on axes that are not unrolled. */
export type Position = readonly number[]

/** The open loops of a kernel. */
export class IterationSpace {
  readonly kernel: Kernel
  readonly tiling: WasmTiling
  readonly extents: readonly number[]
  readonly #analysis: Analysis = new Map()
  readonly #ids = new Map<Expression, number>()
  readonly #bindings: (Binding | undefined)[] = []
  /** Scope where reductions' results are known. */
  #resultDepth = 0

  constructor(kernel: Kernel, tiling: WasmTiling) {
    this.kernel = kernel
    this.tiling = tiling
    this.extents = [...kernel.loops, ...kernel.reduced]
  }

  /** Lanes of a vector here, 1 where the lane axis is not open or at its remainder. */
  get lanes(): number {
    const { laneAxis } = this.tiling
    return laneAxis === undefined ? 1 : (this.#bindings[laneAxis]?.lanes ?? 1)
  }

  bind(binding: Binding): void {
    this.#bindings[binding.axis] = binding
  }

  unbind(axis: number): void {
    this.#bindings[axis] = undefined
  }

  binding(axis: number): Binding {
    const binding = this.#bindings[axis]
    if (binding === undefined) throw new Error(`loop ${axis} is not open`)
    return binding
  }

  setResultDepth(depth: number): void {
    this.#resultDepth = depth
  }

  /** A number for the node, for keys. */
  idOf(expression: Expression): number {
    let id = this.#ids.get(expression)
    if (id === undefined) {
      id = this.#ids.size
      this.#ids.set(expression, id)
    }
    return id
  }

  /** Axes that the value depends on, as bits; the result of a reduction, on all parallel ones. */
  axesOf(expression: Expression): number {
    const { axes, reduced } = dependenceOf(this.#analysis, expression)
    return reduced ? axes | ((1 << this.kernel.loops.length) - 1) : axes
  }

  /** Reduction loops that the value depends on, outermost first. */
  reducedAxesOf(expression: Expression): number[] {
    const axes = this.axesOf(expression)
    const first = this.kernel.loops.length
    return this.kernel.reduced
      .map((_, at) => first + at)
      .filter((axis) => (axes & (1 << axis)) !== 0)
  }

  /** Whether the value comes from a buffer. */
  isData(expression: Expression): boolean {
    return dependenceOf(this.#analysis, expression).data
  }

  /** Whether the value differs between the lanes of a vector, here. */
  isVarying(expression: Expression): boolean {
    const { laneAxis } = this.tiling
    return this.lanes > 1 && (this.axesOf(expression) & (1 << laneAxis!)) !== 0
  }

  /** Depth of the outermost scope where the value can be known. */
  depthOf(expression: Expression): number {
    const { axes, reduced } = dependenceOf(this.#analysis, expression)
    return reduced ? this.#resultDepth : this.depthOfAxes(axes)
  }

  depthOfAxes(axes: number): number {
    let depth = 0
    for (let rest = axes; rest !== 0; rest &= rest - 1) {
      depth = Math.max(depth, this.binding(31 - Math.clz32(rest & -rest)).depth)
    }
    return depth
  }

  /** A key of the value at a position: equal keys, equal values, in the scope that it belongs to. */
  keyOf(expression: Expression, position: Position): string {
    return `${this.idOf(expression)}${this.positionKey(this.axesOf(expression), position)}`
  }

  /** The part of a position that matters to what depends on these axes only. */
  positionKey(axes: number, position: Position): string {
    let key = ''
    for (const axis of this.tiling.unrolled) {
      if ((axes & (1 << axis)) !== 0) key += `/${position[axis] ?? 0}`
    }
    return key
  }

  /** Every position computed at once over these axes, the last named varying fastest. */
  positionsOver(axes: readonly number[]): Position[] {
    let positions: number[][] = [[]]
    for (const axis of axes) {
      const { unroll } = this.binding(axis)
      positions = positions.flatMap((position) =>
        Array.from({ length: unroll }, (_, offset) => {
          const next = [...position]
          next[axis] = offset
          return next
        }),
      )
    }
    return positions
  }
}
