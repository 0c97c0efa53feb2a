// How a kernel runs on a GPU: a pure function of the kernel and the device's limits.
//
// In words. A GPU is fast when thousands of invocations run and each does enough arithmetic for what
// it reads. Three cases:
//
// 1. Long rows with few outputs (the sum of a million elements to one number): an invocation for each
//    output would leave the machine idle. A whole workgroup takes one output: its invocations stride
//    over the reduced elements and combine what they have in shared memory.
// 2. Products (a matrix product, a convolution): two loads of the reduction's body depend on different
//    parallel loops, so each element read serves many outputs. An invocation computes a small tile
//    of outputs, 4 by 4 where the extents allow and enough invocations are left to fill the machine;
//    each loaded value is used once for every output across. The workgroup is square over the tiles,
//    so that its invocations read the same cache lines.
// 3. Everything else: an invocation for each output (or for each element, without a reduction).
import type { DeviceFacts } from '../device/device.ts'
import { type Kernel, visit } from '../ir/index.ts'
import { type Analysis, dependenceOf } from './access.ts'

/** Outputs of one invocation along a parallel loop, and invocations of a workgroup along it. */
export interface AxisTile {
  readonly axis: number
  /** Outputs that one invocation computes along the axis. */
  readonly outputs: number
  /** Invocations of a workgroup along the axis. */
  readonly invocations: number
}

/** How a kernel runs. */
export interface WebgpuTiling {
  /** What computes an output (or a tile of them): an invocation, or a whole workgroup. */
  readonly form: 'invocation' | 'workgroup'
  /** Invocations of a workgroup; for `workgroup` a power of two. */
  readonly workgroupSize: number
  /** Outer and inner axis of a register tile; empty without one. Only for `invocation`. */
  readonly tile: readonly AxisTile[]
}

/** Below so many outputs a long reduction is spread over workgroups. */
const fewOutputs = 4096
/** From so many reduced elements on it is worth a workgroup. */
const longRow = 256
/** Invocations that should be left after tiling. */
const busyInvocations = 4096

/** The tiling of a kernel; `forced` overrides single choices, for tests and measurements. */
export function chooseWebgpuTiling(
  kernel: Kernel,
  facts: DeviceFacts,
  forced: Partial<WebgpuTiling> = {},
): WebgpuTiling {
  const limit = Number(facts.limits.maxComputeInvocationsPerWorkgroup)
  const outputs = productOf(kernel.loops)
  const terms = productOf(kernel.reduced)
  const reduces = kernel.reductions.length > 0
  const spread = reduces && outputs < fewOutputs && terms >= longRow
  const form = forced.form ?? (spread ? 'workgroup' : 'invocation')
  if (form === 'workgroup') {
    const size = Math.min(powerOfTwoUpTo(terms), powerOfTwoUpTo(limit), 256)
    return { form, workgroupSize: forced.workgroupSize ?? size, tile: [] }
  }
  const tile = forced.tile ?? (reduces ? productTileOf(kernel, outputs, limit) : [])
  const tiled = tile.reduce((count, { invocations }) => count * invocations, 1)
  const size = tile.length > 0 ? tiled : Math.min(limit, outputs <= 64 * 64 ? 64 : 256)
  return { form, workgroupSize: forced.workgroupSize ?? size, tile }
}

/** The register tile of a product-like kernel; empty for any other, or where little would be left to do. */
function productTileOf(kernel: Kernel, outputs: number, limit: number): readonly AxisTile[] {
  const pair = productAxesOf(kernel)
  if (!pair) return []
  const side = powerOfTwoUpTo(Math.floor(Math.sqrt(Math.min(limit, 64))))
  for (const outer of [4, 2, 1]) {
    const inner = Math.max(2, outer)
    const fits = kernel.loops[pair[0]] >= outer && kernel.loops[pair[1]] >= inner
    if (!fits || outputs / (outer * inner) < busyInvocations) continue
    return [
      { axis: pair[0], outputs: outer, invocations: side },
      { axis: pair[1], outputs: inner, invocations: side },
    ]
  }
  return []
}

/**
 * The two parallel axes, outer first, for which a reduction's body has one load that depends on the
 * first alone and another that depends on the second alone: the innermost such pair.
 */
export function productAxesOf(kernel: Kernel): readonly [number, number] | undefined {
  const analysis: Analysis = new Map()
  const loads: number[] = []
  const bodies = kernel.reductions.map(({ body }) => body)
  if (bodies.length === 0) return undefined
  visit(bodies, (node) => {
    if (node.kind === 'load') loads.push(dependenceOf(analysis, node).axes)
  })
  const has = (set: number, axis: number): boolean => (set & (1 << axis)) !== 0
  for (let inner = kernel.loops.length - 1; inner > 0; inner--) {
    if (kernel.loops[inner] === 1) continue
    for (let outer = inner - 1; outer >= 0; outer--) {
      if (kernel.loops[outer] === 1) continue
      const first = loads.some((set) => has(set, outer) && !has(set, inner))
      const second = loads.some((set) => has(set, inner) && !has(set, outer))
      if (first && second) return [outer, inner]
    }
  }
  return undefined
}

function productOf(extents: readonly number[]): number {
  return extents.reduce((product, extent) => product * extent, 1)
}

/** The largest power of two that is not above `limit`; 1 at least. */
function powerOfTwoUpTo(limit: number): number {
  let power = 1
  while (power * 2 <= limit) power *= 2
  return power
}
