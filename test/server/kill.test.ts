// The real server, killed while many write to it: what it acknowledged is there after each start.
import t from 'tap'
import { chanceFrom, seedOf } from '../helper/chance.ts'
import { killAgainAndAgain } from '../helper/kill-loop.ts'
import { temporaryFolder } from '../helper/store.ts'

const seed = seedOf(process.argv, Date.now() % 1_000_000)
const extent = { times: 10, mostMs: 16_000 }
const mostStartMs = 30_000

t.test(`nothing acknowledged is lost or done twice in some kills (seed ${seed})`, async (t) => {
  const report = await killAgainAndAgain(temporaryFolder(t), extent, chanceFrom(seed))
  t.same(report.problems, [], `seed ${seed}`)
  const { kills, acknowledged, firstStartMs, longestStartMs } = report
  t.ok(kills > 2, `${kills} kills`)
  t.ok(acknowledged > kills * 10, `${acknowledged} writes were acknowledged`)
  t.comment(
    `starts: ${Math.round(firstStartMs)} ms first, ${Math.round(longestStartMs)} ms at most`,
  )
  t.ok(longestStartMs < mostStartMs, `a start took ${Math.round(longestStartMs)} ms`)
})
