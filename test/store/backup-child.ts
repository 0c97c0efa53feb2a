// A process that writes pairs and makes backups until it is killed, telling on its standard output what was
// acknowledged: one JSON line each.
import { writeSync } from 'node:fs'
import { openStore } from '../../store/index.ts'
import { create, stage, write } from '../helper/store.ts'
import { generation, pairContent } from './pair.ts'

const [directory] = process.argv.slice(2)

function tell(line: unknown): void {
  writeSync(1, `${JSON.stringify(line)}\n`)
}

const store = await openStore({
  directory,
  clock: Date.now,
  limits: { mergePackCount: 3, maintenanceIntervalMs: 10, sweepGraceMs: 0 },
})
tell({ kind: 'open' })

async function writePairs(index: number): Promise<void> {
  const name = `pair${index}`
  let version = (await store.catalogue.variable('', `${name}/a`))?.version ?? 0
  for (;;) {
    version += 1
    const value = await stage(store, pairContent(index, version))
    const twin = await stage(store, generation(index, version), { dtype: 'int32', shape: [2] })
    const change = version === 1 ? create : write
    await store.catalogue.commit([
      change(`${name}/a`, value),
      version === 1 ? create(`${name}/b`, twin, { dtype: 'int32' }) : write(`${name}/b`, twin),
    ])
    tell({ kind: 'acknowledged', name, version })
  }
}

async function backUp(): Promise<void> {
  for (let round = 0; ; round++) {
    const { id } = await store.backups.create({ copy: round % 2 === 0 })
    tell({ kind: 'saved', id })
    for (const old of (await store.backups.list()).slice(3)) await store.backups.remove(old.id)
  }
}

await Promise.all([writePairs(0), writePairs(2), writePairs(3), backUp()])
