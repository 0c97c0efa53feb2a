// Which types gradients flow through.
import type { DType } from '../../tensor/index.ts'

const trainable: ReadonlySet<DType> = new Set([
  'float16',
  'bfloat16',
  'float32',
  'float64',
  'complex64',
  'complex128',
  'resource',
  'variant',
] as const)

/** Whether gradients flow through values of the type. Source: tensorflow/python/eager/backprop_util.py. */
export function isTrainable(dtype: DType): boolean {
  return trainable.has(dtype)
}
