// Diagonals, einsum, decompositions and systems of equations, by numbers that can be checked by head.
import t from 'tap'
import { benchDevices, floats, ints, numbers, outputsOf, valuesOf, withEngine } from './bench.ts'

const float = { T: { type: 'float32' } } as const

/** Values to five places. */
function near(values: readonly unknown[]): number[] {
  return values.map((value) => Math.round(Number(value) * 1e5) / 1e5 + 0)
}

for (const device of benchDevices) {
  t.test(`matrices on ${device}`, (t) =>
    withEngine(device, async (open) => {
      const one = async (
        op: string,
        inputs: Parameters<typeof outputsOf>[2],
        attributes: Parameters<typeof outputsOf>[3] = float,
      ): Promise<unknown[]> => valuesOf((await outputsOf(open, op, inputs, attributes))[0])
      const square = floats([3, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9])

      await t.test('a band keeps what is near the diagonal', async (t) => {
        const band = { ...float, Tindex: { type: 'int32' } } as const
        t.same(
          await one('MatrixBandPart', [square, ints([], [1]), ints([], [0])], band),
          [1, 0, 0, 4, 5, 0, 0, 8, 9],
        )
        await t.rejects(one('MatrixBandPart', [square, ints([], [4]), ints([], [0])], band), {
          message: /^num_lower must be negative or less or equal to number of rows \(3\) got: 4/,
        })
      })

      await t.test('V3 aligns upper diagonals right and lower ones left', async (t) => {
        t.same(
          await one('MatrixDiagPartV3', [square, ints([2], [-1, 1]), floats([], [-1])]),
          [-1, 2, 6, 1, 5, 9, 4, 8, -1],
        )
        t.same(
          await one('MatrixDiagPartV3', [square, ints([2], [-1, 1]), floats([], [-1])], {
            ...float,
            align: 'LEFT_RIGHT',
          }),
          [2, 6, -1, 1, 5, 9, -1, 4, 8],
        )
        t.same(
          await one('MatrixSetDiagV3', [
            square,
            floats([2, 3], [0, 20, 60, 10, 50, 90]),
            ints([2], [0, 1]),
          ]),
          [10, 20, 3, 4, 50, 60, 7, 8, 90],
        )
      })

      await t.test('diagonals make a matrix of the sizes that are asked for', async (t) => {
        const sizes = [ints([], [1]), ints([], [2]), ints([], [3]), floats([], [9])] as const
        t.same(await one('MatrixDiagV3', [floats([2], [5, 6]), ...sizes]), [9, 5, 9, 9, 9, 6])
        await t.rejects(one('MatrixDiagV3', [floats([3], [5, 6, 7]), ...sizes]), {
          message: /^The number of rows is too small/,
        })
      })

      await t.test('einsum names axes: traces, diagonals, products that broadcast', async (t) => {
        const of = (equation: string, ...inputs: Parameters<typeof outputsOf>[2]) =>
          one('Einsum', inputs, { ...float, equation, N: inputs.length })
        t.same(await of('ii->', square), [15])
        t.same(await of('ii->i', square), [1, 5, 9])
        t.same(await of('i->ii', floats([2], [1, 2])), [1, 0, 0, 2])
        t.same(await of('...i,i->...', square, floats([3], [1, 0, 1])), [4, 10, 16])
        await t.rejects(of('ij,jk->ik', square, floats([2, 1], [1, 1])), {
          message:
            /^Expected dimension 3 at axis 0 of the input shaped \[2,1\] but got dimension 2/,
        })
      })

      await t.test('the cross product of x and y is z', async (t) => {
        t.same(await one('Cross', [floats([3], [1, 0, 0]), floats([3], [0, 1, 0])]), [0, 0, 1])
      })

      await t.test('a positive matrix has a lower factor, others are refused', async (t) => {
        t.same(await one('Cholesky', [floats([2, 2], [4, 99, 2, 5])]), [2, 0, 1, 2])
        await t.rejects(one('Cholesky', [floats([2, 2], [1, 2, 2, 1])]), {
          message: /^Cholesky decomposition was not successful/,
        })
      })

      await t.test('factors come with the order of rows that they are of', async (t) => {
        const [packed, order] = await outputsOf(
          open,
          'Lu',
          [floats([2, 2], [1, 2, 4, 4])],
          { ...float, output_idx_type: { type: 'int32' } },
          2,
        )
        t.same(valuesOf(packed), [4, 4, 0.25, 1])
        t.same(valuesOf(order), [1, 0])
      })

      await t.test(
        'a singular matrix has determinant 0, no logarithm and no inverse',
        async (t) => {
          const flat = floats([2, 2], [1, 2, 2, 4])
          t.same(await one('MatrixDeterminant', [flat]), [0])
          const both = await outputsOf(open, 'LogMatrixDeterminant', [flat], float, 2)
          t.same(
            both.map((output) => valuesOf(output)[0]),
            [0, Number.NEGATIVE_INFINITY],
          )
          await t.rejects(one('MatrixInverse', [flat]), { message: /^Input is not invertible/ })
          await t.rejects(one('MatrixSolve', [flat, flat]), {
            message: /^Input matrix is not invertible/,
          })
        },
      )

      await t.test('equations are solved, also transposed ones', async (t) => {
        const matrix = floats([2, 2], [2, 1, 0, 4])
        const rhs = floats([2, 1], [4, 8])
        t.same(await one('MatrixSolve', [matrix, rhs]), [1, 2])
        t.same(await one('MatrixSolve', [matrix, rhs], { ...float, adjoint: true }), [2, 1.5])
        t.same(
          await one('MatrixTriangularSolve', [matrix, rhs], { ...float, lower: false }),
          [1, 2],
        )
        const tall = floats([3, 1], [1, 1, 1])
        const lengths = [tall, floats([3, 1], [1, 2, 6]), numbers('float64', [], [0])]
        t.same(near(await one('MatrixSolveLs', lengths)), [3])
        t.same(near(await one('MatrixSolveLs', lengths, { ...float, fast: false })), [3])
      })

      await t.test('reflections give R a negative first element', async (t) => {
        const [q, r] = await outputsOf(open, 'Qr', [floats([2, 1], [3, 4])], float, 2)
        t.same(near(valuesOf(q)), [-0.6, -0.8])
        t.same(near(valuesOf(r)), [-5])
      })

      await t.test('singular values fall; eigenvalues rise', async (t) => {
        const [s, u, v] = await outputsOf(open, 'Svd', [floats([2, 2], [0, 3, 4, 0])], float, 3)
        t.same(near(valuesOf(s)), [4, 3])
        t.same(near(valuesOf(u).map((x) => Math.abs(Number(x)))), [0, 1, 1, 0])
        t.same(near(valuesOf(v).map((x) => Math.abs(Number(x)))), [1, 0, 0, 1])
        const symmetric = floats([2, 2], [2, 99, 1, 2])
        const [e] = await outputsOf(open, 'SelfAdjointEigV2', [symmetric], float, 2)
        t.same(near(valuesOf(e)), [1, 3])
      })

      await t.test('complex matrices are multiplied, and conjugated where adjoint', async (t) => {
        const type = { T: { type: 'complex64' } } as const
        const row = numbers(
          'complex64',
          [1, 2],
          [
            [0, 1],
            [1, 0],
          ],
        )
        const column = numbers(
          'complex64',
          [2, 1],
          [
            [0, 1],
            [2, 0],
          ],
        )
        t.same(await one('MatMul', [row, column], type), [[1, 0]])
        t.same(await one('BatchMatMulV2', [row, row], { ...type, adj_y: true }), [[2, 0]])
      })
    }),
  )
}
