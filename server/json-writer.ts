// Large tensors as JSON text, written a stretch at a time so that other requests come in between.
import { setImmediate as giveWay } from 'node:timers/promises'
import { jsonText, tensorValueToJson } from '../formats/index.ts'
import { byteLengthOf, elementCountOf, type Tensor } from '../tensor/index.ts'

// Elements that are written between two pauses: some milliseconds.
const stretchElements = 4096

/** The nested list of a tensor's values, as text. */
export async function valueText(tensor: Tensor): Promise<string> {
  const parts: string[] = []
  await write(tensor, parts)
  return parts.join('')
}

async function write(tensor: Tensor, parts: string[]): Promise<void> {
  const { shape } = tensor
  if (shape.length === 0 || elementCountOf(shape) <= stretchElements) {
    parts.push(jsonText(tensorValueToJson(tensor)))
    return
  }
  const [size, ...inner] = shape
  const innerCount = elementCountOf(inner)
  // Rows of a stretch are written together; a row that is longer than one is split further.
  const rows = Math.max(1, Math.floor(stretchElements / innerCount))
  parts.push('[')
  for (let row = 0; row < size; row += rows) {
    if (row > 0) parts.push(',')
    const count = Math.min(rows, size - row)
    if (count === 1 && innerCount > stretchElements) {
      await write(partOf(tensor, row, 1, inner), parts)
    } else {
      const text = jsonText(tensorValueToJson(partOf(tensor, row, count, [count, ...inner])))
      parts.push(text.slice(1, -1))
      await giveWay()
    }
  }
  parts.push(']')
}

/** Rows `row` to `row + count` along the first axis, under another shape. */
function partOf(tensor: Tensor, row: number, count: number, shape: readonly number[]): Tensor {
  const rowElements = elementCountOf(tensor.shape.slice(1))
  const start = row * rowElements
  const end = start + count * rowElements
  if (tensor.dtype === 'string') {
    return { dtype: 'string', shape, strings: tensor.strings.slice(start, end) }
  }
  const size = byteLengthOf(tensor.dtype)
  return { dtype: tensor.dtype, shape, bytes: tensor.bytes.subarray(start * size, end * size) }
}
