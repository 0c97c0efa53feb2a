// Where an invocation stands: workgroups of a dispatch, and the loop counters that an invocation finds
// from its numbers. It knows extents and tilings, and no expressions.
import { Refusal } from '../../../tensor/index.ts'
import type { Kernel } from '../../ir/index.ts'
import type { WebgpuTiling } from '../../tile/webgpu.ts'
import type { Lane } from './wgsl-emitter.ts'

/** Workgroups of the dispatch: `count` of them, folded over two axes. */
export interface Grid {
  readonly count: number
  readonly x: number
  readonly y: number
  /** Blocks along each parallel loop: what one invocation (or workgroup) takes is one block. */
  readonly blocks: readonly number[]
  /** Workgroups along each parallel loop, for a register tile; empty where they are flat. */
  readonly groups: readonly number[]
}

/** The grid of a kernel; refuses what two axes of workgroups cannot hold. */
export function gridOf(kernel: Kernel, tiling: WebgpuTiling, limit: number): Grid {
  const tileOf = (axis: number) => tiling.tile.find((one) => one.axis === axis)
  const blocks = kernel.loops.map((extent, axis) =>
    Math.ceil(extent / (tileOf(axis)?.outputs ?? 1)),
  )
  const tiled = tiling.tile.length > 0
  const groups = tiled
    ? blocks.map((count, axis) => Math.ceil(count / (tileOf(axis)?.invocations ?? 1)))
    : []
  const perGroup = tiling.form === 'workgroup' ? 1 : tiling.workgroupSize
  const count = tiled ? productOf(groups) : Math.ceil(productOf(blocks) / perGroup)
  const y = Math.ceil(count / limit)
  if (y > limit) throw tooLarge(`${count} workgroups; at most ${limit} by ${limit}`)
  return { count, x: y === 0 ? 0 : Math.ceil(count / y), y, blocks, groups }
}

/** The refusal of what one dispatch cannot span. */
export function tooLarge(what: string): Refusal {
  const message = `a kernel is too large for one dispatch: ${what}`
  return new Refusal('UNIMPLEMENTED', 'device/kernel-too-large', message)
}

/** Counters of all parallel loops from the invocation's flat number. */
export function flatCounters(kernel: Kernel, tiling: WebgpuTiling, grid: Grid): string[] {
  const size = tiling.workgroupSize
  return [
    `let flat = (group.y * ${grid.x}u + group.x) * ${size}u + local;`,
    `if (flat >= ${productOf(kernel.loops)}u) { return; }`,
    ...decodeText('flat', kernel.loops, 0),
  ]
}

/**
 * Counters for a register tile: the workgroup's number gives its place among workgroups, the local
 * number the block in it. Outputs of a block lie a whole number of blocks apart, so that neighbours
 * read neighbouring elements; counters past the end are clamped, and not stored.
 */
export function tileCounters(kernel: Kernel, tiling: WebgpuTiling, grid: Grid): string[] {
  const lines = [
    `let flat = group.y * ${grid.x}u + group.x;`,
    `if (flat >= ${grid.count}u) { return; }`,
  ]
  let groupPlace = 'flat'
  let localPlace = 'local'
  for (let axis = kernel.loops.length - 1; axis >= 0; axis--) {
    const extent = kernel.loops[axis]
    const tile = tiling.tile.find((one) => one.axis === axis)
    if (extent === 1 && !tile) continue
    const inGroup = `(${groupPlace} % ${grid.groups[axis]}u)`
    groupPlace = `(${groupPlace} / ${grid.groups[axis]}u)`
    if (!tile) {
      lines.push(`let i${axis} = i32(${inGroup});`)
      continue
    }
    const inLocal = `(${localPlace} % ${tile.invocations}u)`
    localPlace = `(${localPlace} / ${tile.invocations}u)`
    lines.push(`let b${axis} = ${inGroup} * ${tile.invocations}u + ${inLocal};`)
    lines.push(`if (b${axis} >= ${grid.blocks[axis]}u) { return; }`)
    for (let output = 0; output < tile.outputs; output++) {
      const counter = `b${axis} + ${output * grid.blocks[axis]}u`
      const clamped = isRagged(axis, tile.outputs, kernel, grid)
        ? `min(${counter}, ${extent - 1}u)`
        : counter
      lines.push(`let i${axis}_${output} = i32(${clamped});`)
    }
  }
  return lines
}

/** Whether the tile's last outputs may lie past the end of the axis. */
export function isRagged(axis: number, outputs: number, kernel: Kernel, grid: Grid): boolean {
  return grid.blocks[axis] * outputs !== kernel.loops[axis]
}

/** Counters `i<axis>` of loops of such extents, from a flat u32; axes count from `firstAxis`. */
export function decodeText(flat: string, extents: readonly number[], firstAxis: number): string[] {
  const lines: string[] = []
  let inner = productOf(extents)
  extents.forEach((extent, place) => {
    inner = Math.max(1, inner / Math.max(1, extent))
    if (extent === 0) lines.push(`let i${firstAxis + place} = 0i;`)
    if (extent <= 1) return
    const outermost = productOf(extents.slice(0, place)) === 1
    const quotient = inner === 1 ? flat : `${flat} / ${inner}u`
    const counter = outermost ? quotient : `(${quotient}) % ${extent}u`
    lines.push(`let i${firstAxis + place} = i32(${counter});`)
  })
  return lines
}

/** Every place of the register tile, row-major; one place without any. */
export function lanesOf(tiling: WebgpuTiling): readonly Lane[] {
  return tiling.tile.reduce<Lane[]>(
    (lanes, { outputs }) =>
      lanes.flatMap((lane) => Array.from({ length: outputs }, (_, output) => [...lane, output])),
    [[]],
  )
}

/** Product of extents; 1 without any. */
export function productOf(extents: readonly number[]): number {
  return extents.reduce((product, extent) => product * extent, 1)
}
