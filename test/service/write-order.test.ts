import t from 'tap'
import { createWriteOrder } from '../../service/write-order.ts'

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

t.test('exclusive turns on one key run one after the other, as they came', async (t) => {
  const order = createWriteOrder()
  const seen: string[] = []
  const turn = (name: string, ms: number) =>
    order.turn(['w'], 'exclusive', async () => {
      seen.push(`${name} begins`)
      await later(ms)
      seen.push(`${name} ends`)
    })
  await Promise.all([turn('a', 20), turn('b', 1), turn('c', 1)])
  t.same(seen, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  t.equal(order.size, 0, 'nothing is remembered')
})

t.test(
  'overlapping turns run side by side, and an exclusive one waits for all of them',
  async (t) => {
    const order = createWriteOrder()
    const seen: string[] = []
    const turn = (name: string, kind: 'overlapping' | 'exclusive', ms: number) =>
      order.turn(['w'], kind, async () => {
        seen.push(`${name} begins`)
        await later(ms)
        seen.push(`${name} ends`)
      })
    await Promise.all([
      turn('a', 'overlapping', 20),
      turn('b', 'overlapping', 10),
      turn('x', 'exclusive', 1),
      turn('c', 'overlapping', 1),
    ])
    t.same(seen, [
      'a begins',
      'b begins',
      'b ends',
      'a ends',
      'x begins',
      'x ends',
      'c begins',
      'c ends',
    ])
  },
)

t.test('turns on crossing keys never wait for one another in a ring', async (t) => {
  const order = createWriteOrder()
  let sum = 0
  await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      order.turn(index % 2 ? ['a', 'b', 'c'] : ['c', 'b', 'a', 'a'], 'exclusive', async () => {
        const before = sum
        await later(0)
        sum = before + 1
      }),
    ),
  )
  t.equal(sum, 50)
  t.equal(order.size, 0)
})

t.test('work that fails gives its turn back', async (t) => {
  const order = createWriteOrder()
  const failing = order.turn(['w'], 'exclusive', async () => {
    throw new Error('no')
  })
  const next = order.turn(['w'], 'exclusive', async () => 'yes')
  await t.rejects(failing, { message: 'no' })
  t.equal(await next, 'yes')
})

t.test('other keys do not wait', async (t) => {
  const order = createWriteOrder()
  const slow = order.turn(['a'], 'exclusive', () => later(50))
  t.equal(await order.turn(['b'], 'exclusive', async () => 'at once'), 'at once')
  await slow
})
