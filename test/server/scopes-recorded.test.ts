// What TensorFlow made of programs under variable scopes, made again over REST: a scope is given its
// defaults where a program opens it, and loses them where the program leaves it.
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { sharedFolder } from '../helper/shared.ts'
import { type Reply, startServer, type TestServer } from './helper.ts'
import { roomOf } from './room.ts'

interface Statement {
  readonly scope?: unknown
  readonly get?: string
  readonly reuse_variables?: string
  readonly body?: readonly Statement[]
  readonly as?: string
  readonly initializer?: { readonly kind: string; readonly [key: string]: unknown }
  readonly shape?: readonly (number | null)[]
  readonly [key: string]: unknown
}

interface Recording {
  readonly name: string
  readonly program: readonly Statement[]
  readonly error?: { readonly message: string }
  readonly made: readonly (Made | { readonly parts: readonly Made[] })[]
  readonly collections: Readonly<Record<string, readonly string[]>>
}

interface Made {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtype: string
  readonly device: string
  readonly trainable: boolean
}

const known: readonly (readonly string[])[] = [
  ['scope', 'body', 'as', 'reuse', 'initializer', 'dtype', 'partitions'],
  ['get', 'shape', 'dtype', 'initializer', 'reuse', 'partitions', 'collections', 'trainable'],
  ['reuse_variables'],
]

/** Whether REST has a call for every statement. */
function isCallable(program: readonly Statement[]): boolean {
  return program.every(
    (statement) =>
      known.some((keys) => Object.keys(statement).every((key) => keys.includes(key))) &&
      (statement.get !== undefined ||
        statement.reuse_variables !== undefined ||
        typeof statement.scope === 'string') &&
      isCallable(statement.body ?? []),
  )
}

function initializerOf({ initializer }: Statement): unknown {
  if (initializer?.kind !== 'tensor') return initializer
  return { dtype: initializer.dtype, value: initializer.value }
}

/** Runs the statements in a scope; answers with the first refusal. */
async function run(
  server: TestServer,
  program: readonly Statement[],
  path: string,
  scopes: Map<string, string>,
): Promise<Reply | undefined> {
  for (const statement of program) {
    const { scope: name, get, reuse_variables: object, body = [], as, ...given } = statement
    const json = { ...given, initializer: initializerOf(statement) }
    if (object !== undefined) {
      await server.call(`POST /v1/scopes/${scopes.get(object)}:reuse_variables`)
    } else if (get !== undefined) {
      const shape = statement.shape?.map((size) => size ?? -1)
      const asked = { ...json, shape, scope: path, name: get }
      const reply = await server.call('POST /v1/variables', { json: asked })
      if (reply.status >= 400) return reply
    } else {
      const below = [path, String(name)].filter((one) => one !== '').join('/')
      if (as !== undefined) scopes.set(as, below)
      const put = await server.call(`PUT /v1/scopes/${below}`, { json })
      if (put.status >= 400) return put
      const refused = await run(server, body, below, scopes)
      await server.call(`DELETE /v1/scopes/${below}`)
      if (refused !== undefined) return refused
    }
  }
  return undefined
}

type Test = Parameters<Parameters<typeof t.test>[0]>[0]

async function runAll(t: Test, path: string): Promise<number> {
  const recordings = JSON.parse(readFileSync(path, 'utf8')) as readonly Recording[]
  const callable = recordings.filter(({ program }) => isCallable(program))
  const shared = await startServer(t)
  for (const { name, program, error, made, collections } of callable) {
    await t.test(`over REST: ${name}`, async (t) => {
      const server = roomOf(shared)
      const refused = await run(server, program, '', new Map())
      if (error === undefined) t.equal(refused?.text, undefined)
      else
        t.ok(refused?.json.detail.startsWith(error.message), `${refused?.text} / ${error.message}`)
      const { json } = await server.call('GET /v1/variables')
      const shown = json.variables.map((one: Made) => ({ ...essence(one), name: `${one.name}:0` }))
      const wanted = made.flatMap((one) => ('parts' in one ? one.parts : [one])).map(essence)
      t.same(byName(shown), byName(distinct(wanted)))
      for (const [collection, members] of Object.entries(collections)) {
        const { json } = await server.call(`GET /v1/collections/${collection}`)
        t.same(
          json.members.map(({ variable }: { variable: string }) => `${variable}:0`),
          members,
          collection,
        )
      }
    })
  }
  return callable.length
}

function essence({ name, shape, dtype, device, trainable }: Made): Made {
  return { name, shape, dtype, device, trainable }
}

function byName<T extends { readonly name: string }>(list: readonly T[]): readonly T[] {
  return [...list].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function distinct<T extends { readonly name: string }>(list: readonly T[]): readonly T[] {
  return [...new Map(list.map((one) => [one.name, one])).values()]
}

t.test('recorded programs that are kept here', async (t) => {
  t.ok((await runAll(t, resolve(import.meta.dirname, '../golden/scopes.json'))) >= 14)
})

t.test('all recorded programs', async (t) => {
  const folder = sharedFolder(t)
  if (folder === undefined) return
  t.ok((await runAll(t, join(folder, 'conformance/scopes.json'))) >= 35)
})
