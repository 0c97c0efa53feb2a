// A process killed at any moment loses nothing that it acknowledged and leaves nothing half done.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openStore } from '../../store/index.ts'
import { temporaryFolder } from '../helper/store.ts'
import {
  acknowledgedOf,
  type Line,
  linesOf,
  problemsOfCheckpoints,
  problemsOfPairs,
} from './pair.ts'

/** How often a process is killed. */
const loops = Number(process.env.HOLDFAST_KILL_LOOPS ?? 25)
/** Decides the moments; each loop takes another. */
const seed = Number(process.env.HOLDFAST_KILL_SEED ?? 1)

/** Runs the child on a directory and kills it; what it had told by then. */
async function writeUntilKilled(directory: string, loop: number): Promise<Line[]> {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./child.ts', import.meta.url)), directory, 'kill', '1000000'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const ended = once(child, 'close')
  let output = ''
  child.stdout.setEncoding('utf8')
  const started = new Promise<void>((resolve) => {
    child.stdout.on('data', (text: string) => {
      output += text
      resolve()
    })
  })
  const moment = (seed * 7919 + loop * 104729) % 300
  // Now and then it is killed while it recovers from the kill before.
  const isEarly = loop % 5 === 4
  if (!isEarly) await Promise.race([started, ended])
  await new Promise((resolve) => setTimeout(resolve, isEarly ? 60 + moment / 2 : moment))
  child.kill('SIGKILL')
  await ended
  return linesOf(output)
}

t.test(`nothing acknowledged is lost in ${loops} kills (seed ${seed})`, async (t) => {
  const directory = temporaryFolder(t)
  let acknowledgements = 0
  let longestRecoveryMs = 0
  for (let loop = 0; loop < loops; loop++) {
    const lines = await writeUntilKilled(directory, loop)
    t.same(
      lines.filter(({ kind }) => !['open', 'acknowledged', 'saved', 'deleting'].includes(kind)),
      [],
    )
    acknowledgements += lines.filter(({ kind }) => kind === 'acknowledged').length
    const begin = performance.now()
    const store = await openStore({ directory, clock: () => 1 })
    longestRecoveryMs = Math.max(longestRecoveryMs, performance.now() - begin)
    t.same(await problemsOfPairs(store, acknowledgedOf(lines)), [], `pairs after kill ${loop}`)
    t.same(await problemsOfCheckpoints(store), [], `checkpoints after kill ${loop}`)
    const deleting = new Set(lines.filter(({ kind }) => kind === 'deleting').map(({ id }) => id))
    for (const { id } of lines.filter(({ kind }) => kind === 'saved')) {
      if (id !== undefined && !deleting.has(id))
        t.ok(await store.catalogue.checkpoint(id), `checkpoint ${id}`)
    }
    const files = readdirSync(join(directory, 'packs'))
    t.equal(files.length, (await store.status()).packCount, 'no file is left that nothing names')
    await store.close()
  }
  t.comment(`${acknowledgements} pairs, recovery within ${Math.round(longestRecoveryMs)} ms`)
  t.ok(acknowledgements > loops, `${acknowledgements} acknowledged pairs`)
  t.ok(longestRecoveryMs < 5_000, `recovery took ${Math.round(longestRecoveryMs)} ms at most`)
})
