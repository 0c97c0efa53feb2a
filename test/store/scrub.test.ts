// The scrub finds what has changed on the disk, wherever it lies, says whom it concerns, and goes on
// where it stood after a restart.
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openStore, type Store, type StoreLimits } from '../../store/index.ts'
import { flipBlob, packOfVariable } from '../helper/flip.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  save,
  stage,
  temporaryFolder,
  valueOfVariable,
  write,
} from '../helper/store.ts'

const mebibyte = 1024 * 1024
const contents = {
  inline: contentOf(1_000, 1),
  loose: contentOf(1_500_000, 2),
  packed: contentOf(3 * mebibyte + 5, 3),
}
const byteLength = 1_000 + 1_500_000 + 3 * mebibyte + 5
/** An inline value, two chunks and four. */
const chunks = 7

const day = 24 * 60 * 60 * 1000

function opened(
  directory: string,
  limits: Partial<StoreLimits> = {},
  more: { clock?: () => number; log?: (message: string) => void } = {},
): Promise<Store> {
  const quiet = { scrubBytesPerSecond: 0, ...limits }
  return openStore({ directory, clock: () => 1, ...more, limits: quiet })
}

/** A closed directory with one value of each kind, saved as checkpoint 1; `packed` also as `other`. */
async function filled(t: { teardown(callback: () => void): void }): Promise<string> {
  const directory = temporaryFolder(t)
  const store = await opened(directory)
  for (const [name, content] of Object.entries(contents)) {
    await store.catalogue.commit([create(name, await stage(store, content))])
  }
  const { valueId } = await valueOfVariable(store, 'packed')
  await store.catalogue.commit([create('other', { valueId })])
  await store.catalogue.commit([save()])
  await store.close()
  return directory
}

t.test('a pass over everything reads each chunk once', async (t) => {
  const store = await opened(await filled(t))
  t.teardown(() => store.close())
  const told: number[] = []
  const found = await store.trust.scrub((done, total) => {
    told.push(done)
    t.equal(total, byteLength)
  })
  t.same(found, { chunks, byteLength, damaged: [] })
  t.equal(told.at(-1), byteLength)
  t.match(await store.trust.scrubStatus(), {
    state: 'off',
    pass: undefined,
    finished: { at: 1, chunks, byteLength },
  })
})

const kinds = {
  inline: (directory: string) => flipBlob(join(directory, 'catalog.db'), 'inline_content', 'bytes'),
  loose: (directory: string) => flipBlob(join(directory, 'catalog.db'), 'loose_chunk', 'bytes'),
  packed: (directory: string) => flipBlob(packOfVariable(directory, 'packed'), 'chunk', 'bytes'),
}

for (const name of ['inline', 'loose', 'packed'] as const) {
  t.test(`74: a flipped bit of ${name} content is found, named and mended`, async (t) => {
    const directory = await filled(t)
    kinds[name](directory)
    const log: string[] = []
    let store = await opened(directory, {}, { log: (message) => log.push(message) })
    const { damaged } = await store.trust.scrub()
    await checkNames(t, store, name, damaged)
    t.match(log, [/the chunk of SHA-256 [0-9a-f]{64} is damaged: its (crc32c|SHA-256) differs/])
    t.equal((await store.status()).damaged, 1)
    await store.close()
    store = await opened(directory)
    t.teardown(() => store.close())
    t.equal((await store.status()).damaged, 1, 'a restart does not forget it')
    t.match(await store.trust.damage(10), [{ digest: damaged[0].digest }])
    await t.rejects(bytesOfVariable(store, name), {
      code: 'DATA_LOSS',
      reason: 'store/chunk-damaged',
      message: /^The value of variable \w+( \(and of 1 more\))? is damaged: chunk \d/,
    })
    for (const [other, content] of Object.entries(contents)) {
      if (other === name) continue
      t.ok(Buffer.from(await bytesOfVariable(store, other)).equals(content), `${other} is served`)
    }
    await store.catalogue.commit([write(name, await stage(store, contents[name]))])
    t.equal((await store.status()).damaged, 0, 'the same content, sent again, mends it')
    t.same((await store.trust.scrub()).damaged, [])
  })
}

async function checkNames(
  t: Test,
  store: Store,
  name: keyof typeof contents,
  damaged: Awaited<ReturnType<Store['trust']['scrub']>>['damaged'],
): Promise<void> {
  const { valueId } = await valueOfVariable(store, name)
  t.match(damaged, [{ valueId }], 'one place in one value')
  const [{ ordinal, digest }] = damaged
  t.equal((await store.values.chunks(valueId))[ordinal].digest, digest)
  const [holders] = await store.trust.holders([valueId])
  const variables = name === 'packed' ? ['other', 'packed'] : [name]
  t.same(
    holders.variables,
    variables.map((variable) => ({ container: '', name: variable })),
  )
  t.same(
    holders.tensors,
    variables.map((tensor) => ({ checkpoint: '1', tensor })),
  )
  const verified = await store.trust.verify([valueId])
  t.match(verified.damaged, [{ valueId, ordinal, digest, problem: /differs/ }])
}

t.test('what only a checkpoint holds is named by checkpoint and tensor', async (t) => {
  const directory = await filled(t)
  kinds.packed(directory)
  const store = await opened(directory)
  t.teardown(() => store.close())
  const { valueId } = await valueOfVariable(store, 'packed')
  await store.catalogue.commit([write('packed', null), write('other', null)])
  await t.rejects(store.values.bytes(valueId), {
    message: /^The tensor other of checkpoint 1 is damaged: chunk \d \(SHA-256 [0-9a-f]{64}\): its/,
    names: { checkpoint: '1', tensor: 'other' },
  })
})

t.test('a missing pack is damage of everything in it', async (t) => {
  const directory = await filled(t)
  rmSync(packOfVariable(directory, 'packed'))
  const store = await opened(directory)
  t.teardown(() => store.close())
  const { damaged, chunks: read } = await store.trust.scrub()
  t.equal(read, chunks)
  t.same([...new Set(damaged.map(({ problem }) => problem))], ['its pack is missing'])
  t.ok(damaged.length > 0)
})

t.test('a file that is put back, from a backup say, is whole again', async (t) => {
  const directory = await filled(t)
  const pack = packOfVariable(directory, 'packed')
  const bytes = readFileSync(pack)
  kinds.packed(directory)
  let store = await opened(directory)
  t.equal((await store.trust.scrub()).damaged.length, 1)
  await store.close()
  writeFileSync(pack, bytes)
  store = await opened(directory)
  t.teardown(() => store.close())
  t.equal((await store.status()).damaged, 1, 'nobody has looked yet')
  t.same((await store.trust.scrub()).damaged, [])
  t.equal((await store.status()).damaged, 0)
  t.same(await store.trust.damage(10), [])
})

t.test('values that are gone are passed over', async (t) => {
  const store = await opened(await filled(t))
  t.teardown(() => store.close())
  t.same(await store.trust.verify([4_711]), { chunks: 0, byteLength: 0, damaged: [] })
  t.same(await store.trust.holders([4_711]), [{ variables: [], tensors: [] }])
})

t.test('a signal ends a check', async (t) => {
  const store = await opened(await filled(t))
  t.teardown(() => store.close())
  const { valueId } = await valueOfVariable(store, 'packed')
  const reason = new Error('enough')
  await t.rejects(store.trust.verify([valueId], undefined, AbortSignal.abort(reason)), reason)
  await t.rejects(store.trust.scrub(undefined, AbortSignal.abort(reason)), reason)
})

/** Waits until the scrub has come so far. */
async function until(
  store: Store,
  isReached: (status: Awaited<ReturnType<Store['trust']['scrubStatus']>>) => boolean,
): Promise<void> {
  while (!isReached(await store.trust.scrubStatus())) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

t.test('in the background it keeps to its rate, remembers its place and waits a day', async (t) => {
  const directory = await filled(t)
  kinds.packed(directory)
  let now = 10 * day
  const clock = (): number => now
  const limits = { scrubBytesPerSecond: 4 * mebibyte, scrubFirstStepMs: 1 }
  let store = await opened(directory, limits, { clock })
  const begun = performance.now()
  // Five mebibytes less a part of one, in steps of one: it waits after each but the last.
  await until(store, ({ pass }) => (pass?.byteLength ?? 0) >= 2 * mebibyte)
  t.ok(performance.now() - begun >= 240, `${performance.now() - begun} ms for two mebibytes`)
  const before = (await store.trust.scrubStatus()).pass
  await store.close()

  store = await opened(directory, limits, { clock })
  t.teardown(() => store.close())
  const after = await store.trust.scrubStatus()
  t.equal(after.state, 'running')
  t.ok((after.pass?.byteLength ?? 0) >= (before?.byteLength ?? 0), 'it goes on where it stood')
  t.equal(after.pass?.startedAt, now)
  await until(store, ({ state }) => state === 'waiting')
  t.match(await store.trust.scrubStatus(), {
    finished: { at: now, chunks, byteLength },
    nextAt: now + day,
  })
  t.equal((await store.status()).damaged, 1, 'and it found what was damaged')
  now += day
  t.equal((await store.trust.scrubStatus()).nextAt, now)
})

t.test('readers are served while everything is checked', async (t) => {
  const store = await opened(await filled(t))
  t.teardown(() => store.close())
  const scrub = store.trust.scrub()
  const reads = Array.from({ length: 20 }, () => bytesOfVariable(store, 'packed'))
  for (const bytes of await Promise.all(reads)) {
    t.ok(Buffer.from(bytes).equals(contents.packed))
  }
  t.same((await scrub).damaged, [])
})
