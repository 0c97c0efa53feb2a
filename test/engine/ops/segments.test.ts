// Segment reductions, counts and orderings.
import t from 'tap'
import { benchDevices, floats, ints, numbers, outputsOf, valuesOf, withEngine } from './bench.ts'

const lowest = -3.4028234663852886e38
const floatType = { T: { type: 'float32' }, Tindices: { type: 'int32' } } as const

for (const device of benchDevices) {
  t.test(`segments on ${device}`, (t) =>
    withEngine(device, async (open) => {
      const rows = floats([4, 2], [1, 2, 3, 4, 5, 6, 7, 8])

      await t.test('runs of one id are reduced; a gap holds the neutral value', async (t) => {
        const ids = ints([4], [0, 0, 2, 2])
        const of = async (op: string): Promise<unknown> =>
          valuesOf((await outputsOf(open, op, [rows, ids], floatType))[0])
        t.same(await of('SegmentSum'), [4, 6, 0, 0, 12, 14])
        t.same(await of('SegmentMean'), [2, 3, 0, 0, 6, 7])
        t.same(await of('SegmentProd'), [3, 8, 1, 1, 35, 48])
        t.same(await of('SegmentMin'), [1, 2, 0, 0, 5, 6])
        t.same(await of('SegmentMax'), [3, 4, 0, 0, 7, 8])
      })

      await t.test('ids that fall or are negative are refused', async (t) => {
        const of = (ids: number[]): Promise<unknown> =>
          outputsOf(open, 'SegmentSum', [rows, ints([4], ids)], floatType)
        await t.rejects(of([0, 1, 0, 1]), { message: /^segment ids are not increasing/ })
        await t.rejects(of([-1, 0, 0, 0]), { message: /^segment ids must be >= 0/ })
      })

      await t.test('unsorted ids go anywhere, negative ones nowhere', async (t) => {
        const ids = ints([4], [2, -1, 0, 2])
        const of = async (op: string): Promise<unknown> =>
          valuesOf((await outputsOf(open, op, [rows, ids, ints([], [3])], floatType))[0])
        t.same(await of('UnsortedSegmentSum'), [5, 6, 0, 0, 8, 10])
        t.same(await of('UnsortedSegmentProd'), [5, 6, 1, 1, 7, 16])
        t.same(await of('UnsortedSegmentMax'), [5, 6, lowest, lowest, 7, 8])
        await t.rejects(
          outputsOf(open, 'UnsortedSegmentSum', [rows, ids, ints([], [2])], floatType),
          { message: /^segment_ids\[0\] = 2 is out of range \[0, 2\)/ },
        )
      })

      await t.test(
        'one segment with nearly all rows of many is reduced all the same',
        async (t) => {
          const count = 2000
          const ids = Array.from({ length: count }, (_, row) => (row % 50 === 0 ? row : 7))
          const [sums] = await outputsOf(
            open,
            'UnsortedSegmentSum',
            [floats([count], new Array(count).fill(1)), ints([count], ids), ints([], [count])],
            floatType,
          )
          const values = valuesOf(sums) as number[]
          t.equal(values[7], 1960)
          t.equal(values[50], 1)
          t.equal(values[51], 0)
          const [largest] = await outputsOf(
            open,
            'UnsortedSegmentMax',
            [floats([count], [...ids.keys()]), ints([count], ids), ints([], [count])],
            floatType,
          )
          t.same(valuesOf(largest).slice(6, 8), [lowest, 1999])
        },
      )

      await t.test('whole numbers stay exact, means of them are cut', async (t) => {
        const wide = numbers('int64', [3], [2n ** 60n, 1n, -4n])
        const ids = ints([3], [0, 0, 1])
        const attributes = { T: { type: 'int64' }, Tindices: { type: 'int32' } } as const
        const [sum] = await outputsOf(open, 'SegmentSum', [wide, ids], attributes)
        t.same(valuesOf(sum), [2n ** 60n + 1n, -4n])
        const [mean] = await outputsOf(open, 'SegmentMean', [ints([3], [-1, -2, 5]), ids], {
          T: { type: 'int32' },
          Tindices: { type: 'int32' },
        })
        t.same(valuesOf(mean), [-1, 5])
      })

      await t.test('sparse segments pick rows first', async (t) => {
        const picks = [rows, ints([3], [3, 0, 0]), ints([3], [0, 0, 1])]
        const [mean] = await outputsOf(open, 'SparseSegmentMean', picks, { T: { type: 'float32' } })
        t.same(valuesOf(mean), [4, 5, 1, 2])
        const [root] = await outputsOf(
          open,
          'SparseSegmentSqrtN',
          [rows, ints([4], [0, 0, 0, 0]), ints([4], [0, 0, 0, 0])],
          { T: { type: 'float32' } },
        )
        t.same(valuesOf(root), [2, 4])
        const [grad] = await outputsOf(
          open,
          'SparseSegmentMeanGrad',
          [floats([2, 1], [6, 8]), ints([3], [3, 0, 0]), ints([3], [0, 0, 1]), ints([], [4])],
          { T: { type: 'float32' } },
        )
        t.same(valuesOf(grad), [11, 0, 0, 3])
      })

      await t.test('counts leave out what is too large and refuse what is negative', async (t) => {
        const of = (values: number[], weights: number[]): Promise<readonly unknown[]> =>
          outputsOf(
            open,
            'Bincount',
            [ints([values.length], values), ints([], [3]), floats([weights.length], weights)],
            { T: { type: 'float32' } },
          ).then(([bins]) => valuesOf(bins))
        t.same(await of([1, 1, 2, 9], []), [0, 2, 1])
        t.same(await of([1, 1, 2, 9], [0.5, 0.25, 4, 1]), [0, 0.75, 4])
        await t.rejects(of([1, -1], []), { message: /^Input arr must be non-negative!/ })
        const rowCounts = async (weights: number[], isBinary: boolean): Promise<unknown> => {
          const inputs = [ints([2, 3], [0, 2, 2, 1, 1, 7]), ints([], [3])]
          const shape = weights.length === 0 ? [0] : [2, 3]
          const [bins] = await outputsOf(
            open,
            'DenseBincount',
            [...inputs, floats(shape, weights)],
            {
              T: { type: 'float32' },
              Tidx: { type: 'int32' },
              binary_output: isBinary,
            },
          )
          return [bins.shape, valuesOf(bins)]
        }
        t.same(await rowCounts([], false), [
          [2, 3],
          [1, 0, 2, 0, 2, 0],
        ])
        t.same(await rowCounts([], true), [
          [2, 3],
          [1, 0, 1, 0, 1, 0],
        ])
        t.same(await rowCounts([1, 2, 3, 4, 5, 6], false), [
          [2, 3],
          [1, 0, 5, 0, 9, 0],
        ])
      })
    }),
  )

  t.test(`orderings on ${device}`, (t) =>
    withEngine(device, async (open) => {
      await t.test('the first of equals is first; NaN is the largest', async (t) => {
        const input = floats([2, 4], [1, 3, 3, 2, -1, Number.NaN, -2, -1])
        const [values, places] = await outputsOf(
          open,
          'TopKV2',
          [input, ints([], [3])],
          { T: { type: 'float32' } },
          2,
        )
        t.same(valuesOf(values), [3, 3, 2, Number.NaN, -1, -1])
        t.same(valuesOf(places), [1, 2, 3, 1, 0, 3])
        await t.rejects(
          outputsOf(open, 'TopKV2', [input, ints([], [5])], { T: { type: 'float32' } }, 2),
          { message: /^input must have at least k columns/ },
        )
      })

      await t.test('a few of very many are found without sorting them', async (t) => {
        const many = Array.from({ length: 1000 }, (_, place) => (place * 7) % 1000)
        const [values] = await outputsOf(
          open,
          'TopKV2',
          [floats([1000], many), ints([], [2])],
          { T: { type: 'float32' } },
          2,
        )
        t.same(valuesOf(values), [999, 998])
      })

      await t.test('ties with the target do not push it out of the top; NaN says no', async (t) => {
        const predictions = floats([3, 3], [5, 5, 1, 1, 2, 3, 1, Number.NaN, 3])
        const of = async (targets: number[], k: number): Promise<unknown> => {
          const inputs = [predictions, ints([3], targets), ints([], [k])]
          return valuesOf((await outputsOf(open, 'InTopKV2', inputs))[0])
        }
        t.same(await of([0, 0, 2], 1), [true, false, false])
        t.same(await of([2, 1, 2], 2), [false, true, false])
        t.same(await of([3, -1, 0], 3), [false, false, false])
      })

      await t.test('the n-th counts from the smallest, or from the largest', async (t) => {
        const input = floats([1, 4], [4, 1, 3, 2])
        const of = async (n: number, reverse: boolean): Promise<unknown> =>
          valuesOf(
            (
              await outputsOf(open, 'NthElement', [input, ints([], [n])], {
                T: { type: 'float32' },
                reverse,
              })
            )[0],
          )
        t.same(await of(1, false), [2])
        t.same(await of(0, true), [4])
      })

      await t.test('values beyond the range of a histogram count in its outer bins', async (t) => {
        const [bins] = await outputsOf(
          open,
          'HistogramFixedWidth',
          [floats([6], [-1, 0, 1.5, 2, 5, 15]), floats([2], [0, 5]), ints([], [5])],
          { T: { type: 'float32' } },
        )
        t.same(valuesOf(bins), [2, 1, 1, 0, 2])
      })
    }),
  )
}
