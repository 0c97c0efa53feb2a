// A loop cut into stretches that are each computed in their own way: as much as possible in full tiles, then
// what is left in whole vectors, then what is left of those one by one.
import type { WasmTiling } from '../../tile/wasm.ts'

/** From `start` to `end` by `step`, which is `unroll` positions of `lanes` elements. Never empty. */
export interface Segment {
  readonly start: number
  readonly end: number
  readonly step: number
  readonly unroll: number
  readonly lanes: number
}

/** The segments of an axis, in order; together they are `0 .. extent - 1`. */
export function segmentsOf(tiling: WasmTiling, axis: number, extent: number): readonly Segment[] {
  const lanes = axis === tiling.laneAxis ? tiling.lanes : 1
  const unroll = tiling.unroll[axis] ?? 1
  const step = unroll * lanes
  const segments: Segment[] = []
  const full = extent - (extent % step)
  if (full > 0) segments.push({ start: 0, end: full, step, unroll, lanes })
  const whole = extent - (extent % lanes)
  if (whole > full) {
    const left = (whole - full) / lanes
    segments.push({ start: full, end: whole, step: whole - full, unroll: left, lanes })
  }
  if (extent > whole) segments.push({ start: whole, end: extent, step: 1, unroll: 1, lanes: 1 })
  return segments
}
