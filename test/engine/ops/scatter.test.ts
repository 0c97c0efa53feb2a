// Scatter into variables and tensors, slice assignment and temporary variables.
import t from 'tap'
import {
  benchDevices,
  constant,
  floats,
  handleVariable,
  ints,
  type NodeText,
  numbers,
  outputsOf,
  placeholder,
  texts,
  valuesOf,
  variable,
  withEngine,
} from './bench.ts'

const type = { type: 'float32' } as const
const index = { type: 'int32' } as const

/** A variable `v` of five and what scatters fed updates into it. */
function scatterGraph(op: string): readonly NodeText[] {
  return [
    ...variable('v', floats([5], [1, 2, 3, 4, 5])),
    placeholder('i', 'int32'),
    placeholder('u'),
    {
      name: 's',
      op,
      inputs: ['v', 'i', 'u'],
      attributes: { T: type, Tindices: index },
    },
  ]
}

for (const device of benchDevices) {
  t.test(`scatter on ${device}`, (t) =>
    withEngine(device, async (open) => {
      const scattered = async (
        op: string,
        indices: readonly number[],
        updates: readonly number[],
      ): Promise<unknown> => {
        const bench = await open(scatterGraph(op))
        await bench.run({ targets: ['v/assign'] })
        const feeds = { i: ints([indices.length], indices), u: floats([updates.length], updates) }
        await bench.run({ feeds, targets: ['s'] })
        const [value] = await bench.run({ fetches: ['v:0'] })
        return valuesOf(value)
      }

      await t.test('updates of one slice are applied in their order', async (t) => {
        t.same(await scattered('ScatterAdd', [1, 1, 4], [10, 20, 30]), [1, 32, 3, 4, 35])
        t.same(await scattered('ScatterSub', [1, 1], [10, 20]), [1, -28, 3, 4, 5])
        t.same(await scattered('ScatterMul', [0, 0, 2], [2, 3, 5]), [6, 2, 15, 4, 5])
        t.same(await scattered('ScatterDiv', [3, 3], [2, 4]), [1, 2, 3, 0.5, 5])
        t.same(await scattered('ScatterMin', [4, 4], [3, 2]), [1, 2, 3, 4, 2])
        t.same(await scattered('ScatterMax', [4, 4], [8, 7]), [1, 2, 3, 4, 8])
      })

      await t.test('the last of several values for one slice stays', async (t) => {
        t.same(await scattered('ScatterUpdate', [2, 0, 2], [7, 8, 9]), [8, 2, 9, 4, 5])
      })

      await t.test('a slice may take more updates than a kernel has rounds', async (t) => {
        const many = Array.from({ length: 40 }, () => 3)
        t.same(
          await scattered(
            'ScatterAdd',
            many,
            many.map(() => 0.5),
          ),
          [1, 2, 3, 24, 5],
        )
        t.same(await scattered('ScatterUpdate', many, [...many.keys()]), [1, 2, 3, 39, 5])
      })

      await t.test('no indices leave the variable as it is', async (t) => {
        t.same(await scattered('ScatterAdd', [], []), [1, 2, 3, 4, 5])
      })

      t.test(
        'an index outside is refused in words of TensorFlow, and nothing changes',
        async (t) => {
          const bench = await open(scatterGraph('ScatterUpdate'))
          await bench.run({ targets: ['v/assign'] })
          const feeds = { i: ints([2], [0, 5]), u: floats([2], [7, 7]) }
          await t.rejects(bench.run({ feeds, targets: ['s'] }), {
            code: 'INVALID_ARGUMENT',
            message: /^indices\[1\] = 5 is not in \[0, 5\)/,
          })
          const deep = { i: ints([1, 2], [0, -1]), u: floats([1, 2], [7, 7]) }
          await t.rejects(bench.run({ feeds: deep, targets: ['s'] }), {
            message: /^indices\[0,1\] = -1 is not in \[0, 5\)/,
          })
          const [value] = await bench.run({ fetches: ['v:0'] })
          t.same(valuesOf(value), [1, 2, 3, 4, 5])
        },
      )

      await t.test('a variable without a value is refused', async (t) => {
        const bench = await open(scatterGraph('ScatterAdd'))
        const feeds = { i: ints([1], [0]), u: floats([1], [7]) }
        await t.rejects(bench.run({ feeds, targets: ['s'] }), {
          code: 'FAILED_PRECONDITION',
          message: /^Null ref for params/,
        })
      })

      await t.test('updates of another shape are refused, one number for all is not', async (t) => {
        const bench = await open(scatterGraph('ScatterUpdate'))
        await bench.run({ targets: ['v/assign'] })
        const wrong = { i: ints([2], [0, 1]), u: floats([3], [7, 7, 7]) }
        await t.rejects(bench.run({ feeds: wrong, targets: ['s'] }), { code: 'INVALID_ARGUMENT' })
        await bench.run({ feeds: { i: ints([2], [0, 1]), u: floats([], [9]) }, targets: ['s'] })
        const [value] = await bench.run({ fetches: ['v:0'] })
        t.same(valuesOf(value), [9, 9, 3, 4, 5])
      })

      await t.test('whole numbers divide as in C, and never by zero', async (t) => {
        const bench = await open([
          ...handleVariable('v', ints([3], [7, -7, 8])),
          placeholder('i', 'int32'),
          placeholder('u', 'int32'),
          {
            name: 's',
            op: 'ResourceScatterDiv',
            inputs: ['v', 'i', 'u'],
            attributes: { dtype: index, Tindices: index },
          },
        ])
        await bench.run({ targets: ['v/assign'] })
        await bench.run({ feeds: { i: ints([2], [0, 1]), u: ints([2], [2, 2]) }, targets: ['s'] })
        const [value] = await bench.run({ fetches: ['v/read:0'] })
        t.same(valuesOf(value), [3, -3, 8])
        const zero = { i: ints([1], [2]), u: ints([1], [0]) }
        await t.rejects(bench.run({ feeds: zero, targets: ['s'] }), { code: 'INVALID_ARGUMENT' })
      })

      await t.test('ScatterNd adds what meets, in numbers and in strings', async (t) => {
        const attributes = { T: type, Tindices: index }
        const [sum] = await outputsOf(
          open,
          'ScatterNd',
          [ints([3, 1], [3, 0, 3]), floats([3, 2], [1, 2, 3, 4, 5, 6]), ints([2], [4, 2])],
          attributes,
        )
        t.same(sum.shape, [4, 2])
        t.same(valuesOf(sum), [3, 4, 0, 0, 0, 0, 6, 8])
        const [joined] = await outputsOf(
          open,
          'ScatterNd',
          [ints([3, 1], [1, 0, 1]), texts([3], ['a', 'b', 'c']), ints([1], [3])],
          { T: { type: 'string' }, Tindices: index },
        )
        t.same(valuesOf(joined), ['b', 'ac', ''])
      })

      await t.test('an index vector outside is refused with all of it shown', async (t) => {
        const attributes = { T: type, Tindices: index }
        const inputs = [floats([2, 2], [1, 2, 3, 4]), ints([1, 2], [1, 2]), floats([1], [9])]
        await t.rejects(outputsOf(open, 'TensorScatterUpdate', inputs, attributes), {
          message: /^indices\[0\] = \[1, 2\] does not index into shape \[2,2\]/,
        })
        const [moved] = await outputsOf(
          open,
          'TensorScatterUpdate',
          [inputs[0], ints([1, 2], [1, 0]), inputs[2]],
          attributes,
        )
        t.same(valuesOf(moved), [1, 2, 9, 4])
      })

      await t.test('narrow, wide, truth and complex values scatter', async (t) => {
        const add = async (dtype: string, before: never[], update: never[]): Promise<unknown> => {
          const [sum] = await outputsOf(
            open,
            dtype === 'bool' ? 'TensorScatterUpdate' : 'TensorScatterAdd',
            [numbers(dtype, [2], before), ints([2, 1], [1, 1]), numbers(dtype, [2], update)],
            { T: { type: dtype as 'bool' }, Tindices: index },
          )
          return valuesOf(sum)
        }
        t.same(await add('uint8', [1, 250] as never[], [4, 5] as never[]), [1, 3])
        const wide = [0n, 2n ** 53n] as never[]
        t.same(await add('int64', wide, [1n, 2n] as never[]), [0n, 2n ** 53n + 3n])
        t.same(await add('bool', [true, false] as never[], [true, true] as never[]), [true, true])
        const complex = [
          [1, 2],
          [3, 4],
        ] as never[]
        t.same(await add('complex64', complex, complex), [
          [1, 2],
          [7, 10],
        ])
      })
    }),
  )

  t.test(`slices on ${device}`, (t) =>
    withEngine(device, async (open) => {
      const assigned = async (
        value: readonly number[],
        [begin, end, strides]: readonly (readonly number[])[],
        masks: Readonly<Record<string, number>> = {},
        shape: readonly number[] = [value.length],
      ): Promise<unknown> => {
        const bench = await open([
          ...variable('v', floats([6], [0, 1, 2, 3, 4, 5])),
          constant('b', ints([begin.length], begin)),
          constant('e', ints([end.length], end)),
          constant('n', ints([strides.length], strides)),
          placeholder('x'),
          {
            name: 's',
            op: 'StridedSliceAssign',
            inputs: ['v', 'b', 'e', 'n', 'x'],
            attributes: { T: type, Index: index, ...masks },
          },
        ])
        await bench.run({ targets: ['v/assign'] })
        await bench.run({ feeds: { x: floats(shape, value) }, targets: ['s'] })
        const [result] = await bench.run({ fetches: ['v:0'] })
        return valuesOf(result)
      }

      await t.test('every second element, from either end', async (t) => {
        t.same(await assigned([7, 8], [[1], [5], [2]]), [0, 7, 2, 8, 4, 5])
        t.same(await assigned([7, 8, 9], [[5], [-7], [-2]]), [0, 9, 2, 8, 4, 7])
      })

      await t.test('one place, with its axis dropped', async (t) => {
        t.same(
          await assigned([7], [[-1], [0], [1]], { shrink_axis_mask: 1 }, []),
          [0, 1, 2, 3, 4, 7],
        )
      })

      await t.test('an empty slice changes nothing; another shape is refused', async (t) => {
        t.same(await assigned([], [[3], [3], [1]]), [0, 1, 2, 3, 4, 5])
        await t.rejects(assigned([7], [[1], [3], [1]]), { code: 'UNIMPLEMENTED' })
      })

      await t.test('strings take slices too', async (t) => {
        const inputs = [texts([3], ['a', 'b', 'c']), ints([1], [1]), ints([1], [3]), ints([1], [1])]
        const [result] = await outputsOf(
          open,
          'TensorStridedSliceUpdate',
          [...inputs, texts([2], ['x', 'y'])],
          { T: { type: 'string' }, Index: index },
        )
        t.same(valuesOf(result), ['a', 'x', 'y'])
      })

      await t.test('a temporary variable hands its value on and is gone', async (t) => {
        const bench = await open([
          placeholder('x'),
          {
            name: 'v',
            op: 'TemporaryVariable',
            attributes: { dtype: type, shape: { shape: [2] } },
          },
          { name: 'a', op: 'Assign', inputs: ['v', 'x'], attributes: { T: type } },
          { name: 'b', op: 'AssignAdd', inputs: ['a', 'x'], attributes: { T: type } },
          {
            name: 'y',
            op: 'DestroyTemporaryVariable',
            inputs: ['b'],
            attributes: { T: type, var_name: 'v' },
          },
        ])
        const [result] = await bench.run({ feeds: { x: floats([2], [1, 2]) }, fetches: ['y:0'] })
        t.same(valuesOf(result), [2, 4])
      })
    }),
  )
}
