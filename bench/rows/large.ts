// One large value in and out over HTTP against plain node:http servers that do no more than that, and
// by how much the service's resident memory grows meanwhile.
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import type { Row } from '../frame.ts'
import { type ServiceProcess, startProcess } from '../service-process.ts'

const mebibyte = 2 ** 20
const valueBytes = 64 * mebibyte
const blockBytes = mebibyte

/** Rows on a running service; `close` ends the rival, `growth` says what the memory did so far. */
export async function largeRows(service: ServiceProcess): Promise<{
  readonly rows: readonly Row[]
  growth(): string
  close(): Promise<void>
}> {
  const plain = await startProcess('bench/bare-server.ts', ['file', String(valueBytes)])
  const memory = watchMemory(service.processId)
  const path = '/v1/variables/bench/large'
  await declare(service.url)
  let seed = 1
  const send = (url: URL) => () => transfer('POST', url, newBlocks(seed++))
  const receive = (url: URL) => () => transfer('GET', url)
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
    growth: () =>
      `resident memory of the service while 64 MiB values came and went: ${memory()}; wanted: under 96 MiB more`,
    async close() {
      plain.child.kill('SIGTERM')
    },
  }
}

async function declare(base: string): Promise<void> {
  const reply = await fetch(new URL('/v1/variables', base), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'bench/large', shape: [valueBytes / 4], dtype: 'float32' }),
  })
  if (!reply.ok) throw new Error(await reply.text())
}

/** Blocks that no store has seen, made before the clock runs. */
function newBlocks(seed: number): readonly Buffer[] {
  let state = (seed * 2654435761) >>> 0 || 1
  return Array.from({ length: valueBytes / blockBytes }, () => {
    const words = new Uint32Array(blockBytes / 4)
    for (let index = 0; index < words.length; index++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      words[index] = state
    }
    return Buffer.from(words.buffer)
  })
}

/** MB/s from the request to the end of its reply. */
function transfer(method: string, url: URL, blocks: readonly Buffer[] = []): Promise<number> {
  return new Promise((done, reject) => {
    const headers: Record<string, string | number> =
      method === 'POST'
        ? { 'content-type': 'application/octet-stream', 'content-length': valueBytes }
        : { accept: 'application/octet-stream' }
    const start = performance.now()
    const sent = request(url, { method, headers }, (reply) => {
      let received = 0
      reply.on('data', (piece: Buffer) => {
        received += piece.byteLength
      })
      reply.once('end', () => {
        const isWhole = method === 'POST' || received === valueBytes
        if (reply.statusCode === 200 && isWhole) {
          done(valueBytes / 1000 / (performance.now() - start))
        } else reject(new Error(`${url} answered ${reply.statusCode} with ${received} bytes`))
      })
    })
    sent.once('error', reject)
    let next = 0
    const write = (): void => {
      while (next < blocks.length) {
        if (!sent.write(blocks[next++])) {
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
function watchMemory(processId: number): () => string {
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
