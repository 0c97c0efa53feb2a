// A stream that is the whole of a partitioned tensor, cut into streams of the parts while it comes in.
// Of the content only some megabytes are in memory at any time: where parts interleave, the stream waits
// in the spool, put in the parts' order block by block.
import type { SliceSpec } from '../formats/index.ts'
import type { StagedValue, Staging } from '../store/index.ts'
import {
  type ByteSource,
  byteLengthOf,
  formatShape,
  isNumeric,
  Refusal,
  stringTensor,
  unpackStrings,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { cutTensor } from './cut-tensor.ts'
import { type Cut, cutOf } from './part-cut.ts'
import { contentOfTensor, type TensorContent } from './tensor-content.ts'
import { tensorBytes } from './tensor-input.ts'

/**
 * Stages the parts of `content`, in the order of `slices`: parts along one axis that together cover it, as
 * partitioning gives them. Strings are held in memory, and refused above the limit of feeds.
 */
export async function stageParts(
  context: Context,
  staging: Staging,
  content: TensorContent,
  slices: readonly SliceSpec[],
): Promise<readonly StagedValue[]> {
  const { dtype, shape } = content
  if (!isNumeric(dtype)) return stageStrings(context, staging, content, slices)
  const cut = cutOf(shape, slices, byteLengthOf(dtype))
  if (cut === undefined) throw new Error('partitioning cuts along one axis')
  const addEach = async (chunksOf: (part: number) => AsyncIterable<Uint8Array>) => {
    const parts: StagedValue[] = []
    for (const [place, slice] of slices.entries()) {
      const byteLength = cut.rowCount * cut.widths[place]
      const chunks = () => chunksOf(place)
      parts.push(await staging.add({ dtype, shape: slice.shape, byteLength, chunks }))
    }
    return parts
  }
  const reader = sequentialReader(exactly(content))
  if (cut.rowCount <= 1) {
    const parts = await addEach((place) => reader.take(cut.rowCount * cut.widths[place]))
    await reader.end()
    return parts
  }
  const folder = context.spool.folder(content.byteLength)
  try {
    const file = await folder.keep(blockwise(reader, cut))
    return await addEach((place) => partOfFile(file, cut, place))
  } finally {
    await folder.discard()
  }
}

/** The content's bytes. Refuses (INVALID_ARGUMENT `tensor/size-mismatch`) more or fewer than it announces. */
async function* exactly({ dtype, shape, byteLength, chunks }: TensorContent) {
  let seen = 0
  for await (const chunk of chunks()) {
    seen += chunk.byteLength
    if (seen > byteLength) break
    yield chunk
  }
  if (seen === byteLength) return
  const given = seen > byteLength ? 'more' : String(seen)
  throw new Refusal(
    'INVALID_ARGUMENT',
    'tensor/size-mismatch',
    `A ${dtype} tensor of shape ${formatShape(shape)} takes ${byteLength} bytes; ${given} were given.`,
  )
}

async function stageStrings(
  context: Context,
  staging: Staging,
  content: TensorContent,
  slices: readonly SliceSpec[],
): Promise<readonly StagedValue[]> {
  const bytes = await tensorBytes(content, context.limits.feedBytes)
  const { strings } = unpackStrings(content.shape, bytes)
  const tensor = stringTensor(content.shape, strings)
  const parts: StagedValue[] = []
  for (const slice of slices)
    parts.push(await staging.add(contentOfTensor(cutTensor(tensor, slice))))
  return parts
}

const blockBytes = 8 * 2 ** 20
const pieceBytes = 2 ** 20

/** Rows that are put in the parts' order together. */
function rowsPerBlock({ rowLength }: Cut): number {
  return Math.max(1, Math.floor(blockBytes / Math.max(1, rowLength)))
}

interface SequentialReader {
  /** The next so many bytes. */
  take(length: number): AsyncGenerator<Uint8Array>
  /** Reads what is left, so that the stream can say what is wrong with its end. */
  end(): Promise<void>
}

/** Reads a stream stretch by stretch. */
function sequentialReader(chunks: AsyncIterable<Uint8Array>): SequentialReader {
  const iterator = chunks[Symbol.asyncIterator]()
  let rest: Uint8Array | undefined
  return {
    async *take(length) {
      let left = length
      while (left > 0) {
        const piece = rest ?? (await next(iterator))
        rest = undefined
        if (piece === undefined) return
        if (piece.byteLength > left) {
          rest = piece.subarray(left)
          yield piece.slice(0, left)
          return
        }
        left -= piece.byteLength
        if (piece.byteLength > 0) yield piece
      }
    },
    async end() {
      while ((await next(iterator)) !== undefined);
    },
  }
}

async function next(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  const { done, value } = await iterator.next()
  return done ? undefined : value
}

/**
 * The stream in blocks of whole rows, each block part after part. Where a row is longer than a block
 * it passes as it is: its stretches are long.
 */
async function* blockwise(reader: SequentialReader, cut: Cut): AsyncGenerator<Uint8Array> {
  if (cut.rowLength > blockBytes) {
    yield* reader.take(cut.rowCount * cut.rowLength)
    await reader.end()
    return
  }
  const most = rowsPerBlock(cut)
  for (let row = 0; row < cut.rowCount; row += most) {
    const rows = Math.min(most, cut.rowCount - row)
    const block = new Uint8Array(rows * cut.rowLength)
    let filled = 0
    for await (const piece of reader.take(block.byteLength)) {
      block.set(piece, filled)
      filled += piece.byteLength
    }
    yield partByPart(block, cut, rows)
  }
  await reader.end()
}

function partByPart(
  block: Uint8Array,
  { rowLength, widths, starts }: Cut,
  rows: number,
): Uint8Array {
  const ordered = new Uint8Array(block.byteLength)
  let to = 0
  for (const [part, width] of widths.entries()) {
    for (let row = 0; row < rows; row++) {
      const from = row * rowLength + starts[part]
      ordered.set(block.subarray(from, from + width), to)
      to += width
    }
  }
  return ordered
}

/** A part's bytes out of what {@link blockwise} kept. */
async function* partOfFile(file: ByteSource, cut: Cut, part: number): AsyncGenerator<Uint8Array> {
  const { rowCount, rowLength, widths, starts } = cut
  const most = rowsPerBlock(cut)
  for (let row = 0; row < rowCount; row += most) {
    const rows = Math.min(most, rowCount - row)
    const from = row * rowLength + rows * starts[part]
    const end = from + rows * widths[part]
    for (let at = from; at < end; at += pieceBytes) {
      yield await file.read(at, Math.min(pieceBytes, end - at))
    }
  }
}
