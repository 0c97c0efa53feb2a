import fc from 'fast-check'
import t from 'tap'
import { joinSlices, type TensorSlice } from '../../formats/bundle-slice.ts'
import { type OutputFile, openBundle, writeBundle } from '../../formats/index.ts'
import { packStrings, stridesOf, stringTensor, type TensorStream } from '../../tensor/index.ts'
import { bytesOfChunks, fileSetOf, refusalOf, tools } from '../helper/tools.ts'

function streamOf(
  name: string,
  bytes: Uint8Array,
  {
    dtype = 'uint8',
    shape = [bytes.byteLength],
    step = 5,
  }: Partial<TensorStream> & { step?: number } = {},
): TensorStream {
  return {
    name,
    dtype,
    shape,
    byteLength: bytes.byteLength,
    async *chunks() {
      for (let at = 0; at < bytes.byteLength; at += step) yield bytes.subarray(at, at + step)
    },
  }
}

async function written(files: readonly OutputFile[]): Promise<Record<string, Uint8Array>> {
  const found: Record<string, Uint8Array> = {}
  for (const file of files) {
    found[file.name] = await bytesOfChunks(file.chunks())
    if (found[file.name].byteLength !== file.byteLength) throw new Error(`${file.name}: length`)
  }
  return found
}

t.test('numbers and strings of any kind survive, however they are cut into chunks', async (t) => {
  const named = fc.dictionary(
    fc.string({ minLength: 1, unit: 'grapheme' }).filter((name) => !name.startsWith('\0')),
    fc.oneof(fc.uint8Array(), fc.array(fc.uint8Array({ maxLength: 300 }))),
    { maxKeys: 5 },
  )
  await fc.assert(
    fc.asyncProperty(named, fc.integer({ min: 1, max: 9 }), async (values, step) => {
      const tensors = Object.entries(values).map(([name, value]) =>
        value instanceof Uint8Array
          ? streamOf(name, value, { step })
          : streamOf(name, packStrings(stringTensor([value.length], value)), {
              dtype: 'string',
              shape: [value.length],
              step,
            }),
      )
      const files = await written(await writeBundle('f/m', tensors, tools))
      t.strictSame(Object.keys(files), ['f/m.data-00000-of-00001', 'f/m.index', 'f/checkpoint'])
      const bundle = await openBundle(fileSetOf(files), 'f/m', tools)
      t.equal(bundle.tensors.length, tensors.length)
      for (const tensor of bundle.tensors) {
        const wanted = tensors.find(({ name }) => name === tensor.name)
        t.strictSame(await bytesOfChunks(tensor.chunks()), await bytesOfChunks(wanted!.chunks()))
        t.strictSame([tensor.dtype, tensor.shape], [wanted?.dtype, wanted?.shape])
      }
    }),
    { numRuns: 100 },
  )
})

t.test('the index is the same whether it is streamed before or after the data', async (t) => {
  const tensors = [streamOf('b', Uint8Array.of(1, 2, 3)), streamOf('a', Uint8Array.of(4))]
  const [data, index] = await writeBundle('m', tensors, tools)
  const first = await bytesOfChunks(index.chunks())
  t.strictSame(await bytesOfChunks(data.chunks()), Uint8Array.of(4, 1, 2, 3))
  t.strictSame(await bytesOfChunks(index.chunks()), first)
})

t.test('an index of several blocks is read back in order', async (t) => {
  const tensors = Array.from({ length: 9000 }, (_, index) =>
    streamOf(`scope_${index}/weights_of_a_layer_with_a_long_name`, Uint8Array.of(index & 255)),
  )
  const files = await written(await writeBundle('m', tensors, tools))
  t.ok(files['m.index'].byteLength > (2 * 262_144) / 2)
  const bundle = await openBundle(fileSetOf(files), 'm', tools)
  t.equal(bundle.tensors.length, 9000)
  t.strictSame(
    bundle.tensors.map(({ name }) => name),
    tensors.map(({ name }) => name).sort(),
  )
})

t.test('what a bundle cannot hold is not written', async (t) => {
  const reason = async (...tensors: readonly TensorStream[]) =>
    (await refusalOf(() => writeBundle('m', tensors, tools))).reason
  t.equal(await reason(streamOf('', Uint8Array.of(1))), 'bundle/bad-name')
  t.equal(await reason(streamOf('\0a', Uint8Array.of(1))), 'bundle/bad-name')
  const twice = streamOf('a', Uint8Array.of(1))
  t.equal(await reason(twice, twice), 'bundle/bad-name')
  t.equal(
    await reason(streamOf('a', new Uint8Array(), { dtype: 'resource' })),
    'bundle/unsupported-dtype',
  )
})

/** Cuts of an axis into parts, as starts and sizes. */
function cutsOf(size: number): fc.Arbitrary<readonly (readonly [number, number])[]> {
  return fc
    .uniqueArray(fc.integer({ min: 1, max: Math.max(1, size - 1) }), { maxLength: 3 })
    .map((at) => {
      const edges = [0, ...at.filter((edge) => edge < size).sort((a, b) => a - b), size]
      return edges.slice(1).map((edge, index) => [edges[index], edge - edges[index]] as const)
    })
}

t.test('a tensor cut along every axis at once is joined again', async (t) => {
  const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 })
  const cut = shapes.chain((shape) =>
    fc.tuple(fc.constant(shape), fc.tuple(...shape.map((size) => cutsOf(size)))),
  )
  await fc.assert(
    fc.asyncProperty(cut, async ([shape, cuts]) => {
      const count = shape.reduce((product, size) => product * size, 1)
      const whole = Uint16Array.from({ length: count }, (_, index) => index)
      const slices = gridOf(cuts).map((parts) => sliceOf(whole, shape, parts))
      const joined = await bytesOfChunks(joinSlices({ shape, dtype: 'uint16' }, slices))
      t.strictSame(new Uint16Array(joined.buffer), whole)
    }),
    { numRuns: 100 },
  )
})

type Cut = readonly [number, number]

function gridOf(cuts: readonly (readonly Cut[])[]): Cut[][] {
  return cuts.reduce<Cut[][]>(
    (grid, axis) => grid.flatMap((parts) => axis.map((part) => [...parts, part])),
    [[]],
  )
}

/** The elements of a part, taken one by one. */
function sliceOf(whole: Uint16Array, shape: readonly number[], parts: readonly Cut[]): TensorSlice {
  const strides = stridesOf(shape)
  const offsets = parts.reduce<number[]>(
    (found, [start, size], axis) =>
      found.flatMap((base) =>
        Array.from({ length: size }, (_, index) => base + (start + index) * strides[axis]),
      ),
    [0],
  )
  const bytes = new Uint8Array(Uint16Array.from(offsets, (offset) => whole[offset]).buffer)
  return {
    starts: parts.map(([start]) => start),
    shape: parts.map(([, size]) => size),
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  }
}
