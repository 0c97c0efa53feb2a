// What is fuzzed: each parser with files that it reads, to be broken. Checksums are all zero here, on both
// sides, so that what is broken gets past them.
import { gzipSync } from 'node:zlib'
import { compress } from 'snappyjs'
import {
  byteSourceOf,
  checkpointKeysByName,
  findCheckpoint,
  maskCrc,
  openArchive,
  openCheckpoint,
  openNpy,
  openNpz,
  openSafetensors,
  parseCheckpointState,
  readObjectGraph,
  readSavedModel,
  tensorOfProto,
  writeBundle,
  writeNpy,
  writeNpz,
  writeSafetensors,
  writeTar,
} from '../../formats/index.ts'
import { refusingWireErrors } from '../../formats/refusal-of-wire.ts'
import { writeTable } from '../../formats/table-writer.ts'
import { type Draft, decodeTensorProto, encode } from '../../proto/index.ts'
import { packStrings, stringTensor, type TensorStream } from '../../tensor/index.ts'
import { bytesOfChunks, fileSetOf, tools as realTools } from '../helper/tools.ts'
import { entryOf, shapeOf } from './bundle-parts.ts'
import { plainTable } from './table-parts.ts'
import { rowsOf, type TensorPart, whole } from './v1-parts.ts'

/** A parser, and inputs that are right. */
export interface FuzzTarget {
  readonly name: string
  readonly corpus: readonly Uint8Array[]
  /** Reads an input to its end. */
  read(bytes: Uint8Array): Promise<void>
}

const limits = { maxEntries: 10_000, maxMembers: 1000, maxUnpackedBytes: 2 ** 24 }
const mostRead = 2 ** 24

const tools = { ...realTools, crc32c: () => 0, crc32: () => 0 }

/** Reads tensors until so many bytes came that no small file can hold more. */
async function readTensors(tensors: readonly TensorStream[]): Promise<void> {
  let left = mostRead
  for (const tensor of tensors) {
    let length = 0
    for await (const chunk of tensor.chunks()) {
      length += chunk.byteLength
      left -= chunk.byteLength
      if (left < 0) throw new Error(`more than ${mostRead} bytes came`)
    }
    if (length !== tensor.byteLength) {
      throw new Error(`"${tensor.name}" gave ${length} bytes, not ${tensor.byteLength}`)
    }
  }
}

function streamOf(
  name: string,
  dtype: TensorStream['dtype'],
  shape: readonly number[],
  bytes: Uint8Array,
): TensorStream {
  return {
    ...{ name, dtype, shape, byteLength: bytes.byteLength },
    async *chunks() {
      yield bytes
    },
  }
}

const words = stringTensor([2], [Uint8Array.of(0x61, 0x62), new Uint8Array()])
const tensors: readonly TensorStream[] = [
  streamOf(
    'a/b',
    'float32',
    [2, 3],
    Uint8Array.from({ length: 24 }, (_, index) => index),
  ),
  streamOf('a/c', 'int64', [], new Uint8Array(8)),
  streamOf('h', 'bfloat16', [0, 4], new Uint8Array()),
  streamOf('s', 'string', [2], packStrings(words)),
]
const sliced = {
  ...streamOf('p', 'uint8', [2, 2], Uint8Array.of(1, 2, 3, 4)),
  slices: [
    { starts: [0, 0], ...streamOf('p', 'uint8', [1, 2], Uint8Array.of(1, 2)) },
    { starts: [1, 0], ...streamOf('p', 'uint8', [1, 2], Uint8Array.of(3, 4)) },
  ],
}

async function bundleFiles(): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {}
  for (const file of await writeBundle('m', [...tensors, sliced], tools)) {
    files[file.name] = await bytesOfChunks(file.chunks())
  }
  return files
}

const v1Parts: readonly TensorPart[] = [
  {
    name: 'f',
    shape: shapeOf(3),
    slices: [{ extents: whole(1), values: { float_val: [1, 2, 3] } }],
  },
  {
    ...{ name: 'i', type: 9, shape: shapeOf(2) },
    slices: [
      { extents: [{ start: 0, length: 1 }], values: { int64_val: [7n] } },
      { extents: [{ start: 1, length: 1 }], values: { int64_val: [-8n] } },
    ],
  },
  {
    ...{ name: 's', type: 7, shape: shapeOf(1) },
    slices: [{ extents: whole(1), values: { string_val: [Uint8Array.of(0x61)] } }],
  },
]

const protos: readonly Draft<'TensorProto'>[] = [
  { dtype: 1, tensor_shape: shapeOf(2, 2), float_val: [1, 2] },
  { dtype: 9, tensor_shape: shapeOf(1), tensor_content: new Uint8Array(8) },
  { dtype: 7, tensor_shape: shapeOf(2), string_val: [Uint8Array.of(0x61)] },
  { dtype: 19, tensor_shape: shapeOf(3), half_val: [1, 2, 3] },
  { dtype: 8, tensor_shape: shapeOf(1), scomplex_val: [1, 2] },
]

const objectGraph = encode('TrackableObjectGraph', {
  nodes: [
    { children: [{ node_id: 1, local_name: 'v' }] },
    { attributes: [{ name: 'VARIABLE_VALUE', full_name: 'dense/kernel', checkpoint_key: 'v/x' }] },
  ],
})

const stateTexts = [
  'model_checkpoint_path: "/tmp/m-2"\nall_model_checkpoint_paths: "m-1"\nall_model_checkpoint_paths: "m-2"\n',
  "model_checkpoint_path: 'a\\x41\\101\\n' all_model_checkpoint_timestamps: 1e9 last_preserved_timestamp: -1.5",
]

/** Every parser. */
export async function fuzzTargets(): Promise<readonly FuzzTarget[]> {
  const bundle = await bundleFiles()
  const { 'm.index': index, ...data } = bundle
  const value = encode('BundleEntryProto', entryOf(new Uint8Array(8), 0, { crc32c: maskCrc(0) }))
  const sealed = encode('BundleEntryProto', entryOf(new Uint8Array(8)))
  const header = encode('BundleHeaderProto', { num_shards: 1, version: { producer: 1 } })
  const shard = 'm.data-00000-of-00001'
  const readBundle = async (files: Record<string, Uint8Array>) => {
    const opened = await openCheckpoint(fileSetOf(files), 'm', tools, limits)
    await readTensors(opened.tensors)
  }
  const v1 = writeTable(rowsOf(v1Parts), tools)
  const archives = [
    await bytesOfChunks(writeTar(outputsOf(bundle)).chunks()),
    unsealedGzip(await bytesOfChunks(writeTar(outputsOf({ 'a/b': header })).chunks())),
    await bytesOfChunks(writeNpz(tensors, tools).chunks()),
  ]
  return [
    {
      name: 'bundle index',
      corpus: [index],
      read: (bytes) => readBundle({ ...data, 'm.index': bytes }),
    },
    {
      name: 'bundle data',
      corpus: [data[shard]],
      read: (bytes) => readBundle({ ...bundle, [shard]: bytes }),
    },
    {
      name: 'bundle entry',
      corpus: [value],
      read: (bytes) =>
        readBundle({ 'm.index': indexOf(header, bytes), [shard]: new Uint8Array(64) }),
    },
    {
      name: 'bundle header',
      corpus: [header],
      read: (bytes) =>
        readBundle({ 'm.index': indexOf(bytes, value), [shard]: new Uint8Array(64) }),
    },
    {
      name: 'snappy block',
      corpus: [compress(blockOf(header, sealed))],
      async read(bytes) {
        const files = { 'm.index': plainTable(bytes, 1), [shard]: new Uint8Array(64) }
        const opened = await openCheckpoint(fileSetOf(files), 'm', realTools, limits)
        await readTensors(opened.tensors)
      },
    },
    {
      name: 'table block',
      corpus: [blockOf(header, sealed)],
      async read(bytes) {
        const files = { 'm.index': plainTable(bytes, 0), [shard]: new Uint8Array(64) }
        const opened = await openCheckpoint(fileSetOf(files), 'm', realTools, limits)
        await readTensors(opened.tensors)
      },
    },
    {
      name: 'V1 file',
      corpus: [v1],
      async read(bytes) {
        const opened = await openCheckpoint(fileSetOf({ m: bytes }), 'm', tools, limits)
        await readTensors(opened.tensors)
      },
    },
    {
      name: 'safetensors',
      corpus: [await bytesOfChunks(writeSafetensors(tensors, new Map([['k', 'é"\\']])).chunks())],
      read: async (bytes) => readTensors((await openSafetensors(byteSourceOf(bytes))).tensors),
    },
    {
      name: 'npy',
      corpus: await Promise.all(
        tensors.slice(0, 2).map((tensor) => bytesOfChunks(writeNpy(tensor).chunks())),
      ),
      read: async (bytes) =>
        readTensors([await openNpy(byteSourceOf(bytes), 'a', { maxReorderedBytes: mostRead })]),
    },
    {
      name: 'npz',
      corpus: [archives[2]],
      read: async (bytes) =>
        readTensors((await openNpz(byteSourceOf(bytes), tools, limits)).tensors),
    },
    {
      name: 'archive',
      corpus: archives,
      async read(bytes) {
        const files = await openArchive(byteSourceOf(bytes), tools, limits)
        for (const name of files.names) {
          const file = files.open(name)
          await file.read(0, Math.min(file.byteLength, mostRead))
        }
      },
    },
    {
      name: 'TensorProto',
      corpus: protos.map((proto) => encode('TensorProto', proto)),
      async read(bytes) {
        const decode = () => decodeTensorProto(bytes)
        tensorOfProto(refusingWireErrors('tensor-proto/unreadable', 'It', decode), mostRead)
      },
    },
    {
      name: 'object graph',
      corpus: [objectGraph],
      async read(bytes) {
        const packed = packStrings(stringTensor([], [bytes]))
        const tensor = streamOf('_CHECKPOINTABLE_OBJECT_GRAPH', 'string', [], packed)
        const graph = await readObjectGraph({ tensors: [tensor] })
        if (graph !== undefined) checkpointKeysByName(graph)
      },
    },
    {
      name: 'state file',
      corpus: stateTexts.map((text) => new TextEncoder().encode(text)),
      async read(bytes) {
        parseCheckpointState(new TextDecoder().decode(bytes))
        await findCheckpoint(fileSetOf({ ...bundle, checkpoint: bytes }))
      },
    },
    {
      name: 'saved_model.pb',
      corpus: [
        encode('SavedModel', {
          saved_model_schema_version: 1,
          meta_graphs: [
            {
              meta_info_def: { tags: ['serve'] },
              graph_def: { node: [{ name: 'a', op: 'Const' }] },
            },
          ],
        }),
      ],
      async read(bytes) {
        await readSavedModel(fileSetOf({ 'saved_model.pb': bytes }), { maxModelBytes: mostRead })
      },
    },
  ]
}

function outputsOf(files: Readonly<Record<string, Uint8Array>>) {
  return Object.entries(files).map(([name, bytes]) => ({
    ...{ name, byteLength: bytes.byteLength },
    async *chunks() {
      yield bytes
    },
  }))
}

/** Gzipped, its checksum zero as all are here. */
function unsealedGzip(bytes: Uint8Array): Uint8Array {
  const packed = new Uint8Array(gzipSync(bytes))
  packed.fill(0, packed.byteLength - 8, packed.byteLength - 4)
  return packed
}

function indexOf(header: Uint8Array, entry: Uint8Array): Uint8Array {
  const key = (text: string) => new TextEncoder().encode(text)
  const rows = [
    { key: new Uint8Array(), value: header },
    { key: key('w'), value: entry },
  ]
  return writeTable(rows, tools)
}

/** A data block of those two entries, as a table has it. */
function blockOf(header: Uint8Array, entry: Uint8Array): Uint8Array {
  const rows = [0, 0, header.byteLength, ...header, 0, 1, entry.byteLength, 0x61, ...entry]
  return Uint8Array.from([...rows, 0, 0, 0, 0, 1, 0, 0, 0])
}
