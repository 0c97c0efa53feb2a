// Positions under sliding windows, in any data format: what convolutions and pools share.
import type { Shape } from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import type { Lowering } from './definition.ts'
import { integersOf } from './shapes.ts'
import type { Layout, Window } from './window.ts'

/** The data formats of images. */
export const formats2d = "data_format: {'NHWC', 'NCHW'} = 'NHWC'"

/** The data formats of volumes. */
export const formats3d = "data_format: {'NDHWC', 'NCDHW'} = 'NDHWC'"

/** A shape in a layout. */
export function arranged(
  layout: Layout,
  batch: number,
  spatial: readonly number[],
  channels: number,
): Shape {
  const shape = new Array<number>(spatial.length + 2)
  shape[layout.batch] = batch
  shape[layout.channels] = channels
  for (const [place, axis] of layout.spatial.entries()) shape[axis] = spatial[place]
  return shape
}

/** Positions in a layout. */
export function placed(
  layout: Layout,
  batch: Expression,
  spatial: readonly Expression[],
  channel: Expression,
): Expression[] {
  const positions = new Array<Expression>(spatial.length + 2)
  positions[layout.batch] = batch
  positions[layout.channels] = channel
  for (const [place, axis] of layout.spatial.entries()) positions[axis] = spatial[place]
  return positions
}

/** Where a window's element lies in the input, and whether it lies in it at all. */
export function underWindow(
  b: Builder,
  windows: readonly Window[],
  outputs: readonly Expression[],
  places: readonly Expression[],
): { readonly positions: readonly Expression[]; readonly guard: Expression } {
  const positions = windows.map(({ stride, dilation, before }, axis) =>
    b.sub(b.add(b.mul(outputs[axis], stride), b.mul(places[axis], dilation)), before),
  )
  const guard = b.and(...positions.map((place, axis) => b.within(place, 0, windows[axis].input)))
  return { positions, guard }
}

/** Outputs whose window reaches a place: which one, and whether there is one. */
export function overWindow(
  b: Builder,
  { stride, dilation, before, output }: Window,
  place: Expression,
  inWindow: Expression,
): { readonly position: Expression; readonly guard: Expression } {
  const reach = b.sub(b.add(place, before), b.mul(inWindow, dilation))
  const position = stride === 1 ? reach : b.both('floor_div', reach, stride)
  const whole = stride === 1 ? b.and() : b.equal(b.both('floor_mod', reach, stride), 0)
  return { position, guard: b.and(b.within(position, 0, output), whole) }
}

/** A shape that an input gives; a vector of two sizes is the spatial part alone. */
export function shapeInput(at: Lowering, name: string): Shape {
  return integersOf(at.contentOf(at.input(name)))
}
