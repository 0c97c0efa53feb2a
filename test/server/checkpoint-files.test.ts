import { gzipSync } from 'node:zlib'
import t from 'tap'
import {
  byteSourceOf,
  openCheckpoint,
  openNpz,
  openSafetensors,
  openTar,
  writeTar,
} from '../../formats/index.ts'
import { writeZip } from '../../formats/zip-writer.ts'
import { type TensorStream, unpackStrings } from '../../tensor/index.ts'
import {
  describe,
  type RecordedCheckpoint,
  recordedCheckpoints,
} from '../helper/recorded-checkpoints.ts'
import { sharedFolder } from '../helper/shared.ts'
import { bytesOfChunks, sha256, sha256OfChunks, tools } from '../helper/tools.ts'
import { type Reply, startServer } from './helper.ts'

const server = await startServer(t)
const { call } = server

function outputsOf(files: Readonly<Record<string, Uint8Array>>) {
  return Object.entries(files).map(([name, bytes]) => ({
    ...{ name, byteLength: bytes.byteLength },
    async *chunks() {
      yield bytes
    },
  }))
}

/** The files packed one way or another. */
async function packed(files: Readonly<Record<string, Uint8Array>>, form: number) {
  const outputs = outputsOf(files)
  if (form === 2) return bytesOfChunks(writeZip(outputs, tools).chunks())
  const tar = await bytesOfChunks(writeTar(outputs).chunks())
  return form === 1 ? new Uint8Array(gzipSync(tar, { level: 1 })) : tar
}

function upload(body: Uint8Array, query = '', type = 'application/octet-stream'): Promise<Reply> {
  return call(`POST /v1/checkpoints:upload${query}`, { body, headers: { 'content-type': type } })
}

async function describedAll(tensors: readonly TensorStream[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const { name, dtype, shape, chunks } of tensors) {
    const hashes =
      dtype === 'string'
        ? unpackStrings(shape, await bytesOfChunks(chunks())).strings.map(sha256)
        : await sha256OfChunks(chunks())
    found[name] = describe(dtype, shape, hashes)
  }
  return found
}

const readers: Readonly<Record<string, (bytes: Uint8Array) => Promise<readonly TensorStream[]>>> = {
  tensorflow: async (bytes) =>
    (await openCheckpoint(await openTar(byteSourceOf(bytes)), undefined, tools)).tensors,
  safetensors: async (bytes) => (await openSafetensors(byteSourceOf(bytes))).tensors,
  npz: async (bytes) => (await openNpz(byteSourceOf(bytes), tools)).tensors,
}

/** Any of the names by which a checkpoint can be meant. */
function nameOf({ prefix, files }: RecordedCheckpoint, turn: number): string {
  const own = Object.keys(files).filter((name) => name.startsWith(`${prefix}.`))
  return [prefix, ...own][turn % (own.length + 1)]
}

function problemOf({ status, json }: Reply): string {
  return status < 300 ? '' : `: ${json?.detail}`
}

async function shownTensors(id: string): Promise<readonly unknown[]> {
  const shown: unknown[] = []
  let cursor = ''
  do {
    const { json } = await call(`GET /v1/checkpoints/${id}?limit=1000${cursor}`)
    shown.push(...json.tensors)
    cursor = json.cursor === null ? '' : `&cursor=${encodeURIComponent(json.cursor)}`
  } while (cursor !== '')
  return shown
}

t.test('every recorded checkpoint goes in and out in every form', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const all = recordedCheckpoints(shared)
  t.ok(all.length > 80, `${all.length} checkpoints`)
  const sameIndex: string[] = []
  for (const [turn, checkpoint] of all.entries()) {
    const { place, files, tensors, isPartial } = checkpoint
    const prefix = encodeURIComponent(nameOf(checkpoint, turn))
    const taken = await upload(await packed(files, turn % 3), `?prefix=${prefix}&step=7`)
    if (isPartial) {
      t.match([taken.status, taken.json], [422, { reason: 'bundle/missing-shard' }], place)
      continue
    }
    t.equal(taken.status, 201, `${place}${problemOf(taken)}`)
    const { id } = taken.json
    const shown = await shownTensors(id)
    for (const [format, read] of Object.entries(readers)) {
      const file = await call(`GET /v1/checkpoints/${id}:download?format=${format}`)
      t.equal(file.status, 200, `${place} as ${format}${problemOf(file)}`)
      t.strictSame(await describedAll(await read(file.bytes)), tensors, `${place} as ${format}`)
      if (format === 'tensorflow' && (await hasSameIndex(file.bytes, checkpoint))) {
        sameIndex.push(place)
      }
      const again = await upload(file.bytes)
      t.equal(again.status, 201, `${place} as ${format}, again${problemOf(again)}`)
      // Only TensorFlow's form keeps a partitioned variable in slices.
      if (format === 'tensorflow' || isWhole(shown)) {
        t.strictSame(await shownTensors(again.json.id), shown, `${place} as ${format}, again`)
      }
    }
  }
  const own = sameIndex.filter((place) => place.startsWith('conformance/'))
  t.same(
    own.map((place) => place.split(/[/ ]/)[2]),
    ['adam_slots', 'every_dtype', 'five_megabytes', 'many_small', 'max_to_keep', 'partitioned'],
    'the index is the one that TensorFlow wrote',
  )
  t.comment(`${sameIndex.length} of ${all.length} have the very index that TensorFlow wrote`)
})

/** Whether the index that we write is the one that TensorFlow wrote, byte for byte. */
async function hasSameIndex(tar: Uint8Array, { prefix, files }: RecordedCheckpoint) {
  const wanted = files[`${prefix}.index`]
  if (wanted === undefined) return false
  const members = await openTar(byteSourceOf(tar))
  const ours = members.open('model.ckpt-7.index')
  return Buffer.compare(await ours.read(0, ours.byteLength), wanted) === 0
}

/** Whether no tensor is kept in slices. */
function isWhole(shown: readonly unknown[]): boolean {
  return shown.every((tensor) => !(tensor as { readonly parts?: unknown }).parts)
}
