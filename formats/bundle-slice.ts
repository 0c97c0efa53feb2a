// Partitioned tensors of a checkpoint: checks that the slices tile the tensor, and joins them.
import { byteLengthOf, formatShape, type Shape, stridesOf } from '../tensor/index.ts'
import { damagedTensor, type TensorType } from './checkpoint-tensor.ts'
import type { SliceExtent } from './ordered-code.ts'

/** A slice of a partitioned tensor: where it lies in the whole, and how to read its bytes. */
export interface TensorSlice {
  readonly starts: readonly number[]
  readonly shape: Shape
  /** Bytes of the slice (row-major, little-endian), by byte offset within it. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Slices of one tensor; TensorFlow makes one a device. */
const maxSlices = 4096
/** A joined tensor is handed out in blocks of about this many bytes. */
const blockLength = 4 * 1024 * 1024

/** Start and size of each dimension of a slice, with whole dimensions spelled out. */
export function resolveSlice(
  entry: TensorType,
  slice: readonly SliceExtent[],
): { readonly starts: number[]; readonly shape: number[] } {
  if (slice.length !== entry.shape.length) {
    throw damagedTensor(entry.name, 'bad-slice', `has a slice of ${slice.length} dimensions`)
  }
  const starts: number[] = []
  const shape = slice.map(({ start, length }, axis) => {
    const size = length === -1 ? entry.shape[axis] : length
    const fits = start >= 0 && size >= 0 && start + size <= entry.shape[axis]
    if (!fits || (length === -1 && start !== 0)) {
      const whole = formatShape(entry.shape)
      throw damagedTensor(entry.name, 'bad-slice', `has a slice that lies outside of ${whole}`)
    }
    starts.push(start)
    return size
  })
  return { starts, shape }
}

/**
 * Refuses (DATA_LOSS) slices that overlap (`bundle/slice-overlap`) or leave a hole
 * (`bundle/slice-hole`) in a tensor of that shape.
 */
export function checkTiling(
  name: string,
  shape: Shape,
  slices: readonly { readonly starts: readonly number[]; readonly shape: Shape }[],
): void {
  if (slices.length > maxSlices) {
    throw damagedTensor(name, 'bad-slice', `has ${slices.length} slices; ${maxSlices} are allowed`)
  }
  const countOf = (sizes: Shape) => sizes.reduce((product, size) => product * size, 1)
  const full = slices.filter((slice) => countOf(slice.shape) > 0)
  full.forEach((slice, index) => {
    for (const other of full.slice(0, index)) {
      const meets = slice.starts.every(
        (start, axis) =>
          start < other.starts[axis] + other.shape[axis] &&
          other.starts[axis] < start + slice.shape[axis],
      )
      if (meets) throw damagedTensor(name, 'slice-overlap', 'has slices that overlap')
    }
  })
  const covered = full.reduce((sum, slice) => sum + countOf(slice.shape), 0)
  if (covered !== countOf(shape)) {
    throw damagedTensor(name, 'slice-hole', `has slices that cover ${covered} of its elements only`)
  }
}

/**
 * The bytes of the whole tensor, row-major, or those of the range, in blocks: a block is a range of one
 * axis at fixed places of the axes before it, so that each slice contributes one contiguous range to it.
 */
export async function* joinSlices(
  { shape, dtype }: Pick<TensorType, 'shape' | 'dtype'>,
  slices: readonly TensorSlice[],
  range?: { readonly offset: number; readonly length: number },
): AsyncGenerator<Uint8Array> {
  if (shape.some((size) => size === 0)) return
  const itemLength = byteLengthOf(dtype)
  const strides = stridesOf(shape).map((stride) => stride * itemLength)
  const found = strides.findIndex((stride) => stride <= blockLength)
  const axis = found === -1 ? 0 : found
  const rowLength = strides[axis] ?? itemLength
  const rowCount = shape[axis] ?? 1
  const rowsPerBlock = Math.max(1, Math.floor(blockLength / rowLength))
  const start = range?.offset ?? 0
  const end = range === undefined ? Number.POSITIVE_INFINITY : start + range.length
  // Where the rows begin that `outer` holds, in bytes of the whole.
  let base = 0
  for (const outer of indexTuples(shape.slice(0, axis))) {
    const first = Math.max(0, Math.floor((start - base) / rowLength))
    const last = Math.min(rowCount, Math.ceil((end - base) / rowLength))
    for (let row = first; row < last; row += rowsPerBlock) {
      const rows = Math.min(rowsPerBlock, last - row)
      const block = new Uint8Array(rows * rowLength)
      for (const slice of slices) {
        await copySlice(block, slice, { outer, axis, row, rows, shape, itemLength })
      }
      const place = base + row * rowLength
      const from = Math.max(0, start - place)
      const to = Math.min(block.byteLength, end - place)
      yield from === 0 && to === block.byteLength ? block : block.subarray(from, to)
    }
    base += rowCount * rowLength
    if (base >= end) return
  }
}

function* indexTuples(shape: Shape): Generator<readonly number[]> {
  const index = shape.map(() => 0)
  for (;;) {
    yield index
    let axis = shape.length - 1
    while (axis >= 0 && ++index[axis] === shape[axis]) index[axis--] = 0
    if (axis < 0) return
  }
}

interface Block {
  readonly outer: readonly number[]
  readonly axis: number
  readonly row: number
  readonly rows: number
  readonly shape: Shape
  readonly itemLength: number
}

/** Copies what a slice holds of a block to its places there. */
async function copySlice(block: Uint8Array, slice: TensorSlice, at: Block): Promise<void> {
  const { axis, shape, itemLength } = at
  const inside = at.outer.every(
    (index, outerAxis) =>
      index >= slice.starts[outerAxis] && index < slice.starts[outerAxis] + slice.shape[outerAxis],
  )
  const first = Math.max(at.row, slice.starts[axis] ?? 0)
  const last = Math.min(at.row + at.rows, (slice.starts[axis] ?? 0) + (slice.shape[axis] ?? 1))
  if (!inside || first >= last) return
  const sliceStrides = stridesOf(slice.shape)
  const sliceRow = sliceStrides[axis] ?? 1
  if (sliceRow === 0) return
  let start = (first - (slice.starts[axis] ?? 0)) * sliceRow
  at.outer.forEach((index, outerAxis) => {
    start += (index - slice.starts[outerAxis]) * sliceStrides[outerAxis]
  })
  const bytes = await slice.read(start * itemLength, (last - first) * sliceRow * itemLength)
  // The innermost axis whose neighbours lie next to each other in both: runs are copied whole.
  let runAxis = shape.length
  let run = 1
  while (runAxis > axis + 1 && slice.shape[runAxis - 1] === shape[runAxis - 1]) {
    runAxis--
    run *= shape[runAxis]
  }
  if (runAxis > axis + 1) {
    runAxis--
    run *= slice.shape[runAxis]
  }
  const strides = stridesOf(shape)
  const runLength = run * itemLength
  const middle = [last - first, ...slice.shape.slice(axis + 1, runAxis)]
  let from = 0
  for (const index of indexTuples(middle)) {
    let to = (first - at.row + index[0]) * (strides[axis] ?? 1)
    for (let inner = axis + 1; inner < shape.length; inner++) {
      to += ((index[inner - axis] ?? 0) + slice.starts[inner]) * strides[inner]
    }
    block.set(bytes.subarray(from, from + runLength), to * itemLength)
    from += runLength
  }
}
