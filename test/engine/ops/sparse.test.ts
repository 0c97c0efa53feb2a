// Sparse and ragged tensors, and sets.
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
const wide = { ...floatType, Tindices: { type: 'int64' } } as const

for (const device of benchDevices) {
  t.test(`sparse tensors on ${device}`, (t) =>
    withEngine(device, async (open) => {
      await t.test('made dense, over a default', async (t) => {
        const inputs = [longs([2, 2], [0, 1, 1, 0]), longs([2], [2, 2]), floats([2], [5, 6])]
        const [dense] = await outputsOf(open, 'SparseToDense', [...inputs, floats([], [-1])], wide)
        t.same(valuesOf(dense), [-1, 5, 6, -1])
        const [named] = await outputsOf(
          open,
          'SparseToDense',
          [longs([1], [2]), longs([1], [3]), texts([], ['x']), texts([], ['-'])],
          { T: { type: 'string' }, Tindices: { type: 'int64' } },
        )
        t.same(valuesOf(named), ['-', '-', 'x'])
        const [later] = await outputsOf(
          open,
          'SparseToDense',
          [longs([2], [1, 1]), longs([1], [2]), floats([2], [3, 4]), floats([], [0])],
          { ...wide, validate_indices: false },
        )
        t.same(valuesOf(later), [0, 4])
      })

      await t.test('indices that repeat, fall or leave the shape are refused', async (t) => {
        const of = (indices: number[]): Promise<unknown> =>
          outputsOf(
            open,
            'SparseToDense',
            [longs([2], indices), longs([1], [3]), floats([], [1]), floats([], [0])],
            wide,
          )
        await t.rejects(of([1, 1]), { message: /^indices\[1\] = \[1\] is repeated/ })
        await t.rejects(of([2, 1]), { message: /^indices\[1\] = \[1\] is out of order/ })
        await t.rejects(of([1, 3]), { message: /^indices\[1\] = \[3\] is out of bounds/ })
      })

      await t.test('added to, multiplied with and reduced', async (t) => {
        const sparse = [longs([2, 2], [0, 1, 1, 0]), floats([2], [5, 6]), longs([2], [2, 2])]
        const dense = floats([2, 2], [1, 2, 3, 4])
        const big = [2n ** 60n, 2n ** 60n, 2n ** 60n, 2n ** 60n]
        const of = async (op: string, more: Parameters<typeof outputsOf>[2], attributes = {}) =>
          valuesOf((await outputsOf(open, op, [...sparse, ...more], { ...wide, ...attributes }))[0])
        t.same(await of('SparseTensorDenseAdd', [dense]), [1, 7, 9, 4])
        t.same(await of('SparseTensorDenseMatMul', [dense]), [15, 20, 6, 12])
        t.same(await of('SparseTensorDenseMatMul', [dense], { adjoint_a: true }), [18, 24, 5, 10])
        t.same(await of('SparseTensorDenseMatMul', [dense], { adjoint_b: true }), [10, 20, 6, 18])
        t.same(await of('SparseReduceSum', [ints([1], [0])]), [6, 5])
        t.same(await of('SparseReduceSum', [ints([0], [])]), [11])
        t.same(await of('SparseReduceMax', [ints([1], [-1])], { keep_dims: true }), [5, 6])
        const [exact] = await outputsOf(
          open,
          'SparseTensorDenseAdd',
          [sparse[0], numbers('int64', [2], [1n, 2n]), sparse[2], numbers('int64', [2, 2], big)],
          { T: { type: 'int64' }, Tindices: { type: 'int64' } },
        )
        t.same(valuesOf(exact), [big[0], big[1] + 1n, big[2] + 2n, big[3]])
        await t.rejects(of('SparseDenseCwiseDiv', [floats([3], [1, 1, 1])]), {
          code: 'INVALID_ARGUMENT',
        })
        t.same(await of('SparseDenseCwiseMul', [floats([2], [10, 100])]), [500, 60])
      })

      await t.test('reshaped, put in order, cut and joined', async (t) => {
        const indices = longs([2, 2], [0, 1, 1, 2])
        const [moved, shape] = await outputsOf(
          open,
          'SparseReshape',
          [indices, longs([2], [2, 3]), longs([2], [3, -1])],
          {},
          2,
        )
        t.same(valuesOf(moved), [0n, 1n, 2n, 1n])
        t.same(valuesOf(shape), [3n, 2n])
        await t.rejects(
          outputsOf(open, 'SparseReshape', [indices, longs([2], [2, 3]), longs([1], [7])], {}, 2),
          { code: 'INVALID_ARGUMENT' },
        )
        const [, ordered] = await outputsOf(
          open,
          'SparseReorder',
          [longs([2, 1], [3, 1]), floats([2], [7, 8]), longs([1], [4])],
          floatType,
          2,
        )
        t.same(valuesOf(ordered), [8, 7])
        const cut = await outputsOf(
          open,
          'SparseSlice',
          [
            indices,
            floats([2], [5, 6]),
            longs([2], [2, 3]),
            longs([2], [1, 1]),
            longs([2], [9, 9]),
          ],
          floatType,
          3,
        )
        t.same(cut.map(valuesOf), [[0n, 1n], [6], [1n, 2n]])
        const one = [longs([1, 2], [0, 1]), floats([1], [1]), longs([2], [1, 2])]
        const joined = await outputsOf(
          open,
          'SparseConcat',
          one.flatMap((part) => [part, part]),
          { ...floatType, N: 2, concat_dim: 1 },
          3,
        )
        t.same(joined.map(valuesOf), [
          [0n, 1n, 0n, 3n],
          [1, 1],
          [1n, 4n],
        ])
      })

      await t.test('rows without a value get the default', async (t) => {
        const outputs = await outputsOf(
          open,
          'SparseFillEmptyRows',
          [longs([2, 2], [2, 1, 0, 3]), floats([2], [7, 8]), longs([2], [4, 5]), floats([], [-1])],
          floatType,
          4,
        )
        t.same(outputs.map(valuesOf), [
          [0n, 3n, 1n, 0n, 2n, 1n, 3n, 0n],
          [8, -1, 7, -1],
          [false, true, false, true],
          [2n, 0n],
        ])
      })

      await t.test('sets of rows', async (t) => {
        const a = ints([2, 3], [3, 1, 3, 5, 5, 5])
        const b = ints([2, 2], [1, 9, 5, 5])
        const of = async (operation: string): Promise<unknown> =>
          (
            await outputsOf(
              open,
              'DenseToDenseSetOperation',
              [a, b],
              { T: { type: 'int32' }, set_operation: operation },
              3,
            )
          ).map((output) => valuesOf(output).map(Number))
        t.same(await of('a-b'), [[0, 0], [3], [2, 1]])
        t.same(await of('intersection'), [
          [0, 0, 1, 0],
          [1, 5],
          [2, 1],
        ])
        t.same(await of('union'), [
          [0, 0, 0, 1, 0, 2, 1, 0],
          [1, 3, 9, 5],
          [2, 3],
        ])
        await t.rejects(of('xor'), { message: /^Invalid set_operation xor/ })
        const [sizes] = await outputsOf(
          open,
          'SetSize',
          [longs([3, 2], [0, 0, 0, 1, 2, 0]), ints([3], [4, 4, 5]), longs([2], [3, 2])],
          { T: { type: 'int32' } },
        )
        t.same(valuesOf(sizes), [1, 0, 1])
      })
    }),
  )

  t.test(`ragged tensors on ${device}`, (t) =>
    withEngine(device, async (open) => {
      await t.test('ranges of every row', async (t) => {
        const [splits, values] = await outputsOf(
          open,
          'RaggedRange',
          [ints([3], [0, 5, 4]), ints([3], [3, 5, 0]), ints([3], [1, 1, -2])],
          { T: { type: 'int32' } },
          2,
        )
        t.same(valuesOf(splits), [0n, 3n, 3n, 5n])
        t.same(valuesOf(values), [0, 1, 2, 4, 2])
        await t.rejects(
          outputsOf(open, 'RaggedRange', [ints([], [0]), ints([], [1]), ints([], [0])], {
            T: { type: 'int32' },
          }),
          { message: /^Requires delta != 0/ },
        )
      })

      const toTensor = async (
        shape: number[],
        partitions: Parameters<typeof outputsOf>[2],
        types: string[],
        values = floats([3], [1, 2, 3]),
      ) => {
        const wanted = shape.length === 0 ? longs([], [-1]) : longs([shape.length], shape)
        const [dense] = await outputsOf(
          open,
          'RaggedTensorToTensor',
          [wanted, values, floats([], [0]), ...partitions],
          {
            ...floatType,
            Tindex: { type: 'int64' },
            Tshape: { type: 'int64' },
            num_row_partition_tensors: partitions.length,
            row_partition_types: { texts: types },
          },
        )
        return [dense.shape, valuesOf(dense)]
      }

      await t.test('rows are filled up or cut', async (t) => {
        const splits = [longs([4], [0, 2, 2, 3])]
        t.same(await toTensor([], splits, ['ROW_SPLITS']), [
          [3, 2],
          [1, 2, 0, 0, 3, 0],
        ])
        t.same(await toTensor([2, 3], splits, ['ROW_SPLITS']), [
          [2, 3],
          [1, 2, 0, 0, 0, 0],
        ])
        const ids = [longs([], [3]), longs([3], [0, 0, 2])]
        t.same(await toTensor([-1, 1], ids, ['FIRST_DIM_SIZE', 'VALUE_ROWIDS']), [
          [3, 1],
          [1, 0, 3],
        ])
        const nested = [longs([3], [0, 1, 2]), longs([3], [0, 1, 3])]
        t.same(await toTensor([], nested, ['ROW_SPLITS', 'ROW_SPLITS']), [
          [2, 1, 2],
          [1, 0, 2, 3],
        ])
        await t.rejects(toTensor([], [longs([2], [0, 2])], ['ROW_SPLITS']), {
          code: 'INVALID_ARGUMENT',
        })
        await t.rejects(toTensor([], [longs([3], [0, 5, 3])], ['ROW_SPLITS']), {
          code: 'INVALID_ARGUMENT',
        })
      })

      await t.test('rows are picked, and become sparse', async (t) => {
        const splits = longs([4], [0, 2, 2, 3])
        const values = floats([3], [1, 2, 3])
        const picked = await outputsOf(
          open,
          'RaggedGather',
          [splits, values, ints([3], [2, 1, 0])],
          {
            Tvalues: { type: 'float32' },
            Tindices: { type: 'int32' },
            PARAMS_RAGGED_RANK: 1,
            OUTPUT_RAGGED_RANK: 1,
          },
          2,
        )
        t.same(picked.map(valuesOf), [
          [0n, 1n, 1n, 3n],
          [3, 1, 2],
        ])
        const sparse = await outputsOf(
          open,
          'RaggedTensorToSparse',
          [splits, values],
          { ...floatType, RAGGED_RANK: 1 },
          3,
        )
        t.same(sparse.map(valuesOf), [
          [0n, 0n, 0n, 1n, 2n, 0n],
          [1, 2, 3],
          [3n, 2n],
        ])
      })
    }),
  )
}
