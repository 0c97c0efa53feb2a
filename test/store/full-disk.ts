// A process that fills the disk which its store is on, starts again on the full disk, and once more when
// there is room; it tells what it saw, one JSON line each. Run by a test on a small file system of its own.
import {
  closeSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { openStore, type Store } from '../../store/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { bytesOfVariable, contentOf, create, save, stage, streamOf } from '../helper/store.ts'

const [root] = process.argv.slice(2)
const directory = join(root, 'data')
const filler = join(root, 'filler')
const reserve = join(root, 'reserve')

function tell(line: unknown): void {
  writeSync(1, `${JSON.stringify(line)}\n`)
}

function reasonOf(error: unknown): string {
  return error instanceof Refusal ? `${error.code} ${error.reason}` : String(error)
}

function open(): Promise<Store> {
  return openStore({ directory, clock: () => 1, limits: { maintenanceIntervalMs: 1_000_000 } })
}

/** Takes what room there is. */
function fill(): void {
  const file = openSync(filler, 'w')
  for (const byteLength of [65_536, 4_096]) {
    const piece = Buffer.alloc(byteLength)
    try {
      while (writeSync(file, piece) === byteLength);
    } catch {
      // Full for pieces of this length.
    }
  }
  closeSync(file)
}

/** How many of the variables are there with the bytes that they were given. */
async function whole(store: Store, sizes: ReadonlyMap<string, number>): Promise<number> {
  let count = 0
  for (const [name, byteLength] of sizes) {
    const bytes = await bytesOfVariable(store, name)
    const seed = Number(name.slice(1))
    if (Buffer.from(bytes).equals(contentOf(byteLength, seed))) count += 1
  }
  return count
}

async function attempt(store: Store, name: string, byteLength: number): Promise<string> {
  const staging = store.values.stage()
  try {
    const content = contentOf(byteLength, Number(name.slice(1)))
    await store.catalogue.commit([create(name, await staging.add(streamOf(content)))])
    return 'acknowledged'
  } catch (error) {
    return reasonOf(error)
  } finally {
    await staging.discard()
  }
}

writeFileSync(reserve, Buffer.alloc(2_000_000))
const sizes = new Map<string, number>()
let store = await open()
await store.catalogue.commit([create('v0', await stage(store, contentOf(1_000, 0)))])
sizes.set('v0', 1_000)
await store.catalogue.commit([save({ labels: ['before'] })])
for (const byteLength of [2_500_000, 300_000]) {
  for (let tries = 0; tries < 100; tries++) {
    const name = `v${sizes.size}`
    const outcome = await attempt(store, name, byteLength)
    if (outcome !== 'acknowledged') {
      tell({ kind: 'refused', byteLength, outcome })
      break
    }
    sizes.set(name, byteLength)
  }
}
const backup = await store.backups.create({ copy: true }).then(() => 'made', reasonOf)
tell({ kind: 'backup', backup, left: readdirSync(join(directory, 'backups')) })
fill()
tell({ kind: 'full', whole: await whole(store, sizes), of: sizes.size, ...(await store.status()) })
await store.close()
for (const path of [filler, reserve]) rmSync(path)
// With room the log goes into the catalogue, and the next start begins a new one.
await (await open()).close()
writeFileSync(reserve, Buffer.alloc(1_000_000))
fill()
const { size } = statSync(filler)
// From less than opening can do with, over what leaves nothing for the log, to enough for both.
for (let room = 32; room <= 80; room += 8) {
  truncateSync(filler, Math.max(0, size - room * 1024))
  store = await open().catch((error) => {
    tell({ kind: 'start', room, outcome: reasonOf(error) })
    return undefined as never
  })
  if (store === undefined) continue
  const { writable, reason } = await store.status()
  const found = { whole: await whole(store, sizes), of: sizes.size }
  if (writable) {
    tell({ kind: 'start', room, outcome: 'writable', ...found })
  } else {
    tell({ kind: 'start', room, outcome: 'read-only', reason, ...found })
    tell({ kind: 'write without room', outcome: await attempt(store, 'v998', 100) })
    rmSync(reserve)
    tell({ kind: 'write with room', outcome: await attempt(store, 'v999', 100) })
    tell({ kind: 'status', ...(await store.status()) })
  }
  await store.close()
  if (!writable) break
}
for (const path of [filler, reserve]) rmSync(path, { force: true })
store = await open()
for (const name of sizes.keys()) {
  if (name !== 'v0')
    await store.catalogue.commit([{ kind: 'delete_variable', container: '', name }])
}
await store.sweep()
const { id } = (await store.catalogue.checkpoint('before')) ?? { id: 'none' }
const large = await attempt(store, 'v1000', 2_500_000)
const held = await whole(store, new Map([['v0', 1_000]]))
const left = readdirSync(join(directory, 'packs')).length
tell({ kind: 'freed', large, checkpoint: id, left, whole: held, ...(await store.status()) })
await store.close()
tell({ kind: 'closed' })
