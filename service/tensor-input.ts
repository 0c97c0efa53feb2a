// Tensors on their way in: whatever body form they came in, they arrive here as a function that,
// told what the variable wants, gives their content. Checks against the variable are made here.
import { createHash } from 'node:crypto'
import {
  type DType,
  fitsShape,
  formatShape,
  isNumeric,
  numericTensor,
  type PartialShape,
  packStrings,
  Refusal,
  type Tensor,
  type TensorStream,
  unpackStrings,
} from '../tensor/index.ts'
import type { TensorContent } from './tensor-content.ts'

/** What a variable says of the values that it takes. */
export interface Declaration {
  readonly dtype: DType
  readonly shape: PartialShape
}

/**
 * A value that a request brings. Forms that carry no type of their own (raw bytes, a bare nested
 * list) take it from `declared`; without one they refuse.
 */
export type TensorInput = (declared: Declaration | undefined) => Promise<TensorContent>

/** The content of a binary or JSON body in one piece. Refuses more than `maxBytes`. */
export async function tensorBytes(content: TensorContent, maxBytes: number): Promise<Uint8Array> {
  if (content.byteLength > maxBytes) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'tensor/too-large',
      `A value of ${content.byteLength} bytes was given; at most ${maxBytes} can be used here.`,
      { fix: 'See GET /v1/limits.' },
    )
  }
  const bytes = new Uint8Array(content.byteLength)
  let offset = 0
  for await (const chunk of content.chunks()) {
    bytes.set(chunk, offset)
    offset += chunk.byteLength
  }
  return bytes
}

/** The content as a tensor in one piece. Refuses more than `maxBytes`. */
export async function tensorOfContent(content: TensorContent, maxBytes: number): Promise<Tensor> {
  const { dtype, shape } = content
  const bytes = await tensorBytes(content, maxBytes)
  return isNumeric(dtype) ? numericTensor(dtype, shape, bytes) : unpackStrings(shape, bytes)
}

/** Refuses a value of another type or shape than the variable's; nothing is cast or broadcast. */
export function checkAssignable(
  name: string,
  declared: Declaration,
  value: Pick<Tensor | TensorStream, 'dtype' | 'shape'>,
): void {
  if (value.dtype !== declared.dtype) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'dtype/mismatch',
      `Variable ${name} is ${declared.dtype}; a ${value.dtype} value was given, and nothing is cast silently.`,
      { names: { variable: name, expected: declared.dtype, given: value.dtype } },
    )
  }
  if (!fitsShape(value.shape, declared.shape)) {
    const wanted = formatShape(declared.shape)
    const given = formatShape(value.shape)
    throw new Refusal(
      'INVALID_ARGUMENT',
      'shape/mismatch',
      `Assign requires shapes of both tensors to match. lhs shape= ${wanted} rhs shape= ${given}`,
      { names: { variable: name, expected: wanted, given } },
    )
  }
}

/** Hex SHA-256 of a value's bytes, for telling requests apart. */
export function contentDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Type, shape and content of a tensor in one word, for telling requests apart. */
export function digestOfTensor(tensor: Tensor): string {
  const bytes = tensor.dtype === 'string' ? packStrings(tensor) : tensor.bytes
  return `${tensor.dtype}[${tensor.shape}]${contentDigest(bytes)}`
}
