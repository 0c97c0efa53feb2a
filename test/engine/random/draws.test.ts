// Draws in bulk, against TensorFlow's rules spelled out one number at a time.
import t from 'tap'
import {
  type Draw,
  Draws,
  Philox,
  type PhiloxState,
  type RandomDType,
  shuffledPlaces,
  skipped,
} from '../../../engine/random/index.ts'
import {
  elementArrayOf,
  elementsOf,
  numericTensor,
  tensorOfElements,
} from '../../../tensor/index.ts'

const draws = new Draws()
const state: PhiloxState = { key: [5, 0x80000006], counter: [0xfffffff0, 0xffffffff, 9, 10] }

function elements(draw: Draw, count: number, from = state): readonly (number | bigint)[] {
  const bytes = draws.bytes(draw, from, count)
  return elementsOf(numericTensor(draw.dtype, [count], bytes)) as (number | bigint)[]
}

function* wordsOf(from: PhiloxState): Generator<number, never> {
  const philox = new Philox(from)
  for (;;) yield* philox.next()
}

function firstWords(count: number, from = state): readonly number[] {
  const words = wordsOf(from)
  return Array.from({ length: count }, () => words.next().value)
}

/** The number as an element of the type. */
function rounded(dtype: RandomDType, value: number): number {
  return elementsOf(tensorOfElements(dtype, [], [value]))[0] as number
}

const fraction32 = (word: number): number => (word & 0x7fffff) / 2 ** 23
const fraction64 = (high: number, low: number): number =>
  ((high & 0xfffff) * 2 ** 32 + low) / 2 ** 52

/** Box and Muller's pair, rounded to float32 wherever TensorFlow's arithmetic is float32. */
function pair32(first: number, second: number): readonly number[] {
  const { fround } = Math
  const uniform = Math.max(fraction32(first), fround(1e-7))
  const angle = fround(2 * Math.PI * fraction32(second))
  const radius = fround(Math.sqrt(fround(-2 * fround(Math.log(uniform)))))
  return [Math.sin(angle), Math.cos(angle)].map((part) => fround(fround(part) * radius))
}

function pair64(words: readonly number[]): readonly number[] {
  const uniform = Math.max(fraction64(words[0], words[1]), 1e-7)
  const angle = 2 * Math.PI * fraction64(words[2], words[3])
  const radius = Math.sqrt(-2 * Math.log(uniform))
  return [Math.sin(angle) * radius, Math.cos(angle) * radius]
}

t.test('uniform numbers are the low bits of words: as many as the type has', async (t) => {
  const words = firstWords(14)
  const of = (bits: number): readonly number[] =>
    words.slice(0, 7).map((word) => (word & (2 ** bits - 1)) / 2 ** bits)
  t.same(elements({ kind: 'uniform', dtype: 'float32' }, 7), of(23))
  t.same(elements({ kind: 'uniform', dtype: 'float16' }, 7), of(10))
  t.same(elements({ kind: 'uniform', dtype: 'bfloat16' }, 7), of(7))
  t.same(
    elements({ kind: 'uniform', dtype: 'float64' }, 7),
    Array.from({ length: 7 }, (_, at) => fraction64(words[2 * at], words[2 * at + 1])),
  )
})

t.test('whole numbers are remainders, of one word or of two', async (t) => {
  const words = firstWords(10)
  t.same(
    elements({ kind: 'integers', dtype: 'int32', low: -3n, range: 10n }, 5),
    words.slice(0, 5).map((word) => (word % 10) - 3),
  )
  const wide = Array.from(
    { length: 5 },
    (_, at) => BigInt(words[2 * at]) | (BigInt(words[2 * at + 1]) << 32n),
  )
  const range = 2n ** 63n + 11n
  t.same(
    elements({ kind: 'integers', dtype: 'int64', low: -(2n ** 62n), range }, 5),
    wide.map((value) => (value % range) - 2n ** 62n),
  )
  t.same(elements({ kind: 'bits', dtype: 'uint32' }, 5), words.slice(0, 5))
  t.same(elements({ kind: 'bits', dtype: 'uint64' }, 5), wide)
  const all = {
    kind: 'integers',
    dtype: 'int32',
    low: -(2n ** 31n),
    range: 2n ** 32n - 1n,
  } as const
  t.same(
    elements(all, 5),
    words.slice(0, 5).map((word) => ((word % (2 ** 32 - 1)) - 2 ** 31) | 0),
  )
})

t.test('normal numbers are pairs of Box and Muller, sine first', async (t) => {
  const count = 1000
  const words = firstWords(2 * count)
  const expected = Array.from({ length: count / 2 }, (_, at) =>
    pair32(words[2 * at], words[2 * at + 1]),
  ).flat()
  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    t.same(
      elements({ kind: 'normal', dtype }, count),
      expected.map((value) => rounded(dtype, value)),
      dtype,
    )
  }
  const wide = Array.from({ length: count / 2 }, (_, at) => pair64(words.slice(4 * at, 4 * at + 4)))
  t.same(elements({ kind: 'normal', dtype: 'float64' }, count), wide.flat())
})

/** Truncated normal numbers, each group from a stretch of its own, in which what is too large is left out. */
function truncated(dtype: RandomDType, count: number): readonly number[] {
  const group = dtype === 'float64' ? 2 : 4
  const values: number[] = []
  for (let start = 0; start < count; start += group) {
    const words = wordsOf(skipped(state, BigInt(start / group) * BigInt(group * 64)))
    const next = (): number => words.next().value
    const drawn: number[] = []
    while (drawn.length < group) {
      const pair =
        dtype === 'float64' ? pair64([next(), next(), next(), next()]) : pair32(next(), next())
      drawn.push(...pair.filter((value) => Math.abs(value) < 2))
    }
    values.push(...drawn.slice(0, group))
  }
  return values.slice(0, count).map((value) => rounded(dtype, value))
}

t.test('truncated normal numbers leave out what is two deviations away', async (t) => {
  for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const) {
    const count = dtype === 'float32' ? 9999 : 999
    t.same(elements({ kind: 'truncated_normal', dtype }, count), truncated(dtype, count), dtype)
  }
})

t.test('a long draw is what short ones of its stretches are', async (t) => {
  // Pieces are cut at every 65,536 numbers of 32 bits.
  const count = 2 * 65_536 + 5
  const kinds = [
    ['uniform', 'float32', 4n],
    ['uniform', 'float16', 4n],
    ['normal', 'float64', 2n],
    ['truncated_normal', 'float32', 4n],
  ] as const
  for (const [kind, dtype, group] of kinds) {
    const whole = elementArrayOf(dtype, draws.bytes({ kind, dtype }, state, count))
    const start = 65_536 - 12
    const stretch = kind === 'truncated_normal' ? 256n : 1n
    const from = skipped(state, (BigInt(start) / group) * stretch)
    const part = elementArrayOf(dtype, draws.bytes({ kind, dtype }, from, 40))
    t.same([...whole.subarray(start, start + 40)], [...part], `${kind} ${dtype}`)
    t.equal(whole.length, count)
  }
  t.equal(draws.bytes({ kind: 'normal', dtype: 'float32' }, state, 0).length, 0)
})

t.test('shuffled places are swapped forwards, a word for each', async (t) => {
  const words = firstWords(4)
  const places = [0, 1, 2, 3, 4]
  for (const [place, word] of words.entries()) {
    const other = place + (word % (5 - place))
    ;[places[place], places[other]] = [places[other], places[place]]
  }
  t.same([...shuffledPlaces(state, 5)], places)
})

t.test('several threads draw what one draws, again and again, and end', async (t) => {
  const crew = new Draws(3)
  // Drawn by several threads from four pieces on, sixteen at a time.
  const count = 21 * 65_536 + 3
  for (const kind of ['uniform', 'truncated_normal', 'normal'] as const) {
    const draw = { kind, dtype: 'float32' } as const
    for (let round = 0; round < 3; round++) {
      const from = skipped(state, BigInt(round))
      const got = Buffer.from(crew.bytes(draw, from, count))
      t.equal(got.compare(draws.bytes(draw, from, count)), 0, `${kind}, round ${round}`)
    }
    // The next draw starts threads anew.
    if (kind === 'uniform') await crew.close()
  }
  await crew.close()
  await crew.close()
})
