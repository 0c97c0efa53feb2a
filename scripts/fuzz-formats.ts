// Breaks files for as long as wanted and has each parser read them:
// `node scripts/fuzz-formats.ts --seconds=60 --seed=7 --only=npz`. The tests do it for a moment.
import { fuzzTargets } from '../test/formats/fuzz-targets.ts'
import { seedOf } from '../test/helper/chance.ts'
import { fuzz } from '../test/helper/fuzz.ts'

function argument(name: string): string | undefined {
  const start = `--${name}=`
  return process.argv.find((one) => one.startsWith(start))?.slice(start.length)
}

const seconds = Number(argument('seconds') ?? 10)
const only = argument('only') ?? ''
const seed = seedOf(process.argv, 1)
let problemCount = 0
for (const target of await fuzzTargets()) {
  if (!target.name.includes(only)) continue
  const { inputs, read, reasons, problems } = await fuzz(target, seed, seconds * 1000)
  const listed = [...reasons].map(([reason, count]) => `${reason} ${count}`).join(', ')
  console.log(`${target.name} (seed ${seed}): ${inputs} inputs, ${read} read; ${listed}`)
  for (const problem of problems) console.log(`  ${problem}`)
  problemCount += problems.length
}
process.exitCode = problemCount === 0 ? 0 : 1
