// Lets a crowd of any size write to few variables of a server at once and judges its history:
// `node scripts/crowd.ts --clients=100 --operations=1000 --seed=7`. The tests do it with a small one.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seedOf } from '../test/helper/chance.ts'
import { openComposed } from '../test/helper/composed-server.ts'
import { historyOf } from '../test/helper/crowd.ts'
import { checkLinearizable } from '../test/helper/linearizable.ts'
import { variablesOneAtATime } from '../test/helper/variable-history.ts'

function given(name: string, otherwise: number): number {
  const argument = process.argv.find((one) => one.startsWith(`--${name}=`))
  return Number(argument?.slice(name.length + 3) ?? otherwise)
}

const clients = given('clients', 100)
const operations = given('operations', 1_000)
const seed = seedOf(process.argv, 1)
const names = Array.from({ length: given('variables', 10) }, (_, index) => `variable${index}`)
const directory = await mkdtemp(join(tmpdir(), 'holdfast-crowd-'))
const server = await openComposed({ directory })
const begun = performance.now()
const { operations: history } = await historyOf(server.base, {
  seed,
  clients,
  operations,
  names,
  abandoned: 0.001,
  choose(chance, seen) {
    const name = chance.one(names)
    if (chance.happens(0.2)) return { verb: 'read', name }
    const verb = chance.happens(0.2) ? 'assign_add' : 'assign'
    const ifVersion = chance.happens(0.2) ? seen(name) : undefined
    return { verb, name, value: chance.whole(1_000), ifVersion }
  },
})
const doneMs = performance.now() - begun
await server.close()
await rm(directory, { recursive: true, force: true })
const verdict = checkLinearizable(history, variablesOneAtATime)
console.log(`${history.length} operations of ${clients} clients in ${Math.round(doneMs)} ms`)
console.log(`judged in ${Math.round(performance.now() - begun - doneMs)} ms (seed ${seed})`)
console.log(JSON.stringify(verdict, undefined, 2))
process.exitCode = verdict.kind === 'linearizable' ? 0 : 1
