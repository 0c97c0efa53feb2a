// Prints scalar expressions as WGSL statements, each value once, in the outermost scope where all that
// it needs is known: before the reduction's loops, inside one of them, or after them. With a register
// tile a value is printed once for each place of the tile that it differs at.
import assert from 'node:assert'
import { type Expression, type Kernel, type Load, orderOf, rangeOf, rowOf } from '../../ir/index.ts'
import { type Analysis, dependenceOf } from '../../tile/access.ts'
import { mustKeep } from './wgsl-keep.ts'
import { operandTypeOf, rowText } from './wgsl-lower.ts'
import { constantText, loadedText, narrowedText } from './wgsl-types.ts'

/** One place of a register tile: the outputs' number along each tiled axis. */
export type Lane = readonly number[]

/** What an emitter has to know beside the kernel. */
export interface Scopes {
  /** Tiled axes, and how many outputs each invocation has along them. */
  readonly tile: readonly { readonly axis: number; readonly outputs: number }[]
  /** Whether all reduction loops are one loop in the text. */
  readonly flatLoop: boolean
  /** Name of the buffer of an input. */
  readonly bufferOf: (input: number) => string
  /** Name of a reduction's result at a place of the tile. */
  readonly accumulatorOf: (reduction: number, lane: Lane) => string
}

/** Collects statements by scope. */
export class Emitter {
  /** Statements before the loops (0) and at the head of each loop's body (1, 2, ..). */
  readonly levels: string[][]
  /** Statements after the loops. */
  readonly after: string[] = []
  readonly #kernel: Kernel
  readonly #scopes: Scopes
  readonly #analysis: Analysis = new Map()
  readonly #names = new Map<Expression, Map<number, string>>()
  #looping = true
  #count = 0

  constructor(kernel: Kernel, scopes: Scopes) {
    this.#kernel = kernel
    this.#scopes = scopes
    const depth = scopes.flatLoop ? Math.min(1, kernel.reduced.length) : kernel.reduced.length
    this.levels = Array.from({ length: depth + 1 }, () => [])
  }

  /** From here on statements go after the loops. */
  leaveLoops(): void {
    this.#looping = false
  }

  /** Name of a loop's counter at a place of the tile. */
  counterOf(axis: number, lane: Lane): string {
    const place = this.#scopes.tile.findIndex((one) => one.axis === axis)
    return place < 0 ? `i${axis}` : `i${axis}_${lane[place]}`
  }

  /** Scope of an expression while in the loops: 0, or the number of the innermost loop it needs. */
  levelOf(expression: Expression): number {
    const reducedSet = dependenceOf(this.#analysis, expression).axes >>> this.#kernel.loops.length
    if (reducedSet === 0) return 0
    return this.#scopes.flatLoop ? 1 : 32 - Math.clz32(reducedSet)
  }

  /** Whether the counter of a reduction's loop, or of a parallel one, is known at a level. */
  isOpen(axis: number, level: number): boolean {
    const open = this.#scopes.flatLoop && level > 0 ? this.#kernel.reduced.length : level
    return axis < this.#kernel.loops.length + open
  }

  /** The statements of the scope that a use of the expression may stand in. */
  scopeOf(expression: Expression): string[] {
    return this.#looping ? this.levels[this.levelOf(expression)] : this.after
  }

  /** Text of the expression's value, after printing whatever it needs. */
  valueOf(expression: Expression, lane: Lane): string {
    const known = (node: Expression): boolean => this.#nameOf(node, lane) !== undefined
    for (const node of orderOf([expression], known)) {
      let names = this.#names.get(node)
      if (!names) {
        names = new Map()
        this.#names.set(node, names)
      }
      names.set(this.#laneKey(node, lane), this.#print(node, lane))
    }
    const name = this.#nameOf(expression, lane)
    assert(name !== undefined, 'a printed expression')
    return name
  }

  /** Whether a position is read from memory, so that only a check says where it lies. */
  dependsOnLoads(position: Expression): boolean {
    return dependenceOf(this.#analysis, position).data
  }

  #nameOf(node: Expression, lane: Lane): string | undefined {
    return this.#names.get(node)?.get(this.#laneKey(node, lane))
  }

  /** Places of the tile at which the node has the same value share a key. */
  #laneKey(node: Expression, lane: Lane): number {
    if (this.#scopes.tile.length === 0) return 0
    const { axes, reduced } = dependenceOf(this.#analysis, node)
    const set = reduced ? -1 : axes
    return this.#scopes.tile.reduce(
      (key, { axis, outputs }, place) => key * outputs + (set & (1 << axis) ? lane[place] : 0),
      0,
    )
  }

  #print(node: Expression, lane: Lane): string {
    switch (node.kind) {
      case 'constant':
        return constantText(node.dtype, node.value)
      case 'loop':
        return this.counterOf(node.axis, lane)
      case 'accumulator':
        return this.#scopes.accumulatorOf(node.reduction, lane)
      case 'load':
        return this.#name(node, loadedText(node.dtype, this.#elementText(node, lane)))
      case 'apply': {
        const operands = node.operands.map((operand) => {
          const value = this.valueOf(operand, lane)
          return mustKeep(node, operand) ? `keep(${value})` : value
        })
        const text = rowText(rowOf(node.row), operandTypeOf(node), operands)
        assert(text !== undefined, `${node.row} was not expanded`)
        return this.#name(node, narrowedText(node.dtype, text))
      }
      default:
        return node satisfies never
    }
  }

  #name(node: Expression, text: string): string {
    const name = `v${this.#count++}`
    this.scopeOf(node).push(`let ${name} = ${text};`)
    return name
  }

  /** The stored element: guarded loads read element 0 where their guard is false, and drop it. */
  #elementText(load: Load, lane: Lane): string {
    const buffer = this.#scopes.bufferOf(load.input)
    const { elementCount } = this.#kernel.inputs[load.input]
    const index = this.valueOf(load.index, lane)
    const [low, high] = rangeOf(load.index)
    const inside = low >= 0 && high < elementCount
    const clamps = !inside && elementCount > 0 && this.dependsOnLoads(load.index)
    const position = clamps ? `min(u32(${index}), ${elementCount - 1}u)` : index
    if (!load.guard) return `${buffer}[${position}]`
    const guard = this.valueOf(load.guard, lane)
    const zero = clamps ? '0u' : '0i'
    const element = `${buffer}[select(${zero}, ${position}, ${guard})]`
    return `select(${this.#zeroLike(load)}, ${element}, ${guard})`
  }

  #zeroLike(load: Load): string {
    if (load.dtype === 'float32') return '0.0f'
    return load.dtype.startsWith('int') ? '0i' : '0u'
  }
}
