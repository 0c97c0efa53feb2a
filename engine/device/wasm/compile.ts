// Makes functions of kernels: fewer loops, rows with instructions, a tiling, code. Also a kernel's key, so that
// the same kernel is compiled once.
import {
  type Expression,
  expressionBuilder,
  type Kernel,
  operandsOf,
  orderOf,
} from '../../ir/index.ts'
import { type Analysis, dependenceOf } from '../../tile/access.ts'
import { collapseLoops, rootsOf } from '../../tile/collapse.ts'
import { chooseWasmTiling, type ForcedWasmTiling, type WasmTiling } from '../../tile/wasm.ts'
import type { AssembledFunction } from './assembler.ts'
import { generateKernel } from './generate.ts'
import { lowering, mapKernel } from './lower.ts'
import { segmentsOf } from './segment.ts'

/** Vector registers of x86-64, less the one that V8 keeps for itself. ARM has more. */
const vectorRegisters = 15

/** A kernel as code, and how it may be shared out. */
export interface CompiledKernel {
  /** Undefined where there is nothing to do. */
  readonly code: AssembledFunction | undefined
  /** Iterations of the outermost loop, and the steps at whose multiples it may be cut. */
  readonly extent: number
  readonly step: number
  /** Rough number of operations on vectors, for the choice whether threads are worth it. */
  readonly cost: number
  /** Bytes that each thread needs beside the buffers. */
  readonly scratchBytes: number
}

export interface CompileOptions {
  readonly name: string
  readonly relaxedSimd: boolean
  readonly tiling?: ForcedWasmTiling
}

/** Compiles one kernel, which must be legal (verifyKernel). */
export function compileKernel(kernel: Kernel, options: CompileOptions): CompiledKernel {
  const hasWork = kernel.stores.length > 0 || kernel.checks.length > 0
  if (kernel.loops.includes(0) || !hasWork) {
    return { code: undefined, extent: 0, step: 1, cost: 0, scratchBytes: 0 }
  }
  const build = expressionBuilder()
  const lower = lowering(build)
  const lowered = mapKernel(collapseLoops(kernel, build), lower)
  const tiling = chooseWasmTiling(lowered, { registers: vectorRegisters }, options.tiling)
  const code = generateKernel(lowered, tiling, { ...options, build, lower })
  const outermost = tiling.order[0]
  const extent = outermost === undefined ? 1 : lowered.loops[outermost]!
  const step = outermost === undefined ? 1 : segmentsOf(tiling, outermost, extent)[0]!.step
  const { scratchBytes } = tiling
  return { code, extent, step, cost: costOf(lowered, tiling), scratchBytes }
}

/** Vector operations of all iterations: what is computed, and loads that serve no other position of their tile. */
function costOf(kernel: Kernel, { lanes, laneAxis, unrolled }: WasmTiling): number {
  const product = (extents: readonly number[]) => extents.reduce((all, one) => all * one, 1)
  const outer = product(kernel.loops)
  const inner = outer * product(kernel.reduced)
  const analysis: Analysis = new Map()
  const tile = [...unrolled, ...(laneAxis === undefined ? [] : [laneAxis])]
  const operations = (roots: readonly Expression[]): number => {
    let count = 0
    const seen = new Set<Expression>()
    const stack = [...roots]
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      if (seen.has(node)) continue
      seen.add(node)
      if (node.kind === 'apply') {
        count++
        stack.push(...node.operands)
      } else if (node.kind === 'load') {
        const { axes } = dependenceOf(analysis, node)
        if (tile.every((axis) => (axes & (1 << axis)) !== 0)) count++
      }
    }
    return Math.max(1, count)
  }
  const steps = kernel.reductions.map(({ body }) => body)
  const checks = kernel.checks.map(({ ok }) => ok)
  const stores = kernel.stores.map(({ value }) => value)
  const perStep = steps.length + checks.length > 0 ? operations([...steps, ...checks]) : 0
  return (inner * perStep + outer * operations(stores)) / lanes
}

/** A text that is the same for kernels that are the same, and differs for others. */
export function keyOfKernel(kernel: Kernel): string {
  const numbers = new Map<Expression, number>()
  const lines: string[] = []
  for (const node of orderOf(rootsOf(kernel))) {
    lines.push(
      lineOf(
        node,
        operandsOf(node).map((operand) => numbers.get(operand)!),
      ),
    )
    numbers.set(node, numbers.size)
  }
  const number = (expression: Expression) => numbers.get(expression)
  return JSON.stringify([
    kernel.inputs.map(({ dtype, elementCount }) => [dtype, elementCount]),
    kernel.outputs.map(({ dtype, elementCount, inPlaceOf }) => [dtype, elementCount, inPlaceOf]),
    kernel.loops,
    kernel.reduced,
    kernel.reductions.map(({ combine, dtype, body }) => [combine, dtype, number(body)]),
    kernel.stores.map(({ output, index, value }) => [output, number(index), number(value)]),
    kernel.checks.map(({ ok, code }) => [number(ok), code]),
    lines,
  ])
}

function lineOf(node: Expression, operands: readonly number[]): string {
  switch (node.kind) {
    case 'constant':
      return `c ${node.dtype} ${Object.is(node.value, -0) ? '-0' : node.value}`
    case 'loop':
      return `i ${node.axis} ${node.extent}`
    case 'load':
      return `l ${node.dtype} ${node.input} ${operands.join(' ')}`
    case 'accumulator':
      return `a ${node.dtype} ${node.reduction}`
    case 'apply':
      return `${node.row} ${node.dtype} ${operands.join(' ')}`
    default:
      return node satisfies never
  }
}
