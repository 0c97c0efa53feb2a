// The names of element types, as requests write them.
import { type DType, dtypeOfName, Refusal } from '../tensor/index.ts'

/** The element type of that name. Refuses (INVALID_ARGUMENT, `dtype/unknown`) names of none. */
export function dtypeNamed(name: string): DType {
  const dtype = dtypeOfName(name)
  if (dtype !== undefined && dtype !== 'resource' && dtype !== 'variant') return dtype
  throw new Refusal(
    'INVALID_ARGUMENT',
    'dtype/unknown',
    `There is no element type "${name}" for a variable.`,
    {
      fix: 'Use a NumPy name such as float32, or a TensorFlow name such as DT_FLOAT.',
      names: { dtype: name },
    },
  )
}
