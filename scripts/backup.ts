// Makes a backup of the whole store: `npm run backup` of a server that runs, by HTTP;
// `npm run backup -- --data FOLDER` of a data directory that no server has open.
import { createWriteStream } from 'node:fs'
import { access, rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { openStore } from '../store/index.ts'
import { type CommandLine, runCommand, tellProgress, UsageError } from './command.ts'

const usage = `Usage:
  npm run backup -- [--server URL] [--copy] [--out FILE.tar]
      of a server that runs (http://127.0.0.1:8501 unless given); --out also fetches it
  npm run backup -- --data FOLDER [--backups FOLDER] [--copy]
      of a data directory that no server has open
  --copy  with packs of its own, where links to the store's would do`

const pollMs = 200

/** A backup as the server shows it. */
interface Shown {
  readonly id: string
  readonly nbytes: number
  readonly sha256: string
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function backUpDirectory(directory: string, line: CommandLine): Promise<void> {
  await access(resolve(directory, 'catalog.db')).catch(() => {
    throw new UsageError(`${directory} holds no store.`)
  })
  const backups = line.value('backups')
  const store = await openStore({
    directory: resolve(directory),
    backupDirectory: backups === undefined ? undefined : resolve(backups),
    clock: Date.now,
    log: (message) => process.stderr.write(`holdfast: ${message}\n`),
    limits: { scrubBytesPerSecond: 0 },
  })
  try {
    const { id, byteLength, digest } = await store.backups.create(
      { copy: line.flag('copy') },
      tellProgress,
    )
    const folder = backups === undefined ? resolve(directory, 'backups') : resolve(backups)
    say(`${resolve(folder, id)} (${byteLength} bytes, SHA-256 ${digest})`)
  } finally {
    await store.close()
  }
}

async function asked(url: string, request?: RequestInit): Promise<Response> {
  const response = await fetch(url, request).catch((error) => {
    throw new Error(
      `Nothing answers at ${url} (${error.cause?.code ?? error.cause?.message ?? error.message}).`,
    )
  })
  if (response.ok) return response
  const problem = (await response.json().catch(() => ({}))) as { detail?: string; fix?: string }
  throw new Error(`${problem.detail ?? response.statusText} ${problem.fix ?? ''}`.trim())
}

async function backUpServer(base: string, line: CommandLine): Promise<void> {
  const begun = await asked(new URL('/v1/backups', base).href, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ async: true, copy: line.flag('copy') }),
  })
  const place = new URL(begun.headers.get('location') ?? '/', base).href
  for (;;) {
    const operation = (await (await asked(place)).json()) as {
      readonly state: string
      readonly progress: { readonly bytes_done: number; readonly bytes_total: number | null }
      readonly result: Shown
      readonly error: { readonly detail: string } | null
    }
    tellProgress(operation.progress.bytes_done, operation.progress.bytes_total)
    if (operation.state === 'done') return finish(base, operation.result, line.value('out'))
    if (operation.state !== 'running') {
      throw new Error(operation.error?.detail ?? `The backup was ${operation.state}.`)
    }
    await new Promise((resolveLater) => setTimeout(resolveLater, pollMs))
  }
}

async function finish(base: string, { id, nbytes, sha256 }: Shown, out?: string): Promise<void> {
  say(`${id} (${nbytes} bytes, SHA-256 ${sha256})`)
  if (out === undefined) return
  const { body } = await asked(new URL(`/v1/backups/${id}:download`, base).href)
  if (body === null) throw new Error('The server sent no bytes.')
  const partial = `${out}.partial`
  try {
    // What has the name is whole.
    await pipeline(Readable.fromWeb(body as never), createWriteStream(partial, { flush: true }))
    await rename(partial, out)
  } catch (error) {
    await rm(partial, { force: true })
    throw error
  }
  say(out)
}

const options = {
  usage,
  values: ['server', 'data', 'backups', 'out'],
  flags: ['copy'],
  names: 0,
}
await runCommand(options, process.argv.slice(2), async (line) => {
  const directory = line.value('data')
  const server = line.value('server')
  if (directory !== undefined && (server ?? line.value('out')) !== undefined) {
    throw new UsageError('--data stands alone: it is of a directory that no server has open.')
  }
  if (directory !== undefined) return backUpDirectory(directory, line)
  if (line.value('backups') !== undefined) throw new UsageError('--backups goes with --data.')
  return backUpServer(server ?? 'http://127.0.0.1:8501', line)
})
