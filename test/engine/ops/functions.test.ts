// Complex numbers, Fourier transforms, special functions and fake quantization.
import t from 'tap'
import { benchDevices, floats, ints, numbers, outputsOf, valuesOf, withEngine } from './bench.ts'

const float = { T: { type: 'float32' } } as const
const complex = { T: { type: 'complex64' } } as const

function near(values: readonly unknown[]): unknown[] {
  return values.map((value) =>
    Array.isArray(value) ? near(value) : Math.round(Number(value) * 1e5) / 1e5 + 0,
  )
}

for (const device of benchDevices) {
  t.test(`functions on ${device}`, (t) =>
    withEngine(device, async (open) => {
      const one = async (
        op: string,
        inputs: Parameters<typeof outputsOf>[2],
        attributes: Parameters<typeof outputsOf>[3] = float,
      ): Promise<unknown[]> => near(valuesOf((await outputsOf(open, op, inputs, attributes))[0]))
      const z = numbers('complex64', [1], [[3, 4]])
      const i = numbers('complex64', [1], [[0, 1]])

      await t.test('complex numbers are added, multiplied and divided', async (t) => {
        t.same(await one('AddV2', [z, i], complex), [[3, 5]])
        t.same(await one('Mul', [z, i], complex), [[-4, 3]])
        t.same(await one('RealDiv', [z, i], complex), [[4, -3]])
        t.same(await one('Sqrt', [z], complex), [[2, 1]])
        t.same(await one('Conj', [z], complex), [[3, -4]])
        const turned = await one('ConjugateTranspose', [z, ints([1], [0])], complex)
        t.same(turned, [[3, -4]])
        t.same(await one('ComplexAbs', [z], complex), [5])
        t.same(await one('Imag', [z], complex), [4])
        t.same(await one('Equal', [z, z], complex), [1])
        await t.rejects(one('Less', [z, z], complex), { code: 'UNIMPLEMENTED' })
      })

      await t.test('e to the power of i pi is -1', async (t) => {
        t.same(await one('Exp', [numbers('complex64', [1], [[0, Math.PI]])], complex), [[-1, 0]])
      })

      await t.test('a transform there and back changes nothing, of any length', async (t) => {
        const wave = numbers(
          'complex64',
          [3],
          [
            [1, 0],
            [2, 0],
            [4, 0],
          ],
        )
        const type = { Tcomplex: { type: 'complex64' } } as const
        const [there] = await outputsOf(open, 'FFT', [wave], type)
        t.same(near(valuesOf(there))[0], [7, 0])
        t.same(await one('IFFT', [there], type), [
          [1, 0],
          [2, 0],
          [4, 0],
        ])
      })

      await t.test('real waves have half a spectrum', async (t) => {
        const type = { Treal: { type: 'float32' }, Tcomplex: { type: 'complex64' } } as const
        const wave = floats([4], [1, 0, -1, 0])
        const [half] = await outputsOf(open, 'RFFT', [wave, ints([1], [4])], type)
        t.same(near(valuesOf(half)), [
          [0, 0],
          [2, 0],
          [0, 0],
        ])
        t.same(await one('IRFFT', [half, ints([1], [4])], type), [1, 0, -1, 0])
        await t.rejects(one('RFFT', [wave, ints([1], [5])], type), {
          message: /^Input dimension 0 must have length of at least 5 but got: 4/,
        })
      })

      await t.test('special functions at points where they are known', async (t) => {
        const x = (...values: number[]) => floats([values.length], values)
        t.same(
          await one('Ndtri', [x(0, 0.5, 1)]),
          near([Number.NEGATIVE_INFINITY, 0, Number.POSITIVE_INFINITY]),
        )
        t.same(await one('Erfinv', [x(-0.8427008, 0.8427008)]), [-1, 1])
        t.same(await one('Igamma', [x(1), x(1)]), near([1 - Math.exp(-1)]))
        t.same(await one('Igammac', [x(1), x(1)]), near([Math.exp(-1)]))
        t.same(await one('Betainc', [x(2), x(2), x(0.5)]), [0.5])
        t.same(await one('Zeta', [x(2), x(1)]), near([Math.PI ** 2 / 6]))
        t.same(await one('Polygamma', [x(1), x(1)]), near([Math.PI ** 2 / 6]))
      })

      await t.test('fake quantization keeps 0 and the steps', async (t) => {
        const values = floats([4], [-1, 0.4, 1.6, 9])
        const attributes = { min: { float: 0 }, max: { float: 3 }, num_bits: 2 }
        t.same(await one('FakeQuantWithMinMaxArgs', [values], attributes), [0, 0, 2, 3])
        const gradients = floats([4], [1, 2, 4, 8])
        const ends = [floats([], [0]), floats([], [3])]
        const made = await outputsOf(
          open,
          'FakeQuantWithMinMaxVarsGradient',
          [gradients, values, ...ends],
          { num_bits: 2 },
          3,
        )
        t.same(made.map(valuesOf), [[0, 2, 4, 0], [1], [8]])
      })
    }),
  )
}
