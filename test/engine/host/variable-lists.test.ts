import t from 'tap'
import { HeardLists, ToldLists } from '../../../engine/host/variable-lists.ts'
import type { RunRequest, ValueBinding } from '../../../engine/index.ts'

type Variables = RunRequest['variables']

const bound: ValueBinding = { dtype: 'float32', shape: [2, 3], value: 7 }
const list = (binding: ValueBinding | null, name = 'w', container = ''): Variables => [
  { container: '', name: 'first', binding: { dtype: 'int32', shape: [], value: 1 } },
  { container, name, binding },
]

t.test('a list crosses whole once, and by its number while it stays the same', async (t) => {
  const told = new ToldLists()
  const heard = new HeardLists()
  const first = told.told(list(bound))
  t.same(first, { slot: 0, list: list(bound) })
  t.same(heard.heard(structuredClone(first)), list(bound))
  const again = told.told(list({ ...bound, shape: [2, 3] }))
  t.same(again, { slot: 0 })
  t.same(heard.heard(again), list(bound))
})

t.test('whatever differs makes another list', async (t) => {
  const others: Variables[] = [
    list({ dtype: 'float32', shape: [2, 3], value: 8 }),
    list({ dtype: 'float32', shape: [2, 3], handle: 7 }),
    list({ dtype: 'float32', shape: [3, 2], value: 7 }),
    list({ dtype: 'float32', shape: [2, 3, 1], value: 7 }),
    list({ dtype: 'int32', shape: [2, 3], value: 7 }),
    list(null),
    list(bound, 'v'),
    list(bound, 'w', 'c'),
    list(bound).slice(0, 1),
    [],
  ]
  const told = new ToldLists()
  told.told(list(bound))
  for (const [place, other] of others.entries()) {
    t.same(told.told(other), { slot: place + 1, list: other })
  }
  for (const [place, other] of others.entries()) t.same(told.told(other), { slot: place + 1 })
  t.same(told.told(list(bound)), { slot: 0 })
})

t.test('what the caller changes in a list that it gave makes another list', async (t) => {
  const told = new ToldLists()
  const own = [{ container: '', name: 'w', binding: { ...bound, shape: [2, 3] } }]
  told.told(own)
  own[0].binding.shape[0] = 9
  t.same(told.told(own), { slot: 1, list: own })
})

t.test(
  'the lists told last are remembered, and a number is given to another list then',
  async (t) => {
    const told = new ToldLists()
    const heard = new HeardLists()
    const nth = (value: number) => list({ ...bound, value })
    for (let value = 0; value < 40; value++) {
      t.same(heard.heard(structuredClone(told.told(nth(value)))), nth(value))
    }
    for (let value = 24; value < 40; value++) {
      const again = told.told(nth(value))
      t.equal(again.list, undefined)
      t.same(heard.heard(again), nth(value))
    }
    t.not(told.told(nth(0)).list, undefined)
  },
)

t.test('a number that was never told is our own mistake', async (t) => {
  t.throws(() => new HeardLists().heard({ slot: 3 }), /no list of variables/)
})
