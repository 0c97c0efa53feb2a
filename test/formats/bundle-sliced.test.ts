// Bundles that hold a tensor in slices, as TensorFlow saves partitioned variables: written and read again.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  joinSlices,
  openBundle,
  type SlicedTensorStream,
  type TensorSlice,
  writeBundle,
} from '../../formats/index.ts'
import type { Shape, TensorStream } from '../../tensor/index.ts'
import { bytesOfChunks, fileSetOf, refusalOf, tools } from '../helper/tools.ts'

const golden = join(import.meta.dirname, '../golden/checkpoints/partitioned')

function goldenFiles(): Record<string, Uint8Array> {
  const names = ['model.ckpt-7.index', 'model.ckpt-7.data-00000-of-00001', 'checkpoint']
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(golden, name))]))
}

function streamOf(name: string, shape: Shape, bytes: Uint8Array): TensorStream {
  return {
    name,
    dtype: 'uint8',
    shape,
    byteLength: bytes.byteLength,
    async *chunks() {
      yield bytes
    },
  }
}

/** A 2 by 3 tensor of 0 to 5, its columns 0, 1 and its column 2 apart. */
const slices = [
  { starts: [0, 0], ...streamOf('w', [2, 2], Uint8Array.of(0, 1, 3, 4)) },
  { starts: [0, 2], ...streamOf('w', [2, 1], Uint8Array.of(2, 5)) },
]
const sliced: SlicedTensorStream = {
  ...streamOf('w', [2, 3], Uint8Array.of(0, 1, 2, 3, 4, 5)),
  slices,
}

async function written(tensors: Parameters<typeof writeBundle>[1]) {
  const files: Record<string, Uint8Array> = {}
  for (const file of await writeBundle('m', tensors, tools)) {
    files[file.name] = await bytesOfChunks(file.chunks())
    t.equal(files[file.name].byteLength, file.byteLength, file.name)
  }
  return files
}

t.test('a sliced tensor is read as one, and slice by slice', async (t) => {
  const after = streamOf('x', [1], Uint8Array.of(9))
  const files = await written([after, sliced])
  t.same(files['m.data-00000-of-00001'], Uint8Array.of(0, 1, 3, 4, 2, 5, 9))
  const { tensors } = await openBundle(fileSetOf(files), 'm', tools)
  t.same(
    tensors.map(({ name }) => name),
    ['w', 'x'],
  )
  t.same(await bytesOfChunks(tensors[0].chunks()), Uint8Array.of(0, 1, 2, 3, 4, 5))
  t.match(tensors[0].slices, [
    { starts: [0, 0], shape: [2, 2] },
    { starts: [0, 2], shape: [2, 1] },
  ])
  const [, last] = tensors[0].slices ?? []
  t.same(await bytesOfChunks(last.chunks()), Uint8Array.of(2, 5))
  t.equal(tensors[1].slices, undefined)
})

t.test('the index can be had before the data', async (t) => {
  const [data, index] = await writeBundle('m', [sliced], tools)
  const first = await bytesOfChunks(index.chunks())
  const files = { 'm.index': first, [data.name]: await bytesOfChunks(data.chunks()) }
  const { tensors } = await openBundle(fileSetOf(files), 'm', tools)
  t.equal(tensors.length, 1)
})

t.test('one slice leaves no trace, and strings are written whole', async (t) => {
  const one = {
    ...sliced,
    slices: [{ starts: [0, 0], ...streamOf('w', [2, 3], new Uint8Array(6)) }],
  }
  const { tensors } = await openBundle(fileSetOf(await written([one])), 'm', tools)
  t.equal(tensors[0].slices, undefined)
  t.same(await bytesOfChunks(tensors[0].chunks()), Uint8Array.of(0, 1, 2, 3, 4, 5))
  const words = {
    ...streamOf('s', [2], Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 65)),
    dtype: 'string',
  }
  const strings = { ...words, slices } as SlicedTensorStream
  const again = await openBundle(fileSetOf(await written([strings])), 'm', tools)
  t.equal(again.tensors[0].slices, undefined)
})

t.test('two tensors of one name are refused, sliced or not', async (t) => {
  const whole = streamOf('w', [1], Uint8Array.of(1))
  const refusal = await refusalOf(() => writeBundle('m', [whole, sliced], tools))
  t.equal(refusal.reason, 'bundle/bad-name')
})

t.test('what TensorFlow saved in slices is written as it wrote it, byte for byte', async (t) => {
  const files = goldenFiles()
  const { tensors } = await openBundle(fileSetOf(files), 'model.ckpt-7', tools)
  t.ok(tensors.some((tensor) => tensor.slices !== undefined))
  for (const file of await writeBundle('model.ckpt-7', tensors, tools)) {
    if (file.name === 'checkpoint') continue
    t.same(await bytesOfChunks(file.chunks()), new Uint8Array(files[file.name]), file.name)
  }
})

t.test('any range of joined slices is those bytes of the whole', async (t) => {
  const parts = slices.map(
    ({ starts, shape, chunks }): TensorSlice => ({
      starts,
      shape,
      read: async (offset, length) =>
        (await bytesOfChunks(chunks())).slice(offset, offset + length),
    }),
  )
  const whole = Uint8Array.of(0, 1, 2, 3, 4, 5)
  for (let offset = 0; offset <= 6; offset++) {
    for (let length = 0; offset + length <= 6; length++) {
      const bytes = await bytesOfChunks(joinSlices(sliced, parts, { offset, length }))
      t.same(bytes, whole.slice(offset, offset + length), `${length} from ${offset}`)
    }
  }
})
