// By how much values differ: element by element as it is said, whatever pieces they come in.
import fc from 'fast-check'
import t from 'tap'
import { differenceOf } from '../../service/difference-figures.ts'
import { createDifferences } from '../../service/differences.ts'
import type { ByteRange, ReadableValue } from '../../service/index.ts'
import {
  byteLengthOf,
  type NumericDType,
  numericTensor,
  type TensorType,
  tensorOfElements,
} from '../../tensor/index.ts'

function bytesOf(
  dtype: NumericDType,
  elements: readonly (number | bigint | boolean)[],
): Uint8Array {
  return tensorOfElements(dtype, [elements.length], elements as number[]).bytes
}

const figuresOf = (
  dtype: NumericDType,
  before: readonly (number | bigint | boolean)[],
  after: readonly (number | bigint | boolean)[],
) => differenceOf(dtype, bytesOf(dtype, before), bytesOf(dtype, after))

t.test('equal elements do not differ: NaN is NaN, 0 is -0, infinity is infinity', async (t) => {
  const same = { differing: 0, notFinite: 0, greatest: 0, sum: 0 }
  const odd = [1, Number.NaN, Infinity, -Infinity, 0]
  for (const dtype of ['float64', 'float32', 'float16', 'bfloat16'] as const) {
    t.same(figuresOf(dtype, odd, [1, Number.NaN, Infinity, -Infinity, -0]), same, dtype)
  }
  t.same(figuresOf('float32', [], []), same)
})

t.test('what is no finite difference is counted and left out', async (t) => {
  t.same(figuresOf('float64', [1, Number.NaN, Infinity, 5], [2, 3, -Infinity, 2]), {
    differing: 4,
    notFinite: 2,
    greatest: 3,
    sum: 4,
  })
  const huge = Number.MAX_VALUE
  t.match(figuresOf('float64', [huge], [-huge]), { differing: 1, notFinite: 1, greatest: 0 })
})

t.test('64-bit integers differ exactly where a double can say it', async (t) => {
  const far = 2n ** 63n - 1n
  t.match(figuresOf('int64', [far], [far - 1n]), { differing: 1, greatest: 1, sum: 1 })
  t.match(figuresOf('int64', [-(2n ** 63n)], [far]), { greatest: 2 ** 64 })
  t.match(figuresOf('uint64', [2n ** 64n - 1n, 0n], [2n ** 64n - 3n, 0n]), {
    differing: 1,
    greatest: 2,
  })
  t.match(figuresOf('int64', [2n ** 32n], [2n ** 32n - 1n]), { greatest: 1 })
})

t.test('small integers, booleans and halves differ as numbers', async (t) => {
  t.match(figuresOf('uint8', [0, 255, 7], [255, 0, 7]), { differing: 2, greatest: 255, sum: 510 })
  t.match(figuresOf('int8', [-128], [127]), { greatest: 255 })
  t.match(figuresOf('bool', [true, false], [false, false]), { differing: 1, greatest: 1 })
  t.match(figuresOf('bfloat16', [1, 2], [1, 2.5]), { differing: 1, greatest: 0.5 })
})

t.test('complex elements differ by the magnitude of their difference', async (t) => {
  const complex = (...parts: readonly number[]) => new Uint8Array(new Float64Array(parts).buffer)
  const found = differenceOf(
    'complex128',
    complex(1, 2, Number.NaN, 1, 0, 5),
    complex(4, -2, Number.NaN, 1, 0, Number.NaN),
  )
  t.same(found, { differing: 2, notFinite: 1, greatest: 5, sum: 5 })
})

/** A value that comes in pieces of a length of its own. */
function inPieces(type: TensorType, all: Uint8Array, pieceLength: number): ReadableValue {
  return {
    ...type,
    byteLength: all.byteLength,
    digest: '',
    async *read({ offset, length }: ByteRange = { offset: 0, length: all.byteLength }) {
      for (let at = offset; at < offset + length; at += pieceLength) {
        yield all.slice(at, Math.min(at + pieceLength, offset + length))
      }
    },
    bytes: async () => all.slice(),
  }
}

t.test('pieces of any lengths give the same figures, here and in the thread', async (t) => {
  const taker = createDifferences()
  t.teardown(() => taker.close())
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<NumericDType>('float32', 'int64', 'complex64', 'uint8'),
      fc.integer({ min: 1, max: 20_000 }),
      fc.integer({ min: 500, max: 100_000 }),
      fc.integer({ min: 500, max: 100_000 }),
      fc.nat(1_000),
      async (dtype, count, firstLength, secondLength, seed) => {
        const type = { dtype, shape: [count] }
        const byteLength = count * byteLengthOf(dtype)
        const [a, b] = [0, 1].map((side) =>
          Uint8Array.from({ length: byteLength }, (_, index) =>
            index % 7 === 0 ? (index * 31 + side * seed) % 61 : index % 59,
          ),
        )
        const whole = differenceOf(dtype, a, b)
        const found = await taker.of(
          inPieces(type, a, firstLength),
          inPieces(type, b, secondLength),
        )
        return (
          found !== undefined &&
          found.elements === count &&
          found.differing === whole.differing &&
          found.greatest === whole.greatest &&
          Math.abs((found.mean ?? 0) * (count - whole.notFinite) - whole.sum) <= whole.sum * 1e-12
        )
      },
    ),
    { numRuns: 60 },
  )
  t.pass('in 60 cases')
})

t.test('only the stretches that differ are read', async (t) => {
  const taker = createDifferences()
  t.teardown(() => taker.close())
  const reads: ByteRange[] = []
  const value = (number: number): ReadableValue => {
    const tensor = numericTensor(
      'float32',
      [100_000],
      new Uint8Array(new Float32Array(100_000).fill(number).buffer),
    )
    const plain = inPieces(tensor, tensor.bytes, 50_000)
    return {
      ...plain,
      read: (range = { offset: 0, length: plain.byteLength }) => {
        reads.push(range)
        return plain.read(range)
      },
    }
  }
  const found = await taker.of(value(1), value(3), [
    { offset: 0, length: 4 },
    { offset: 80_000, length: 160_000 },
  ])
  t.match(found, { elements: 100_000, differing: 40_001, greatest: 2, mean: 0.80002 })
  t.same(
    reads.map(({ offset, length }) => [offset, length]),
    [
      [0, 4],
      [0, 4],
      [80_000, 160_000],
      [80_000, 160_000],
    ],
  )
})

t.test(
  'strings have no difference, and a failed read or a signal ends the comparison',
  async (t) => {
    const taker = createDifferences()
    t.teardown(() => taker.close())
    const strings = inPieces({ dtype: 'string', shape: [1] }, new Uint8Array(5), 5)
    t.equal(await taker.of(strings, strings), undefined)
    const large = inPieces({ dtype: 'uint8', shape: [200_000] }, new Uint8Array(200_000), 50_000)
    const broken: ReadableValue = {
      ...large,
      async *read() {
        yield new Uint8Array(50_000)
        throw new Error('the disk is gone')
      },
    }
    await t.rejects(taker.of(large, broken), { message: 'the disk is gone' })
    const abort = new AbortController()
    abort.abort()
    await t.rejects(taker.of(large, large, undefined, abort.signal), { code: 'CANCELLED' })
    t.match(await taker.of(large, large), { differing: 0, greatest: 0, mean: 0 }, 'others go on')
  },
)
