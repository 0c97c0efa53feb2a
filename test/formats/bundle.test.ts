import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  checkpointKeysByName,
  findCheckpoint,
  openBundle,
  readObjectGraph,
  writeBundle,
} from '../../formats/index.ts'
import { type TensorStream, tensorflowNameOf, unpackStrings } from '../../tensor/index.ts'
import { sharedFolder } from '../helper/shared.ts'
import {
  bytesOfChunks,
  fileSetOf,
  filesOfFolder,
  refusalOf,
  sha256,
  sha256OfChunks,
  tools,
} from '../helper/tools.ts'

/** The prefix of the checkpoint that is meant. */
async function findPrefix(...given: Parameters<typeof findCheckpoint>): Promise<string> {
  return (await findCheckpoint(...given)).prefix
}

interface Expected {
  readonly prefix?: string
  readonly tensors: Readonly<
    Record<
      string,
      {
        readonly dtype: string
        readonly shape: readonly number[]
        readonly sha256?: string
        readonly strings?: readonly string[]
      }
    >
  >
}

t.test('every recorded checkpoint holds the recorded tensors, and its export too', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const folder = join(shared, 'conformance/checkpoints')
  const names = readdirSync(folder).filter((name) => name !== 'v1_format')
  t.ok(names.length >= 8)
  for (const name of names) {
    const files = filesOfFolder(join(folder, name))
    const expected: Expected = JSON.parse(Buffer.from(files['expected.json']).toString())
    const set = fileSetOf(files)
    const prefix = await findPrefix(set)
    const bundle = await openBundle(set, prefix, tools)
    const described: Record<string, unknown> = {}
    for (const tensor of bundle.tensors) {
      const bytes = await bytesOfChunks(tensor.chunks())
      t.equal(bytes.byteLength, tensor.byteLength)
      const type = { dtype: tensorflowNameOf(tensor.dtype), shape: tensor.shape }
      const isString = tensor.dtype === 'string'
      described[tensor.name] = isString
        ? { ...type, strings: unpackStrings(tensor.shape, bytes).strings.map(base64) }
        : { ...type, sha256: sha256(bytes) }
    }
    t.strictSame(described, expected.tensors, name)

    const written: Record<string, Uint8Array> = {}
    for (const file of await writeBundle(prefix, bundle.tensors, tools)) {
      written[file.name] = await bytesOfChunks(file.chunks())
      t.equal(written[file.name].byteLength, file.byteLength, file.name)
    }
    const again = await openBundle(fileSetOf(written), await findPrefix(fileSetOf(written)), tools)
    t.strictSame(await hashes(again.tensors), await hashes(bundle.tensors), `${name}, exported`)
    // Written by tf.train.Saver from one device in the order of names: ours are the same bytes.
    if (['every_dtype', 'many_small', 'five_megabytes', 'adam_slots'].includes(name)) {
      for (const [file, bytes] of Object.entries(written)) {
        if (file !== 'checkpoint') t.equal(Buffer.compare(bytes, files[file]), 0, file)
      }
    }
  }
})

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

async function hashes(
  tensors: readonly { name: string; chunks(): AsyncIterable<Uint8Array> }[],
): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const tensor of tensors) found[tensor.name] = await sha256OfChunks(tensor.chunks())
  return found
}

interface RecordedBundle {
  readonly format?: string
  readonly num_entries: number
  readonly tensors: readonly {
    readonly name: string
    readonly shape: readonly number[]
    readonly sha256?: string
    readonly strings_sha256?: readonly string[]
  }[]
}

async function hashesOf(tensor: TensorStream): Promise<string | string[]> {
  if (tensor.dtype !== 'string') return sha256OfChunks(tensor.chunks())
  const { strings } = unpackStrings(tensor.shape, await bytesOfChunks(tensor.chunks()))
  return strings.map(sha256)
}

t.test('every collected checkpoint has the recorded tensors', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  let count = 0
  for (const group of ['checkpoints_v2', 'checkpoints_v2_small']) {
    for (const name of readdirSync(join(shared, 'fixtures', group))) {
      const files = filesOfFolder(join(shared, 'fixtures', group, name))
      const expected = JSON.parse(Buffer.from(files['expected.json']).toString())
      for (const [file, one] of Object.entries<RecordedBundle>(expected)) {
        if (one.format !== 'V2' || !file.endsWith('.index')) continue
        const opening = openBundle(fileSetOf(files), file.slice(0, -6), tools)
        if (name === 't5_bfloat16_index_only') {
          const { reason, names } = await refusalOf(() => opening)
          t.equal(reason, 'bundle/missing-shard')
          t.equal(names.shard, 'model.ckpt-0.data-00001-of-00002')
          continue
        }
        const { entries, tensors } = await opening
        t.equal(entries.size, one.num_entries, `${name}/${file}`)
        for (const tensor of tensors) {
          const recorded = one.tensors.find((wanted) => wanted.name === tensor.name)
          const wanted = recorded?.strings_sha256 ?? recorded?.sha256
          t.strictSame(await hashesOf(tensor), wanted, `${name}/${file} ${tensor.name}`)
          count++
        }
      }
    }
  }
  t.ok(count > 300, `${count} tensors`)
})

t.test(
  'a TF2 checkpoint tells which key a name has, unless variables share the name',
  async (t) => {
    const shared = sharedFolder(t)
    if (shared === undefined) return
    const files = filesOfFolder(join(shared, 'conformance/checkpoints/object_graph_tf2'))
    const bundle = await openBundle(fileSetOf(files), 'ckpt-1', tools)
    const graph = await readObjectGraph(bundle)
    t.strictSame(
      [...checkpointKeysByName(graph ?? { nodes: [] })],
      [['save_counter', 'save_counter/.ATTRIBUTES/VARIABLE_VALUE']],
    )
    const plain = filesOfFolder(join(shared, 'conformance/checkpoints/many_small'))
    const named = await openBundle(fileSetOf(plain), 'model.ckpt-7', tools)
    t.equal(await readObjectGraph(named), undefined)
  },
)

t.test('the state file chooses the newest checkpoint, by the last part of its path', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const files = filesOfFolder(join(shared, 'conformance/checkpoints/max_to_keep'))
  t.equal(await findPrefix(fileSetOf(files)), 'model.ckpt-5')
  t.equal(await findPrefix(fileSetOf(files), 'model.ckpt-3'), 'model.ckpt-3')
  t.match(
    readFileSync(join(shared, 'conformance/checkpoints/max_to_keep/checkpoint')).toString(),
    '/tmp/',
  )
  const { checkpoint: _, ...without } = files
  await t.rejects(findPrefix(fileSetOf(without)), {
    code: 'INVALID_ARGUMENT',
    reason: 'checkpoint/ambiguous-prefix',
    names: { prefixes: ['model.ckpt-3', 'model.ckpt-4', 'model.ckpt-5'] },
  })
})
