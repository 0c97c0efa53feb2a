// The bytes of parts along one axis as those of the whole, streamed: wide stretches pass as they come from
// the store, narrow ones are put together row by row.
import { freeMemory } from '../tensor/index.ts'
import type { Cut } from './part-cut.ts'
import type { ByteRange } from './readable.ts'

/** Reads bytes of one part. Their memory is the reader's own. */
export type ReadPart = (part: number, range: ByteRange) => AsyncIterable<Uint8Array>

// Stretches from this length on are read one by one.
const wideBytes = 256 * 1024
// So many parts are read side by side; each holds a piece of 1 MiB at most.
const mostNarrow = 64
const pieceBytes = 2 ** 20

/** Whether {@link readJoined} can read such parts without holding too much. */
export function canReadJoined({ widths, rowCount }: Cut): boolean {
  return (
    rowCount === 1 || widths.length <= mostNarrow || widths.every((width) => width >= wideBytes)
  )
}

/** The bytes of the whole in that range. */
export function readJoined(cut: Cut, read: ReadPart, range: ByteRange): AsyncGenerator<Uint8Array> {
  const isWide = cut.rowCount === 1 || cut.widths.every((width) => width >= wideBytes)
  return isWide ? readInTurn(cut, read, range) : readSideBySide(cut, read, range)
}

async function* readInTurn(
  { rowCount, rowLength, widths, starts }: Cut,
  read: ReadPart,
  { offset, length }: ByteRange,
): AsyncGenerator<Uint8Array> {
  const end = offset + length
  const first = Math.floor(offset / rowLength)
  const last = Math.min(rowCount, Math.ceil(end / rowLength))
  for (let row = first; row < last; row++) {
    for (const [part, width] of widths.entries()) {
      const place = row * rowLength + starts[part]
      const from = Math.max(offset, place)
      const to = Math.min(end, place + width)
      if (from < to) yield* read(part, { offset: row * width + from - place, length: to - from })
    }
  }
}

async function* readSideBySide(
  cut: Cut,
  read: ReadPart,
  { offset, length }: ByteRange,
): AsyncGenerator<Uint8Array> {
  const { rowCount, rowLength, widths } = cut
  const end = offset + length
  const first = Math.floor(offset / rowLength)
  const last = Math.min(rowCount, Math.ceil(end / rowLength))
  const readers = widths.map((width, part) =>
    stretchReader(read(part, { offset: first * width, length: (last - first) * width })),
  )
  const rowsPerPiece = Math.max(1, Math.floor(pieceBytes / rowLength))
  try {
    for (let row = first; row < last; row += rowsPerPiece) {
      const rows = Math.min(rowsPerPiece, last - row)
      const piece = new Uint8Array(rows * rowLength)
      for (const [part, reader] of readers.entries()) {
        const stretches = { start: cut.starts[part], width: widths[part], rowLength, rows }
        await reader.fill(piece, stretches)
      }
      const place = row * rowLength
      const from = Math.max(0, offset - place)
      const to = Math.min(piece.byteLength, end - place)
      yield from === 0 && to === piece.byteLength ? piece : piece.subarray(from, to)
    }
  } finally {
    for (const reader of readers) await reader.close()
  }
}

/** Where a part's stretches lie in some rows. */
interface Stretches {
  readonly start: number
  readonly width: number
  readonly rowLength: number
  readonly rows: number
}

/** Hands the bytes of a stream out to places in rows. */
function stretchReader(pieces: AsyncIterable<Uint8Array>) {
  const iterator = pieces[Symbol.asyncIterator]()
  let piece: Uint8Array = new Uint8Array(0)
  let used = 0

  async function more(): Promise<void> {
    freeMemory(piece)
    const { done, value } = await iterator.next()
    if (done) throw new Error('a part has fewer bytes than its shape says')
    piece = value
    used = 0
  }

  return {
    async fill(target: Uint8Array, { start, width, rowLength, rows }: Stretches): Promise<void> {
      for (let row = 0; row < rows; row++) {
        let at = row * rowLength + start
        let left = width
        while (left > 0) {
          if (used === piece.byteLength) await more()
          const count = Math.min(left, piece.byteLength - used)
          target.set(piece.subarray(used, used + count), at)
          used += count
          at += count
          left -= count
        }
      }
    },
    async close(): Promise<void> {
      await iterator.return?.()
    },
  }
}
