// Every form of kernel that the WebGPU device prints gives the reference device's bits.
import t from 'tap'
import { referenceDevice } from '../../../../engine/device/reference/index.ts'
import type { Expression, Kernel, ScalarType } from '../../../../engine/ir/index.ts'
import { chooseWebgpuTiling, type WebgpuTiling } from '../../../../engine/tile/webgpu.ts'
import { runKernel, softwareDevice } from './device.ts'
import {
  apply,
  denseKernel,
  gatherKernel,
  mapKernel,
  padKernel,
  rowKernel,
  updateKernel,
} from './kernels.ts'

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

/** Small whole numbers, so that sums are exact in any order. */
const floats = (count: number, scale = 1): Uint8Array =>
  bytesOf(Float32Array.from({ length: count }, (_, place) => (((place * 7) % 11) - 5) * scale))

interface Same {
  same(found: unknown, wanted: unknown, message: string): unknown
}

t.test('forms', async (t) => {
  let forced: Partial<WebgpuTiling> = {}
  const device = await softwareDevice(t, {
    tiling: (kernel, facts) => chooseWebgpuTiling(kernel, facts, forced),
  })
  if (!device) return
  const reference = referenceDevice()
  const compare = async (
    t: Same,
    kernel: Kernel,
    inputs: readonly Uint8Array[],
    what: string,
  ): Promise<void> => {
    const [got, want] = [
      await runKernel(device, kernel, inputs),
      await runKernel(reference, kernel, inputs),
    ]
    t.same(got, want, what)
  }

  await t.test('a register tile of any shape gives the plain sums', async (t) => {
    const inputs = (m: number, k: number, n: number) => [floats(m * k), floats(k * n), floats(n)]
    for (const [m, k, n] of [
      [5, 7, 3],
      [16, 4, 8],
      [1, 3, 9],
    ]) {
      for (const outer of [1, 2, 4]) {
        for (const inner of [2, 3]) {
          forced = {
            form: 'invocation',
            tile: [
              { axis: 0, outputs: outer, invocations: 2 },
              { axis: 1, outputs: inner, invocations: 4 },
            ],
          }
          await compare(
            t,
            denseKernel(m, k, n),
            inputs(m, k, n),
            `${m}x${k}x${n} ${outer} ${inner}`,
          )
        }
      }
      forced = { form: 'invocation', tile: [] }
      await compare(t, denseKernel(m, k, n), inputs(m, k, n), `${m}x${k}x${n} untiled`)
      forced = { form: 'workgroup' }
      await compare(t, denseKernel(m, k, n), inputs(m, k, n), `${m}x${k}x${n} by workgroups`)
    }
  })

  await t.test('a reduction is the same by one invocation and by a workgroup', async (t) => {
    const cases: readonly [Parameters<typeof rowKernel>[0], ScalarType][] = [
      ['sum', 'float32'],
      ['sum', 'int8'],
      ['product', 'int32'],
      ['max', 'float32'],
      ['min', 'uint16'],
      ['max', 'bfloat16'],
      ['argmax', 'float32'],
      ['argmin', 'int16'],
      ['all', 'bool'],
      ['any', 'bool'],
    ]
    for (const form of ['invocation', 'workgroup'] as const) {
      forced = { form, workgroupSize: 32, tile: [] }
      for (const [combine, dtype] of cases) {
        for (const [rows, outer, inner] of [
          [3, 5, 9],
          [2, 1, 1],
          [2, 0, 4],
        ]) {
          const count = rows * outer * inner
          const bits = Uint16Array.from({ length: count }, (_, place) => (place * 40503) >> 3)
          const input: Record<string, Uint8Array> = {
            float32: floats(count),
            int32: bytesOf(Int32Array.from(bits, (value) => (value % 3) - 1)),
            bool: Uint8Array.from(bits, (value) => (value % 5 === 0 ? 0 : 1)),
            int8: bytesOf(Int8Array.from(bits)),
            int16: bytesOf(Int16Array.from(bits)),
            uint16: bytesOf(bits),
            bfloat16: bytesOf(bits.map((value) => value & 0x7f7f)),
          }
          const kernel = rowKernel(combine, dtype, rows, outer, inner)
          await compare(t, kernel, [input[dtype]], `${form} ${combine} ${dtype} ${count}`)
        }
      }
    }
  })

  await t.test('NaN wins a maximum and never an argmax, whoever sees it', async (t) => {
    const values = Float32Array.from({ length: 90 }, (_, place) => place % 13)
    values[71] = Number.NaN
    for (const form of ['invocation', 'workgroup'] as const) {
      forced = { form, workgroupSize: 16, tile: [] }
      for (const combine of ['max', 'min', 'argmax', 'argmin'] as const) {
        const kernel = rowKernel(combine, 'float32', 2, 5, 9)
        const { reads } = await runKernel(device, kernel, [bytesOf(values)])
        const want = await runKernel(reference, kernel, [bytesOf(values)])
        if (combine.startsWith('arg')) t.same(reads, want.reads, combine)
        else
          t.same([...new Float32Array(reads[0].buffer)], [combine === 'max' ? 12 : 0, Number.NaN])
      }
    }
  })

  forced = {}
  await t.test('no compiler undoes a rounding', async (t) => {
    const exact = (value: number) => ({ kind: 'constant', dtype: 'float32', value }) as const
    const values = bytesOf(Float32Array.of(0.001, 0.1, 3, 1e-8, 0.3, 7, 1 / 3))
    const others = bytesOf(Float32Array.of(3.3, 0.7, 1e-3, 5, 1e9, 0.1, 3))
    const plusOne = (a: Expression) => apply('add', [a, exact(1)])
    const cases: Record<string, (a: Expression, b: Expression) => Expression> = {
      '(a + 1) - 1': (a, _b) => apply('sub', [plusOne(a), exact(1)]),
      '(a + b) - a': (a, b) => apply('sub', [apply('add', [a, b]), a]),
      'a - (a - b)': (a, b) => apply('sub', [a, apply('sub', [a, b])]),
      '(a x 3.3) x 0.7': (a, _b) => apply('mul', [apply('mul', [a, exact(3.3)]), exact(0.7)]),
      'a x b + a x 3.3': (a, b) =>
        apply('add', [apply('mul', [a, b]), apply('mul', [a, exact(3.3)])]),
    }
    for (const [name, value] of Object.entries(cases)) {
      await compare(t, mapKernel('float32', 7, 2, value), [values, others], name)
    }
  })

  await t.test('infinities, NaN and signed zeros come through constants', async (t) => {
    const kernel = (value: number): Kernel =>
      mapKernel('float32', 2, 1, (x) =>
        apply('select', [apply('less', [x, x]), x, constant(value)]),
      )
    const constant = (value: number) => apply('to_float32', [exact(value)], 'float32')
    const exact = (value: number) => ({ kind: 'constant', dtype: 'float32', value }) as const
    for (const value of [Infinity, -Infinity, -0, 0.1, 2 ** -126, 3.4028234663852886e38]) {
      await compare(t, kernel(value), [floats(2)], String(value))
    }
    const { reads } = await runKernel(device, kernel(Number.NaN), [floats(2)])
    t.same([...new Float32Array(reads[0].buffer)], [Number.NaN, Number.NaN])
  })

  await t.test(
    'every half survives, and every sum of halves is rounded as on the CPU',
    async (t) => {
      const every = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits)
      const isNan = (bits: number) => (bits & 0x7fff) > 0x7c00
      const halves = every.filter((bits) => !isNan(bits))
      const shifted = halves.map((_, place) => halves[(place * 40503) % halves.length])
      const sum = mapKernel('float16', halves.length, 2, (a, b) => apply('add', [a, b]))
      const { reads } = await runKernel(device, sum, [bytesOf(halves), bytesOf(shifted)])
      const [a, b] = [halves, shifted].map((bits) => new Float16Array(bits.buffer))
      const want = Float16Array.from(a, (value, place) => Math.fround(value + b[place]))
      const got = new Float16Array(reads[0].buffer)
      t.equal(
        got.findIndex((value, place) => !Object.is(value, want[place])),
        -1,
      )
    },
  )

  await t.test('every bfloat16 survives, and products round as on the CPU', async (t) => {
    // Without denormals, which a GPU may flush.
    const normal = (bits: number) => (bits & 0x7f80) !== 0 && (bits & 0x7f80) !== 0x7f80
    const all = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits).filter(normal)
    const some = all.filter((_, place) => place % 61 === 0)
    const twist = some.map((_, place) => 0x3f80 + ((place * 37) & 0x7f))
    const product = mapKernel('bfloat16', some.length, 2, (a, b) => apply('mul', [a, b]))
    await compare(t, product, [bytesOf(some), bytesOf(twist)], 'products')
    await compare(
      t,
      mapKernel('bfloat16', all.length, 1, (a) => a),
      [bytesOf(all)],
      'copies',
    )
  })

  await t.test('small integers wrap, and comparisons store truth values', async (t) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, value) => value)
    for (const dtype of ['int8', 'uint8', 'int16', 'uint16'] as const) {
      const count = dtype.endsWith('8') ? 256 : 128
      for (const row of ['add', 'mul', 'sub']) {
        const kernel = mapKernel(dtype, count, 1, (a) => apply(row, [apply('mul', [a, a]), a]))
        await compare(t, kernel, [bytes], `${row} ${dtype}`)
      }
      const less = mapKernel(dtype, count, 2, (a, b) => apply('less', [a, b]))
      await compare(t, less, [bytes, bytes.toReversed()], `less ${dtype}`)
    }
  })

  await t.test('two outputs in place read what was there before', async (t) => {
    await compare(t, updateKernel(300), [floats(300), floats(300, 2), floats(300, 3)], 'update')
  })

  await t.test('a guarded load reads zeros outside', async (t) => {
    await compare(t, padKernel(3, 2, 4), [floats(3)], 'pad')
    await compare(t, padKernel(0, 1, 1), [new Uint8Array()], 'nothing to pad')
  })

  await t.test('the first bad index is reported, and none is read', async (t) => {
    const indices = Int32Array.from({ length: 200 }, (_, place) => place % 4)
    await compare(t, gatherKernel(4, 200), [floats(4), bytesOf(indices)], 'all good')
    indices[150] = -1
    indices[77] = 4
    indices[99] = 2 ** 31 - 1
    const { failure } = await runKernel(device, gatherKernel(4, 200), [floats(4), bytesOf(indices)])
    t.same(failure, { command: 5, code: 7, position: [77] })
  })
})
