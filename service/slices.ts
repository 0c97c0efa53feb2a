// Parts of values: a slice is read as any value is, and reads no more of the whole than it must.
import { parseBasicIndex, readView, shapeOfView, type View, viewOf } from '../formats/index.ts'
import {
  byteLengthOf,
  elementCountOf,
  isNumeric,
  type Shape,
  type StringTensor,
  stringTensor,
  unpackStrings,
} from '../tensor/index.ts'
import {
  type ByteRange,
  checkHeld,
  gatherBytes,
  type ReadableValue,
  readableOfTensor,
} from './readable.ts'

/**
 * The part of `value` that `text` names in NumPy's notation. Refuses what is no basic index
 * (`slice/invalid`), an integer outside of its axis (`slice/out-of-bounds`), and strings of more than
 * `maxStringBytes` (`tensor/too-large`), which have to be read whole.
 */
export async function sliceReadable(
  value: ReadableValue,
  text: string,
  maxStringBytes: number,
): Promise<ReadableValue> {
  const view = viewOf(parseBasicIndex(text), value.shape)
  const shape = shapeOfView(view)
  const digest = `${value.digest}[${view.offset}${view.axes.map(({ size, stride }) => `,${size}*${stride}`).join('')}]`
  if (!isNumeric(value.dtype)) {
    checkHeld(value, maxStringBytes, 'Slicing strings')
    const whole = unpackStrings(value.shape, await value.bytes())
    return readableOfTensor(stringsOf(whole, view, shape), digest)
  }
  const itemLength = byteLengthOf(value.dtype)
  const byteLength = elementCountOf(shape) * itemLength
  const read = (range: ByteRange = { offset: 0, length: byteLength }) =>
    readView(view, itemLength, (wanted) => value.read(wanted), range)
  return {
    dtype: value.dtype,
    shape,
    byteLength,
    digest,
    read,
    bytes: () => gatherBytes(read(), byteLength),
  }
}

function stringsOf({ strings }: StringTensor, { offset, axes }: View, shape: Shape): StringTensor {
  const places = axes.map(() => 0)
  const taken = Array.from({ length: elementCountOf(shape) }, () => {
    const at = axes.reduce((sum, { stride }, axis) => sum + places[axis] * stride, offset)
    for (let axis = axes.length - 1; axis >= 0 && ++places[axis] === axes[axis].size; axis--) {
      places[axis] = 0
    }
    return strings[at]
  })
  return stringTensor(shape, taken)
}
