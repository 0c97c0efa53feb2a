// The real server, killed while many write to it: what it acknowledged is there after each start.
import t from 'tap'
import { chanceFrom, seedOf } from '../helper/chance.ts'
import { killAgainAndAgain } from '../helper/kill-loop.ts'
import { temporaryFolder } from '../helper/store.ts'

const seed = seedOf(process.argv, Date.now() % 1_000_000)
const times = 10
const mostStartMs = 20_000

t.test(`nothing acknowledged is lost or done twice in ${times} kills (seed ${seed})`, async (t) => {
  const report = await killAgainAndAgain(temporaryFolder(t), times, chanceFrom(seed))
  t.same(report.problems, [], `seed ${seed}`)
  t.ok(report.acknowledged > times * 20, `${report.acknowledged} writes were acknowledged`)
  const { firstStartMs, longestStartMs } = report
  t.comment(
    `starts: ${Math.round(firstStartMs)} ms first, ${Math.round(longestStartMs)} ms at most`,
  )
  t.ok(longestStartMs < mostStartMs, `a start took ${Math.round(longestStartMs)} ms`)
})
