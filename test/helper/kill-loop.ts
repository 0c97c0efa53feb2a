// The loop of writing, killing, starting and looking, on the real server. Its length and its moments are
// its caller's.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Chance } from './chance.ts'
import { connectionTo } from './connection.ts'
import { adder, assigner, comerAndGoer, pairWriter, saver, type Writer } from './kill-log.ts'
import { startAndKill, startProcess } from './server-process.ts'

/** What a loop came to. */
export interface KillReport {
  readonly problems: readonly string[]
  readonly kills: number
  readonly acknowledged: number
  /** The longest start after a kill, in milliseconds. */
  readonly longestStartMs: number
  /** The first start, on an empty directory. */
  readonly firstStartMs: number
}

/** Writers that write at once, each over a connection of its own. Sizes: inline, loose, in a pack. */
function writers(): Writer[] {
  return [
    assigner('small', 40),
    assigner('medium/value', 200_000),
    assigner('large', 2_500_000),
    adder('sum'),
    adder('sums/other'),
    comerAndGoer('guest'),
    pairWriter('pair'),
    saver('pair'),
  ]
}

/** How long a loop goes on: so often, and after that long no more, but for the first few times. */
export interface Extent {
  readonly times: number
  readonly mostMs: number
}

const fewestKills = 3
/** Before a kill at least so many writes are acknowledged, if that takes no longer than .. */
const fewestWrites = 12
const longestWritingMs = 8_000

/** Kills a server on `directory` while it is written to, and looks at it after each time. */
export async function killAgainAndAgain(
  directory: string,
  { times, mostMs }: Extent,
  chance: Chance,
): Promise<KillReport> {
  const begun = performance.now()

  const all = writers()
  const problems: string[] = []
  let server = await startProcess(directory)
  const firstStartMs = server.startedWithinMs
  let longestStartMs = 0
  let time = 0
  while (time < times && (time < fewestKills || performance.now() - begun < mostMs)) {
    time += 1
    problems.push(...(await writeUntilKilled(server, all, 60 + chance.whole(400))))
    // Now and then it is killed again while it recovers.
    if (time % 4 === 0) await startAndKill(directory, 100 + chance.whole(500))
    server = await startProcess(directory)
    longestStartMs = Math.max(longestStartMs, server.startedWithinMs)
    const connection = connectionTo(server.base)
    for (const writer of all) {
      const found = await writer.problems(connection)
      problems.push(...found.map((problem) => `after kill ${time}: ${problem}`))
    }
    const spooled = await readdir(join(directory, 'spool'))
    if (spooled.length > 0) problems.push(`after kill ${time} the spool holds ${spooled}`)
    connection.close()
  }
  const code = await server.end()
  if (code !== 0) problems.push(`it ended with ${code}`)
  const acknowledged = all.reduce((sum, writer) => sum + writer.acknowledged, 0)
  return { problems, kills: time, acknowledged, longestStartMs, firstStartMs }
}

/** Lets everyone write for that long, then kills; what the writers complained of. */
async function writeUntilKilled(
  server: Awaited<ReturnType<typeof startProcess>>,
  all: readonly Writer[],
  lengthMs: number,
): Promise<string[]> {
  const connections = all.map(() => connectionTo(server.base))
  for (const [index, writer] of all.entries()) await writer.prepare(connections[index])
  let isOver = false
  const writing = all.map(async (writer, index) => {
    while (!isOver && (await writer.write(connections[index])));
  })
  const settled = Promise.allSettled(writing)
  const acknowledged = (): number => all.reduce((sum, writer) => sum + writer.acknowledged, 0)
  const enough = acknowledged() + fewestWrites
  const begun = performance.now()
  do {
    await new Promise((resolve) => setTimeout(resolve, lengthMs))
  } while (acknowledged() < enough && performance.now() - begun < longestWritingMs)
  await server.kill()
  isOver = true
  const outcomes = await settled
  for (const connection of connections) connection.close()
  return outcomes.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))
}
