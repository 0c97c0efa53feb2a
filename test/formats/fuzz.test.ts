// scripts/fuzz-formats.ts does the same for as long as wanted.
import t from 'tap'
import { Refusal } from '../../tensor/index.ts'
import { seedOf } from '../helper/chance.ts'
import { fuzz } from '../helper/fuzz.ts'
import { fuzzTargets } from './fuzz-targets.ts'

const seed = seedOf(process.argv, Date.now() % 1_000_000)

for (const target of await fuzzTargets()) {
  t.test(`${target.name}: whatever is broken is refused (seed ${seed})`, async (t) => {
    for (const bytes of target.corpus) await target.read(bytes)
    const { inputs, reasons, problems } = await fuzz(target, seed, 400)
    t.same(problems, [])
    t.ok(inputs > 10, `${inputs} inputs`)
    t.comment([...reasons].map(([reason, count]) => `${reason} ${count}`).join(', '))
  })
  t.test(`${target.name}: cut at any byte, it is refused or read as far as it goes`, async (t) => {
    let cuts = 0
    for (const bytes of target.corpus) {
      for (let length = 0; length < bytes.byteLength; length++) {
        try {
          await target.read(bytes.slice(0, length))
        } catch (error) {
          if (!(error instanceof Refusal)) t.fail(`cut at ${length}: ${error}`)
        }
        cuts++
      }
    }
    t.ok(cuts > 0, `${cuts} cuts`)
  })
}
