// Backups over HTTP and by the commands: made while the server runs, fetched, put back, deleted.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openTar } from '../../formats/index.ts'
import { openStore } from '../../store/index.ts'
import { bytesOfVariable, temporaryFolder } from '../helper/store.ts'
import { floats, startServer, type TestServer } from './helper.ts'

async function filled(server: TestServer): Promise<void> {
  const initializer = { value: [1, 2, 3], dtype: 'float32', shape: [3] }
  await server.call('POST /v1/variables', { json: { name: 'scope/w', initializer } })
  await server.call('POST /v1/variables:initialize')
  await server.call('POST /v1/checkpoints', { json: { step: 1 } })
}

interface Ended {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

/** Runs a command of scripts/ to its end. */
async function run(script: string, ...given: readonly string[]): Promise<Ended> {
  const path = join(import.meta.dirname, '../../scripts', script)
  const child = spawn(process.execPath, [path, ...given], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  child.stderr.on('data', (text) => {
    errors += text
  })
  const [code] = await once(child, 'close')
  return { code: code as number | null, output, errors }
}

t.test('a backup is made, listed, fetched whole and in parts, and deleted', async (t) => {
  const server = await startServer(t)
  await filled(server)
  const made = await server.call('POST /v1/backups')
  t.match(made, {
    status: 201,
    json: {
      id: /^\d{8}T\d{6}Z$/,
      state: 'done',
      sha256: /^[0-9a-f]{64}$/,
      packs: 'linked',
      damaged_chunks: 0,
    },
  })
  const { id } = made.json
  t.equal(made.headers.get('location'), `/v1/backups/${id}`)
  t.same((await server.call(`GET /v1/backups/${id}`)).json, made.json)
  t.same((await server.call('GET /v1/backups')).json, { backups: [made.json] })

  const whole = await server.call(`GET /v1/backups/${id}:download`)
  t.equal(whole.headers.get('content-type'), 'application/x-tar')
  t.equal(Number(whole.headers.get('content-length')), whole.bytes.byteLength)
  const files = await openTar({
    byteLength: whole.bytes.byteLength,
    read: async (offset, length) => whole.bytes.slice(offset, offset + length),
  })
  t.same(files.names, [`${id}/backup.json`, `${id}/catalog.db`])
  const part = await server.call(`GET /v1/backups/${id}:download`, {
    headers: { range: 'bytes=700-1999', 'if-range': whole.headers.get('etag') ?? '' },
  })
  t.equal(part.status, 206)
  t.same(part.bytes, whole.bytes.slice(700, 2000))

  const begun = await server.call('POST /v1/backups', {
    json: { async: true, copy: true },
    headers: { 'idempotency-key': 'k' },
  })
  t.equal(begun.status, 202)
  await server.service.operations.idle()
  const { json: operation } = await server.call(`GET /v1/operations/${begun.json.id}`)
  t.match(operation, { kind: 'create_backup', state: 'done', result: { packs: 'copied' } })
  t.equal(operation.progress.bytes_done, operation.result.nbytes)
  const again = await server.call('POST /v1/backups', {
    json: { async: true, copy: true },
    headers: { 'idempotency-key': 'k' },
  })
  t.equal(again.json.id, begun.json.id, 'sent again it is not made again')
  t.equal((await server.call('GET /v1/backups')).json.backups.length, 2)

  t.equal((await server.call(`DELETE /v1/backups/${id}`)).status, 204)
  t.match(await server.call(`DELETE /v1/backups/${id}`), {
    status: 404,
    json: { reason: 'backup/unknown' },
  })
  for (const name of ['..', '%2e%2e', '../catalog.db', 'packs', '20260101T000000Z', '__proto__']) {
    t.equal((await server.call(`GET /v1/backups/${name}`)).status, 404, name)
    t.equal((await server.call(`GET /v1/backups/${name}:download`)).status, 404, name)
  }
  t.match(await server.call('POST /v1/backups', { json: { path: '/tmp' } }), { status: 400 })
})

t.test('the commands back a running server up and put it back', async (t) => {
  const server = await startServer(t)
  await filled(server)
  const folder = temporaryFolder(t)
  const tar = join(folder, 'backup.tar')
  const made = await run('backup.ts', '--server', server.base, '--out', tar)
  t.match(made, { code: 0, output: /^\d{8}T\d{6}Z \(\d+ bytes, SHA-256 [0-9a-f]{64}\)\n/ })
  const data = join(folder, 'data')
  const restored = await run('restore.ts', tar, '--data', data)
  t.match(restored, { code: 0, output: /holds backup .+: 1 chunks checked, 0 damaged\.\n$/ })
  const store = await openStore({ directory: data, clock: Date.now })
  t.same(await bytesOfVariable(store, 'scope/w'), floats(1, 2, 3))
  t.match(await store.catalogue.checkpoint('latest'), { id: '1', step: 1 })

  const locked = await run('backup.ts', '--data', data)
  t.match(locked, { code: 1, errors: /^holdfast: The data directory is in use by process \d+/ })
  await store.close()
  const offline = await run('backup.ts', '--data', data, '--backups', join(folder, 'b'), '--copy')
  t.match(offline, { code: 0, output: /\d{8}T\d{6}Z \(\d+ bytes/ })
  const [path] = offline.output.split(' (')
  const third = join(folder, 'third')
  t.match(await run('restore.ts', path, '--data', third), { code: 0 })

  t.match(await run('restore.ts', path, '--data', third), {
    code: 1,
    errors: /^holdfast: The directory is not empty: it holds catalog\.db, packs\. Name a dir/,
  })
  writeFileSync(join(folder, 'text.tar'), 'not a tar')
  t.match(await run('restore.ts', join(folder, 'text.tar'), '--data', join(folder, 'x')), {
    code: 1,
    errors: /^holdfast: /,
  })
})

t.test('commands that are called wrongly say how they are called', async (t) => {
  const wrong = await Promise.all([
    run('backup.ts', '--data', '/nowhere/at/all'),
    run('backup.ts', '--data', '.', '--server', 'http://127.0.0.1:1'),
    run('restore.ts', '/nowhere/at/all', '--data', '/tmp/x'),
    run('restore.ts', 'a'),
  ])
  for (const { code, errors } of wrong) {
    t.equal(code, 2)
    t.match(errors, /^holdfast: .+\nUsage:/)
    t.notMatch(errors, / at .+:\d+/, 'no stack')
  }
  t.match(await run('backup.ts', '--server', 'http://127.0.0.1:1'), {
    code: 1,
    errors: 'holdfast: Nothing answers at http://127.0.0.1:1/v1/backups (bad port).\n',
  })
})
