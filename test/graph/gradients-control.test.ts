// Gradients through control flow, V1 and functional, nested in each other, against central differences.
import t from 'tap'
import {
  addArgument,
  addFunction,
  addGradients,
  attribute,
  type BuiltNode,
  Expressions,
  emptyBody,
  type Output,
} from '../../graph/index.ts'
import type { NumericTensor } from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'
import {
  differences,
  doubles,
  newGraph,
  numbers,
  placeholder,
  referenceEngine,
  weighted,
} from './gradient-bench.ts'

type Step = (
  e: Expressions,
  variables: readonly Output[],
  invariants: readonly Output[],
  index: Output,
) => Output[]

const T = (output: Output) => ({ T: attribute.type(output.dtype) })

/** A whole number where the pivot is: constants in a loop wait for an iteration of it. */
function pinned(e: Expressions, value: number, pivot: Output | undefined): Output {
  const controls = pivot === undefined ? [] : [pivot.node]
  return e.builder.controlled(controls, () => e.scalar(value, 'int32'))
}

/** A V1 loop: `count` times the step, on variables; what does not change is entered once. */
function loop(
  e: Expressions,
  frame: string,
  times: number,
  variables: readonly Output[],
  invariants: readonly Output[],
  step: Step,
  pivot?: Output,
): readonly Output[] {
  const enter = (value: Output, isConstant: boolean): Output =>
    e.op('Enter', [value], {
      ...T(value),
      frame_name: attribute.text(frame),
      is_constant: attribute.bool(isConstant),
    })
  const all = [pinned(e, 0, pivot), ...variables]
  const count = pinned(e, times, pivot)
  const merges = all.map((value) => {
    const entered = enter(value, false)
    return e.node('Merge', [entered, entered], { ...T(value), N: attribute.int(2) })
  })
  const more = e.op('Less', [merges[0].outputs[0], enter(count, true)], T(count))
  const condition = e.op('LoopCond', [more])
  const switches = merges.map((merge) =>
    e.node('Switch', [merge.outputs[0], condition], T(merge.outputs[0])),
  )
  const [index, ...values] = switches.map((one) => e.identity(one.outputs[1]))
  const next = [
    e.add(index, enter(pinned(e, 1, pivot), true)),
    ...step(
      e,
      values,
      invariants.map((one) => enter(one, true)),
      index,
    ),
  ]
  for (const [place, value] of next.entries()) {
    merges[place].inputs[1] = e.op('NextIteration', [value], T(value))
  }
  return switches.slice(1).map((one) => e.op('Exit', [one.outputs[0]], T(one.outputs[0])))
}

/** A V1 conditional on one value. */
function cond(
  e: Expressions,
  predicate: Output,
  value: Output,
  ifTrue: (x: Output) => Output,
  ifFalse: (x: Output) => Output,
): Output {
  const way = (branch: 0 | 1): Output =>
    e.node('Switch', [value, predicate], T(value)).outputs[branch]
  const branches = [ifFalse(way(0)), ifTrue(way(1))]
  return e.op('Merge', branches, { ...T(value), N: attribute.int(2) })
}

/** Adds a function to the library of a graph. */
function define(
  e: Expressions,
  name: string,
  types: readonly Output['dtype'][],
  body: (e: Expressions, given: readonly Output[]) => readonly Output[],
): string {
  const builder = emptyBody(e.builder.catalogue, e.builder.functions)
  const given = types.map((dtype, place) => addArgument(builder, `x${place}`, dtype))
  const results = body(new Expressions(builder), given)
  return addFunction(e.builder.functions, name, {
    builder,
    arguments: given,
    results,
    effects: [],
  })
}

const typesOf = (outputs: readonly Output[]) => outputs.map(({ dtype }) => dtype)

/** A functional loop: `count` times the step. */
function whileLoop(
  e: Expressions,
  op: 'While' | 'StatelessWhile',
  count: number,
  variables: readonly Output[],
  step: Step,
): readonly Output[] {
  const all = [e.scalar(0, 'int32'), ...variables]
  const types = typesOf(all)
  const condition = define(e, 'condition', types, (inner, [index]) => [
    inner.t('Less', index, inner.scalar(count, 'int32')),
  ])
  const body = define(e, 'body', types, (inner, [index, ...values]) => [
    inner.plus(index, 1),
    ...step(inner, values, [], index),
  ])
  const node = e.node(op, all, {
    T: attribute.types(types),
    cond: attribute.function(condition),
    body: attribute.function(body),
  })
  return node.outputs.slice(1)
}

function ifNode(
  e: Expressions,
  predicate: Output,
  given: readonly Output[],
  branches: readonly [string, string],
  results: readonly Output['dtype'][],
): BuiltNode {
  return e.node('StatelessIf', [predicate, ...given], {
    Tcond: attribute.type('bool'),
    Tin: attribute.types(typesOf(given)),
    Tout: attribute.types(results),
    then_branch: attribute.function(branches[0]),
    else_branch: attribute.function(branches[1]),
  })
}

const positive = (e: Expressions, x: Output): Output =>
  e.t('Greater', e.sum(x, [0]), e.scalar(0, x.dtype))

t.test('gradients through control flow', async (t) => {
  const engine = await referenceEngine(t)
  const x4 = doubles(
    [4],
    numbers(4).map((value) => value - 0.6),
  )

  /** Compares the gradients of what `build` makes of x and w. */
  async function check(
    build: (e: Expressions, x: Output, w: Output) => readonly Output[],
    x: NumericTensor = x4,
  ): Promise<readonly string[]> {
    const e = newGraph()
    const [given, w] = [placeholder(e, 'x', 'float64'), placeholder(e, 'w', 'float64')]
    const loss = weighted(e, build(e, given, w))
    const xs = new Map([
      [given, x],
      [w, doubles([4], numbers(4, 9))],
    ])
    return differences(engine, e, loss, xs)
  }

  t.test('a conditional, whichever branch is taken', async (t) => {
    const build = (e: Expressions, x: Output, w: Output): Output[] => [
      cond(
        e,
        positive(e, x),
        e.mul(x, w),
        (value) => e.t('Sin', value),
        (value) => e.mul(e.square(value), value),
      ),
    ]
    t.same(await check(build), [])
    t.same(await check(build, doubles([4], [-1, -2, -0.3, 0.4])), [])
  })

  t.test('a conditional in which a value is used in one branch only', async (t) => {
    const build = (e: Expressions, x: Output, w: Output): Output[] => {
      const predicate = positive(e, x)
      const way = (value: Output, branch: 0 | 1): Output =>
        e.node('Switch', [value, predicate], T(value)).outputs[branch]
      const branches = [e.square(way(w, 0)), e.t('Exp', way(x, 1))]
      return [e.op('Merge', branches, { ...T(x), N: attribute.int(2) })]
    }
    t.same(await check(build), [])
    t.same(await check(build, doubles([4], [-1, -2, -0.3, 0.4])), [])
  })

  t.test('a loop with an invariant, and a variable that no iteration uses', async (t) => {
    const build = (e: Expressions, x: Output, w: Output): Output[] => [
      ...loop(e, 'once', 3, [x, w], [w], (inner, [a, b], [c]) => [
        inner.t('Tanh', inner.add(inner.mul(a, c), a)),
        inner.onesLike(b),
      ]),
    ]
    t.same(await check(build), [])
  })

  t.test('a loop that does not run, and one whose variables are exchanged', async (t) => {
    const exchange =
      (count: number) =>
      (e: Expressions, x: Output, w: Output): Output[] => [
        ...loop(e, 'swap', count, [x, w], [], (inner, [a, b]) => [
          inner.t('Sin', b),
          inner.mul(a, b),
        ]),
      ]
    t.same(await check(exchange(0)), [])
    t.same(await check(exchange(3)), [])
  })

  t.test('a loop of which one result is asked', async (t) => {
    const build = (e: Expressions, x: Output, w: Output): Output[] => [
      loop(e, 'one', 3, [x, w], [], (inner, [a, b]) => [inner.mul(a, b), inner.t('Cos', b)])[0],
    ]
    t.same(await check(build), [])
  })

  t.test('loops in loops', async (t) => {
    const build = (e: Expressions, x: Output, w: Output): Output[] => [
      ...loop(e, 'outer', 3, [x], [w], (outer, [a], [c], index) => {
        const inside = loop(
          outer,
          'inner',
          2,
          [a],
          [c],
          (inner, [b], [d]) => [inner.t('Sin', inner.mul(b, d))],
          index,
        )
        return [outer.add(inside[0], outer.square(a))]
      }),
    ]
    t.same(await check(build), [])
  })

  t.test('conditionals in loops', async (t) => {
    const build = (e: Expressions, x: Output, w: Output): Output[] => [
      ...loop(e, 'outer', 4, [x], [w], (inner, [a], [c]) => [
        cond(
          inner,
          positive(inner, a),
          inner.sub(a, c),
          (value) => inner.t('Sin', inner.square(value)),
          (value) => inner.mul(inner.t('Exp', value), value),
        ),
      ]),
    ]
    t.same(await check(build), [])
  })

  t.test('a TensorArray that a loop fills', async (t) => {
    const build = (e: Expressions, x: Output, w: Output): Output[] => {
      const array = e.node('TensorArrayV3', [e.scalar(3, 'int32')], {
        dtype: attribute.type('float64'),
        element_shape: attribute.unknownShape,
      })
      const [handle, flow] = array.outputs
      const step: Step = (inner, [a, index, order], [h, c]) => [
        inner.t('Sin', inner.mul(a, c)),
        inner.plus(index, 1),
        inner.op('TensorArrayWriteV3', [h, index, inner.square(a), order], T(a)),
      ]
      const given = [x, e.scalar(0, 'int32'), flow]
      const [, , filled] = loop(e, 'fill', 3, given, [handle, w], step)
      return [
        e.op('TensorArrayGatherV3', [handle, e.integers([0, 2]), filled], {
          dtype: attribute.type('float64'),
          element_shape: attribute.unknownShape,
        }),
      ]
    }
    t.same(await check(build), [])
  })

  t.test('a TensorArray that is split and joined', async (t) => {
    const build = (e: Expressions, x: Output): Output[] => {
      const array = e.node('TensorArrayV3', [e.scalar(2, 'int32')], {
        dtype: attribute.type('float64'),
      })
      const lengths = e.cast(e.integers([1, 3]), 'int64')
      const flow = e.op(
        'TensorArraySplitV3',
        [array.outputs[0], e.square(x), lengths, array.outputs[1]],
        T(x),
      )
      return [
        e.op('TensorArrayConcatV3', [array.outputs[0], flow], { dtype: attribute.type('float64') }),
      ]
    }
    t.same(await check(build), [])
  })

  t.test('functional loops, also in each other', async (t) => {
    for (const op of ['While', 'StatelessWhile'] as const) {
      const build = (e: Expressions, x: Output, w: Output): Output[] => [
        ...whileLoop(e, op, 3, [x, w], (inner, [a, c]) => [
          inner.t('Tanh', inner.add(inner.mul(a, c), a)),
          c,
        ]),
      ]
      t.same(await check(build), [], op)
    }
    const nested = (e: Expressions, x: Output, w: Output): Output[] => [
      whileLoop(e, 'StatelessWhile', 2, [x, w], (outer, [a, c]) => {
        const [inside] = whileLoop(outer, 'StatelessWhile', 3, [a, c], (inner, [b, d]) => [
          inner.t('Sin', inner.mul(b, d)),
          inner.t('Cos', d),
        ])
        return [outer.add(inside, outer.square(a)), c]
      })[0],
    ]
    t.same(await check(nested), [])
  })

  t.test('functional conditionals, whichever branch is taken, also in loops', async (t) => {
    const branches = (e: Expressions): readonly [string, string] => [
      define(e, 'yes', ['float64', 'float64'], (inner, [a, b]) => [
        inner.mul(inner.t('Sin', a), b),
      ]),
      define(e, 'no', ['float64', 'float64'], (inner, [a]) => [inner.t('Exp', inner.square(a))]),
    ]
    const plain = (e: Expressions, x: Output, w: Output): Output[] => [
      ifNode(e, positive(e, x), [x, w], branches(e), ['float64']).outputs[0],
    ]
    t.same(await check(plain), [])
    t.same(await check(plain, doubles([4], [-1, -0.2, -0.3, 0.4])), [])
    const inLoop = (e: Expressions, x: Output, w: Output): Output[] => [
      whileLoop(e, 'StatelessWhile', 4, [x, w], (inner, [a, c]) => {
        const moved = inner.sub(a, c)
        return [
          ifNode(inner, positive(inner, moved), [moved, c], branches(inner), ['float64'])
            .outputs[0],
          c,
        ]
      })[0],
    ]
    t.same(await check(inLoop), [])
  })

  t.test('one of several functions', async (t) => {
    for (const chosen of [0, 1, 7]) {
      const build = (e: Expressions, x: Output, w: Output): Output[] => {
        const ways = ['Sin', 'Exp', 'Tanh'].map((op) =>
          define(e, op.toLowerCase(), ['float64', 'float64'], (inner, [a, b]) => [
            inner.mul(inner.t(op, a), b),
          ]),
        )
        return e.node('StatelessCase', [e.scalar(chosen, 'int32'), x, w], {
          Tin: attribute.types(['float64', 'float64']),
          Tout: attribute.types(['float64']),
          branches: { list: { func: ways.map((name) => ({ name })) } },
        }).outputs
      }
      t.same(await check(build), [], `branch ${chosen}`)
    }
  })

  t.test('calls, by attribute and by name, and calls in calls', async (t) => {
    const build = (e: Expressions, x: Output, w: Output): Output[] => {
      const both = ['float64', 'float64'] as const
      const inner = define(e, 'inner', both, (body, [a, b]) => [body.mul(body.t('Sin', a), b)])
      const outer = define(e, 'outer', both, (body, [a, b]) => [
        body.node(inner, [body.square(a), b]).outputs[0],
      ])
      const call = (op: string): Output =>
        e.node(op, [x, w], {
          f: attribute.function(outer),
          Tin: attribute.types(both),
          Tout: attribute.types(['float64']),
        }).outputs[0]
      return [
        call('PartitionedCall'),
        call('StatefulPartitionedCall'),
        e.node(outer, [w, x]).outputs[0],
      ]
    }
    t.same(await check(build), [])
  })

  t.test('lists of tensors that a functional loop fills and reads', async (t) => {
    const build = (e: Expressions, x: Output, w: Output): Output[] => {
      const types = { element_dtype: attribute.type('float64') }
      const shape = { shape_type: attribute.type('int32') }
      const empty = e.op('EmptyTensorList', [e.integers([4]), e.scalar(-1, 'int32')], {
        ...types,
        ...shape,
      })
      const [, , list] = whileLoop(e, 'StatelessWhile', 3, [x, w, empty], (inner, [a, c, so]) => [
        inner.t('Sin', inner.mul(a, c)),
        c,
        inner.op('TensorListPushBack', [so, inner.square(a)], types),
      ])
      const popped = e.node('TensorListPopBack', [list, e.integers([4])], types)
      const stacked = e.op('TensorListStack', [popped.outputs[0], e.integers([4])], types)
      const set = e.op('TensorListSetItem', [popped.outputs[0], e.scalar(0, 'int32'), w], types)
      const got = e.op('TensorListGetItem', [set, e.scalar(0, 'int32'), e.integers([4])], types)
      const rows = e.op('TensorListGather', [list, e.integers([2, 0]), e.integers([4])], types)
      const scattered = e.op(
        'TensorListScatterV2',
        [rows, e.integers([1, 0]), e.integers([4]), e.scalar(2, 'int32')],
        { ...types, ...shape },
      )
      const first = e.op(
        'TensorListGetItem',
        [scattered, e.scalar(0, 'int32'), e.integers([4])],
        types,
      )
      return [popped.outputs[1], stacked, got, first]
    }
    t.same(await check(build), [])
  })

  t.test('a function that calls itself is refused, and so is one that is not there', async (t) => {
    const types = { Tin: attribute.types(['float64']), Tout: attribute.types(['float64']) }
    const e = newGraph()
    const x = placeholder(e, 'x', 'float64')
    const name = define(e, 'again', ['float64'], (inner, [a]) => [
      inner.node('PartitionedCall', [a], { f: attribute.function('again'), ...types }).outputs[0],
    ])
    const [y] = e.node('PartitionedCall', [x], { f: attribute.function(name), ...types }).outputs
    t.throws(
      () => addGradients(e.builder, { ys: [y], xs: [x] }),
      refused({ code: 'INVALID_ARGUMENT', reason: 'graph/recursion' }),
    )
    const other = e.node('PartitionedCall', [x], { f: attribute.function('nobody'), ...types })
    t.throws(
      () => addGradients(e.builder, { ys: [other.outputs[0]], xs: [x] }),
      refused({ code: 'INVALID_ARGUMENT', reason: 'graph/function' }),
    )
  })
})
