// Gradients of ops that broadcast: what flows back is summed over the axes that were repeated.
import type { Output } from '../builder/index.ts'
import type { Flow, GradientFunction } from './gradient.ts'

/** Sums what flows to each of two inputs that were broadcast together down to the input's own shape. */
export function unbroadcast(
  { e, x, y }: Pick<Flow, 'e' | 'x' | 'y'>,
  toX: Output | undefined,
  toY: Output | undefined,
): readonly (Output | undefined)[] {
  const [shapeX, shapeY] = [e.shape(x), e.shape(y)]
  const [axesX, axesY] = e.broadcastAxes(shapeX, shapeY)
  const reduced = (flow: Output | undefined, axes: Output, shape: Output): Output | undefined =>
    flow === undefined ? undefined : e.reshape(e.sum(flow, axes), shape)
  return [reduced(toX, axesX, shapeX), reduced(toY, axesY, shapeY)]
}

/** The gradient of a binary op that broadcasts, from what flows to each input before the sums. */
export function broadcasting(
  rule: (at: Flow) => readonly [Output | undefined, Output | undefined],
): GradientFunction {
  return (at) => unbroadcast(at, ...rule(at))
}
