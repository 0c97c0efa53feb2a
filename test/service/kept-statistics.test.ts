// Figures of a checkpoint's tensors are taken once, kept beside the value, and come back as they were.
import t from 'tap'
import type { StoredTensor } from '../../service/index.ts'
import { tensorOfElements } from '../../tensor/index.ts'
import { make, openWatched } from './watched-service.ts'

t.test('figures come back from the store as they were taken, and go with the value', async (t) => {
  const { service, store } = await openWatched(t)
  const values = {
    ints: tensorOfElements('int64', [3], [2n ** 63n - 1n, -(2n ** 63n), 0n]),
    nothing: tensorOfElements('float32', [0], []),
    odd: tensorOfElements('float64', [4], [Number.NaN, Infinity, -0, 1e308]),
    zero: tensorOfElements('float32', [1], [-0]),
  }
  for (const [name, value] of Object.entries(values)) await make(service, name, value)
  const { id } = await service.checkpoints.save({ container: '', labels: [], metadata: {} })
  const { items } = await service.checkpoints.tensors(id, { limit: 10 })
  const ids = items.map((tensor: StoredTensor) =>
    tensor.form === 'plain' ? tensor.entry.value.valueId : -1,
  )
  t.equal((await store.values.figures(ids)).size, 0)
  const first = await service.statisticsOfTensors(items)
  t.same([...(await store.values.figures(ids)).keys()].sort(), [...ids].sort())
  const again = await service.statisticsOfTensors(items)
  t.strictSame(again, first)
  t.match(again[0], { min: -(2n ** 63n), max: 2n ** 63n - 1n, count: 3 })
  t.match(again[1], { min: undefined, mean: undefined, count: 0, histogram: { edges: [] } })
  t.match(again[2], { nans: 1, positiveInfinities: 1, zeros: 1, max: 1e308 })
  t.ok(Object.is(again[3].min, -0), 'also the sign of 0')
  for (const name of Object.keys(values)) await service.variables.remove('', name, {})
  await service.checkpoints.remove(id)
  await service.sweep()
  t.equal((await store.values.figures(ids)).size, 0)
})

t.test('who went away ends the taking', async (t) => {
  const { service } = await openWatched(t)
  await make(service, 'w', tensorOfElements('float32', [1], [1]))
  const { id } = await service.checkpoints.save({ container: '', labels: [], metadata: {} })
  const { items } = await service.checkpoints.tensors(id, { limit: 10 })
  const abort = new AbortController()
  abort.abort()
  await t.rejects(service.statisticsOfTensors(items, abort.signal), { code: 'CANCELLED' })
})
