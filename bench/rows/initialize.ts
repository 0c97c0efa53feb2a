// Initializing large variables over HTTP, durably, against tfjs drawing as many numbers in memory and against
// this machine's disk; and one thread of the draws themselves.
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { type Draw, Draws, philoxOfSeeds } from '../../engine/random/index.ts'
import type { Row } from '../frame.ts'
import type { ServiceProcess } from '../service-process.ts'
import { watchMemory } from './large.ts'
import { useTfjs } from './predict.ts'

const mebibyte = 2 ** 20
const valueBytes = 64 * mebibyte
const gibibyte = 2 ** 30

/** Rows on a running service; `growth` says what 1 GiB of normal numbers takes of its memory and time. */
export async function initializeRows(service: ServiceProcess): Promise<{
  readonly rows: readonly Row[]
  growth(): Promise<string>
}> {
  await useTfjs()
  const initialized = (kind: string) => () => initialize(service.url, kind, valueBytes)
  const disk = {
    name: 'write and sync of as many bytes',
    sample: () => writeFile(join(service.directory, 'bench-rival'), valueBytes),
  }
  const rows: Row[] = [
    {
      name: 'initialize 64 MiB of truncated_normal, durable',
      unit: 'MB/s',
      ours: initialized('truncated_normal'),
      against: { name: 'tfjs truncatedNormal in memory', sample: rivalDraw },
      samples: 3,
    },
    {
      name: 'initialize 64 MiB of random_uniform, durable',
      unit: 'MB/s',
      ours: initialized('random_uniform'),
      against: disk,
    },
    {
      name: 'initialize 64 MiB of zeros, durable',
      unit: 'MB/s',
      ours: initialized('zeros'),
      against: disk,
    },
    drawRow('uniform', () => Math.random()),
    drawRow(
      'normal',
      () =>
        Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(6.283185307179586 * Math.random()),
    ),
  ]
  return { rows, growth: () => growthOf(service) }
}

let made = 0

/** Makes a variable and initializes it; MB/s of the second. */
async function initialize(url: string, kind: string, byteLength: number): Promise<number> {
  const name = `bench/initial_${made++}`
  await call('POST', new URL('/v1/variables', url), {
    name,
    shape: [byteLength / 4],
    initializer: { kind },
  })
  const start = performance.now()
  await call('POST', new URL(`/v1/variables/${name}:initialize`, url), {})
  const rate = byteLength / 1000 / (performance.now() - start)
  await call('DELETE', new URL(`/v1/variables/${name}`, url))
  return rate
}

async function call(method: string, url: URL, body?: object): Promise<void> {
  const reply = await fetch(url, {
    method,
    ...(body === undefined
      ? {}
      : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  const text = await reply.text()
  if (!reply.ok) throw new Error(`${url} answered ${reply.status}: ${text}`)
}

async function rivalDraw(): Promise<number> {
  const start = performance.now()
  const drawn = tf.truncatedNormal([valueBytes / 4])
  await drawn.data()
  const rate = valueBytes / 1000 / (performance.now() - start)
  drawn.dispose()
  return rate
}

/** MB/s of a plain file, its bytes on the disk before the clock stops. */
async function writeFile(path: string, byteLength: number): Promise<number> {
  const block = Buffer.alloc(mebibyte, 1)
  const start = performance.now()
  const file = await open(path, 'w')
  for (let written = 0; written < byteLength; written += mebibyte) await file.write(block)
  await file.sync()
  await file.close()
  const rate = byteLength / 1000 / (performance.now() - start)
  await rm(path)
  return rate
}

/** One thread's draws of float32 numbers against a loop of JavaScript's own. */
function drawRow(kind: Exclude<Draw['kind'], 'integers'>, number: () => number): Row {
  const draws = new Draws()
  const count = 2 ** 22
  const rate = (work: () => void): number => {
    const start = performance.now()
    work()
    return (4 * count) / 1000 / (performance.now() - start)
  }
  return {
    name: `draw 16 MiB of ${kind} float32, one thread`,
    unit: 'MB/s',
    ours: async () =>
      rate(() => draws.bytes({ kind, dtype: 'float32' }, philoxOfSeeds(1n, 2n), count)),
    against: {
      name: 'a loop of Math.random',
      sample: async () =>
        rate(() => {
          const numbers = new Float32Array(count)
          for (let at = 0; at < count; at++) numbers[at] = number()
        }),
    },
  }
}

async function growthOf(service: ServiceProcess): Promise<string> {
  const memory = watchMemory(service.processId)
  let slowest = 0
  let isOver = false
  const probe = async (): Promise<void> => {
    while (!isOver) {
      const start = performance.now()
      await (await fetch(new URL('/healthz', service.url))).text()
      slowest = Math.max(slowest, performance.now() - start)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const probing = probe()
  const start = performance.now()
  await initialize(service.url, 'truncated_normal', gibibyte)
  const seconds = (performance.now() - start) / 1000
  isOver = true
  await probing
  return (
    `1 GiB of truncated_normal initialized in ${seconds.toFixed(1)} s; resident memory of the service: ` +
    `${memory()}; slowest other reply ${slowest.toFixed(0)} ms`
  )
}
