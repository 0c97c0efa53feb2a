// Unique elements, partitions, stitching, searches and turned sequences.
import t from 'tap'
import {
  benchDevices,
  floats,
  ints,
  longs,
  numbers,
  outputsOf,
  texts,
  valuesOf,
  withEngine,
} from './bench.ts'

const floatType = { T: { type: 'float32' } } as const
const textType = { T: { type: 'string' } } as const

for (const device of benchDevices) {
  t.test(`unique elements on ${device}`, (t) =>
    withEngine(device, async (open) => {
      await t.test('unique elements come in the order in which they are met', async (t) => {
        const input = floats([6], [3, 1, 3, Number.NaN, 1, Number.NaN])
        const [y, idx, count] = await outputsOf(open, 'UniqueWithCounts', [input], floatType, 3)
        t.same(valuesOf(y), [3, 1, Number.NaN, Number.NaN])
        t.same(valuesOf(idx), [0, 1, 0, 2, 1, 3])
        t.same(valuesOf(count), [2, 2, 1, 1])
        const [names] = await outputsOf(open, 'Unique', [texts([3], ['b', 'a', 'b'])], textType, 2)
        t.same(valuesOf(names), ['b', 'a'])
        await t.rejects(outputsOf(open, 'Unique', [floats([1, 1], [1])], floatType, 2), {
          message: /^unique expects a 1D vector/,
        })
      })

      await t.test('unique slices across an axis', async (t) => {
        const grid = ints([2, 3], [1, 2, 1, 4, 5, 4])
        const types = { T: { type: 'int32' }, Taxis: { type: 'int32' } } as const
        const [y, idx] = await outputsOf(open, 'UniqueV2', [grid, ints([1], [1])], types, 2)
        t.same(y.shape, [2, 2])
        t.same(valuesOf(y), [1, 2, 4, 5])
        t.same(valuesOf(idx), [0, 1, 0])
      })

      await t.test('what one list has and the other lacks keeps its duplicates', async (t) => {
        const inputs = [ints([5], [5, 1, 5, 2, 3]), ints([2], [1, 3])]
        const [out, idx] = await outputsOf(open, 'ListDiff', inputs, { T: { type: 'int32' } }, 2)
        t.same(valuesOf(out), [5, 5, 2])
        t.same(valuesOf(idx), [0, 2, 3])
      })

      await t.test('positions of what is not zero: NaN is not, an empty string is', async (t) => {
        const [places] = await outputsOf(
          open,
          'Where',
          [floats([2, 2], [0, Number.NaN, -0, 2])],
          floatType,
        )
        t.same(places.shape, [2, 2])
        t.same(valuesOf(places), [0n, 1n, 1n, 1n])
        const [named] = await outputsOf(open, 'Where', [texts([2], ['', 'x'])], textType)
        t.same(valuesOf(named), [1n])
        const [none] = await outputsOf(open, 'Where', [numbers('bool', [], [true])], {
          T: { type: 'bool' },
        })
        t.same(none.shape, [1, 0])
      })

      await t.test('rows are dealt out and put together again', async (t) => {
        const data = floats([4, 2], [1, 2, 3, 4, 5, 6, 7, 8])
        const dealt = await outputsOf(
          open,
          'DynamicPartition',
          [data, ints([4], [1, 0, 1, 1])],
          { ...floatType, num_partitions: 3 },
          3,
        )
        t.same(dealt.map(valuesOf), [[3, 4], [1, 2, 5, 6, 7, 8], []])
        t.same(dealt[2].shape, [0, 2])
        await t.rejects(
          outputsOf(open, 'DynamicPartition', [data, ints([4], [0, 0, 3, 0])], {
            ...floatType,
            num_partitions: 3,
          }),
          { message: /^partitions\[2\] = 3 is not in \[0, 3\)/ },
        )
        const lists = [ints([], [3]), ints([2], [0, 3]), floats([1], [9]), floats([2, 1], [7, 8])]
        const [merged] = await outputsOf(open, 'DynamicStitch', lists, { ...floatType, N: 2 })
        t.same(merged.shape, [4, 1])
        t.same(valuesOf(merged), [7, 0, 0, 8])
        const [named] = await outputsOf(
          open,
          'DynamicStitch',
          [ints([1], [1]), ints([1], [0]), texts([1], ['b']), texts([1], ['a'])],
          { ...textType, N: 2 },
        )
        t.same(valuesOf(named), ['a', 'b'])
        const far = [ints([1], [2 ** 31 - 2]), floats([1], [1])]
        await t.rejects(outputsOf(open, 'DynamicStitch', far, { ...floatType, N: 1 }), {
          code: 'RESOURCE_EXHAUSTED',
        })
      })

      await t.test('bounds in sorted lists, below and above what is equal', async (t) => {
        const inputs = [floats([1, 5], [1, 3, 3, 3, 9]), floats([1, 5], [0, 1, 3, 9, 10])]
        const of = async (op: string): Promise<unknown> =>
          valuesOf((await outputsOf(open, op, inputs, floatType))[0])
        t.same(await of('LowerBound'), [0, 0, 1, 4, 5])
        t.same(await of('UpperBound'), [0, 1, 4, 5, 5])
        const [buckets] = await outputsOf(open, 'Bucketize', [ints([4], [-5, 0, 10, 11])], {
          T: { type: 'int32' },
          boundaries: { floats: [0, 10] },
        })
        t.same(valuesOf(buckets), [0, 1, 2, 2])
        await t.rejects(
          outputsOf(open, 'Bucketize', [ints([1], [1])], {
            T: { type: 'int32' },
            boundaries: { floats: [10, 0] },
          }),
          { message: /^Expected sorted boundaries/ },
        )
      })

      await t.test('sequences turn around up to their lengths', async (t) => {
        const data = floats([2, 3], [1, 2, 3, 4, 5, 6])
        const of = (lengths: number[]): Promise<readonly unknown[]> =>
          outputsOf(open, 'ReverseSequence', [data, longs([2], lengths)], {
            ...floatType,
            seq_dim: 1,
            batch_dim: 0,
          }).then(([result]) => valuesOf(result))
        t.same(await of([2, 3]), [2, 1, 3, 6, 5, 4])
        t.same(await of([0, 1]), [1, 2, 3, 4, 5, 6])
        await t.rejects(of([4, 1]), { message: /^seq_lens\(0\) > input.dims\(1\)/ })
        await t.rejects(of([1, -1]), { message: /^seq_lens\(1\) < 0/ })
      })
    }),
  )
}
