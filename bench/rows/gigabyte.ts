// A checkpoint of 1 GiB that a run has made on the device: saved for the first time, saved again, with one
// MiB changed, and restored; and how fast one thread reads and checks what is stored.
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '../../store/index.ts'
import { ChunkReader } from '../../store/sqlite/chunk-reader.ts'
import { freeMemory } from '../../tensor/index.ts'
import type { Row } from '../frame.ts'
import type { ServiceProcess } from '../service-process.ts'
import { watchMemory } from './large.ts'

const mebibyte = 2 ** 20
const variableCount = 4
const variableBytes = 256 * mebibyte
const totalBytes = variableCount * variableBytes
const names = Array.from({ length: variableCount }, (_, place) => `bench/made_${place}`)

/** Variables of 1 GiB together on a running service, and what is done with them. */
interface Gigabyte {
  /** New values by a run; milliseconds from the end of the run on the device to the reply. */
  renew(): Promise<number>
  /** Milliseconds of the call. */
  save(): Promise<number>
  restore(): Promise<number>
  /** Changes one MiB; milliseconds until that is saved. */
  change(): Promise<number>
  /** Bytes that the store takes for values. */
  storedBytes(): Promise<number>
}

/** Rows on a running service; `growth` says what the memory did meanwhile, and what a changed MiB takes. */
export async function gigabyteRows(service: ServiceProcess): Promise<{
  readonly rows: readonly Row[]
  growth(): Promise<string>
}> {
  const gigabyte = await made(service)
  const perSecond = (work: () => Promise<number>) => async () => 1000 / (await work())
  const within = (milliseconds: number) => ({
    name: `${milliseconds} ms each time`,
    sample: async () => 1000 / milliseconds,
  })
  const rows: Row[] = [
    {
      name: 'save 1 GiB that a run made on the device',
      unit: 'MB/s',
      ours: async () => totalBytes / 1000 / ((await gigabyte.renew()) + (await gigabyte.save())),
      against: { name: 'write and fsync one raw file', sample: () => rawWrite(service.directory) },
      wanted: 0.7,
      samples: 5,
    },
    {
      name: 'save the same 1 GiB again',
      unit: 'saves/s',
      ours: perSecond(gigabyte.save),
      against: within(50),
      wanted: 1,
    },
    {
      name: 'change 1 MiB of 1 GiB and save',
      unit: 'saves/s',
      ours: perSecond(gigabyte.change),
      against: within(100),
      wanted: 1,
    },
    {
      name: 'restore 1 GiB, no value read yet',
      unit: 'restores/s',
      ours: perSecond(gigabyte.restore),
      against: within(50),
      wanted: 1,
    },
    {
      name: 'read chunks and check their crc32c, one thread',
      unit: 'MB/s',
      ours: checkedRead,
      against: { name: '1.2 GB/s', sample: async () => 1200 },
      wanted: 1,
    },
  ]
  return { rows, growth: () => growthOf(service, gigabyte) }
}

async function made(service: ServiceProcess): Promise<Gigabyte> {
  const shape = [variableBytes / 4]
  for (const name of names) {
    await call(service, '/v1/variables', { name, shape, initializer: { kind: 'random_uniform' } })
    await call(service, `/v1/variables/${name}:initialize`, {})
  }
  const { id: graph } = (await call(service, '/v1/graphs', graphText(shape[0]))) as Identified
  const changed = new Float32Array(mebibyte / 4)
  let checkpoint = ''
  const save = () =>
    timed(async () => {
      checkpoint = ((await call(service, '/v1/checkpoints', { names })) as Identified).id
    })
  return {
    async renew() {
      const targets = names.map((_, place) => `assign_${place}`)
      let runMs = 0
      const totalMs = await timed(async () => {
        const request = { feeds: { by: 1 }, targets, report: true }
        const reply = await call(service, `/v1/graphs/${graph}:run`, request)
        runMs = (reply as { readonly report: { readonly run_ms: number } }).report.run_ms
      })
      return totalMs - runMs
    },
    save,
    restore: () =>
      timed(async () => {
        await call(service, `/v1/checkpoints/${checkpoint}:restore`, {})
      }),
    async change() {
      changed.fill(Math.random())
      const part = Buffer.from(changed.buffer)
      const path = `/v1/variables/${names[1]}:assign_slice?slice=262144:524288`
      const headers = { 'content-type': 'application/octet-stream' }
      const changeMs = await timed(async () => {
        await send(service, path, { headers, body: part })
      })
      return changeMs + (await save())
    },
    async storedBytes() {
      const text = await (await fetch(new URL('/metrics', service.url))).text()
      const parts = text.matchAll(/^holdfast_store_bytes\{part="(?:packs|loose)"\} (\S+)$/gm)
      return [...parts].reduce((sum, [, bytes]) => sum + Number(bytes), 0)
    },
  }
}

interface Identified {
  readonly id: string
}

/** Adds `by` to every variable, in GraphDef's text format. */
function graphText(elementCount: number): string {
  const float = 'value { type: DT_FLOAT }'
  const type = (key: string) => `attr { key: "${key}" ${float} }`
  const nodes = names.flatMap((name, place) => [
    `node { name: "${name}" op: "VariableV2" ${type('dtype')}
       attr { key: "shape" value { shape { dim { size: ${elementCount} } } } } }`,
    `node { name: "sum_${place}" op: "AddV2" input: "${name}" input: "by" ${type('T')} }`,
    `node { name: "assign_${place}" op: "Assign" input: "${name}" input: "sum_${place}" ${type('T')} }`,
  ])
  const by = `node { name: "by" op: "Placeholder" ${type('dtype')} attr { key: "shape" value { shape { } } } }`
  return [by, ...nodes, 'versions { producer: 27 }'].join('\n')
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

/** Text is a graph, anything else JSON. */
function call(service: ServiceProcess, path: string, body: unknown): Promise<unknown> {
  const isText = typeof body === 'string'
  const headers = { 'content-type': isText ? 'text/plain' : 'application/json' }
  return send(service, path, { headers, body: isText ? body : JSON.stringify(body) })
}

async function send(
  service: ServiceProcess,
  path: string,
  request: {
    readonly headers: Record<string, string>
    readonly body: string | Buffer<ArrayBuffer>
  },
): Promise<unknown> {
  const reply = await fetch(new URL(path, service.url), { method: 'POST', ...request })
  if (!reply.ok) throw new Error(`${path}: ${await reply.text()}`)
  return reply.json()
}

let blocksMade = 0
const block = Buffer.alloc(mebibyte, 7)

/** MB/s of a plain file beside the store, on the disk before the clock stops. */
async function rawWrite(directory: string): Promise<number> {
  const path = join(directory, 'bench-raw')
  const took = await timed(async () => {
    const file = openSync(path, 'w')
    for (let written = 0; written < totalBytes; written += mebibyte) {
      block.writeUInt32LE(blocksMade++)
      writeSync(file, block)
    }
    fsyncSync(file)
    closeSync(file)
  })
  await rm(path)
  return totalBytes / 1000 / took
}

/** MB/s of this thread over 256 MiB in packs, which the system has in memory. */
async function checkedRead(): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  try {
    const store = await openStore({ directory, clock: Date.now })
    const staging = store.values.stage()
    const chunkCount = variableBytes / mebibyte
    async function* chunks() {
      for (let place = 0; place < chunkCount; place++) {
        block.writeUInt32LE(blocksMade++)
        yield block
      }
    }
    const shape = [variableBytes]
    const stored = { dtype: 'uint8', shape, byteLength: variableBytes, chunks } as const
    const value = await staging.add(stored)
    const entries = [{ name: 'value', value }]
    const described = { container: '', step: undefined, metadata: {}, labels: [] }
    const { checkpoints } = await store.catalogue.commit([
      { kind: 'import_checkpoint', entries, ...described },
    ])
    const entry = await store.catalogue.checkpointEntry(checkpoints[0], 'value')
    if (entry === undefined) throw new Error('the checkpoint has its value')
    const { valueId } = entry.value
    await store.close()
    const reader = new ChunkReader(directory, 4)
    const took = await timed(async () => {
      for (let place = 0; place < chunkCount; place++) freeMemory(reader.read(valueId, place))
    })
    reader.close()
    return variableBytes / 1000 / took
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function growthOf(service: ServiceProcess, gigabyte: Gigabyte): Promise<string> {
  // The device's memory has grown to what the rows need: what it holds is no part of a save.
  await gigabyte.renew()
  const memory = watchMemory(service.processId)
  await gigabyte.renew()
  await gigabyte.save()
  await gigabyte.restore()
  const before = await gigabyte.storedBytes()
  await gigabyte.change()
  const changedBytes = (await gigabyte.storedBytes()) - before
  return (
    `resident memory of the service, values on the device included, while 1 GiB was made, saved, restored and ` +
    `changed: ${memory()}; wanted: under 128 MiB more; one changed MiB took ${changedBytes / mebibyte} MiB of the store`
  )
}
