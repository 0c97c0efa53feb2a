// The builder: equal things are one node, and no simplification changes a value.
import t from 'tap'
import {
  type Expression,
  evaluate,
  expressionBuilder,
  orderOf,
  printExpression,
  rangeOf,
  rowOf,
  type Scalar,
} from '../../../engine/ir/index.ts'
import { sequence } from '../../contract/device/samples.ts'

/** The value of an expression for given loop counters; loads and accumulators are not expected. */
function valued(root: Expression, counters: readonly number[]): Scalar {
  const values = new Map<Expression, Scalar>()
  for (const node of orderOf([root])) {
    if (node.kind === 'constant') values.set(node, node.value)
    else if (node.kind === 'loop') values.set(node, counters[node.axis] as number)
    else if (node.kind === 'apply') {
      const operands = node.operands.map((operand) => values.get(operand) as Scalar)
      const type = (node.operands[0] as Expression).dtype
      values.set(node, evaluate(rowOf(node.row), node.dtype, type, operands))
    } else throw new Error(`a ${node.kind} has no value here`)
  }
  return values.get(root) as Scalar
}

/** Loops i < 4, j < 6, k < 5 and short names for what positions are made of. */
function positions() {
  const build = expressionBuilder()
  const int = (value: number) => build.constant('int32', value)
  const apply = (row: string, a: Expression, b: Expression | number) =>
    build.apply(row, [a, typeof b === 'number' ? int(b) : b])
  return {
    build,
    int,
    i: build.loop(0, 4),
    j: build.loop(1, 6),
    k: build.loop(2, 5),
    add: (a: Expression, b: Expression | number) => apply('add', a, b),
    sub: (a: Expression, b: Expression | number) => apply('sub', a, b),
    mul: (a: Expression, b: Expression | number) => apply('mul', a, b),
    div: (a: Expression, b: number) => apply('floor_div', a, b),
    mod: (a: Expression, b: number) => apply('floor_mod', a, b),
    less: (a: Expression, b: Expression | number) => apply('less', a, b),
  }
}

t.test('structurally equal expressions are the same object', async (t) => {
  const { build, add, mul, i, j } = positions()
  t.equal(add(mul(i, 6), j), add(mul(i, 6), j))
  t.equal(build.load('float32', 0, i), build.load('float32', 0, i))
  t.not(build.load('float32', 0, i), build.load('float32', 1, i))
  t.equal(build.constant('float32', 0.1), build.constant('float32', Math.fround(0.1)))
  t.not(build.constant('float32', 0), build.constant('float32', -0))
  t.equal(build.constant('float64', Number.NaN), build.constant('float64', Number.NaN))
  t.not(build.constant('int32', 1), build.constant('uint32', 1))
})

t.test('sums have one order, however they were written', async (t) => {
  const { add, sub, mul, i, j, k } = positions()
  const flat = add(add(mul(i, 30), mul(j, 5)), k)
  t.equal(add(k, add(mul(j, 5), mul(i, 30))), flat)
  t.equal(add(mul(add(mul(i, 6), j), 5), k), flat)
  t.equal(sub(add(flat, 7), add(k, 7)), mul(add(mul(i, 6), j), 5))
  t.equal(sub(flat, flat).kind, 'constant')
  t.equal(printExpression(sub(mul(i, 2), add(j, 3))), '(((i * 2) - j) + -3)')
})

t.test('division and remainder undo the flattening of positions', async (t) => {
  const { add, mul, div, mod, i, j, k } = positions()
  const flat = add(add(mul(i, 30), mul(j, 5)), k)
  t.equal(div(flat, 30), i)
  t.equal(mod(div(flat, 5), 6), j)
  t.equal(mod(flat, 5), k)
  t.equal(div(div(flat, 5), 6), i)
  t.equal(div(flat, 120).kind, 'constant')
  t.equal(mod(flat, 120), flat)
  t.equal(add(mul(div(flat, 7), 7), mod(flat, 7)), flat)
  t.equal(div(add(mul(i, 8), 3), 2), add(mul(i, 4), 1))
  t.equal(mod(add(mul(i, 8), 3), 2).kind, 'constant')
  t.equal(printExpression(div(flat, 4)), '((((i * 30) + (j * 5)) + k) // 4)')
})

t.test('comparisons whose answer the ranges give are constants', async (t) => {
  const { build, add, sub, less, i, j } = positions()
  const isTrue = (e: Expression) => e.kind === 'constant' && e.value === true
  t.ok(isTrue(less(i, 4)))
  t.ok(isTrue(less(sub(i, 4), 0)))
  t.notOk(isTrue(less(i, 3)))
  t.ok(isTrue(build.apply('greater_equal', [add(i, j), build.constant('int32', 0)])))
  t.equal(build.apply('min', [i, build.constant('int32', 3)]), i)
  t.same(rangeOf(sub(i, j)), [-5, 3])
  const guarded = build.load('float32', 0, i, less(i, 4))
  t.equal(guarded.kind === 'load' && guarded.guard, undefined)
  t.equal(build.load('float32', 0, i, build.constant('bool', false)).kind, 'constant')
})

t.test('rules about true values do not apply where a sum may wrap', async (t) => {
  const { build, add, mul, div, mod, sub } = positions()
  const big = build.loop(0, 2 ** 31 - 1)
  const rest = (value: number, c: number) => ((value % c) + c) % c
  const pairs: [Expression, (at: number) => number][] = [
    [div(mul(big, 4), 4), (at) => Math.floor(Math.imul(at, 4) / 4)],
    [mod(mul(big, 6), 3), (at) => rest(Math.imul(at, 6), 3)],
    [div(add(big, 2 ** 31 - 1), 2), (at) => Math.floor(((at + 2 ** 31 - 1) | 0) / 2)],
    [div(sub(mul(big, -2), 5), 2), (at) => Math.floor(((Math.imul(at, -2) - 5) | 0) / 2)],
  ]
  for (const [expression, byHand] of pairs) {
    for (const at of [0, 1, 2 ** 29, 2 ** 30 + 1, 2 ** 31 - 2]) {
      t.equal(valued(expression, [at]), byHand(at))
    }
  }
})

t.test(
  'random position arithmetic has the value of its operations, and lies in its range',
  async (t) => {
    const random = sequence(99)
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
    let wrong = 0
    let outside = 0
    for (let round = 0; round < 1500; round++) {
      const { build, int, i, j, k } = positions()
      // Each entry: a simplified expression, and its value worked out one operation at a time.
      const counters = [3, 5, 4].map((most) => Math.floor(random() * (most + 1)))
      const pool: { e: Expression; value: number }[] = [i, j, k].map((e, axis) => ({
        e,
        value: counters[axis] as number,
      }))
      for (let step = 0; step < 12; step++) {
        const row = pick([
          'add',
          'sub',
          'mul',
          'floor_div',
          'floor_mod',
          'min',
          'max',
          'add',
          'mul',
        ])
        const a = pick(pool)
        const constant = 1 + Math.floor(random() * 12)
        const useConstant = row.startsWith('floor') || row === 'mul' || random() < 0.4
        const b = useConstant ? { e: int(constant), value: constant } : pick(pool)
        const e = build.apply(row, [a.e, b.e])
        const value = evaluate(rowOf(row), 'int32', 'int32', [a.value, b.value]) as number
        pool.push({ e, value })
        if (valued(e, counters) !== value) wrong++
        const [low, high] = rangeOf(e)
        if (value < low || value > high) outside++
        const other = pick(pool)
        const comparison = pick(['less', 'less_equal', 'equal', 'greater', 'not_equal'])
        const truth = evaluate(rowOf(comparison), 'bool', 'int32', [value, other.value])
        if (valued(build.apply(comparison, [e, other.e]), counters) !== truth) wrong++
      }
    }
    t.equal(wrong, 0, 'values')
    t.equal(outside, 0, 'ranges')
  },
)

t.test('floats keep their bits: only what holds for -0 and NaN is simplified', async (t) => {
  const build = expressionBuilder()
  const x = build.load('float32', 0, build.loop(0, 3))
  const f = (value: number) => build.constant('float32', value)
  const apply = (row: string, ...operands: Expression[]) => build.apply(row, operands)
  t.equal(apply('mul', x, f(1)), x)
  t.equal(apply('add', x, f(-0)), x)
  t.equal(apply('sub', x, f(0)), x)
  t.not(apply('add', x, f(0)), x, '-0 + 0 is 0')
  t.equal(apply('mul', x, f(0)).kind, 'apply', 'NaN times 0 is NaN')
  t.equal(apply('sub', x, x).kind, 'apply', 'infinity less infinity is NaN')
  t.equal(apply('equal', x, x).kind, 'apply', 'NaN is not equal to itself')
  t.equal(apply('neg', apply('neg', x)), x)
  t.equal(build.apply('cast', [x], 'float32'), x)
  const y = build.load('int16', 1, build.loop(0, 3))
  t.equal(build.apply('cast', [build.apply('cast', [y], 'float32')], 'float32').kind, 'apply')
  const half = build.load('float16', 2, build.loop(0, 3))
  t.equal(build.apply('cast', [build.apply('cast', [half], 'float32')], 'float16'), half)
  const choice = apply('less', x, f(0))
  t.equal(apply('select', choice, x, x), x)
  t.equal(apply('select', build.constant('bool', true), x, f(0)), x)
  t.equal(apply('logical_not', apply('logical_not', choice)), choice)
})

t.test('constants are folded in the type they have', async (t) => {
  const build = expressionBuilder()
  const folded = (
    row: string,
    dtype: 'int8' | 'uint32' | 'int64' | 'float16',
    ...values: Scalar[]
  ) =>
    build.apply(
      row,
      values.map((value) => build.constant(dtype, value)),
    )
  t.match(folded('add', 'int8', 100, 100), { value: -56 })
  t.match(folded('sub', 'uint32', 1, 2), { value: 2 ** 32 - 1 })
  t.match(folded('mul', 'int64', 2n ** 62n, 2n), { value: -(2n ** 63n) })
  t.match(folded('add', 'float16', 2048, 1), { value: 2048 })
  t.match(folded('truncate_div', 'int64', -(2n ** 63n), -1n), { value: -(2n ** 63n) })
  t.match(folded('truncate_div', 'int8', 7, 0), { value: 7 })
  const three = build.constant('float32', 3e9)
  t.match(build.apply('cast', [three], 'int32'), { value: -(2 ** 31) })
  t.match(build.apply('cast', [build.constant('uint32', 3e9)], 'int32'), { value: 3e9 - 2 ** 32 })
  t.match(build.apply('bitcast', [build.constant('float32', 1)], 'int32'), { value: 0x3f800000 })
  t.match(build.apply('bitcast', [build.constant('uint16', 0x3c00)], 'float16'), { value: 1 })
})

t.test('operands of the wrong type or number are refused', async (t) => {
  const build = expressionBuilder()
  const [x, n] = [build.constant('float32', 1), build.constant('int32', 1)]
  t.throws(() => build.apply('add', [x, n]), /one type/)
  t.throws(() => build.apply('add', [x]), /2 operands/)
  t.throws(() => build.apply('bitwise_and', [x, x]), /not defined for float32/)
  t.throws(() => build.apply('cast', [x]), /type of its result/)
  t.throws(() => build.apply('select', [x, x, x]), /truth value/)
  t.throws(() => build.apply('adds', [x, x]), /no row named adds/)
  t.throws(() => build.load('float32', 0, x), /int32/)
})

t.test('expressions of another builder are taken over, and depth costs no stack', async (t) => {
  const [here, there] = [expressionBuilder(), expressionBuilder()]
  let deep: Expression = there.load('float32', 0, there.loop(0, 9))
  for (let step = 0; step < 100_000; step++) {
    deep = there.apply('mul', [deep, there.constant('float32', 1 + (step % 7))])
    if (step % 3 === 0) deep = there.apply('add', [deep, deep])
  }
  const taken = here.apply('neg', [deep])
  t.ok(orderOf([taken]).length > 100_000)
  t.equal(here.apply('neg', [deep]), taken)
  let sum: Expression = there.load('int32', 0, there.loop(0, 9))
  for (let step = 0; step < 20_000; step++) {
    sum = there.apply('add', [sum, there.load('int32', step, there.loop(0, 9))])
  }
  t.equal(orderOf([sum]).filter((node) => node.kind === 'apply').length, 20_000)
})
