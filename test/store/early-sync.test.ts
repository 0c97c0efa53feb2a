// Packs that are synced while they are still written: sealed whole, thrown away whole, and never sealed
// after a sync that failed.
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import t from 'tap'
import { EarlySync } from '../../store/sqlite/early-sync.ts'
import { PackReaders, PackWriter } from '../../store/sqlite/pack.ts'
import { contentOf, temporaryFolder } from '../helper/store.ts'

const chunkByteLength = 256 * 1024

function newPack(t: Parameters<typeof temporaryFolder>[0]) {
  const directory = temporaryFolder(t)
  mkdirSync(join(directory, 'packs'))
  const writer = new PackWriter(directory, 'one', chunkByteLength)
  const add = (seed: number): Uint8Array => {
    const bytes = contentOf(chunkByteLength, seed)
    const digest = new Uint8Array(createHash('sha256').update(bytes).digest())
    writer.add({ digest, crc32c: crc32c(bytes), byteLength: bytes.byteLength }, bytes)
    return bytes
  }
  return { directory, writer, add, files: () => readdirSync(join(directory, 'packs')) }
}

t.test('a pack that was synced after every chunk holds them all', async (t) => {
  const { directory, writer, add, files } = newPack(t)
  const contents: Uint8Array[] = []
  for (let seed = 0; seed < 12; seed++) {
    contents.push(add(seed))
    if (seed % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const { chunks, totalByteLength } = await writer.seal()
  t.same([chunks.length, totalByteLength, files()], [12, 12 * chunkByteLength, ['one.pack']])
  const readers = new PackReaders(directory, 1)
  for (const [ordinal, content] of contents.entries()) {
    t.ok(Buffer.from(content).equals(readers.read('one', ordinal) ?? new Uint8Array()))
  }
  readers.close()
})

t.test('a pack thrown away while it is synced leaves no file', async (t) => {
  const { writer, add, files } = newPack(t)
  add(1)
  add(2)
  writer.abandon()
  t.same(files(), [])
})

t.test('a failed sync is told at the end, also where later ones went well', async (t) => {
  // What cannot be synced at all: the system says EINVAL.
  const sync = new EarlySync('/dev/null', 10)
  sync.wrote(9)
  await sync.settled()
  sync.wrote(1)
  await t.rejects(sync.settled(), { code: 'EINVAL' })
  await t.rejects(sync.settled(), { code: 'EINVAL' })
  sync.close()
})
