// Chooses how a kernel runs on the CPU's vectors. A pure function of the kernel's loops and accesses:
//
// 1. Lanes. Values of 32 bits and less go four to a vector, values of 64 bits two; the majority of the
//    kernel's buffers decides, and the others are computed lane by lane.
// 2. Lane axis. One loop runs in lanes. Best is a loop along which most accesses touch neighbours in memory or do
//    not move at all; an access that strides costs an instruction a lane. A reduction loop may be the lane
//    axis: its lanes are partial results, joined at the end. If nothing is gained, there are no lanes.
// 3. Tile. What is computed at once is kept in registers. In a reduction,
//    a load that does not depend on a loop serves all positions of that loop that are computed together:
//    take the tile with the most work for its loads that leaves no accumulator without a register. Where
//    nothing is shared, several vectors along the lane axis hide the latency of additions.
// 4. Order. Loops keep their order, but for the tiled ones: the lane axis goes outside of the loops
//    that its loads are shared over, so that these loads stay in the nearest cache.
// 5. Staging. What a tile along the lane axis loads (and computes) again for every tile of the loops inside of it
//    is put into scratch bytes once, in the order of its use, if it lies scattered in memory or
//    has to be computed.
//
// It knows nothing of instructions and of threads.
import type { Expression } from '../ir/expression.ts'
import type { Kernel, Reduction } from '../ir/kernel.ts'
import { isPositional } from '../ir/reduction.ts'
import { bitsOf, isFloat } from '../ir/scalar.ts'
import { orderOf } from '../ir/walk.ts'
import { type Affine, type Analysis, affineOf, dependenceOf } from './access.ts'
import { type Staging, stagingOf } from './staging.ts'

/** How a kernel is cut. Axes are numbered as in the kernel: parallel loops, then reduction loops. */
export interface WasmTiling extends Staging {
  /** Elements in a vector; 1: no vectors. */
  readonly lanes: 1 | 2 | 4
  readonly laneAxis: number | undefined
  /** Positions computed at once, by axis; vectors on the lane axis. */
  readonly unroll: readonly number[]
  /** Axes with more than one of them. */
  readonly unrolled: readonly number[]
  /** The parallel axes, outermost loop first. */
  readonly order: readonly number[]
}

/** What a tiling may count on. */
export interface WasmTilingFacts {
  /** Vector registers that code may use. */
  readonly registers: number
}

/** Choices made by a test instead of by the rules. */
export interface ForcedWasmTiling
  extends Partial<Pick<WasmTiling, 'lanes' | 'laneAxis' | 'unroll' | 'order'>> {
  /** Whether all that can be staged is, or nothing. */
  readonly staging?: boolean
}

/** A load or store as the rules see it. */
interface Access {
  readonly affine: Affine
  /** Axes that the address depends on, as bits. */
  readonly axes: number
  /** Axes that it depends on other than by a multiple of the counter. */
  readonly irregular: number
  readonly isStore: boolean
  /** How often it happens, next to the innermost iterations. */
  readonly weight: number
}

/** What the rules look at. */
interface Facts {
  readonly kernel: Kernel
  readonly analysis: Analysis
  readonly extents: readonly number[]
  readonly accesses: readonly Access[]
  /** Operations of one innermost iteration. */
  readonly work: number
  readonly registers: number
}

/** The tiling of a kernel whose loops all have at least one iteration. `forced` replaces single choices. */
export function chooseWasmTiling(
  kernel: Kernel,
  { registers }: WasmTilingFacts,
  forced: ForcedWasmTiling = {},
): WasmTiling {
  const facts = factsOf(kernel, registers)
  const lanes = forced.lanes ?? lanesOf(facts)
  const laneAxis =
    lanes === 1 ? undefined : 'laneAxis' in forced ? forced.laneAxis : laneAxisOf(facts, lanes)
  const vector = laneAxis === undefined ? 1 : lanes
  const unroll = forced.unroll ?? tileOf(facts, vector, laneAxis)
  const order = forced.order ?? orderOfLoops(facts, vector, laneAxis, unroll)
  const cut = { lanes: vector, laneAxis, unroll, order }
  const staging = stagingOf(kernel, facts.analysis, cut, forced.staging)
  return {
    ...staging,
    lanes: vector,
    laneAxis,
    unroll,
    unrolled: unroll.flatMap((count, axis) => (count > 1 ? [axis] : [])),
    order,
  }
}

function factsOf(kernel: Kernel, registers: number): Facts {
  const extents = [...kernel.loops, ...kernel.reduced]
  const analysis: Analysis = new Map()
  const iterations = kernel.reduced.reduce((product, extent) => product * extent, 1)
  const inner = [
    ...kernel.reductions.map((reduction) => reduction.body),
    ...kernel.checks.map((check) => check.ok),
  ]
  const outer = kernel.stores.map((store) => store.value)
  const seen = new Set<Expression>()
  const accesses: Access[] = []
  let work = 0
  for (const [roots, weight] of [
    [inner, 1],
    [outer, 1 / Math.max(1, iterations)],
  ] as const) {
    work += weight * operationsOf(roots)
    for (const node of orderOf(roots, (one) => seen.has(one))) {
      seen.add(node)
      if (node.kind !== 'load') continue
      accesses.push(accessOf(analysis, node.index, node.guard, false, weight))
    }
  }
  const weight = 1 / Math.max(1, iterations)
  for (const { index } of kernel.stores) {
    accesses.push(accessOf(analysis, index, undefined, true, weight))
  }
  return { kernel, analysis, extents, accesses, work, registers }
}

/** Operations on values: what computes positions and guards does not count, since most of it moves out of loops. */
function operationsOf(roots: readonly Expression[]): number {
  const seen = new Set<Expression>()
  const stack = [...roots]
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node) || node.kind !== 'apply') continue
    seen.add(node)
    stack.push(...node.operands)
  }
  return seen.size
}

function accessOf(
  analysis: Analysis,
  index: Expression,
  guard: Expression | undefined,
  isStore: boolean,
  weight: number,
): Access {
  const affine = affineOf(index)
  let irregular = 0
  for (const rest of affine.rests) irregular |= dependenceOf(analysis, rest.expression).axes
  let axes = irregular | (guard === undefined ? 0 : dependenceOf(analysis, guard).axes)
  for (const axis of affine.terms.keys()) axes |= 1 << axis
  return { affine, axes, irregular, isStore, weight }
}

const isWide = (dtype: Expression['dtype']) => bitsOf(dtype) === 64

/** Four lanes or two, by the majority of the buffers; one where a reduction has no form in lanes. */
function lanesOf({ kernel }: Facts): 1 | 2 | 4 {
  const types = [...kernel.inputs, ...kernel.outputs].map(({ dtype }) => dtype)
  const wide = types.filter(isWide).length
  const small = types.filter((dtype) => dtype !== 'bool' && !isWide(dtype)).length
  const lanes = wide > small ? 2 : 4
  return kernel.reductions.every((reduction) => combinesInLanes(reduction, lanes)) ? lanes : 1
}

/** Whether accumulators of the reduction can be vectors of so many lanes. */
function combinesInLanes({ combine, dtype }: Reduction, lanes: 2 | 4): boolean {
  if (dtype === 'bool') return true
  if (isWide(dtype) !== (lanes === 2)) return false
  if (lanes === 4) return true
  if (isPositional(combine)) return false
  return isFloat(dtype) || dtype === 'int64' || combine === 'sum' || combine === 'product'
}

/** What an access costs in lanes of an axis, for all of the lanes. Scattering stores is cheaper than gathering loads. */
function laneCost(access: Access, axis: number, lanes: number): number {
  const bit = 1 << axis
  if ((access.axes & bit) === 0) return 0.3
  const stride = access.affine.terms.get(axis) ?? 0
  const scattered = (access.irregular & bit) !== 0 || (stride !== 1 && stride !== 0)
  if (scattered) return (access.isStore ? 1.2 : 1.6) * lanes
  return 1
}

/** The cheapest axis to run in lanes, or none. Of equals the innermost parallel one. */
function laneAxisOf(facts: Facts, lanes: number): number | undefined {
  const { extents, accesses, work, kernel } = facts
  const parallel = kernel.loops.length
  let best: { readonly axis: number | undefined; readonly cost: number } = {
    axis: undefined,
    cost: work + accesses.reduce((sum, { weight }) => sum + weight, 0),
  }
  for (let axis = 0; axis < extents.length; axis++) {
    const extent = extents[axis]!
    if (extent < lanes) continue
    let cost = work
    for (const access of accesses) cost += access.weight * laneCost(access, axis, lanes)
    cost /= lanes
    // The left over run one by one.
    const rest = (extent % lanes) / extent
    cost = (1 - rest) * cost + rest * best.cost
    if (axis >= parallel) cost += (2 * lanes * kernel.reductions.length) / extent / lanes
    if (kernel.reductions.length === 0 && axis >= parallel) continue
    if (cost < best.cost || (cost === best.cost && axis < parallel)) best = { axis, cost }
  }
  return best.axis
}

/** Most operations written out side by side. */
const mostWork = 64

function tileOf(facts: Facts, lanes: number, laneAxis: number | undefined): readonly number[] {
  const { kernel, extents, work, registers } = facts
  const unroll = extents.map(() => 1)
  if (laneAxis === undefined) return unroll
  const vectors = Math.max(1, Math.floor(extents[laneAxis]! / lanes))
  const side = Math.max(1, Math.floor(mostWork / Math.max(1, work)))
  if (kernel.reductions.length === 0) {
    const across = acrossAxis(facts, laneAxis)
    if (across === undefined) unroll[laneAxis] = Math.min(4, vectors, side)
    else unroll[across] = Math.min(8, extents[across]!, side)
    return unroll
  }
  const tile = sharingTile(facts, lanes, laneAxis)
  if (tile !== undefined) {
    for (const [axis, count] of tile) unroll[axis] = count
    return unroll
  }
  // Along a parallel loop more vectors also use up more of each page that a step of the reduction touches.
  const chains = laneAxis < kernel.loops.length ? registers - 3 : 4
  unroll[laneAxis] = Math.min(
    Math.max(1, Math.floor(chains / kernel.reductions.length)),
    vectors,
    side,
  )
  return unroll
}

/**
 * A parallel axis along which memory is touched that is strided along the lane axis, as in a transposition: several
 * positions of it use up the cache lines that a vector brings.
 */
function acrossAxis({ kernel, accesses }: Facts, laneAxis: number): number | undefined {
  for (const { affine } of accesses) {
    const stride = Math.abs(affine.terms.get(laneAxis) ?? 0)
    if (stride <= 1) continue
    const near = [...affine.terms].find(
      ([axis, step]) => axis < kernel.loops.length && Math.abs(step) === 1,
    )
    if (near !== undefined) return near[0]
  }
  return undefined
}

/**
 * The tile over two parallel axes, or over one and the lane axis, whose loads serve the most positions; undefined
 * where no load is shared.
 */
function sharingTile(
  facts: Facts,
  lanes: number,
  laneAxis: number,
): readonly (readonly [axis: number, count: number])[] | undefined {
  const { kernel, extents, accesses, work, registers } = facts
  const inner = accesses.filter(({ weight, isStore }) => weight === 1 && !isStore)
  const parallel = kernel.loops.map((_, axis) => axis)
  const shares = (axis: number) => inner.some(({ axes }) => (axes & (1 << axis)) === 0)
  const axes = parallel.filter((axis) => shares(axis) || axis === laneAxis)
  let best: { tile: (readonly [number, number])[]; value: number } | undefined
  for (const a of axes) {
    for (const b of axes) {
      if (a === b && axes.length > 1) continue
      const limit = (axis: number) =>
        axis === laneAxis ? Math.floor(extents[axis]! / lanes) : extents[axis]!
      for (let countA = 1; countA <= Math.min(8, limit(a)); countA++) {
        for (let countB = 1; countB <= (a === b ? 1 : Math.min(4, limit(b))); countB++) {
          const positions = countA * countB
          if (positions * Math.max(1, work) > 2 * mostWork) continue
          const { loads, live } = loadsOf(inner, laneAxis, [a, countA], [b, countB])
          if (positions * kernel.reductions.length + live + 1 > registers) continue
          const use = usedPart(extents[a]!, countA, a === laneAxis ? lanes : 1)
          const useB = a === b ? 1 : usedPart(extents[b]!, countB, b === laneAxis ? lanes : 1)
          const value = (positions / (loads + positions)) * use * useB
          if (best === undefined || value > best.value + 1e-9) {
            best = {
              tile: [
                [a, countA],
                [b, countB],
              ],
              value,
            }
          }
        }
      }
    }
  }
  const sharing = best?.tile.some(([axis, count]) => count > 1 && shares(axis))
  return sharing ? best!.tile.filter(([, count]) => count > 1) : undefined
}

/** Loads of one step of a tile, and the vectors that live through it. */
function loadsOf(
  inner: readonly Access[],
  laneAxis: number,
  [a, countA]: readonly [number, number],
  [b, countB]: readonly [number, number],
): { readonly loads: number; readonly live: number } {
  let loads = 0
  let live = 0
  for (const { axes } of inner) {
    const onA = (axes & (1 << a)) !== 0 ? countA : 1
    const onB = a !== b && (axes & (1 << b)) !== 0 ? countB : 1
    loads += onA * onB
    // Loads along the lane axis are kept while the others pass by.
    if ((axes & (1 << laneAxis)) !== 0) live += Math.min(onA * onB, Math.max(countA, countB))
  }
  return { loads, live: Math.min(live, inner.length > 1 ? live : 1) }
}

/** Part of an axis that full tiles cover, counting what is left over as half as good. */
function usedPart(extent: number, count: number, lanes: number): number {
  const full = extent - (extent % (count * lanes))
  return (full + (extent - full) / 2) / extent
}

function orderOfLoops(
  { kernel, extents, accesses }: Facts,
  lanes: number,
  laneAxis: number | undefined,
  unroll: readonly number[],
): readonly number[] {
  const order = kernel.loops.map((_, axis) => axis)
  if (laneAxis === undefined || laneAxis >= kernel.loops.length) return order
  if (kernel.reductions.length === 0) {
    const across = order.find((axis) => axis !== laneAxis && (unroll[axis] ?? 1) > 1)
    if (across === undefined) return order
    return [...order.filter((axis) => axis !== laneAxis && axis !== across), across, laneAxis]
  }
  const shared = order.filter(
    (axis) =>
      axis !== laneAxis &&
      accesses.some(
        ({ axes, isStore }) =>
          !isStore && (axes & (1 << laneAxis)) !== 0 && (axes & (1 << axis)) === 0,
      ),
  )
  if (shared.length === 0) return order
  const tiles = Math.ceil(extents[laneAxis]! / (lanes * (unroll[laneAxis] ?? 1)))
  const others = order.filter((axis) => axis !== laneAxis && !shared.includes(axis))
  // A loop of few tiles outermost would leave threads without work.
  const first = tiles < 8 ? shared.filter((axis) => extents[axis]! >= 8).slice(0, 1) : []
  return [...others, ...first, laneAxis, ...shared.filter((axis) => !first.includes(axis))]
}
