// Kills the server again and again while it is written to, for as long as wanted, and says what was
// found: `node scripts/kill-server.ts --times=1000 --seed=7`. The tests do it a few times.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chanceFrom, seedOf } from '../test/helper/chance.ts'
import { killAgainAndAgain } from '../test/helper/kill-loop.ts'

const given = process.argv.find((argument) => argument.startsWith('--times='))
const times = Number(given?.slice('--times='.length) ?? 100)
const seed = seedOf(process.argv, 1)
const directory = await mkdtemp(join(tmpdir(), 'holdfast-kill-'))
const { problems, acknowledged, longestStartMs } = await killAgainAndAgain(
  directory,
  { times, mostMs: Number.POSITIVE_INFINITY },
  chanceFrom(seed),
)
console.log(`${times} kills (seed ${seed}), ${acknowledged} acknowledged writes`)
console.log(`the longest start took ${Math.round(longestStartMs)} ms`)
for (const problem of problems) console.log(problem)
await rm(directory, { recursive: true, force: true })
process.exitCode = problems.length === 0 ? 0 : 1
