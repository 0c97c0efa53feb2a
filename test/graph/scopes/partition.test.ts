import fc from 'fast-check'
import t from 'tap'
import { maxParts, type Partitions, partitionsOf, slicesOf } from '../../../graph/index.ts'

const sizes = (shape: readonly number[], partitions: Partitions): number[][] =>
  slicesOf('v', shape, partitionsOf(partitions, shape)).map((slice) => [...slice.shape])

t.test('parts differ by one at most, the larger first', async (t) => {
  t.same(sizes([10, 3], 3), [
    [4, 3],
    [3, 3],
    [3, 3],
  ])
  t.same(sizes([2, 5], { count: 2, axis: 1 }), [
    [2, 3],
    [2, 2],
  ])
  t.same(sizes([2, 5], { count: 2, axis: -1 }), sizes([2, 5], [1, 2]))
})

t.test('there are no more parts than the axis is long', async (t) => {
  t.same(partitionsOf(5, [2, 9]), [2, 1])
  t.same(sizes([1, 9], 5), [[1, 9]])
})

t.test('parts lie one after another and make up the whole', async () => {
  const shape = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(shape, fc.nat(2), fc.integer({ min: 1, max: 15 }), (full, where, count) => {
      const axis = where % full.length
      let end = 0
      for (const slice of slicesOf('v', full, partitionsOf({ count, axis }, full))) {
        if (slice.offset[axis] !== end) return false
        if (slice.shape.some((size, at) => at !== axis && size !== full[at])) return false
        end += slice.shape[axis]
      }
      return end === full[axis]
    }),
  )
})

t.test('what cannot be cut is refused in the words of TensorFlow', async (t) => {
  const refusals: readonly (readonly [Partitions, readonly number[] | undefined, string])[] = [
    [
      2,
      undefined,
      'Shape of a new partitioned variable must be fully defined, but instead was <unknown>.',
    ],
    [
      2,
      [-1, 3],
      'Shape of a new partitioned variable must be fully defined, but instead was (None, 3).',
    ],
    [2, [], 'A partitioned Variable must have rank at least 1, shape: ()'],
    [2, [0, 3], 'Partitioner returned zero partitions for some axes: [0, 1]'],
    [0, [4], 'Partitioner returned zero partitions for some axes: [0]'],
    [
      [2],
      [4, 4],
      "Partitioner returned a partition list that does not match the Variable's rank: [2] vs. (4, 4)",
    ],
    [
      [2, 2],
      [4, 4],
      'Can only slice a variable along one dimension: shape: (4, 4), partitioning: [2, 2]',
    ],
    [{ count: 2, axis: 2 }, [4, 4], 'There is no axis 2 to cut in a variable of shape (4, 4).'],
    [1.5, [4], 'Partitions are whole numbers; [1.5, 0] were given.'],
    [
      maxParts + 1,
      [1e9],
      `A variable has at most ${maxParts} parts; [${maxParts + 1}] were asked for.`,
    ],
  ]
  for (const [partitions, shape, message] of refusals) {
    t.throws(() => partitionsOf(partitions, shape), { code: 'INVALID_ARGUMENT', message }, message)
  }
})

t.test('a part that would begin at the end of an axis is refused', async (t) => {
  t.throws(() => slicesOf('v', [4, 0], [2, 1]), {
    reason: 'partition/empty-part',
    message:
      'Expected 0 <= offset < shape but found offset=0, shape=0 for var_offset=[0, 0], full_shape=[4, 0]',
  })
})
