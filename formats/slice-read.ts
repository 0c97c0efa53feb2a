// The bytes of a view, streamed: what is asked of the whole are runs of bytes that hold the view's
// elements, near ones together; what comes out is row-major. At most some megabytes are held.
import { freeMemory } from '../tensor/index.ts'
import { boxesOf, simplestAxes, type View, type ViewAxis } from './slice-view.ts'

/** Bytes of the whole from `offset`, as pieces that belong to the reader. */
export type ReadWhole = (range: {
  readonly offset: number
  readonly length: number
}) => AsyncIterable<Uint8Array>

// Gaps below this are read over: the store reads chunks of this size whole in any case.
const gapBytes = 2 ** 20
// Pieces that are put together have this length.
const pieceBytes = 2 ** 20
// A view that runs backwards is turned around in blocks of this length.
const turnedBytes = 4 * 2 ** 20
// Longer runs are passed on as they came instead of being copied.
const passedBytes = 64 * 1024
// Fewer neighbours are copied one by one.
const fewItems = 16

/**
 * The view's bytes, or `length` of them from `offset`; `itemLength` bytes an element. Elements that the
 * view does not show are read only where less than 1 MiB of them lies between two that it shows.
 */
export async function* readView(
  view: View,
  itemLength: number,
  read: ReadWhole,
  range: { readonly offset: number; readonly length: number },
): AsyncGenerator<Uint8Array> {
  const { offset, length } = range
  const from = Math.floor(offset / itemLength)
  const to = Math.ceil((offset + length) / itemLength)
  let skip = offset - from * itemLength
  let left = length
  for (const box of boxesOf(view, from, to)) {
    for await (const piece of readBox(box, itemLength, read)) {
      const taken =
        skip === 0 && piece.byteLength <= left ? piece : piece.subarray(skip, skip + left)
      skip = 0
      left -= taken.byteLength
      yield taken
    }
  }
}

async function* readBox(
  { offset, axes }: View,
  itemLength: number,
  read: ReadWhole,
): AsyncGenerator<Uint8Array> {
  const simple = { offset, axes: simplestAxes(axes) }
  if (simple.axes.every(({ stride }) => stride > 0)) {
    yield* readAscending(simple, itemLength, read)
    return
  }
  const count = countOf(simple.axes)
  const blockCount = turnedCount(simple.axes, Math.floor(turnedBytes / itemLength))
  for (let first = 0; first < count; first += blockCount) {
    for (const box of boxesOf(simple, first, Math.min(count, first + blockCount))) {
      yield await readTurned(box, itemLength, read)
    }
  }
}

function countOf(axes: readonly ViewAxis[]): number {
  return axes.reduce((count, { size }) => count * size, 1)
}

/** As many elements as make whole rows of some axis, at most `most`. */
function turnedCount(axes: readonly ViewAxis[], most: number): number {
  let row = 1
  for (let axis = axes.length - 1; axis >= 0 && row * axes[axis].size <= most; axis--) {
    row *= axes[axis].size
  }
  return row * Math.floor(most / row)
}

/** A small box of any direction: read in the order of the whole, then turned around. */
async function readTurned(
  { offset, axes }: View,
  itemLength: number,
  read: ReadWhole,
): Promise<Uint8Array> {
  const first = axes.reduce(
    (place, { size, stride }) => (stride < 0 ? place + (size - 1) * stride : place),
    offset,
  )
  const ascending = axes.map(({ size, stride }) => ({ size, stride: Math.abs(stride) }))
  const bytes = new Uint8Array(countOf(axes) * itemLength)
  let filled = 0
  const view = { offset: first, axes: simplestAxes(ascending) }
  for await (const piece of readAscending(view, itemLength, read)) {
    bytes.set(piece, filled)
    filled += piece.byteLength
  }
  return turned(bytes, axes, itemLength)
}

/** Row-major bytes of a box with the axes of negative stride the other way around. */
function turned(bytes: Uint8Array, axes: readonly ViewAxis[], itemLength: number): Uint8Array {
  const from = wordsOf(bytes, itemLength)
  const target = new Uint8Array(bytes.byteLength)
  const to = wordsOf(target, itemLength)
  const words = itemLength / from.BYTES_PER_ELEMENT
  const lines = axes.slice(0, -1)
  const line = axes[axes.length - 1] ?? { size: 1, stride: 1 }
  const places = lines.map(() => 0)
  let start = 0
  for (;;) {
    let row = 0
    lines.forEach(({ size, stride }, axis) => {
      row = row * size + (stride < 0 ? size - 1 - places[axis] : places[axis])
    })
    const step = line.stride < 0 ? -1 : 1
    let source = row * line.size + (step < 0 ? line.size - 1 : 0)
    for (let item = 0; item < line.size; item++, source += step) {
      const at = (start + item) * words
      for (let word = 0; word < words; word++) to[at + word] = from[source * words + word]
    }
    start += line.size
    if (!advance(places, lines)) return target
  }
}

/** The next place of an odometer; false after the last one. */
function advance(places: number[], axes: readonly ViewAxis[]): boolean {
  let axis = axes.length - 1
  while (axis >= 0 && ++places[axis] === axes[axis].size) places[axis--] = 0
  return axis >= 0
}

/** Bytes as the widest words (at most 4 bytes) that make whole items. */
function wordsOf(bytes: Uint8Array, itemLength: number): Uint8Array | Uint16Array | Uint32Array {
  const wordLength = Math.min(itemLength, 4)
  if (wordLength === 1) return bytes
  const aligned = bytes.byteOffset % wordLength === 0 ? bytes : new Uint8Array(bytes)
  const { buffer, byteOffset, byteLength } = aligned
  return wordLength === 2
    ? new Uint16Array(buffer, byteOffset, byteLength / 2)
    : new Uint32Array(buffer, byteOffset, byteLength / 4)
}

/** A view without negative strides: one pass over each stretch of the whole that holds its elements. */
async function* readAscending(
  { offset, axes }: View,
  itemLength: number,
  read: ReadWhole,
): AsyncGenerator<Uint8Array> {
  const split = splitAtGaps(axes, itemLength)
  const apart = axes.slice(0, split)
  const near = axes.slice(split)
  const length = spanOf(near) * itemLength
  const out = new Gathering(itemLength, countOf(axes))
  const places = apart.map(() => 0)
  do {
    const first = apart.reduce((place, { stride }, axis) => place + places[axis] * stride, offset)
    const lines = new Lines(near)
    let passed = 0
    for await (const piece of wholeItems(
      read({ offset: first * itemLength, length }),
      itemLength,
    )) {
      const end = passed + piece.byteLength / itemLength
      let isPassedOn = false
      out.source = piece
      while (lines.next < end) {
        const stop = Math.min(lines.end, end)
        const count = Math.ceil((stop - lines.next) / lines.stride)
        if (lines.stride === 1 && count * itemLength >= passedBytes) {
          if (out.filledBytes > 0) yield out.flush()
          const start = (lines.next - passed) * itemLength
          lines.take(count)
          // The reader may give its memory away: only the last run of a piece can be passed on.
          isPassedOn = lines.next >= end
          const stretch = [start, start + count * itemLength] as const
          yield out.passOn(isPassedOn ? piece.subarray(...stretch) : piece.slice(...stretch))
        } else {
          lines.take(out.take(lines.next - passed, count, lines.stride))
          if (out.isFull) yield out.flush()
        }
      }
      passed = end
      if (!isPassedOn) freeMemory(piece)
    }
    if (lines.next !== Infinity) throw new Error('fewer bytes came than were asked for')
  } while (advance(places, apart))
  if (out.filledBytes > 0) yield out.flush()
}

/** How many outer axes have so much between their elements that it is not read over. */
function splitAtGaps(axes: readonly ViewAxis[], itemLength: number): number {
  let span = 1
  let split = 0
  for (let axis = axes.length - 1; axis >= 0; axis--) {
    const { size, stride } = axes[axis]
    if (split === 0 && (stride - span) * itemLength >= gapBytes) split = axis + 1
    span += (size - 1) * stride
  }
  return split
}

/** Elements from the first one of a view to its last. */
function spanOf(axes: readonly ViewAxis[]): number {
  return axes.reduce((span, { size, stride }) => span + (size - 1) * stride, 1)
}

/** Walks over the elements of a view line by line: `next`, `next + stride`, .. before `end`. */
class Lines {
  readonly #outer: readonly ViewAxis[]
  readonly #places: number[]
  readonly #length: number
  readonly stride: number
  /** Elements from the first one of the view; Infinity after the last one. */
  next = 0
  end: number

  constructor(axes: readonly ViewAxis[]) {
    const { size, stride } = axes[axes.length - 1] ?? { size: 1, stride: 1 }
    this.#outer = axes.slice(0, -1)
    this.#places = this.#outer.map(() => 0)
    this.#length = (size - 1) * stride + 1
    this.stride = stride
    this.end = this.#length
  }

  /** Goes on by so many elements of the line. */
  take(count: number): void {
    this.next += count * this.stride
    if (this.next < this.end) return
    const places = this.#places
    if (!advance(places, this.#outer)) {
      this.next = Infinity
      return
    }
    let next = 0
    for (let axis = 0; axis < places.length; axis++) next += places[axis] * this.#outer[axis].stride
    this.next = next
    this.end = next + this.#length
  }
}

/** The pieces, each of them whole items of `itemLength` bytes. */
export async function* wholeItems(
  pieces: AsyncIterable<Uint8Array>,
  itemLength: number,
): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array | undefined
  for await (const piece of pieces) {
    const bytes = rest === undefined ? piece : joined(rest, piece)
    const over = bytes.byteLength % itemLength
    rest = over === 0 ? undefined : bytes.slice(bytes.byteLength - over)
    if (bytes.byteLength > over)
      yield over === 0 ? bytes : bytes.subarray(0, bytes.byteLength - over)
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.byteLength + second.byteLength)
  bytes.set(first)
  bytes.set(second, first.byteLength)
  return bytes
}

/** Puts items together into pieces. */
class Gathering {
  readonly #itemLength: number
  readonly #words: number
  #leftBytes: number
  #piece = new Uint8Array(0)
  #target = wordsOf(this.#piece, 1)
  #source = wordsOf(this.#piece, 1)
  #filled = 0

  /** `count` items come in all, those included that are only passed on. */
  constructor(itemLength: number, count: number) {
    this.#itemLength = itemLength
    this.#words = itemLength / Math.min(itemLength, 4)
    this.#leftBytes = count * itemLength
  }

  /** Where the next items come from. */
  set source(piece: Uint8Array) {
    this.#source = wordsOf(piece, this.#itemLength)
  }

  get filledBytes(): number {
    return this.#filled * this.#itemLength
  }

  get isFull(): boolean {
    return this.filledBytes === this.#piece.byteLength
  }

  /** Takes items `first`, `first + stride`, ..: `most`, or as many as there is room for; says how many. */
  take(first: number, most: number, stride: number): number {
    if (this.#piece.byteLength === 0) {
      this.#piece = new Uint8Array(Math.min(pieceBytes, this.#leftBytes))
      this.#target = wordsOf(this.#piece, this.#itemLength)
    }
    const count = Math.min(most, this.#piece.byteLength / this.#itemLength - this.#filled)
    this.#copy(first, count, stride)
    this.#filled += count
    return count
  }

  /** What was put together since the last time. */
  flush(): Uint8Array {
    const { filledBytes } = this
    const piece = this.isFull ? this.#piece : this.#piece.subarray(0, filledBytes)
    this.#piece = new Uint8Array(0)
    this.#filled = 0
    this.#leftBytes -= filledBytes
    return piece
  }

  /** A run that needs no putting together. */
  passOn(run: Uint8Array): Uint8Array {
    this.#leftBytes -= run.byteLength
    return run
  }

  #copy(first: number, count: number, stride: number): void {
    const from = this.#source
    const to = this.#target
    const words = this.#words
    let at = this.#filled * words
    if (stride === 1 && count > fewItems) {
      to.set(from.subarray(first * words, (first + count) * words), at)
      return
    }
    for (let item = 0, place = first * words; item < count; item++, place += stride * words) {
      for (let word = 0; word < words; word++) to[at++] = from[place + word]
    }
  }
}
