// Small requests: a GET against an empty route, durable assigns against synced appends to a file.
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Row } from '../frame.ts'
import { load, requestBytes } from '../load.ts'
import { type ServiceProcess, startProcess } from '../service-process.ts'

const assignBytes = 4096
const runMs = 1500

/** Rows on a running service; `close` ends the rivals. */
export async function httpRows(
  service: ServiceProcess,
): Promise<{ readonly rows: readonly Row[]; close(): Promise<void> }> {
  const bare = await startProcess('bench/bare-server.ts', ['fastify'])
  const empty = new URL('/empty', bare.url)
  const names = Array.from({ length: 50 }, (_, index) => `bench/assign_${index}`)
  for (const name of ['bench/small', ...names]) await createVariable(service.url, name)

  await initialize(service.url, ['bench/small'])

  const get = (path: string, connections: number, headers = {}) => {
    const url = new URL(path, service.url)
    return () => load(url, requestBytes('GET', url, headers), connections, runMs)
  }
  const assign = (connections: number) => async () => {
    const rates = await Promise.all(
      names.slice(0, connections).map((name) => {
        const url = new URL(`/v1/variables/${name}:assign`, service.url)
        const headers = { 'content-type': 'application/octet-stream' }
        const body = new Uint8Array(assignBytes).fill(Math.floor(Math.random() * 255))
        return load(url, requestBytes('POST', url, headers, body), 1, runMs)
      }),
    )
    return rates.reduce((sum, one) => sum + one, 0)
  }
  const emptyRoute = {
    name: 'bare fastify, empty route',
    sample: () => load(empty, requestBytes('GET', empty), 10, runMs),
  }
  const ownEmptyRoute = { name: 'GET /healthz of the same app', sample: get('/healthz', 10) }
  const syncedAppend = { name: 'append 4 KiB and fdatasync, one at a time', sample: appendRate }
  const rows: Row[] = [
    {
      name: 'GET metadata of a variable, 10 connections',
      unit: 'requests/s',
      ours: get('/v1/variables/bench/small', 10),
      against: emptyRoute,
    },
    {
      name: 'GET metadata of a variable, against an empty route of the same app',
      unit: 'requests/s',
      ours: get('/v1/variables/bench/small', 10),
      against: ownEmptyRoute,
      wanted: 0.8,
    },
    {
      name: 'GET a value of 4 KiB as octet-stream, against an empty route of the same app',
      unit: 'requests/s',
      ours: get('/v1/variables/bench/small:read_value', 10, {
        accept: 'application/octet-stream',
      }),
      against: ownEmptyRoute,
      wanted: 0.8,
    },
    {
      name: 'GET /healthz, 10 connections',
      unit: 'requests/s',
      ours: get('/healthz', 10),
      against: emptyRoute,
      wanted: 0.35,
    },
    {
      name: 'durable assign of 4 KiB, 1 connection',
      unit: 'assigns/s',
      ours: assign(1),
      against: syncedAppend,
    },
    {
      name: 'durable assign of 4 KiB, 50 connections',
      unit: 'assigns/s',
      ours: assign(50),
      against: syncedAppend,
    },
    {
      name: 'durable assign of 4 KiB, 50 connections against 1 (or 10,000/s)',
      unit: 'assigns/s',
      ours: assign(50),
      against: { name: 'durable assign of 4 KiB, 1 connection', sample: assign(1) },
      wanted: 10,
    },
  ]
  return {
    rows,
    async close() {
      bare.child.kill('SIGKILL')
    },
  }
}

async function createVariable(base: string, name: string): Promise<void> {
  const reply = await fetch(new URL('/v1/variables', base), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      name,
      shape: [assignBytes / 4],
      dtype: 'float32',
      initializer: { kind: 'zeros' },
    }),
  })
  if (!reply.ok) throw new Error(await reply.text())
}

async function initialize(base: string, names: readonly string[]): Promise<void> {
  const reply = await fetch(new URL('/v1/variables:initialize', base), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ names }),
  })
  if (!reply.ok) throw new Error(await reply.text())
}

async function appendRate(): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  const file = await open(join(directory, 'raw'), 'w')
  const block = new Uint8Array(assignBytes).fill(7)
  const start = performance.now()
  let count = 0
  while (performance.now() - start < runMs) {
    await file.write(block)
    await file.datasync()
    count++
  }
  const rate = (count * 1000) / (performance.now() - start)
  await file.close()
  await rm(directory, { recursive: true })
  return rate
}
