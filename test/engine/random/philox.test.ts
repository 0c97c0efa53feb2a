import t from 'tap'
import { Philox, type PhiloxState, skipped } from '../../../engine/random/index.ts'

const hex = (words: Uint32Array): string =>
  Array.from(words, (word) => word.toString(16).padStart(8, '0')).join(' ')

t.test("blocks are those of the authors' known answers", async (t) => {
  const zeros = new Philox({ key: [0, 0], counter: [0, 0, 0, 0] })
  t.equal(hex(zeros.next()), '6627e8d5 e169c58d bc57ac4c 9b00dbd8')
  const all = 0xffffffff
  const ones = new Philox({ key: [all, all], counter: [all, all, all, all] })
  t.equal(hex(ones.next()), '408f276d 41c83b0e a20bc7c6 6d5451fd')
  t.equal(hex(ones.next()), hex(new Philox({ key: [all, all], counter: [0, 0, 0, 0] }).next()))
  const pi = new Philox({
    key: [0xa4093822, 0x299f31d0],
    counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
  })
  t.equal(hex(pi.next()), 'd16cfe09 94fdcceb 5001e420 24126ea1')
})

t.test(
  'a stretch of words is what blocks one by one are, carries and a last part included',
  async (t) => {
    const state = { key: [1, 2], counter: [0xffffffff, 0xffffffff, 3, 4] } as const
    const one = new Philox(state)
    const expected = [0, 1, 2].flatMap(() => [...one.next()])
    const words = new Uint32Array(12)
    new Philox(state).fill(words, 1, 11)
    t.same([...words], [0, ...expected.slice(0, 10), 0])
  },
)

t.test('any place of a stream is found, carries included', async (t) => {
  const all = 0xffffffff
  const state: PhiloxState = { key: [1, 2], counter: [all, all, all, 7] }
  const philox = new Philox(state)
  for (const blocks of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER]) {
    philox.moveTo(state.counter, blocks)
    const expected = new Philox(skipped(state, BigInt(blocks)))
    t.equal(hex(philox.next()), hex(expected.next()), `${blocks}`)
  }
})
