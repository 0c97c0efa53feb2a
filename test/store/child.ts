// A process that writes to a store until it is killed, telling on its standard output what was
// acknowledged: one JSON line each. Started by the tests that kill it or spoil its disk.
import { writeSync } from 'node:fs'
import { openStore, type Store } from '../../store/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { create, save, stage, write } from '../helper/store.ts'
import { generation, pairContent } from './pair.ts'

const [directory, mode, roundsText] = process.argv.slice(2)
const rounds = Number(roundsText)

function tell(line: unknown): void {
  writeSync(1, `${JSON.stringify(line)}\n`)
}

/** Writes the pair of this index again and again; both in one commit, so always of one version. */
async function writePairs(store: Store, index: number): Promise<void> {
  const name = `pair${index}`
  const known = await store.catalogue.variable('', `${name}/a`)
  let version = known?.version ?? 0
  for (let round = 0; round < rounds; round++) {
    version += 1
    const content = pairContent(index, version)
    const value = await stage(store, content)
    const twin = await stage(store, generation(index, version), { dtype: 'int32', shape: [2] })
    const change = version === 1 ? create : write
    await attempt(name, version, () =>
      store.catalogue.commit([
        change(`${name}/a`, value),
        version === 1 ? create(`${name}/b`, twin, { dtype: 'int32' }) : write(`${name}/b`, twin),
      ]),
    )
  }
}

async function attempt(name: string, version: number, work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
    tell({ kind: 'acknowledged', name, version })
  } catch (error) {
    tell({ kind: 'refused', name, version, ...describe(error) })
    process.exitCode = 3
    throw error
  }
}

function describe(error: unknown): { code: string; reason: string } {
  return error instanceof Refusal
    ? { code: error.code, reason: error.reason }
    : { code: 'none', reason: error instanceof Error ? error.message : String(error) }
}

/** Saves and deletes checkpoints, keeping the newest two, and sweeps. */
async function keepCheckpoints(store: Store): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const { checkpoints } = await store.catalogue.commit([save({ labels: ['newest'] })])
    tell({ kind: 'saved', id: checkpoints[0] })
    const { items } = await store.catalogue.listCheckpoints({}, { limit: 10 })
    for (const { id } of items.slice(2)) {
      tell({ kind: 'deleting', id })
      await store.catalogue.commit([{ kind: 'delete_checkpoint', id }])
    }
    await store.sweep()
  }
}

try {
  const store = await openStore({
    directory,
    clock: () => 1,
    limits: { mergePackCount: 4, mergeLooseByteLength: 1_000_000, maintenanceIntervalMs: 20 },
  })
  tell({ kind: 'open' })
  const done = await Promise.allSettled(
    mode === 'kill'
      ? [0, 1, 2, 3].map((index) => writePairs(store, index)).concat(keepCheckpoints(store))
      : [writePairs(store, 0).then(() => writePairs(store, 3))],
  )
  const { writable, reason } = await store.status()
  tell({ kind: 'status', writable, reason })
  for (const one of done) {
    if (one.status === 'rejected') tell({ kind: 'ended', ...describe(one.reason) })
  }
  await store.close()
  tell({ kind: 'closed' })
} catch (error) {
  tell({ kind: 'failed', ...describe(error) })
  process.exitCode = 4
}
