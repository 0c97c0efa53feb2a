// The real service in a process of its own, on a data directory that is thrown away.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export interface ServiceProcess {
  readonly url: string
  readonly directory: string
  readonly processId: number
  stop(): Promise<void>
}

/** Starts `script` (of the repository) and waits for the address that its first line names. */
export async function startProcess(
  script: string,
  args: readonly string[],
): Promise<{ readonly url: string; readonly child: ChildProcess }> {
  const root = resolve(import.meta.dirname, '..')
  const child = spawn(process.execPath, [join(root, script), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const url = await new Promise<string>((resolveUrl, reject) => {
    let text = ''
    child.stdout?.on('data', (piece: Buffer) => {
      text += piece.toString()
      const match = /http:\/\/[\d.]+:\d+/.exec(text)
      if (match !== null) resolveUrl(match[0])
    })
    child.once('exit', (code) => reject(new Error(`${script} ended with ${code}: ${text}`)))
  })
  return { url, child }
}

/** Starts the service without its demonstration model. */
export async function startService(): Promise<ServiceProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  const args = ['--port', '0', '--data', directory, '--demo', '0', '--log-level', 'warn']
  const { url, child } = await startProcess('server/main.ts', args)
  return {
    url,
    directory,
    processId: child.pid ?? 0,
    async stop() {
      const ended = new Promise((done) => child.once('exit', done))
      child.kill('SIGTERM')
      await ended
      await rm(directory, { recursive: true, force: true })
    },
  }
}
