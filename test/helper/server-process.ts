// The real server as a process of its own, to be killed.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const startTimeoutMs = 60_000

export interface ServerProcess {
  readonly base: string
  /** From its start to its first line, in milliseconds. */
  readonly startedWithinMs: number
  /** Ends it at once, as a power cut would end it, and waits until it is gone. */
  kill(): Promise<void>
  /** Asks it to end, and answers with its exit code. */
  end(): Promise<number | null>
}

/** Starts the server on a data directory, with the reference device, and waits until it answers. */
export async function startProcess(directory: string): Promise<ServerProcess> {
  const begun = performance.now()
  const child = launch(directory)
  const ended = once(child, 'close')
  const base = await firstAddress(child, ended)
  const startedWithinMs = performance.now() - begun
  return {
    base,
    startedWithinMs,
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    async end() {
      child.kill('SIGTERM')
      const [code] = await ended
      return code as number | null
    },
  }
}

/** Starts the server and kills it after that time, wherever it then is in its start. */
export async function startAndKill(directory: string, afterMs: number): Promise<void> {
  const child = launch(directory)
  const ended = once(child, 'close')
  await new Promise((resolve) => setTimeout(resolve, afterMs))
  child.kill('SIGKILL')
  await ended
}

function launch(directory: string): ChildProcess {
  const settings = ['--port', '0', '--device', 'reference', '--demo', '0', '--data', directory]
  return spawn(process.execPath, ['server/main.ts', ...settings], {
    cwd: root,
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

function firstAddress(child: ChildProcess, ended: Promise<unknown>): Promise<string> {
  return new Promise((resolve, reject) => {
    let told = ''
    let complaint = ''
    const timeout = setTimeout(() => reject(new Error('it did not start in time')), startTimeoutMs)
    child.stderr?.on('data', (text) => {
      complaint += text
    })
    child.stdout?.on('data', (text) => {
      told += text
      const found = /http:\/\/[^ )]+/.exec(told)
      if (!told.includes('\n') || found === null) return
      clearTimeout(timeout)
      resolve(found[0])
    })
    void ended.then(() => {
      clearTimeout(timeout)
      reject(new Error(`it ended instead of starting: ${complaint}`))
    })
  })
}
