import t from 'tap'
import {
  collect,
  type OutputBytes,
  type OutputTensor,
  type SlicedTensorStream,
  writeBundle,
  writeNpy,
  writeNpz,
  writeSafetensors,
  writeTar,
} from '../../formats/index.ts'
import { numericTensor, packStrings, stringTensor } from '../../tensor/index.ts'
import { bytesOfChunks, refusalOf, tools } from '../helper/tools.ts'

interface Asked {
  whole: number
  ranges: number
}

/** A tensor that counts how it is read. */
function counted(name: string, values: Uint8Array, asked: Asked): SlicedTensorStream {
  return {
    ...{ name, dtype: 'uint8', shape: [values.byteLength], byteLength: values.byteLength },
    content: `${name} ${values}`,
    async *chunks() {
      asked.whole++
      for (let at = 0; at < values.byteLength; at += 3) yield values.slice(at, at + 3)
    },
    async *readRange({ offset, length }) {
      asked.ranges++
      yield values.slice(offset, offset + length)
    },
  }
}

const words = stringTensor([2], [new TextEncoder().encode('one'), new Uint8Array()])
const packed = packStrings(words)
const strings: OutputTensor = {
  ...{ name: 's', dtype: 'string', shape: [2], byteLength: packed.byteLength },
  content: 'words',
  async *chunks() {
    yield packed.slice()
  },
}

function tensorsOf(asked: Asked): SlicedTensorStream[] {
  const rows = [
    { starts: [0], ...counted('p', Uint8Array.of(1, 2), asked), shape: [2] },
    { starts: [2], ...counted('p', Uint8Array.of(3, 4, 5), asked), shape: [3] },
  ]
  return [
    counted('a', Uint8Array.of(9, 8, 7, 6, 5, 4, 3), asked),
    { ...counted('p', Uint8Array.of(1, 2, 3, 4, 5), asked), slices: rows },
    strings,
  ]
}

function remembering() {
  const crcs = new Map<string, number>()
  const known = {
    get: (content: string) => crcs.get(content),
    set: (content: string, crc: number) => void crcs.set(content, crc),
  }
  return { ...tools, known }
}

type FileOf = (asked: Asked, memory: ReturnType<typeof remembering>) => Promise<OutputBytes>

const files: Readonly<Record<string, FileOf>> = {
  safetensors: async (asked) => writeSafetensors(tensorsOf(asked), new Map([['step', '7']])),
  npz: async (asked, memory) => writeNpz(tensorsOf(asked), memory),
  npy: async (asked) => writeNpy(counted('a', Uint8Array.of(1, 2, 3, 4, 5), asked)),
  bundle: async (asked, memory) => writeTar(await writeBundle('m', tensorsOf(asked), memory)),
}

for (const [form, fileOf] of Object.entries(files)) {
  t.test(`${form}: every range is those bytes of the whole`, async (t) => {
    const file = await fileOf({ whole: 0, ranges: 0 }, remembering())
    const whole = await bytesOfChunks(file.chunks())
    t.equal(whole.byteLength, file.byteLength)
    const places = placesOf(file.byteLength)
    for (const offset of places) {
      // Anew each time: what came before must not be needed.
      const again = await fileOf({ whole: 0, ranges: 0 }, remembering())
      for (const end of places.filter((place) => place > offset)) {
        const length = end - offset
        const bytes = await collect(again.chunks({ offset, length }), length)
        if (Buffer.compare(bytes, whole.subarray(offset, end)) !== 0) {
          t.fail(`bytes ${offset} to ${end} differ`)
        }
      }
    }
  })

  t.test(`${form}: going on near the end reads no tensor whole that was read before`, async (t) => {
    const memory = remembering()
    const first = await fileOf({ whole: 0, ranges: 0 }, memory)
    const whole = await bytesOfChunks(first.chunks())
    const asked = { whole: 0, ranges: 0 }
    const again = await fileOf(asked, memory)
    const offset = again.byteLength - 1
    t.same(await bytesOfChunks(again.chunks({ offset, length: 1 })), whole.subarray(offset))
    t.equal(asked.whole, 0)
  })
}

/** About thirty places, those at the beginning and the end among them. */
function placesOf(byteLength: number): readonly number[] {
  const step = Math.max(1, Math.floor(byteLength / 30))
  const places = [0, 1, byteLength - 1, byteLength]
  for (let at = step; at < byteLength; at += step) places.push(at)
  return [...new Set(places)].sort((a, b) => a - b)
}

t.test('a range of a tensor is asked of the tensor itself, not cut out of all of it', async (t) => {
  const asked = { whole: 0, ranges: 0 }
  const file = writeNpy(counted('a', Uint8Array.of(1, 2, 3, 4, 5), asked))
  const offset = file.byteLength - 2
  t.same(await bytesOfChunks(file.chunks({ offset, length: 2 })), Uint8Array.of(4, 5))
  t.same(asked, { whole: 0, ranges: 1 })
})

t.test('a tensor that gives other than it announced is an error, not a shorter file', async (t) => {
  const { bytes } = numericTensor('uint8', [2], Uint8Array.of(1, 2))
  const short: OutputTensor = {
    ...{ name: 'a', dtype: 'uint8', shape: [3], byteLength: 3 },
    async *chunks() {
      yield bytes
    },
  }
  await t.rejects(bytesOfChunks(writeSafetensors([short]).chunks()), /3 bytes were announced, 2/)
  await t.rejects(bytesOfChunks(writeNpz([short], tools).chunks()), /3 bytes were announced, 2/)
  const [data] = await writeBundle('m', [short], tools)
  const { reason } = await refusalOf(() => bytesOfChunks(data.chunks()))
  t.equal(reason, 'bundle/size-mismatch')
})
