import t from 'tap'
import { elementCountOf, fitsShape, formatShape, Refusal, stridesOf } from '../../tensor/index.ts'

t.test('a scalar has one element and an empty dimension makes none', async (t) => {
  t.equal(elementCountOf([]), 1)
  t.equal(elementCountOf([3, 0, 2 ** 40, 2 ** 40]), 0)
})

t.test('a shape whose product or sizes cannot be is refused', async (t) => {
  for (const shape of [[-1], [1.5], [2 ** 31, 2 ** 31], [Number.NaN], Array(300).fill(1)]) {
    t.throws(() => elementCountOf(shape), Refusal)
  }
})

t.test('shapes print and compare as TensorFlow does', async (t) => {
  t.equal(formatShape([2, -1]), '[2,?]')
  t.equal(formatShape(undefined), '<unknown>')
  t.ok(fitsShape([2, 3], [-1, 3]))
  t.notOk(fitsShape([2, 3], [3]))
  t.same(stridesOf([2, 3, 4]), [12, 4, 1])
})
