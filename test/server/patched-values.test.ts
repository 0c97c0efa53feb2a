// Few changes of large variables: what is committed is what the engine computed, although only the
// changed bytes went to the store.
import t from 'tap'
import { startServer } from './helper.ts'

/** Above the size from which variables are patched, and of several chunks in the store. */
const rows = 20_000
const width = 32

t.test('scatters and slices of a large variable', async (t) => {
  for (const device of ['reference', '/device:CPU:0']) {
    await t.test(`on ${device}`, async (t) => {
      const { call } = await startServer(t, { device })
      const want = new Float32Array(rows * width).map((_, place) => place % 1000)
      const made = await call('POST /v1/variables', {
        json: { name: 'table', dtype: 'float32', shape: [rows, width] },
      })
      t.equal(made.status, 201)
      const raw = { 'content-type': 'application/octet-stream' }
      await call('POST /v1/variables/table:assign', {
        body: new Uint8Array(want.buffer),
        headers: raw,
      })
      const stored = async (): Promise<Float32Array> => {
        const accept = { accept: 'application/octet-stream' }
        const { bytes } = await call('GET /v1/variables/table:read_value', { headers: accept })
        return new Float32Array(bytes.slice().buffer)
      }
      const update = (row: number, change: (value: number, column: number) => number): void => {
        for (let column = 0; column < width; column++) {
          const at = row * width + column
          want[at] = change(want[at], column)
        }
      }
      const ones = Array.from({ length: width }, () => 1)

      await t.test(
        'changes what it names, duplicates and borders of chunks included',
        async (t) => {
          const named = [19_999, 0, 8191, 8192, 0, 8192, 8192]
          const done = await call('POST /v1/variables/table:scatter_add', {
            json: { indices: named, updates: named.map(() => ones) },
          })
          t.match(done, { status: 200, json: { version: 2 } })
          for (const row of named) update(row, (value) => value + 1)
          t.same(await stored(), want)
          const again = await call('POST /v1/variables/table:scatter_update', {
            json: { indices: [5, 6, 5], updates: [ones, ones, ones.map(() => 7)] },
          })
          t.equal(again.status, 200)
          update(5, () => 7)
          update(6, () => 1)
          t.same(await stored(), want)
        },
      )

      await t.test('a row that is not there is refused, and nothing changes', async (t) => {
        const refused = await call('POST /v1/variables/table:scatter_add', {
          json: { indices: [3, rows], updates: [ones, ones] },
        })
        t.equal(refused.status, 422)
        t.match(refused.json.detail, /indices\[1\] = 20000 is not in \[0, 20000\)/)
        t.same(await stored(), want)
      })

      await t.test(
        'a version that is not the present one is refused, and nothing changes',
        async (t) => {
          const refused = await call('POST /v1/variables/table:scatter_add', {
            json: { indices: [3], updates: [ones] },
            headers: { 'if-match': '"1"' },
          })
          t.equal(refused.status, 412)
          const done = await call('POST /v1/variables/table:scatter_sub', {
            json: { indices: [3], updates: [ones] },
          })
          t.equal(done.status, 200)
          update(3, (value) => value - 1)
          t.same(await stored(), want)
        },
      )
    })
  }
})
