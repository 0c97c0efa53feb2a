import fc from 'fast-check'
import t from 'tap'
import type { ReadableValue } from '../../service/index.ts'
import { defaultLimits } from '../../service/limits.ts'
import { createStatistics } from '../../service/statistics.ts'
import {
  bfloat16BitsOf,
  type DType,
  type NumericDType,
  packStrings,
  type Shape,
  stringTensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'

/** A value in memory, given out in pieces of `pieceLength` bytes; counts how often it is read. */
function readable(dtype: DType, shape: Shape, bytes: Uint8Array, pieceLength = 1000) {
  let reads = 0
  async function* read({ offset, length } = { offset: 0, length: bytes.byteLength }) {
    reads++
    for (let at = offset; at < offset + length; at += pieceLength) {
      yield bytes.slice(at, Math.min(offset + length, at + pieceLength))
    }
  }
  const value: ReadableValue = {
    dtype,
    shape,
    byteLength: bytes.byteLength,
    digest: `${dtype}${Math.random()}`,
    read,
    bytes: async () => bytes.slice(),
  }
  return { value, reads: () => reads }
}

function numbers(dtype: NumericDType, elements: readonly (number | bigint)[]) {
  const { bytes } = tensorOfElements(dtype, [elements.length], elements)
  return readable(dtype, [elements.length], bytes, 3).value
}

t.test('statistics', async (t) => {
  const statistics = createStatistics(defaultLimits)
  t.teardown(() => statistics.close())

  t.test('figures of few numbers are those found by head', async (t) => {
    const figures = await statistics.of(numbers('float32', [2, 4, 4, 4, 5, 5, 7, 9]), 7)
    t.same(figures, {
      of: 'elements',
      count: 8,
      zeros: 0,
      nans: 0,
      positiveInfinities: 0,
      negativeInfinities: 0,
      min: 2,
      max: 9,
      mean: 5,
      std: 2,
      histogram: { counts: [1, 0, 3, 2, 0, 1, 1], edges: [2, 3, 4, 5, 6, 7, 8, 9] },
    })
  })

  t.test('what is not finite is counted and left out of the rest', async (t) => {
    const odd = [Number.NaN, Infinity, -0, 0, 3, -Infinity, Infinity, -1]
    t.match(await statistics.of(numbers('float64', odd), 2), {
      count: 8,
      zeros: 2,
      nans: 1,
      positiveInfinities: 2,
      negativeInfinities: 1,
      min: -1,
      max: 3,
      mean: 0.5,
      histogram: { counts: [3, 1], edges: [-1, 1, 3] },
    })
    const none = await statistics.of(numbers('float32', [Number.NaN]), 2)
    t.match(none, { count: 1, min: undefined, mean: undefined, std: undefined })
    t.same(none.histogram, { counts: [0, 0], edges: [] })
    t.match(await statistics.of(numbers('int8', []), 1), { count: 0, min: undefined })
  })

  t.test('every element type is read as what it means', async (t) => {
    const ofType = async (dtype: NumericDType, elements: readonly (number | bigint)[]) => {
      const { min, max, mean } = await statistics.of(numbers(dtype, elements), 1)
      return [min, max, mean]
    }
    for (const dtype of ['int8', 'int16', 'int32', 'qint8', 'qint16', 'qint32'] as const) {
      t.same(await ofType(dtype, [-3, 1, -1]), [-3, 1, -1], dtype)
    }
    for (const dtype of ['uint8', 'uint16', 'uint32', 'quint8', 'quint16'] as const) {
      t.same(await ofType(dtype, [200, 0, 100]), [0, 200, 100], dtype)
    }
    for (const dtype of ['float16', 'bfloat16', 'float32', 'float64'] as const) {
      t.same(await ofType(dtype, [-2.5, 0.5, 5]), [-2.5, 5, 1], dtype)
    }
    t.same(await ofType('bool', [1, 0, 1, 0]), [0, 1, 0.5])
    const e5m2 = readable('float8_e5m2', [3], Uint8Array.of(0x3c, 0xc0, 0x00)).value
    t.match(await statistics.of(e5m2, 1), { min: -2, max: 1, zeros: 1 })
    const e4m3 = readable('float8_e4m3fn', [4], Uint8Array.of(0x38, 0xfe, 0x01, 0x7f)).value
    t.match(await statistics.of(e4m3, 1), { min: -448, max: 1, nans: 1 })
    t.equal(bfloat16BitsOf(-2.5) & 0x8000, 0x8000)
  })

  t.test('64-bit integers keep every digit of their extremes', async (t) => {
    const big = 2n ** 63n
    t.match(await statistics.of(numbers('int64', [-big, big - 1n, 0n, -5n]), 1), {
      min: -big,
      max: big - 1n,
      zeros: 1,
    })
    t.match(await statistics.of(numbers('uint64', [2n ** 64n - 1n, 2n ** 64n - 2n]), 1), {
      min: 2n ** 64n - 2n,
      max: 2n ** 64n - 1n,
    })
    t.match(await statistics.of(numbers('int64', [4n, -2n]), 1), { mean: 1, std: 3 })
  })

  t.test('complex numbers are judged by magnitude, strings by length', async (t) => {
    const complex = tensorOfElements(
      'complex64',
      [3],
      [
        [3, 4],
        [0, 0],
        [Number.NaN, Infinity],
      ],
    )
    const magnitudes = await statistics.of(readable('complex64', [3], complex.bytes).value, 1)
    t.match(magnitudes, { of: 'magnitudes', min: 0, max: 5, mean: 2.5, zeros: 1, nans: 1 })
    const texts = ['abc', '', 'x'.repeat(300)].map((text) => new TextEncoder().encode(text))
    const packed = packStrings(stringTensor([3], texts))
    t.match(await statistics.of(readable('string', [3], packed).value, 1), {
      of: 'lengths',
      count: 3,
      zeros: 1,
      min: 0,
      max: 300,
      mean: 101,
    })
  })

  t.test('sums neither lose small parts nor overflow', async (t) => {
    const shifted = await statistics.of(
      numbers('float64', [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]),
      1,
    )
    t.equal(shifted.mean, 1e9 + 10)
    t.equal(shifted.std, Math.sqrt(22.5))
    const huge = await statistics.of(numbers('float64', [1.5e308, -1.5e308, 1.5e308, 1.5e308]), 3)
    t.equal(huge.mean, 7.5e307)
    t.ok(Math.abs((huge.std ?? 0) / 1.299038105676658e308 - 1) < 1e-15)
    t.same(huge.histogram.counts, [1, 0, 3])
    const tiny = await statistics.of(numbers('float64', [1e-200, 3e-200]), 1)
    t.ok(Math.abs((tiny.std ?? 0) / 1e-200 - 1) < 1e-15)
    const alike = await statistics.of(numbers('float64', Array(10).fill(0.1)), 4)
    t.match(alike, { min: 0.1, max: 0.1, mean: 0.1, std: 0 })
    t.same(alike.histogram, {
      counts: [0, 0, 10, 0],
      edges: [-0.4, -0.15000000000000002, 0.09999999999999998, 0.35, 0.6],
    })
  })

  t.test('figures agree with a plain reckoning, on the thread and off it', async (t) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(1, 1000),
        async (elements, bins, repeats) => {
          const all = Array.from({ length: repeats }, () => elements).flat()
          const { bytes } = tensorOfElements('float64', [all.length], all)
          const found = await statistics.of(
            readable('float64', [all.length], bytes, 4096).value,
            bins,
          )
          const mean = elements.reduce((sum, one) => sum + one, 0) / elements.length
          const squares = elements.reduce((sum, one) => sum + (one - mean) ** 2, 0)
          const near = (a = 0, b = 0) => Math.abs(a - b) <= 1e-9
          if (!near(found.mean, mean)) throw new Error(`mean ${found.mean}, not ${mean}`)
          const std = Math.sqrt(squares / elements.length)
          if (!near(found.std, std)) throw new Error(`std ${found.std}, not ${std}`)
          const { counts, edges } = found.histogram
          const wanted = counts.map(
            (_, bin) =>
              all.filter((one) => one >= edges[bin] && (one < edges[bin + 1] || bin === bins - 1))
                .length,
          )
          t.same(counts, wanted)
        },
      ),
      { numRuns: 60 },
    )
  })

  t.test('the same bytes are not counted twice, other numbers of bins are', async (t) => {
    const { value, reads } = readable('float32', [50_000], new Uint8Array(200_000), 65_536)
    const [first, second] = await Promise.all([statistics.of(value, 3), statistics.of(value, 3)])
    t.same(first, second)
    t.match(first, { count: 50_000, zeros: 50_000 })
    t.equal(reads(), 2, 'once for each pass')
    await statistics.of(value, 4)
    t.equal(reads(), 4)
  })

  t.test('the calling thread has turns for others while a large value is counted', async (t) => {
    const pieceCount = 32
    const { value } = readable(
      'uint8',
      [pieceCount * 2 ** 20],
      new Uint8Array(32 * 2 ** 20),
      2 ** 20,
    )
    let turns = 0
    const count = (): void => {
      turns++
      turning = setImmediate(count)
    }
    let turning = setImmediate(count)
    t.match(await statistics.of(value, 10), { count: 32 * 2 ** 20, zeros: 32 * 2 ** 20 })
    clearImmediate(turning)
    t.ok(turns > pieceCount, `${turns} turns`)
  })

  t.test('bins beyond the limit are refused', async (t) => {
    const value = numbers('float32', [1])
    await t.rejects(statistics.of(value, 1025), refused({ reason: 'statistics/invalid' }))
    await t.rejects(statistics.of(value, 0), refused({ reason: 'statistics/invalid' }))
  })

  t.test('work ends when the last one who waits for it has gone, and not before', async (t) => {
    const { value, reads } = readable('uint8', [300_000], new Uint8Array(300_000), 65_536)
    const [one, other] = [new AbortController(), new AbortController()]
    const waiting = [one, other].map(({ signal }) => statistics.of(value, 7, signal))
    one.abort()
    await t.rejects(waiting[0], refused({ code: 'CANCELLED', reason: 'wait/cancelled' }))
    t.match(await waiting[1], { count: 300_000 })
    t.equal(reads(), 2)
    const lonely = readable('uint8', [300_000], new Uint8Array(300_000), 65_536)
    const leaving = new AbortController()
    const alone = statistics.of(lonely.value, 7, leaving.signal)
    leaving.abort()
    await t.rejects(alone, refused({ reason: 'wait/cancelled' }))
    t.match(await statistics.of(lonely.value, 7), { count: 300_000 }, 'asked again, taken anew')
    t.ok(lonely.reads() <= 3, 'the first one has not gone on to its second pass')
    await t.rejects(statistics.of(value, 7, leaving.signal), refused({ reason: 'wait/cancelled' }))
  })

  t.test('a value that cannot be read leaves the next one unharmed', async (t) => {
    const { value } = readable('float32', [50_000], new Uint8Array(200_000), 65_536)
    const broken: ReadableValue = {
      ...value,
      digest: 'broken',
      async *read() {
        yield new Uint8Array(65_536)
        throw new Error('the disk is gone')
      },
    }
    const [failed, next] = await Promise.allSettled([
      statistics.of(broken, 5),
      statistics.of(value, 5),
    ])
    t.equal(failed.status, 'rejected')
    t.match(next, { status: 'fulfilled', value: { count: 50_000 } })
  })
})

t.test('more values than may wait are refused', async (t) => {
  const statistics = createStatistics({ ...defaultLimits, statisticsQueued: 2 })
  t.teardown(() => statistics.close())
  const values = [1, 2, 3].map(() => readable('uint8', [100_000], new Uint8Array(100_000)).value)
  const outcomes = await Promise.allSettled(values.map((value) => statistics.of(value, 1)))
  t.same(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  )
  t.match(outcomes[2], { reason: refused({ reason: 'statistics/too-many' }) })
})
