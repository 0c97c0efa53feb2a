import t from 'tap'
import { storedTensors } from '../../service/stored-tensors.ts'
import type { CheckpointEntry } from '../../store/index.ts'
import type { DType, Shape } from '../../tensor/index.ts'

/** An entry of `shape`; with an offset, a slice of `w`, which is 2 by 4. */
function entry(
  name: string,
  shape: Shape,
  offset?: readonly number[],
  more: { readonly dtype?: DType; readonly fullName?: string; readonly fullShape?: Shape } = {},
): CheckpointEntry {
  const { dtype = 'float32', fullName = 'w', fullShape = [2, 4] } = more
  const value = { valueId: 1, dtype, shape, byteLength: 0, digest: name }
  return { name, value, slice: offset && { fullName, fullShape, offset } }
}

function namesOf(entries: readonly CheckpointEntry[]): readonly string[] {
  return storedTensors(entries).map(({ name }) => name)
}

t.test('slices that cover a tensor are one, in the order of their places', async (t) => {
  const entries = [
    entry('a', [1]),
    entry('w/part_0', [2, 1], [0, 0]),
    entry('w/part_1', [2, 2], [0, 2]),
    entry('w/part_10', [2, 1], [0, 1]),
    entry('x', [1]),
  ]
  const tensors = storedTensors(entries)
  t.match(tensors, [{ name: 'a' }, { form: 'sliced', name: 'w', shape: [2, 4] }, { name: 'x' }])
  const [, whole] = tensors
  const names = whole.form === 'sliced' ? whole.parts.map(({ entry }) => entry.name) : []
  t.same(names, ['w/part_0', 'w/part_10', 'w/part_1'])
})

t.test('slices stay apart where they leave a hole, overlap, or differ', async (t) => {
  const first = entry('w/part_0', [2, 2], [0, 0])
  t.same(namesOf([first]), ['w/part_0'], 'one is absent')
  t.same(namesOf([first, entry('w/part_1', [2, 1], [0, 3])]), ['w/part_0', 'w/part_1'], 'a hole')
  t.same(namesOf([first, entry('w/part_1', [2, 2], [0, 1])]), ['w/part_0', 'w/part_1'], 'overlap')
  const other = entry('w/part_1', [2, 2], [0, 2], { dtype: 'int32' })
  t.same(namesOf([first, other]), ['w/part_0', 'w/part_1'], 'another type')
  const larger = entry('w/part_1', [2, 2], [0, 2], { fullShape: [2, 5] })
  t.same(namesOf([first, larger]), ['w/part_0', 'w/part_1'], 'another whole')
})

t.test('a whole gives way to a tensor that has its name', async (t) => {
  const entries = [
    entry('w', [3]),
    entry('w/part_0', [2, 2], [0, 0]),
    entry('w/part_1', [2, 2], [0, 2]),
  ]
  t.same(namesOf(entries), ['w', 'w/part_0', 'w/part_1'])
})

t.test(
  'slices saved under another name are a whole of that name; slots go by what they say',
  async (t) => {
    const renamed = [entry('u/part_0', [2, 2], [0, 0]), entry('u/part_1', [2, 2], [0, 2])]
    t.same(namesOf(renamed), ['u'])
    const slots = [
      entry('w/part_0/Adam', [2, 2], [0, 0], { fullName: 'w/Adam' }),
      entry('w/part_1/Adam', [2, 2], [0, 2], { fullName: 'w/Adam' }),
    ]
    t.same(namesOf(slots), ['w/Adam'])
  },
)
