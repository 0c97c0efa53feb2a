// Checkpoints as files over HTTP: bundles of 256 MB and safetensors of 1 GB in and out, against plain
// node:http servers that do no more than take or send the same bytes; and what they cost in memory.
import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { crc32, crc32c } from '@node-rs/crc32'
import {
  type OutputBytes,
  writeBundle,
  writeNpz,
  writeSafetensors,
  writeTar,
} from '../../formats/index.ts'
import type { TensorStream } from '../../tensor/index.ts'
import type { Row, Sample } from '../frame.ts'
import { type ServiceProcess, startProcess } from '../service-process.ts'
import { watchMemory } from './large.ts'

const mebibyte = 2 ** 20
const bundleBytes = 256 * mebibyte
const hugeBytes = 1024 * mebibyte
const tensorBytes = 64 * mebibyte
const uploadPath = '/v1/checkpoints:upload'

/** Rows on a running service; `close` ends the rivals, `growth` says what the memory did. */
export async function fileRows(service: ServiceProcess): Promise<{
  readonly rows: readonly Row[]
  growth(): Promise<string>
  close(): Promise<void>
}> {
  const plain = await startProcess('bench/bare-server.ts', ['file', String(bundleBytes)])
  const plainHuge = await startProcess('bench/bare-server.ts', ['file', String(hugeBytes)])
  const memory = watchMemory(service.processId)
  const takes = { name: 'node:http that writes and syncs a file' }
  const sends = { name: 'node:http that sends one buffer' }
  const rows: Row[] = [
    {
      name: 'import a bundle of 256 MB',
      unit: 'MB/s',
      ours: sampleUpload(service.url, bundleOf, bundleBytes),
      against: { ...takes, sample: samplePlainUpload(plain.url, bundleOf, bundleBytes) },
    },
    {
      name: 'export a bundle of 256 MB',
      unit: 'MB/s',
      ours: sampleDownload(service.url, 'tensorflow', bundleBytes),
      against: { ...sends, sample: () => receive(new URL('/buffer', plain.url)) },
    },
    {
      name: 'upload safetensors of 1 GB',
      unit: 'MB/s',
      ours: sampleUpload(service.url, safetensorsOf, hugeBytes),
      against: { ...takes, sample: samplePlainUpload(plainHuge.url, safetensorsOf, hugeBytes) },
      wanted: 0.5,
      samples: 3,
    },
    {
      name: 'upload a bundle of 1 GB',
      unit: 'MB/s',
      ours: sampleUpload(service.url, bundleOf, hugeBytes),
      against: { ...takes, sample: samplePlainUpload(plainHuge.url, bundleOf, hugeBytes) },
      wanted: 0.5,
      samples: 3,
    },
    ...(['safetensors', 'tensorflow', 'npz'] as const).map((format) => ({
      name: `download 1 GB as ${format}`,
      unit: 'MB/s',
      ours: sampleDownload(service.url, format, hugeBytes),
      against: { ...sends, sample: () => receive(new URL('/buffer', plainHuge.url)) },
      wanted: 0.5,
      samples: 3,
    })),
  ]
  return {
    rows,
    growth: async () =>
      `resident memory of the service while files came and went: ${memory()}; wanted: under 128 MiB more`,
    async close() {
      plain.child.kill('SIGTERM')
      plainHuge.child.kill('SIGTERM')
    },
  }
}

type FileOf = (byteLength: number) => Promise<{ readonly type: string; readonly file: OutputBytes }>

async function bundleOf(byteLength: number): ReturnType<FileOf> {
  const tools = { crc32c: (bytes: Uint8Array, initial?: number) => crc32c(bytes, initial) }
  const file = writeTar(await writeBundle('model.ckpt-1', newTensors(byteLength), tools))
  return { type: 'application/x-tar', file }
}

async function safetensorsOf(byteLength: number): ReturnType<FileOf> {
  const file = writeSafetensors(newTensors(byteLength))
  return { type: 'application/x-safetensors', file }
}

async function npzOf(byteLength: number): ReturnType<FileOf> {
  const tools = { crc32: (bytes: Uint8Array, initial?: number) => crc32(bytes, initial) }
  return { type: 'application/x-npz', file: writeNpz(newTensors(byteLength), tools) }
}

let blocksMade = 0
const noise = randomBytes(mebibyte)

/** Tensors that no store has seen. */
function newTensors(byteLength: number): TensorStream[] {
  return Array.from({ length: byteLength / tensorBytes }, (_, index) => {
    const first = blocksMade
    blocksMade += tensorBytes / mebibyte
    return {
      name: `layer_${index}/kernel`,
      dtype: 'float32',
      shape: [tensorBytes / 4],
      byteLength: tensorBytes,
      async *chunks() {
        for (let block = 0; block < tensorBytes / mebibyte; block++) {
          const bytes = Buffer.from(noise)
          bytes.writeUInt32LE(first + block)
          yield bytes
        }
      },
    }
  })
}

function sampleUpload(base: string, fileOf: FileOf, byteLength: number): Sample {
  return async () => {
    const { type, file } = await fileOf(byteLength)
    return (await send(new URL(uploadPath, base), type, file)).rate
  }
}

function samplePlainUpload(base: string, fileOf: FileOf, byteLength: number): Sample {
  return async () => {
    const { type, file } = await fileOf(byteLength)
    return (await send(new URL(base), type, file)).rate
  }
}

/** Downloads a checkpoint of that size, which the first call uploads. */
function sampleDownload(
  base: string,
  format: 'safetensors' | 'tensorflow' | 'npz',
  byteLength: number,
): Sample {
  let id: string | undefined
  return async () => {
    if (id === undefined) {
      const { type, file } = await (format === 'npz' ? npzOf : safetensorsOf)(byteLength)
      const { reply } = await send(new URL(uploadPath, base), type, file)
      id = (JSON.parse(reply) as { readonly id: string }).id
    }
    return receive(new URL(`/v1/checkpoints/${id}:download?format=${format}`, base))
  }
}

/** Sends the file; MB/s to the end of the reply. */
async function send(
  url: URL,
  type: string,
  file: OutputBytes,
): Promise<{ readonly rate: number; readonly reply: string }> {
  const start = performance.now()
  const headers = { 'content-type': type, 'content-length': file.byteLength }
  const sent = request(url, { method: 'POST', headers })
  const replied = new Promise<string>((done, reject) => {
    sent.once('error', reject)
    sent.once('response', (reply) => {
      let text = ''
      reply.setEncoding('utf8')
      reply.on('data', (piece: string) => {
        text += piece
      })
      reply.once('end', () => {
        if (reply.statusCode === 200 || reply.statusCode === 201) done(text)
        else reject(new Error(`${url} answered ${reply.statusCode}: ${text}`))
      })
    })
  })
  for await (const piece of file.chunks()) {
    if (!sent.write(piece)) await new Promise((drained) => sent.once('drain', drained))
  }
  sent.end()
  const reply = await replied
  return { rate: file.byteLength / 1000 / (performance.now() - start), reply }
}

/** Reads the whole reply; MB/s from the request to its end. */
function receive(url: URL): Promise<number> {
  return new Promise((done, reject) => {
    const start = performance.now()
    const asked = request(url, (reply) => {
      let received = 0
      reply.on('data', (piece: Buffer) => {
        received += piece.byteLength
      })
      reply.once('end', () => {
        const isWhole = received === Number(reply.headers['content-length'])
        if (reply.statusCode === 200 && isWhole) {
          done(received / 1000 / (performance.now() - start))
        } else reject(new Error(`${url} answered ${reply.statusCode} with ${received} bytes`))
      })
    })
    asked.once('error', reject)
    asked.end()
  })
}
