// Whether anything grows dearer with the number of variables: the same calls on a service of 100,000
// variables and on one of 100. The 20 that the filters look for are the same in both.
import type { Row } from '../frame.ts'
import { load, requestBytes } from '../load.ts'
import { type ServiceProcess, startService } from '../service-process.ts'

const few = 100
const many = 100_000
const special = 20
const runMs = 700
const creators = 32

const filters: Readonly<Record<string, string>> = {
  prefix: 'prefix=special/',
  scope: 'scope=special',
  collection: 'collection=rare',
  trainable: 'trainable=false',
  initialized: 'initialized=true',
  dtype: 'dtype=int32',
}

/** Rows on two services of their own; `close` ends them. */
export async function scaleRows(): Promise<{
  readonly rows: readonly Row[]
  close(): Promise<void>
}> {
  const small = await startService()
  const large = await startService()
  await populate(small, few)
  await populate(large, many)
  let created = 0
  const row = (name: string, sample: (service: ServiceProcess) => Promise<number>): Row => ({
    name: `${name} among 100,000 variables`,
    unit: 'requests/s',
    ours: () => sample(large),
    against: { name: 'the same among 100', sample: () => sample(small) },
    wanted: 0.5,
  })
  const get = (path: string) => (service: ServiceProcess) => {
    const url = new URL(path, service.url)
    return load(url, requestBytes('GET', url), 1, runMs)
  }
  const rows = [
    row('get a variable', get(`/v1/variables/special/v${special - 1}`)),
    row('create variables', async (service) => {
      const names = Array.from({ length: 200 }, () => `special_not/new_${created++}`)
      const start = performance.now()
      for (const name of names) await create(service, { name, shape: [2] })
      return (names.length * 1000) / (performance.now() - start)
    }),
    ...Object.entries(filters).map(([filter, query]) =>
      row(`list a page by ${filter}`, get(`/v1/variables?limit=${special}&${query}`)),
    ),
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
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count - special) await create(service, { name: `plain/v${next++}`, shape: [2] })
  }
  await Promise.all(Array.from({ length: creators }, work))
  const names = Array.from({ length: special }, (_, index) => `special/v${index}`)
  for (const name of names) {
    const rare = { dtype: 'int32', trainable: false, collections: ['rare'] }
    await create(service, { name, shape: [2], ...rare })
  }
  await post(service, '/v1/variables:initialize', { names })
}

function create(service: ServiceProcess, body: object): Promise<void> {
  return post(service, '/v1/variables', body)
}

async function post(service: ServiceProcess, path: string, body: object): Promise<void> {
  const reply = await fetch(new URL(path, service.url), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!reply.ok) throw new Error(await reply.text())
  await reply.arrayBuffer()
}
