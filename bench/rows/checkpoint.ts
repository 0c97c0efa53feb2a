// 256 MB in and out: assign and save against a raw synced file; restore and read against reading it.
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Row } from '../frame.ts'
import type { ServiceProcess } from '../service-process.ts'

const variableCount = 4
const variableBytes = 64 * 2 ** 20
const totalMegabytes = (variableCount * variableBytes) / 1e6

/** Rows on a running service. */
export async function checkpointRows(service: ServiceProcess): Promise<readonly Row[]> {
  const names = Array.from({ length: variableCount }, (_, index) => `bench/big_${index}`)
  for (const name of names) {
    await call(service, '/v1/variables', {
      name,
      shape: [variableBytes / 4],
      dtype: 'float32',
    })
  }
  let generation = 0
  let checkpoint = ''
  const save = async (): Promise<number> => {
    generation++
    const bodies = names.map((_, index) => randomBytes(generation * variableCount + index))
    const start = performance.now()
    await Promise.all(
      names.map(async (name, index) => {
        const reply = await fetch(new URL(`/v1/variables/${name}:assign`, service.url), {
          method: 'POST',
          headers: { 'content-type': 'application/octet-stream' },
          body: bodies[index],
        })
        if (!reply.ok) throw new Error(await reply.text())
      }),
    )
    const saved = (await call(service, '/v1/checkpoints', { names })) as { id: string }
    checkpoint = saved.id
    return (totalMegabytes * 1000) / (performance.now() - start)
  }
  const restore = async (): Promise<number> => {
    const start = performance.now()
    await call(service, `/v1/checkpoints/${checkpoint}:restore`, {})
    for (const name of names) await drain(new URL(`/v1/variables/${name}:read_value`, service.url))
    return (totalMegabytes * 1000) / (performance.now() - start)
  }
  return [
    {
      name: 'assign 4 × 64 MiB of new values and save a checkpoint',
      unit: 'MB/s',
      ours: save,
      against: { name: 'write and fsync one raw file', sample: rawWrite },
      samples: 3,
    },
    {
      name: 'restore that checkpoint and read every value',
      unit: 'MB/s',
      ours: restore,
      against: { name: 'read the raw file', sample: rawRead },
      samples: 3,
    },
  ]
}

async function call(service: ServiceProcess, path: string, body: unknown): Promise<unknown> {
  const reply = await fetch(new URL(path, service.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!reply.ok) throw new Error(`${path}: ${await reply.text()}`)
  return await reply.json()
}

async function drain(url: URL): Promise<void> {
  const reply = await fetch(url, { headers: { accept: 'application/octet-stream' } })
  if (!reply.ok || reply.body === null) throw new Error(await reply.text())
  let byteLength = 0
  for await (const piece of reply.body) byteLength += piece.byteLength
  if (byteLength !== variableBytes) throw new Error(`${url} sent ${byteLength} bytes`)
}

/** Bytes that are new for each seed, made fast: nothing in the store may know them yet. */
function randomBytes(seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(variableBytes / 4)
  let state = (seed * 2654435761) >>> 0 || 1
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[index] = state
  }
  return new Uint8Array(words.buffer)
}

async function withRawFile(use: (path: string) => Promise<number>): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  try {
    return await use(join(directory, 'raw'))
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function writeRaw(path: string): Promise<number> {
  const bytes = randomBytes(99)
  const start = performance.now()
  const file = await open(path, 'w')
  for (let part = 0; part < variableCount; part++) await file.write(bytes)
  await file.sync()
  await file.close()
  return (totalMegabytes * 1000) / (performance.now() - start)
}

function rawWrite(): Promise<number> {
  return withRawFile(writeRaw)
}

function rawRead(): Promise<number> {
  return withRawFile(async (path) => {
    await writeRaw(path)
    const start = performance.now()
    await readFile(path)
    return (totalMegabytes * 1000) / (performance.now() - start)
  })
}
