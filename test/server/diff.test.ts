// What checkpoints differ in, the history of a name, and figures that are kept, over HTTP.
import t from 'tap'
import { contentOf } from '../helper/store.ts'
import { startServer, type TestServer } from './helper.ts'

const mebibyte = 2 ** 20

async function make(server: TestServer, name: string, value: unknown, dtype = 'float32') {
  const json = { name, initializer: { dtype, value } }
  const made = await server.call('POST /v1/variables', { json })
  if (made.status !== 201) throw new Error(made.text)
  await server.call(`POST /v1/variables/${name}:initialize`)
}

const named = (tensors: readonly { name: string }[]) => tensors.map(({ name }) => name)

t.test('two checkpoints, side by side', async (t) => {
  const server = await startServer(t)
  const { call } = server
  const save = async (): Promise<string> => (await call('POST /v1/checkpoints')).json.id
  await make(server, 'kept', [1, 2])
  await make(server, 'moved', [1, 2, 3, 4])
  await make(server, 'reshaped', [1, 2])
  await make(server, 'gone', [5])
  await make(server, 'words', ['a'], 'string')
  await make(server, 'counts', ['9007199254740993', 5], 'int64')
  const a = await save()
  await call('POST /v1/variables/moved:assign', { json: [1, 2.5, 3, 'NaN'] })
  await call('POST /v1/variables/reshaped:assign?validate_shape=false', { json: [[1], [2]] })
  await call('POST /v1/variables/words:assign', { json: ['b'] })
  await call('POST /v1/variables/counts:assign', { json: ['9007199254740992', 5] })
  await call('DELETE /v1/variables/gone')
  await make(server, 'new', [7])
  const b = await save()

  t.test('what came, went and changed is told, and by how much', async (t) => {
    const { json } = await call(`GET /v1/checkpoints/${a}:diff?with=${b}`)
    t.match(json, {
      checkpoint: a,
      with: b,
      added_count: 1,
      removed_count: 1,
      changed_count: 4,
      unchanged_count: 1,
      cursor: null,
    })
    t.same(named(json.added), ['new'])
    t.same(named(json.removed), ['gone'])
    t.match(json.changed, [
      {
        name: 'counts',
        elements: 2,
        differing: 1,
        max_abs_difference: 1,
        mean_abs_difference: 0.5,
      },
      {
        name: 'moved',
        before: { dtype: 'float32', shape: [4], nbytes: 16 },
        dtype_changed: false,
        shape_changed: false,
        elements: 4,
        differing: 2,
        not_finite: 1,
        max_abs_difference: 0.5,
        chunks: 1,
        shared_chunks: 0,
        shared_bytes: 0,
      },
      { name: 'reshaped', after: { shape: [2, 1] }, shape_changed: true, elements: null },
      { name: 'words', elements: null, max_abs_difference: null, mean_abs_difference: null },
    ])
    t.equal(json.changed[1].mean_abs_difference, 0.5 / 3)
  })

  t.test('the other way round what came went', async (t) => {
    const { json } = await call(`GET /v1/checkpoints/${b}:diff?with=${a}&values=false`)
    t.same([named(json.added), named(json.removed)], [['gone'], ['new']])
    t.equal(json.changed_count, 4)
    t.ok(json.changed.every((one: { elements: unknown }) => one.elements === null))
  })

  t.test('pages go by name over all three', async (t) => {
    const seen: string[] = []
    let cursor = ''
    do {
      const { json } = await call(`GET /v1/checkpoints/${a}:diff?with=${b}&limit=2${cursor}`)
      t.equal(json.changed_count, 4)
      seen.push(...named([...json.added, ...json.removed, ...json.changed]).sort())
      cursor = json.cursor === null ? '' : `&cursor=${json.cursor}`
    } while (cursor !== '')
    t.same(seen, ['counts', 'gone', 'moved', 'new', 'reshaped', 'words'])
    const bad = await call(`GET /v1/checkpoints/${a}:diff?with=${b}&cursor=x`)
    t.same([bad.status, bad.json.reason], [400, 'page/bad-cursor'])
  })

  t.test(
    'a checkpoint differs in nothing from itself, and from the present in what changed',
    async (t) => {
      t.match((await call(`GET /v1/checkpoints/${a}:diff?with=${a}`)).json, {
        changed_count: 0,
        added_count: 0,
        removed_count: 0,
        unchanged_count: 6,
      })
      const quiet = (await call(`GET /v1/checkpoints/${b}:diff`)).json
      t.match(quiet, { with: 'current', container: '', changed_count: 0, unchanged_count: 6 })
      await call('POST /v1/variables/moved:assign_add', { json: [1, 1, 1, 1] })
      const present = (await call(`GET /v1/checkpoints/latest:diff?with=current`)).json
      t.match(present.changed, [{ name: 'moved', differing: 3, max_abs_difference: 1 }])
    },
  )

  t.test('what is not there is said by name', async (t) => {
    const none = await call(`GET /v1/checkpoints/${a}:diff?with=99`)
    t.same([none.status, none.json.names], [404, { checkpoint: '99' }])
    t.equal((await call('GET /v1/checkpoints/99:diff')).status, 404)
  })

  t.test('the history of a name goes back over all checkpoints that hold it', async (t) => {
    const c = await save()
    const { json } = await call('GET /v1/checkpoints:history?name=moved')
    t.same(
      json.history.map((one: { checkpoint: string }) => one.checkpoint),
      [c, b, a],
    )
    t.match(json.history[2], { container: '', labels: [], tensor: { name: 'moved', shape: [4] } })
    t.same(named(json.history.map((one: { tensor: { name: string } }) => one.tensor)).length, 3)
    const gone = (await call('GET /v1/checkpoints:history?name=gone&statistics=true')).json
    t.match(gone.history, [{ checkpoint: a, tensor: { statistics: { min: 5, count: 1 } } }])
    t.same((await call('GET /v1/checkpoints:history?name=none')).json.history, [])
    const first = (await call('GET /v1/checkpoints:history?name=kept&limit=2')).json
    const second = (
      await call(`GET /v1/checkpoints:history?name=kept&limit=2&cursor=${first.cursor}`)
    ).json
    t.equal(first.history.length + second.history.length, 3)
    t.equal((await call('GET /v1/checkpoints:history')).status, 400)
  })

  t.test('figures are taken once and kept beside the value', async (t) => {
    const plain = (await call(`GET /v1/checkpoints/${a}`)).json
    t.ok(plain.tensors.every((one: object) => !('statistics' in one)))
    const first = (await call(`GET /v1/checkpoints/${a}?statistics=true`)).json
    t.match(first.tensors[0], {
      name: 'counts',
      statistics: { of: 'elements', count: 2, min: 5, max: '9007199254740993' },
    })
    t.match(first.tensors[5], { name: 'words', statistics: { of: 'lengths', min: 1, max: 1 } })
    const again = (await call(`GET /v1/checkpoints/${a}?statistics=true`)).json
    t.same(again.tensors, first.tensors, 'the same from the store as when they were taken')
    const [entry] = (await server.service.checkpoints.tensors(a, { limit: 1 })).items
    t.equal(entry.form, 'plain')
  })
})

t.test('of large values only chunks that differ count, whole values by pointing', async (t) => {
  const server = await startServer(t)
  const { call } = server
  const bytes = contentOf(5 * mebibyte, 1)
  const headers = { 'content-type': 'application/octet-stream' }
  const shape = [bytes.length]
  for (const name of ['w', 'same']) {
    await call('POST /v1/variables', { json: { name, shape, dtype: 'uint8' } })
    await call(`POST /v1/variables/${name}:assign`, { body: bytes, headers })
  }
  const a = (await call('POST /v1/checkpoints')).json.id
  bytes[3 * mebibyte + 17] ^= 128
  bytes[3 * mebibyte + 18] ^= 1
  await call('POST /v1/variables/w:assign', { body: bytes, headers })
  const { json } = await call(`GET /v1/checkpoints/${a}:diff`)
  t.match(json, { changed_count: 1, unchanged_count: 1 })
  t.match(json.changed[0], {
    name: 'w',
    elements: bytes.length,
    differing: 2,
    not_finite: 0,
    max_abs_difference: 128,
    mean_abs_difference: 129 / bytes.length,
    chunks: 5,
    shared_chunks: 4,
    shared_bytes: 4 * mebibyte,
  })
  const { json: used } = await call(`GET /v1/checkpoints/${a}?usage=true`)
  t.match(used, { nbytes: 10 * mebibyte, own_bytes: 0, shared_bytes: 5 * mebibyte })
})

t.test('partitioned variables are compared as wholes, however they are cut', async (t) => {
  const server = await startServer(t)
  const { call } = server
  const value = [
    [1, 2],
    [3, 4],
    [5, 6],
    [7, 8],
  ]
  const create = (partitions: readonly number[]) =>
    call('POST /v1/variables', { json: { name: 'p', shape: [4, 2], partitions } })
  t.equal((await create([2, 1])).status, 201)
  await call('POST /v1/variables/p:assign', { json: value })
  const a = (await call('POST /v1/checkpoints')).json.id
  await call('POST /v1/variables/p:assign', { json: [...value.slice(0, 3), [7, 9]] })
  const b = (await call('POST /v1/checkpoints')).json.id
  const { json } = await call(`GET /v1/checkpoints/${a}:diff?with=${b}`)
  t.match(json, { changed_count: 1, added_count: 0, unchanged_count: 0 })
  t.match(json.changed[0], {
    name: 'p',
    before: { shape: [4, 2], parts: [{ name: 'p/part_0' }, { name: 'p/part_1' }] },
    elements: 8,
    differing: 1,
    max_abs_difference: 1,
    chunks: 2,
    shared_chunks: 1,
    shared_bytes: 16,
  })
  await call('DELETE /v1/variables/p')
  await create([4, 1])
  await call('POST /v1/variables/p:assign', { json: value })
  const recut = (await call(`GET /v1/checkpoints/${a}:diff`)).json
  t.match(recut.changed, [{ name: 'p', differing: 0, max_abs_difference: 0 }])
  const history = (await call('GET /v1/checkpoints:history?name=p&statistics=true')).json.history
  t.match(history, [
    { checkpoint: b, tensor: { shape: [4, 2], statistics: { max: 9, count: 8 } } },
    { checkpoint: a, tensor: { parts: [{}, {}], statistics: { max: 8 } } },
  ])
  const part = (await call('GET /v1/checkpoints:history?name=p/part_1')).json.history
  t.match(part, [{ tensor: { shape: [2, 2] } }, {}])
})
