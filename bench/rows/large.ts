// One large value in and out over HTTP against plain node:http servers that do no more than that, and
// by how much the service's resident memory grows meanwhile, at 64 MiB and at 1 GiB.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import type { Row } from '../frame.ts'
import { type ServiceProcess, startProcess } from '../service-process.ts'

const mebibyte = 2 ** 20
const valueBytes = 64 * mebibyte
const hugeBytes = 1024 * mebibyte
const blockBytes = mebibyte

/** Rows on a running service; `close` ends the rival, `growth` says what the memory did and does at 1 GiB. */
export async function largeRows(service: ServiceProcess): Promise<{
  readonly rows: readonly Row[]
  growth(): Promise<string>
  close(): Promise<void>
}> {
  const plain = await startProcess('bench/bare-server.ts', ['file', String(valueBytes)])
  const memory = watchMemory(service.processId)
  const path = '/v1/variables/bench/large'
  await declare(service.url, 'bench/large', valueBytes)
  const send = (url: URL) => () => transfer('POST', url, valueBytes)
  const receive = (url: URL) => () => transfer('GET', url, valueBytes)
  await send(new URL(`${path}:assign`, service.url))()
  const rows: Row[] = [
    {
      name: 'assign 64 MiB from octet-stream, durable',
      unit: 'MB/s',
      ours: send(new URL(`${path}:assign`, service.url)),
      against: { name: 'node:http that writes and syncs a file', sample: send(new URL(plain.url)) },
      wanted: 0.6,
    },
    {
      name: 'read 64 MiB as octet-stream',
      unit: 'MB/s',
      ours: receive(new URL(`${path}:read_value`, service.url)),
      against: {
        name: 'node:http that sends one buffer',
        sample: receive(new URL('/buffer', plain.url)),
      },
      wanted: 0.6,
    },
  ]
  return {
    rows,
    async growth() {
      const at64 = `while 64 MiB values came and went: ${memory()}`
      await declare(service.url, 'bench/huge', hugeBytes)
      const again = watchMemory(service.processId)
      const huge = '/v1/variables/bench/huge'
      const assigned = await transfer('POST', new URL(`${huge}:assign`, service.url), hugeBytes)
      const read = await transfer('GET', new URL(`${huge}:read_value`, service.url), hugeBytes)
      const rates = `assigned at ${Math.round(assigned)} MB/s, read at ${Math.round(read)} MB/s`
      return `resident memory of the service ${at64}; with one of 1 GiB (${rates}): ${again()}; wanted: under 96 MiB more`
    },
    async close() {
      plain.child.kill('SIGTERM')
    },
  }
}

async function declare(base: string, name: string, byteLength: number): Promise<void> {
  const reply = await fetch(new URL('/v1/variables', base), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, shape: [byteLength / 4], dtype: 'float32' }),
  })
  if (!reply.ok) throw new Error(await reply.text())
}

let blocksMade = 0
const noise = randomBytes(blockBytes)

/** A block that no store has seen. */
function newBlock(): Buffer {
  const block = Buffer.from(noise)
  block.writeUInt32LE(blocksMade++)
  return block
}

/** MB/s from the request to the end of its reply. */
function transfer(method: 'POST' | 'GET', url: URL, byteLength: number): Promise<number> {
  return new Promise((done, reject) => {
    const headers: Record<string, string | number> =
      method === 'POST'
        ? { 'content-type': 'application/octet-stream', 'content-length': byteLength }
        : { accept: 'application/octet-stream' }
    const start = performance.now()
    const sent = request(url, { method, headers }, (reply) => {
      let received = 0
      reply.on('data', (piece: Buffer) => {
        received += piece.byteLength
      })
      reply.once('end', () => {
        const isWhole = method === 'POST' || received === byteLength
        if (reply.statusCode === 200 && isWhole) {
          done(byteLength / 1000 / (performance.now() - start))
        } else reject(new Error(`${url} answered ${reply.statusCode} with ${received} bytes`))
      })
    })
    sent.once('error', reject)
    let left = method === 'POST' ? byteLength / blockBytes : 0
    const write = (): void => {
      while (left > 0) {
        left--
        if (!sent.write(newBlock())) {
          sent.once('drain', write)
          return
        }
      }
      sent.end()
    }
    write()
  })
}

/** Looks at a process often; the call ends that and says how its peak compares with the beginning. */
export function watchMemory(processId: number): () => string {
  // Only Linux tells what another process holds without a tool of its own.
  if (process.platform !== 'linux') return () => 'not known on this system'
  const resident = (): number => {
    const text = readFileSync(`/proc/${processId}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0) * 1024
  }
  const before = resident()
  let peak = before
  const timer = setInterval(() => {
    peak = Math.max(peak, resident())
  }, 20)
  return () => {
    clearInterval(timer)
    const inMebibytes = (bytes: number): string => `${Math.round(bytes / mebibyte)} MiB`
    return `${inMebibytes(before)} before, ${inMebibytes(peak - before)} more at the peak`
  }
}
