// Whether checkpoints grow dearer the more there are: the same calls on a service of 10,000 checkpoints
// of 1,000 tensors each and on one of 10 such checkpoints.
import { type Row, rateOf } from '../frame.ts'
import { load, requestBytes } from '../load.ts'
import { type ServiceProcess, startService } from '../service-process.ts'

const few = 10
const many = 10_000
const tensors = 1_000
const runMs = 700
const savers = 16

/** Rows on two services of their own; `close` ends them. */
export async function checkpointsManyRows(): Promise<{
  readonly rows: readonly Row[]
  close(): Promise<void>
}> {
  const small = await startService()
  const large = await startService()
  await populate(small, few)
  await populate(large, many)
  const row = (name: string, sample: (service: ServiceProcess) => Promise<number>): Row => ({
    name: `${name} among 10,000 checkpoints`,
    unit: 'requests/s',
    ours: () => sample(large),
    against: { name: 'the same among 10', sample: () => sample(small) },
    wanted: 0.5,
  })
  const get = (path: string) => (service: ServiceProcess) => {
    const url = new URL(path, service.url)
    return load(url, requestBytes('GET', url), 1, runMs)
  }
  const post = (path: string, body: object) => (service: ServiceProcess) =>
    rateOf(() => send(service, path, body), runMs)
  const rows = [
    row('save 1,000 tensors', post('/v1/checkpoints', {})),
    row('list a page', get('/v1/checkpoints?limit=10')),
    row('list by step', get('/v1/checkpoints?step=5&limit=1')),
    row('get the first', get('/v1/checkpoints/1?limit=100')),
    row('report a restore', post('/v1/checkpoints/1:restore', { dry_run: true })),
    row('the history of a name', get('/v1/checkpoints:history?name=layer/v7&limit=10')),
    row('what one takes', get('/v1/checkpoints/1?usage=true&limit=1')),
    row('compare two', get('/v1/checkpoints/1:diff?with=10')),
  ]
  return {
    rows,
    async close() {
      await small.stop()
      await large.stop()
    },
  }
}

async function populate(service: ServiceProcess, count: number): Promise<void> {
  const names = Array.from({ length: tensors }, (_, index) => `layer/v${index}`)
  for (const name of names) {
    await send(service, '/v1/variables', { name, shape: [4], initializer: { kind: 'ones' } })
  }
  await send(service, '/v1/variables:initialize', { names })
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) {
      const step = next++
      if (step % 10 === 1) await send(service, `/v1/variables/${names[7]}:assign`, [step, 1, 2, 3])
      await send(service, '/v1/checkpoints', { step, metadata: { loss: 1 / (step + 1) } })
    }
  }
  await Promise.all(Array.from({ length: savers }, work))
}

async function send(service: ServiceProcess, path: string, body: unknown): Promise<void> {
  const reply = await fetch(new URL(path, service.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!reply.ok) throw new Error(await reply.text())
  await reply.arrayBuffer()
}
