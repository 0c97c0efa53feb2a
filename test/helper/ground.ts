// The ground that bad requests are sent to: a server with a few variables, and the invariants that
// every refusal must leave standing. An unhandled rejection ends the test process by itself.
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Limits } from '../../service/index.ts'
import type { Store } from '../../store/index.ts'
import { type ComposedServer, openComposed } from './composed-server.ts'
import { type Answer, askPatiently, connectionTo } from './connection.ts'
import { temporaryFolder } from './store.ts'

export interface Ground extends ComposedServer {
  readonly directory: string
  /** One text for all that the store holds. */
  digest(): Promise<string>
  /** Asks over a connection of its own. */
  ask(
    request: string,
    wishes?: { readonly json?: unknown; readonly headers?: Readonly<Record<string, string>> },
  ): Promise<Answer>
  /** The server answers, and `known` is still [1, 2, 3]; the store holds what `before` says. */
  stands(t: Test, before: string, message: string): Promise<void>
}

/** Variables on the ground by name: type, shape, value. */
const variables: Readonly<Record<string, readonly [string, readonly number[], unknown]>> = {
  known: ['float32', [3], [1, 2, 3]],
  whole: ['int64', [], 7],
  matrix: [
    'float32',
    [2, 2],
    [
      [1, 2],
      [3, 4],
    ],
  ],
  text: ['string', [], 'words'],
}

/** A server with the variables, which ends with the test. */
export async function layGround(t: Test, limits: Partial<Limits> = {}): Promise<Ground> {
  const directory = temporaryFolder(t)
  const server = await openComposed({ directory, limits })
  t.teardown(() => server.close())
  const connection = connectionTo(server.base)
  t.teardown(() => connection.close())
  const ask: Ground['ask'] = (request, wishes) => askPatiently(connection, request, wishes)
  for (const [name, [dtype, shape, value]] of Object.entries(variables)) {
    const initializer = { kind: 'zeros' }
    const json = { name, dtype, shape, ...(dtype === 'string' ? {} : { initializer }) }
    await ask('POST /v1/variables', {
      json: { ...json, ...(dtype === 'string' ? { validate_shape: false } : {}) },
    })
    const { status, text } = await ask(`POST /v1/variables/${name}:assign`, { json: value })
    if (status !== 200) throw new Error(text)
  }
  const digest = (): Promise<string> => digestOf(server.store, directory)
  return {
    ...server,
    directory,
    ask,
    digest,
    async stands(t, before, message) {
      t.equal((await ask('GET /healthz')).status, 200, `${message}: alive`)
      t.same((await ask('GET /v1/variables/known:read_value')).json.value, [1, 2, 3])
      t.equal(await digest(), before, `${message}: nothing changed`)
    },
  }
}

/** SHA-256 of the catalogue's records, which name content by its hashes, of what bytes are kept and of the spool. */
async function digestOf(store: Store, directory: string): Promise<string> {
  const { sequence, packCount, looseBytes, writable } = await store.status()
  const records: unknown[] = [sequence, packCount, looseBytes, writable]
  for (const container of await store.catalogue.containers()) {
    records.push((await store.catalogue.listVariables({ container }, { limit: 1000 })).items)
  }
  records.push((await store.catalogue.listCheckpoints({}, { limit: 1000 })).items)
  records.push(await readdir(join(directory, 'spool')))
  return createHash('sha256').update(JSON.stringify(records)).digest('hex')
}

const problemParts = ['type', 'title', 'detail', 'instance', 'code', 'reason']

/** The reply is a problem with all its parts and nothing of the inside. */
export function isProblem(
  t: Test,
  { headers, status, body }: { headers: unknown; status: number; body: string },
  message: string,
): void {
  const types = headers as Readonly<Record<string, string | undefined>>
  t.equal(types['content-type'], 'application/problem+json; charset=utf-8', message)
  const problem = JSON.parse(body)
  t.same(
    problemParts.filter((part) => typeof problem[part] !== 'string' || problem[part] === ''),
    [],
    `${message}: has all parts`,
  )
  t.equal(problem.status, status, message)
  t.match(problem.reason, /^[a-z-]+\/[a-z-]+$/, message)
  const { instance: _, ...own } = problem
  const inside = /\.ts\b|node_modules|SQLITE|SELECT |\bat .*:\d+:\d+|holdfast-test-|0x[0-9a-f]{6}/
  t.notMatch(JSON.stringify(own), inside, message)
  t.ok(body.length < 30_000, `${message}: is short (${body.length})`)
}
