// The process: what it prints, what it refuses to start on, how it ends, and what is there after kill -9.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { call } from './helper.ts'

const root = join(import.meta.dirname, '../..')
const startTimeoutMs = 60_000

interface Started {
  readonly child: ChildProcess
  readonly base: string
  readonly firstLine: string
}

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function launch(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, ['server/main.ts', ...args], {
    cwd: root,
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const seen = { stdout: '', stderr: '' }
  child.stdout?.on('data', (text) => {
    seen.stdout += text
  })
  child.stderr?.on('data', (text) => {
    seen.stderr += text
  })
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, ...seen }))
  })
  return { child, seen, ended }
}

/** Starts the server and waits until it says that it answers. */
async function start(args: readonly string[], environment = {}): Promise<Started> {
  const { child, seen, ended } = launch(args, environment)
  const deadline = Date.now() + startTimeoutMs
  while (!seen.stdout.includes('\n')) {
    if (child.exitCode !== null || Date.now() > deadline) {
      throw new Error(`it did not start: ${(await ended).stderr}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const [firstLine] = seen.stdout.split('\n')
  const [base = ''] = /http:\/\/[^ )]+/.exec(firstLine) ?? []
  return { child, base, firstLine }
}

const quick = ['--port', '0', '--device', 'reference']

interface Teardown {
  teardown(work: () => Promise<void>): unknown
}

async function folder(t: Teardown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-main-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

t.test('what was acknowledged is there after kill -9', async (t) => {
  const data = join(await folder(t), 'made/by/itself')
  const first = await start([...quick, '--data', data, '--demo', '1'])
  t.match(first.firstLine, /^Holdfast answers at http:\/\/127\.0\.0\.1:\d+/)
  const container = '?container=models/demo/1'
  const ask = async (base: string) =>
    (await call(base, 'POST /v1/models/demo:predict', { json: { instances: [1, 2, 5] } })).json
      .predictions
  t.same(await ask(first.base), [2.5, 3, 4.5])
  await call(first.base, `POST /v1/checkpoints${container}`, { json: { labels: ['before'] } })
  const written = await call(first.base, `POST /v1/variables/b:assign${container}`, { json: 7 })
  t.equal(written.status, 200)
  await call(first.base, 'POST /v1/variables', { json: { name: 'counter', shape: [] } })
  let acknowledged = -1
  const writes = (async () => {
    for (let value = 0; ; value++) {
      const reply = await call(first.base, 'POST /v1/variables/counter:assign', { json: value })
      if (reply.status === 200) acknowledged = value
    }
  })().catch(() => undefined)
  while (acknowledged < 20) await new Promise((resolve) => setTimeout(resolve, 5))
  first.child.kill('SIGKILL')
  await writes

  const second = await start([...quick, '--data', data])
  const counter = (await call(second.base, 'GET /v1/variables/counter:read_value')).json.value
  t.ok(counter === acknowledged || counter === acknowledged + 1, `${counter} after ${acknowledged}`)
  t.same(await ask(second.base), [7.5, 8, 9.5])
  await call(second.base, 'POST /v1/checkpoints/before:restore')
  t.same(await ask(second.base), [2.5, 3, 4.5])
  const again = await call(second.base, `POST /v1/variables/b:assign${container}`, { json: 1 })
  t.ok(again.json.version > written.json.version, 'no version is used twice')

  const other = await launch([...quick, '--data', data]).ended
  t.not(other.code, 0)
  t.equal(other.stdout, '')
  t.match(other.stderr, /^holdfast: .*in use/i)
  t.equal(other.stderr.trim().split('\n').length, 1, 'one line')

  const stopped = new Promise<number | null>((resolve) => second.child.on('close', resolve))
  second.child.kill('SIGTERM')
  t.equal(await stopped, 0)
})

t.test('refusals to start are one clear line and an exit code', async (t) => {
  const data = await folder(t)
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  t.teardown(() => taken.close())
  const { port } = taken.address() as { port: number }
  const cases: readonly (readonly [readonly string[], Readonly<Record<string, string>>, RegExp])[] =
    [
      [
        ['--device', 'reference', '--data', data, '--demo', '0'],
        { HOLDFAST_PORT: String(port) },
        /Port \d+ on 127\.0\.0\.1 is in use/,
      ],
      [['--host', '0.0.0.0', '--data', data], {}, /--insecure/],
      [['--port', 'many'], {}, /port is a number/i],
      [['--colour', 'red'], {}, /no option --colour/],
      [['--port'], {}, /needs a value/],
      [['--log-level', 'loud'], {}, /log level is one of/],
      [[], { HOLDFAST_DEMO: 'perhaps' }, /--demo is 0 or 1/],
    ]
  for (const [args, environment, sentence] of cases) {
    const { code, stdout, stderr } = await launch(args, environment).ended
    t.not(code, 0)
    t.equal(stdout, '')
    t.match(stderr, sentence)
    t.equal(stderr.trim().split('\n').length, 1, stderr)
  }
})

t.test('a folder that holds something else is not taken for a data directory', async (t) => {
  const data = await folder(t)
  await writeFile(
    join(data, 'catalog.db'),
    'this is no catalogue, whatever it is called'.repeat(50),
  )
  const { code, stderr } = await launch([...quick, '--data', data]).ended
  t.not(code, 0)
  t.match(stderr, /^holdfast: /)
  t.notMatch(stderr, /\n\s+at /, 'no stack')
})

t.test('--help lists the settings', async (t) => {
  const { code, stdout } = await launch(['--help']).ended
  t.equal(code, 0)
  for (const word of ['--port', 'HOLDFAST_DATA', '--insecure', '8501']) t.match(stdout, word)
})
