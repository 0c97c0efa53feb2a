// Chooses what a kernel puts into scratch bytes: what a tile along the lane axis needs again for every tile of the
// loops inside of it, if it lies scattered in memory or has to be computed. A pure function.
import type { Expression } from '../ir/expression.ts'
import type { Kernel } from '../ir/kernel.ts'
import { bitsOf } from '../ir/scalar.ts'
import { type Analysis, dependenceOf } from './access.ts'

/** Parts of the bodies that each tile along the lane axis computes once. */
export interface Staging {
  readonly staged: readonly Expression[]
  readonly scratchBytes: number
}

/** How the kernel is cut otherwise. */
interface Cut {
  readonly lanes: number
  readonly laneAxis: number | undefined
  readonly unroll: readonly number[]
  readonly order: readonly number[]
}

/** Most scratch bytes: a part of the second cache. */
const mostScratchBytes = 512 * 1024
/** Buffers of so many bytes are in the first cache wherever they lie. */
const nearBytes = 32 * 1024
/** Tiles that must use what is staged, to make up for staging it. */
const fewTiles = 4
const vectorBytes = 16
const nothing: Staging = { staged: [], scratchBytes: 0 }

/** What to stage. `forced`: everything that can be (true), or nothing (false). */
export function stagingOf(
  kernel: Kernel,
  analysis: Analysis,
  { lanes, laneAxis, unroll, order }: Cut,
  forced: boolean | undefined,
): Staging {
  const inside = laneAxis === undefined ? [] : insideOf(order, laneAxis)
  if (laneAxis === undefined || inside.length === 0 || forced === false) return nothing
  const extents = [...kernel.loops, ...kernel.reduced]
  const tiles = inside.reduce((all, axis) => all * Math.ceil(extents[axis]! / unroll[axis]!), 1)
  if (forced === undefined && tiles < fewTiles) return nothing
  // What differs between positions that are computed at once is not the same for the whole tile either.
  const beside = order.filter((axis) => axis !== laneAxis && unroll[axis]! > 1)
  const otherBits = [...inside, ...beside].reduce((bits, axis) => bits | (1 << axis), 0)
  const reducedBits = ((1 << extents.length) - 1) & ~((1 << kernel.loops.length) - 1)

  const isWorth = (expression: Expression): boolean => {
    const { axes } = dependenceOf(analysis, expression)
    if ((axes & (1 << laneAxis)) === 0 || (axes & reducedBits) === 0) return false
    if ((axes & otherBits) !== 0) return false
    const wide = bitsOf(expression.dtype) === 64
    if (expression.dtype !== 'bool' && wide !== (lanes === 2)) return false
    if (expression.kind !== 'load' || forced === true) return true
    const { elementCount } = kernel.inputs[expression.input]!
    return (elementCount * bitsOf(expression.dtype)) / 8 > nearBytes
  }
  const bytesOf = (expression: Expression): number => {
    const axes = dependenceOf(analysis, expression).axes & reducedBits
    return extents.reduce(
      (all, extent, axis) => ((axes & (1 << axis)) === 0 ? all : all * extent),
      vectorBytes * unroll[laneAxis]!,
    )
  }
  const staged = largestParts(kernel, isWorth)
  const scratchBytes = staged.reduce((sum, one) => sum + bytesOf(one), 0)
  return scratchBytes > mostScratchBytes && forced === undefined
    ? nothing
    : { staged, scratchBytes }
}

/** The loops inside of the lane axis, which is not among them if it is a reduction loop. */
function insideOf(order: readonly number[], laneAxis: number): readonly number[] {
  const place = order.indexOf(laneAxis)
  return place < 0 ? [] : order.slice(place + 1)
}

/** The nodes of the bodies nearest to their roots for which `holds` holds. */
function largestParts(
  { reductions }: Kernel,
  holds: (expression: Expression) => boolean,
): readonly Expression[] {
  const found = new Set<Expression>()
  const seen = new Set<Expression>()
  const stack = reductions.map(({ body }) => body)
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    if (holds(node)) found.add(node)
    else if (node.kind === 'apply') stack.push(...node.operands)
  }
  return [...found]
}
