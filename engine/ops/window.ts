// Windows that slide over spatial dimensions: sizes, strides, dilations and paddings of convolutions
// and pools. Source: tensorflow/core/framework/kernel_shape_util.cc (GetWindowedOutputSizeVerboseV2).
import type { Attributes } from './attributes.ts'
import { invalid } from './shapes.ts'

/** One spatial dimension under a window. */
export interface Window {
  readonly input: number
  readonly size: number
  readonly stride: number
  readonly dilation: number
  readonly before: number
  readonly output: number
}

/** Places of batch, channels and spatial dimensions in a data format. */
export interface Layout {
  readonly batch: number
  readonly channels: number
  readonly spatial: readonly number[]
}

/** The layout that `data_format` names: NHWC, NCHW, NDHWC, NCDHW. */
export function layoutOf(format: string): Layout {
  const spatial = [...format].flatMap((letter, place) => ('DHW'.includes(letter) ? [place] : []))
  return { batch: format.indexOf('N'), channels: format.indexOf('C'), spatial }
}

/** The window over one dimension; refuses strides and dilations below 1 and windows that never fit. */
export function windowOf(
  input: number,
  size: number,
  stride: number,
  dilation: number,
  padding: string,
  explicit: readonly [number, number] = [0, 0],
): Window {
  if (stride <= 0) throw invalid('shape/window', `Stride must be > 0, but got ${stride}`)
  if (dilation < 1) throw invalid('shape/window', `Dilation rate must be >= 1, but got ${dilation}`)
  const span = (size - 1) * dilation + 1
  if (padding === 'SAME') {
    const output = Math.ceil(input / stride)
    const total = Math.max((output - 1) * stride + span - input, 0)
    return { input, size, stride, dilation, before: Math.floor(total / 2), output }
  }
  const [before, after] = padding === 'EXPLICIT' ? explicit : [0, 0]
  if (before < 0 || after < 0) {
    throw invalid('shape/window', `Paddings must be non-negative, but got ${before}, ${after}`)
  }
  const output = Math.floor((input + before + after - span) / stride) + 1
  if (output < 0 || (output === 0 && input + before + after < span - stride)) {
    throw invalid(
      'shape/window',
      `Computed output size would be negative: ${output} [input_size: ${input}, effective_filter_size: ${span}, stride: ${stride}]`,
    )
  }
  return { input, size, stride, dilation, before, output }
}

/** Windows over every spatial dimension, from a node's attributes. */
export function windowsOf(
  attributes: Attributes,
  layout: Layout,
  inputShape: readonly number[],
  sizes: readonly number[],
): readonly Window[] {
  const strides = attributes.ints('strides')
  const rank = layout.spatial.length + 2
  if (strides.length !== rank) {
    throw invalid('shape/window', `Sliding window strides field must specify ${rank} dimensions`)
  }
  if (strides[layout.batch] !== 1 || strides[layout.channels] !== 1) {
    throw invalid(
      'shape/window',
      'Current implementation does not yet support strides in the batch and depth dimensions.',
    )
  }
  const hasDilations = attributes.specs.has('dilations')
  const dilations = hasDilations ? attributes.ints('dilations') : []
  const explicit = attributes.specs.has('explicit_paddings')
    ? attributes.ints('explicit_paddings')
    : []
  const padding = attributes.text('padding')
  return layout.spatial.map((axis, place) =>
    windowOf(inputShape[axis], sizes[place], strides[axis], dilations[axis] ?? 1, padding, [
      explicit[2 * axis] ?? 0,
      explicit[2 * axis + 1] ?? 0,
    ]),
  )
}
