import fc from 'fast-check'
import t from 'tap'
import {
  parseBasicIndex,
  readView,
  shapeOfView,
  stridedSliceOf,
  viewOf,
} from '../../formats/index.ts'
import { elementCountOf, type Shape } from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'

type Nested = number | readonly Nested[]

/** 0, 1, 2, .. in nested lists. */
function counted(shape: Shape): Nested {
  let next = 0
  const build = (axis: number): Nested =>
    axis === shape.length ? next++ : Array.from({ length: shape[axis] }, () => build(axis + 1))
  return build(0)
}

type Oracle = (nested: Nested) => Nested

/** Python's own definition of a slice of a list: the places start, start + step, .. that exist. */
function pythonSlice(list: readonly Nested[], start: string, stop: string, step: string): Nested[] {
  const size = list.length
  const by = step === '' ? 1 : Number(step)
  const wrap = (bound: string) => (Number(bound) < 0 ? Number(bound) + size : Number(bound))
  const taken: Nested[] = []
  if (by > 0) {
    const from = start === '' ? 0 : Math.max(0, wrap(start))
    const to = stop === '' ? size : wrap(stop)
    for (let place = from; place < to && place < size; place += by) taken.push(list[place])
  } else {
    const from = start === '' ? size - 1 : Math.min(size - 1, wrap(start))
    const to = stop === '' ? -1 : Math.max(-1, wrap(stop))
    for (let place = from; place > to && place >= 0; place += by) taken.push(list[place])
  }
  return taken
}

/** NumPy's basic indexing, axis by axis on nested lists. */
function oracle(parts: readonly string[], rank: number): Oracle {
  const [part, ...rest] = parts
  if (part === undefined) return (nested) => nested
  if (part === '...') {
    const used = rest.filter((one) => one !== 'None').length
    const whole = Array.from({ length: rank - used }, () => ':')
    return oracle([...whole, ...rest], rank)
  }
  if (part === 'None') {
    const inner = oracle(rest, rank)
    return (nested) => [inner(nested)]
  }
  const inner = oracle(rest, rank - 1)
  const bounds = part.split(':')
  if (bounds.length === 1) {
    return (nested) => inner((nested as readonly Nested[]).at(Number(part)) as Nested)
  }
  const [start, stop, step = ''] = bounds
  return (nested) => pythonSlice(nested as readonly Nested[], start, stop, step).map(inner)
}

const bound = fc.oneof(fc.constant(''), fc.integer({ min: -7, max: 7 }).map(String))
const step = fc.constantFrom('', '1', '2', '3', '-1', '-2', '-5')
const range = fc
  .tuple(bound, bound, step)
  .map(([from, to, by]) => (by === '' ? `${from}:${to}` : `${from}:${to}:${by}`))

/** A shape and an index that fits it, as parts: some at its begin, `...` perhaps, some at its end. */
const cases = fc
  .tuple(
    fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
    fc.nat(4),
    fc.nat(4),
    fc.boolean(),
    fc.array(fc.nat(8), { maxLength: 2 }),
  )
  .chain(([shape, first, last, hasEllipsis, news]) =>
    fc.tuple(...shape.map(partOf)).map((parts) => {
      const head = parts.slice(0, first)
      const isOpen = hasEllipsis || head.length === 0
      const tail = isOpen ? parts.slice(Math.max(head.length, parts.length - last)) : []
      const all = [...head, ...(isOpen ? ['...'] : []), ...tail]
      for (const place of news) all.splice(place % (all.length + 1), 0, 'None')
      return { shape, parts: all }
    }),
  )

function partOf(size: number): fc.Arbitrary<string> {
  if (size === 0) return range
  return fc.oneof(range, fc.integer({ min: -size, max: size - 1 }).map(String))
}

/** A whole of `itemLength` bytes an element, each holding its number, that notes what is read of it. */
function wholeOf(count: number, itemLength: number, pieceLength: number) {
  const bytes = new Uint8Array(count * itemLength)
  for (let item = 0; item < count; item++) {
    for (let byte = 0; byte < itemLength; byte++) bytes[item * itemLength + byte] = item + byte
  }
  const ranges: { offset: number; length: number }[] = []
  async function* read(range: { offset: number; length: number }) {
    ranges.push(range)
    const end = range.offset + range.length
    if (range.offset < 0 || end > bytes.byteLength) throw new Error('read outside of the whole')
    for (let at = range.offset; at < end; at += pieceLength) {
      yield bytes.slice(at, Math.min(end, at + pieceLength))
    }
  }
  return { bytes, ranges, read }
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(piece.slice())
  return new Uint8Array(Buffer.concat(all))
}

t.test(
  'a slice shows what NumPy shows, whatever the index and however the bytes come',
  async (t) => {
    await fc.assert(
      fc.asyncProperty(
        cases,
        fc.constantFrom(1, 2, 4, 8, 16),
        fc.integer({ min: 1, max: 40 }),
        fc.tuple(
          fc.double({ min: 0, max: 1, noNaN: true }),
          fc.double({ min: 0, max: 1, noNaN: true }),
        ),
        async ({ shape, parts }, itemLength, pieceLength, [from, to]) => {
          const view = viewOf(parseBasicIndex(parts.join(',')), shape)
          const nested = oracle(parts, shape.length)(counted(shape))
          const items = flattened(nested)
          const viewed = shapeOfView(view)
          if (!viewed.includes(0)) t.same(shapeOfNested(nested), viewed)
          const { bytes, read } = wholeOf(elementCountOf(shape), itemLength, pieceLength)
          const wanted = Buffer.concat(
            items.map((item) => bytes.subarray(item * itemLength, (item + 1) * itemLength)),
          )
          const length = wanted.byteLength
          if (elementCountOf(viewed) !== items.length) throw new Error('the counts differ')
          const all = await collect(readView(view, itemLength, read, { offset: 0, length }))
          if (!wanted.equals(all)) throw new Error('the bytes differ')
          const offset = Math.floor(Math.min(from, to) * length)
          const end = Math.floor(Math.max(from, to) * length)
          const range = { offset, length: end - offset }
          const part = await collect(readView(view, itemLength, read, range))
          if (!wanted.subarray(offset, end).equals(part)) throw new Error('the range differs')
        },
      ),
      { numRuns: 1500 },
    )
  },
)

function flattened(nested: Nested): readonly number[] {
  return typeof nested === 'number' ? [nested] : nested.flatMap(flattened)
}

function shapeOfNested(nested: Nested): Shape {
  return typeof nested === 'number' ? [] : [nested.length, ...shapeOfNested(nested[0])]
}

t.test('only runs that hold wanted bytes are read, near ones together', async (t) => {
  const mebibyte = 2 ** 20
  const rowsOf = (rows: number, columns: number, text: string) => {
    const ranges: { offset: number; length: number }[] = []
    async function* read(range: { offset: number; length: number }) {
      ranges.push(range)
      for (let left = range.length; left > 0; left -= mebibyte) {
        yield new Uint8Array(Math.min(left, mebibyte))
      }
    }
    const view = viewOf(parseBasicIndex(text), [rows, columns])
    const length = elementCountOf(shapeOfView(view)) * 4
    return { ranges, pieces: readView(view, 4, read, { offset: 0, length }), length }
  }
  const ranges = async (rows: number, columns: number, text: string) => {
    const { ranges, pieces } = rowsOf(rows, columns, text)
    for await (const _ of pieces);
    return ranges
  }
  t.same(await ranges(1000, 1000, '10:12'), [{ offset: 40_000, length: 8000 }])
  t.same(await ranges(1000, 1000, '7, -1'), [{ offset: 31_996, length: 4 }])
  t.same(
    await ranges(8, mebibyte, '::4, :3'),
    [
      { offset: 0, length: 12 },
      { offset: 16 * mebibyte, length: 12 },
    ],
    'rows of 4 MiB are skipped',
  )
  t.same(await ranges(3, 1000, ':, 5'), [{ offset: 20, length: 8004 }], 'a column is one pass')
  t.same(await ranges(1000, 1000, '3:3'), [], 'nothing is read of an empty slice')
  t.same(await ranges(4, 4, '::-1, ::-1'), [{ offset: 0, length: 64 }])
  const turned = await ranges(64 * mebibyte, 1, '::-1')
  t.equal(turned.length, 64, 'a long value is turned around in blocks of 4 MiB')
  t.same(turned[0], { offset: 252 * mebibyte, length: 4 * mebibyte })
  const { pieces } = rowsOf(16, mebibyte, '1:, 0')
  const lengths: number[] = []
  for await (const piece of pieces) lengths.push(piece.byteLength)
  t.same(lengths, [60], 'what is far apart still comes out together')
})

t.test('long runs are passed on without being copied', async (t) => {
  const given = new Uint8Array(2 ** 20)
  async function* read() {
    yield given
  }
  const view = viewOf(parseBasicIndex('1'), [4, 2 ** 18])
  for await (const piece of readView(view, 4, read, { offset: 0, length: 2 ** 20 })) {
    t.equal(piece.buffer, given.buffer)
  }
})

t.test('what was passed on may be given away', async (t) => {
  const rows = 4
  const width = 2 ** 16
  async function* read({ offset, length }: { offset: number; length: number }) {
    yield Uint8Array.from({ length }, (_, at) => (offset + at) / width)
  }
  const view = viewOf(parseBasicIndex(':, 1:'), [rows, width + 1])
  const seen: number[] = []
  for await (const piece of readView(view, 1, read, { offset: 0, length: rows * width })) {
    seen.push(piece.byteLength)
    structuredClone(piece.buffer, { transfer: [piece.buffer as ArrayBuffer] })
  }
  t.same(seen, [width, width, width, width])
})

t.test('texts that are no basic index are refused with what is wrong', async (t) => {
  const messages: readonly (readonly [string, RegExp])[] = [
    ['', /an empty part/],
    ['1,,2', /an empty part/],
    ['1:2:3:4', /holds "1:2:3:4", which is no integer/],
    ['::0', /slice step cannot be zero/],
    ['...,...', /only have a single/],
    ['1.5', /holds "1.5", which/],
    ['[1,2],3', /holds "\[1", which/],
    ['x>0', /holds "x>0", which/],
    ['99999999999999999', /2\^53/],
    ['9007199254740993', /2\^53/],
    ['0,'.repeat(600), /600 parts|parts/],
    [':'.repeat(9000), /at most 8192/],
  ]
  for (const [text, message] of messages) {
    t.throws(
      () => parseBasicIndex(text),
      { ...refused({ reason: 'slice/invalid' }), message },
      text,
    )
  }
  t.same(parseBasicIndex('[ 0 : 10 , : , -1, ]'), parseBasicIndex('0:10,:,-1'))
  t.same(parseBasicIndex('None:None:None'), parseBasicIndex(':'))
})

t.test('integers outside of their axis are refused, ranges are clamped', async (t) => {
  const view = (text: string, shape: Shape) => viewOf(parseBasicIndex(text), shape)
  t.throws(
    () => view('0, 5', [2, 3]),
    refused({
      reason: 'slice/out-of-bounds',
      message: 'In the slice "0,5": index 5 is out of bounds for axis 1 with size 3.',
    }),
  )
  t.throws(() => view('-3', [2]), { message: /index -3 is out of bounds for axis 0 with size 2/ })
  t.throws(() => view('..., 0', [0]), { message: /axis 0 with size 0/ })
  t.throws(() => view('0,0', [2]), {
    message: /too many indices for array: array is 1-dimensional, but 2 were indexed/,
  })
  t.same(shapeOfView(view('-100:100, 9007199254740991:', [2, 3])), [2, 0])
  t.same(shapeOfView(view('None,...,None', [2])), [1, 2, 1])
  t.same(shapeOfView(view('...', [])), [])
})

t.test('an index gives the attributes that TensorFlow gives StridedSlice', async (t) => {
  t.same(stridedSliceOf(parseBasicIndex('1:, ..., None, -1, :4:2')), {
    begin: [1, 0, 0, -1, 0],
    end: [0, 0, 0, 0, 4],
    strides: [1, 1, 1, 1, 2],
    begin_mask: 0b10000,
    end_mask: 0b00001,
    ellipsis_mask: 0b00010,
    new_axis_mask: 0b00100,
    shrink_axis_mask: 0b01000,
  })
  t.throws(
    () => stridedSliceOf(parseBasicIndex(Array(32).fill('0').join(','))),
    refused({ reason: 'slice/invalid' }),
  )
})
