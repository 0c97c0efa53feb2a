import t, { type Test } from 'tap'
import type { Tensor } from '../../../tensor/index.ts'
import {
  type Attribute,
  bool,
  constant,
  f32,
  graphDef,
  i32,
  int,
  ints,
  node,
  tensor,
  text,
  type,
} from '../graph-def.ts'
import { openTestSession, refusalOf } from '../session.ts'

const T = { T: type('float32') }
const Tidx = { Tidx: type('int32') }

/** Elements of the first output of one op on constant inputs, and its shape. */
async function only(
  t: Test,
  op: string,
  inputs: readonly Tensor[],
  attributes: Readonly<Record<string, Attribute>>,
): Promise<{ readonly shape: readonly number[]; readonly values: unknown }> {
  const names = inputs.map((_, place) => `in${place}`)
  const session = await openTestSession(
    graphDef([
      ...inputs.map((input, place) => constant(names[place], input)),
      node('y', op, names, attributes),
    ]),
  )
  t.teardown(() => session.close())
  const { fetches } = await session.run(['y'])
  const [values] = await session.values(['y'])
  return { shape: fetches[0].shape, values }
}

t.test('slices take begin, size and -1 for the rest', async (t) => {
  const x = f32([2, 3], [1, 2, 3, 4, 5, 6])
  const { shape, values } = await only(t, 'Slice', [x, i32([2], [0, 1]), i32([2], [-1, 2])], {
    ...T,
    Index: type('int32'),
  })
  t.same(shape, [2, 2])
  t.same(values, [2, 3, 5, 6])
})

t.test('strided slices know masks, new axes, ellipses and steps backwards', async (t) => {
  const x = i32([2, 3], [1, 2, 3, 4, 5, 6])
  const slice = async (
    begin: number[],
    end: number[],
    strides: number[],
    masks: Readonly<Record<string, number>> = {},
  ): Promise<unknown> => {
    const sizes = [begin.length]
    const attributes = Object.fromEntries(Object.entries(masks).map(([k, v]) => [k, int(v)]))
    const inputs = [x, i32(sizes, begin), i32(sizes, end), i32(sizes, strides)]
    const got = await only(t, 'StridedSlice', inputs, {
      T: type('int32'),
      Index: type('int32'),
      ...attributes,
    })
    return [got.shape, got.values]
  }
  t.same(await slice([0, 0], [0, 0], [1, -1], { begin_mask: 3, end_mask: 3 }), [
    [2, 3],
    [3, 2, 1, 6, 5, 4],
  ])
  t.same(await slice([1, 0], [2, 3], [1, 2], { shrink_axis_mask: 1 }), [[2], [4, 6]])
  t.same(await slice([0, -1], [0, 0], [1, 1], { ellipsis_mask: 1, shrink_axis_mask: 2 }), [
    [2],
    [3, 6],
  ])
  t.same(await slice([0, 0, 1], [0, 2, 2], [1, 1, 1], { new_axis_mask: 1 }), [
    [1, 2, 1],
    [2, 5],
  ])
})

t.test('joining and splitting undo each other', async (t) => {
  const session = await openTestSession(
    graphDef([
      constant('a', f32([2, 1], [1, 4])),
      constant('b', f32([2, 2], [2, 3, 5, 6])),
      constant('axis', i32([], [-1])),
      constant('sizes', i32([2], [1, -1])),
      node('joined', 'ConcatV2', ['a', 'b', 'axis'], { ...T, ...Tidx, N: int(2) }),
      node('parts', 'SplitV', ['joined', 'sizes', 'axis'], {
        ...T,
        num_split: int(2),
        Tlen: type('int32'),
      }),
      node('stack', 'Pack', ['a', 'a'], { ...T, N: int(2), axis: int(1) }),
      node('rows', 'Unpack', ['stack'], { ...T, num: int(2), axis: int(1) }),
    ]),
  )
  t.teardown(() => session.close())
  t.same(await session.values(['joined', 'parts', 'parts:1', 'stack', 'rows:1']), [
    [1, 2, 3, 4, 5, 6],
    [1, 4],
    [2, 3, 5, 6],
    [1, 1, 4, 4],
    [1, 4],
  ])
})

t.test('mirrored padding repeats the edge only where it is symmetric', async (t) => {
  const x = f32([3], [1, 2, 3])
  const pads = i32([1, 2], [2, 1])
  const mirrored = async (mode: string): Promise<unknown> =>
    (await only(t, 'MirrorPad', [x, pads], { ...T, Tpaddings: type('int32'), mode: text(mode) }))
      .values
  t.same(await mirrored('REFLECT'), [3, 2, 1, 2, 3, 2])
  t.same(await mirrored('SYMMETRIC'), [2, 1, 1, 2, 3, 3])
})

t.test('reductions keep or drop their axes', async (t) => {
  const x = f32([2, 3], [1, 2, 3, 4, 5, 6])
  const reduced = (op: string, axes: number[], keep: boolean) =>
    only(t, op, [x, i32([axes.length], axes)], { ...T, ...Tidx, keep_dims: bool(keep) })
  t.same(await reduced('Sum', [0], false), { shape: [3], values: [5, 7, 9] })
  t.same(await reduced('Mean', [1], true), { shape: [2, 1], values: [2, 5] })
  t.same(await reduced('Max', [-1, 0], false), { shape: [], values: [6] })
  t.same(await reduced('Prod', [], false), { shape: [2, 3], values: [1, 2, 3, 4, 5, 6] })
})

t.test('running sums go either way, with or without their own element', async (t) => {
  const x = f32([4], [1, 2, 3, 4])
  const sum = async (exclusive: boolean, reverse: boolean): Promise<unknown> =>
    (
      await only(t, 'Cumsum', [x, i32([], [0])], {
        ...T,
        ...Tidx,
        exclusive: bool(exclusive),
        reverse: bool(reverse),
      })
    ).values
  t.same(await sum(false, false), [1, 3, 6, 10])
  t.same(await sum(true, false), [0, 1, 3, 6])
  t.same(await sum(false, true), [10, 9, 7, 4])
})

t.test('a running sum over a long axis goes by blocks and gives the same', async (t) => {
  const count = 1000
  const ones = i32([count], new Array(count).fill(1))
  const { values } = await only(t, 'Cumsum', [ones, i32([], [0])], { T: type('int32'), ...Tidx })
  t.same(
    values,
    Array.from({ length: count }, (_, place) => place + 1),
  )
})

t.test('convolutions pad evenly, more after than before', async (t) => {
  const x = f32([1, 1, 4, 1], [1, 2, 3, 4])
  const w = f32([1, 2, 1, 1], [1, 10])
  const conv = (padding: string, stride: number) =>
    only(t, 'Conv2D', [x, w], {
      ...T,
      strides: ints(1, 1, stride, 1),
      padding: text(padding),
    })
  t.same(await conv('SAME', 1), { shape: [1, 1, 4, 1], values: [21, 32, 43, 4] })
  t.same(await conv('VALID', 2), { shape: [1, 1, 2, 1], values: [21, 43] })
})

t.test('the average under a window does not count padding', async (t) => {
  const x = f32([1, 1, 3, 1], [1, 2, 6])
  const pool = (op: string) =>
    only(t, op, [x], {
      ...T,
      ksize: ints(1, 1, 2, 1),
      strides: ints(1, 1, 1, 1),
      padding: text('SAME'),
    })
  t.same((await pool('AvgPool')).values, [1.5, 4, 6])
  t.same((await pool('MaxPool')).values, [2, 6, 6])
})

t.test('windows that never fit and strides of nothing are refused', async (t) => {
  const x = f32([1, 2, 2, 1], [1, 2, 3, 4])
  const conv = (w: Tensor, attributes: Readonly<Record<string, Attribute>>) =>
    refusalOf(
      only(t, 'Conv2D', [x, w], {
        ...T,
        strides: ints(1, 1, 1, 1),
        padding: text('VALID'),
        ...attributes,
      }),
    )
  const one = f32([1, 1, 1, 1], [1])
  t.equal((await conv(one, { strides: ints(1, 0, 1, 1) })).reason, 'shape/window')
  t.equal((await conv(f32([4, 4, 1, 1], new Array(16).fill(1)), {})).reason, 'shape/window')
  t.equal((await conv(one, { dilations: ints(1, 2 ** 31, 0, 1) })).reason, 'shape/window')
  t.equal((await conv(f32([1, 1, 3, 1], [1, 2, 3]), {})).reason, 'shape/mismatch')
  const negative = { padding: text('EXPLICIT'), explicit_paddings: ints(0, 0, -1, 0, 0, 0, 0, 0) }
  t.equal((await conv(one, negative)).reason, 'shape/window')
})

t.test('results that would not fit are refused before anything is made', async (t) => {
  const huge = tensor('int64', [2], [2 ** 40, 2 ** 40])
  const fill = { ...T, index_type: type('int64') }
  const { code } = await refusalOf(only(t, 'Fill', [huge, f32([], [1])], fill))
  t.ok(['INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED'].includes(code))
  const large = i32([2], [60_000, 60_000])
  const tooMany = await refusalOf(
    only(t, 'Fill', [large, f32([], [1])], { ...T, index_type: type('int32') }),
  )
  t.equal(tooMany.code, 'RESOURCE_EXHAUSTED')
})

t.test('integer division by zero is refused, and the smallest over -1 is itself', async (t) => {
  const I = { T: type('int32') }
  const { message } = await refusalOf(only(t, 'FloorDiv', [i32([2], [1, 1]), i32([2], [1, 0])], I))
  t.match(message, 'Integer division by zero')
  const { values } = await only(t, 'FloorDiv', [i32([1], [-(2 ** 31)]), i32([], [-1])], I)
  t.same(values, [-(2 ** 31)])
  t.same((await only(t, 'FloorDiv', [i32([], [-7]), i32([], [2])], I)).values, [-4])
  t.same((await only(t, 'FloorMod', [i32([], [-7]), i32([], [2])], I)).values, [1])
})

t.test('shapes that do not broadcast are refused with both of them', async (t) => {
  const { message, names } = await refusalOf(
    only(t, 'AddV2', [f32([2], [1, 2]), f32([3], [1, 2, 3])], T),
  )
  t.match(message, 'Incompatible shapes: [2] vs. [3]')
  t.equal(names.node, 'y')
})

t.test('types of inputs are checked, and a missing attribute is named', async (t) => {
  const mixed = await refusalOf(only(t, 'AddV2', [f32([], [1]), i32([], [1])], T))
  t.equal(mixed.reason, 'graph/type')
  const missing = await refusalOf(only(t, 'AddV2', [f32([], [1]), f32([], [1])], {}))
  t.equal(missing.reason, 'graph/attribute')
  t.equal(missing.names.attribute, 'T')
  const kind = await refusalOf(only(t, 'AddV2', [f32([], [1]), f32([], [1])], { T: int(1) }))
  t.equal(kind.reason, 'graph/attribute')
  const count = await refusalOf(only(t, 'AddV2', [f32([], [1])], T))
  t.equal(count.reason, 'graph/input-count')
})

t.test('one-hot rows are on where the index is', async (t) => {
  const inputs = [i32([3], [2, 0, -1]), i32([], [3]), f32([], [5]), f32([], [0])]
  const { shape, values } = await only(t, 'OneHot', inputs, { ...T, TI: type('int32') })
  t.same(shape, [3, 3])
  t.same(values, [0, 0, 5, 5, 0, 0, 0, 0, 0])
})

t.test('seeded numbers are TensorFlow’s, and a second run goes on with the stream', async (t) => {
  const session = await openTestSession(
    graphDef([
      constant('one', i32([1], [1])),
      node('r', 'RandomUniform', ['one'], {
        T: type('int32'),
        dtype: type('float32'),
        seed: int(87654321),
        seed2: int(1),
      }),
    ]),
  )
  t.teardown(() => session.close())
  const round = ([values]: unknown[]): string => (values as number[])[0].toFixed(6)
  t.equal(round(await session.values(['r'])), '0.239037')
  t.equal(round(await session.values(['r'])), '0.222671')
})

t.test('a table is empty until it is filled, and keeps what it was given', async (t) => {
  const strings = (...items: string[]): Tensor => ({
    dtype: 'string',
    shape: [items.length],
    strings: items.map((item) => new TextEncoder().encode(item)),
  })
  const types = { Tin: type('string'), Tout: type('int64') }
  const session = await openTestSession(
    graphDef([
      node('table', 'HashTableV2', [], {
        key_dtype: type('string'),
        value_dtype: type('int64'),
        shared_name: text('t'),
      }),
      constant('keys', strings('a', 'b')),
      constant('values', tensor('int64', [2], [1, 2])),
      constant('asked', strings('b', 'c')),
      constant('other', tensor('int64', [], [-1])),
      node('fill', 'LookupTableImportV2', ['table', 'keys', 'values'], types),
      node('found', 'LookupTableFindV2', ['table', 'asked', 'other'], types),
      node('size', 'LookupTableSizeV2', ['table']),
    ]),
  )
  t.teardown(() => session.close())
  t.equal((await refusalOf(session.run(['found']))).code, 'FAILED_PRECONDITION')
  await session.run([], {}, ['fill'])
  t.same(await session.values(['found', 'size']), [[2n, -1n], [2n]])
  await session.engine.dropState('')
  t.equal((await refusalOf(session.run(['found']))).code, 'FAILED_PRECONDITION')
})
