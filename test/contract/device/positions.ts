// Where kernels read and write: guards, positions with division, gathers with checks, updates in place,
// several outputs, odd and empty sizes.
import type { Test } from 'tap'
import type { BufferId, Device } from '../../../engine/device/device.ts'
import type { Kernel, Scalar, ScalarType } from '../../../engine/ir/index.ts'
import { expectedOf, type Job, runJobs } from './bench.ts'
import { elementwise, gather, writing } from './kernels.ts'

const f32 = 'float32' as const
const i32 = 'int32' as const
const count = (n: number) => Array.from({ length: n }, (_, place) => place + 1)

/** All facts about positions. */
export async function positionFacts(
  t: Test,
  device: Device,
  number: () => BufferId,
): Promise<void> {
  const same = async (t: Test, jobs: readonly Job[], what: string) => {
    const got = await runJobs(device, number, jobs)
    const want = await expectedOf(jobs)
    t.same(got.outputs, want.outputs, what)
    t.same(got.failure, want.failure, `${what}: checks`)
  }
  await t.test('guards keep loads in bounds, and read 0 where they are false', async (t) => {
    const [sum] = (
      await runJobs(device, number, [
        { kernel: window(6), inputs: [{ dtype: f32, values: count(6) }] },
      ])
    ).outputs
    t.same(sum?.[0], [3, 6, 9, 12, 15, 11], 'sums of three neighbours with zeros around')
    await same(t, [{ kernel: window(101), inputs: [{ dtype: f32, values: count(101) }] }], 'longer')
  })
  await t.test('positions with division and remainder', async (t) => {
    const job = { kernel: transposed(), inputs: [{ dtype: f32, values: count(30) }] }
    const { outputs } = await runJobs(device, number, [job])
    t.same(outputs[0]?.[0]?.slice(0, 6), [1, 16, 4, 19, 7, 22], '[2, 5, 3] as [3, 5, 2]')
    await same(
      t,
      [job, { kernel: folded(), inputs: [{ dtype: i32, values: count(64) }] }],
      'all of them',
    )
  })
  await t.test(
    'gathers read where loaded positions say, and checks report the first bad one',
    async (t) => gatherFacts(t, device, number),
  )
  await t.test('updates in place', async (t) => {
    await same(t, [momentum(97), scatter()], 'two variables in one pass; rows that positions name')
  })
  await t.test('elements of two buffers change places; those that are nowhere stay', async (t) => {
    const job = exchange(f32, [6, -1, 3])
    const { outputs } = await runJobs(device, number, [job])
    const [table, values] = outputs[0] ?? []
    t.same(table?.slice(12, 16), [900, 1000, 1100, 1200], 'row 3 has the last values')
    t.same(table?.slice(0, 12), count(12), 'rows that are not named stay')
    t.same(values?.slice(0, 4), [25, 26, 27, 28], 'and the first values are what row 6 was')
    const types = [f32, i32, 'bool', 'int8', 'float16', 'int64', 'uint16'] as const
    const held = types.filter((dtype) => device.facts.types.has(dtype))
    await same(
      t,
      held.map((dtype) => exchange(dtype, [0, 7, 5])),
      'of every size of elements',
    )
  })
  await t.test('empty loops, one iteration, odd sizes', async (t) => {
    const jobs = [0, 1, 2, 3, 5, 63, 64, 65, 127, 1009].map((size) => ({
      kernel: elementwise(f32, size, ({ build, mul, add }, x) =>
        add(mul(x, build.constant(f32, 3)), build.constant(f32, 0.5)),
      ),
      inputs: [{ dtype: f32, values: count(size) }],
    }))
    await same(t, [...jobs, scalarJob()], 'every size')
  })
  await t.test('constants that are no ordinary numbers', async (t) =>
    constantFacts(t, device, number),
  )
}

/** Sums of each element and its neighbours, zeros beyond the ends. */
function window(size: number): Kernel {
  const { build, add, apply, int, sub } = writing()
  const [i, k] = [build.loop(0, size), build.loop(1, 3)]
  const index = sub(add(i, k), int(1))
  const guard = apply(
    'logical_and',
    apply('less_equal', int(0), index),
    apply('less', index, int(size)),
  )
  return {
    inputs: [{ dtype: f32, elementCount: size }],
    outputs: [{ dtype: f32, elementCount: size }],
    loops: [size],
    reduced: [3],
    reductions: [{ combine: 'sum', dtype: f32, body: build.load(f32, 0, index, guard) }],
    stores: [{ output: 0, index: i, value: build.accumulator(f32, 0) }],
    checks: [],
  }
}

/** `[2, 5, 3]` to `[3, 5, 2]`, from the flat position of the result. */
function transposed(): Kernel {
  const { build, add, mul, int, apply } = writing()
  const i = build.loop(0, 30)
  const last = apply('floor_mod', i, int(2))
  const middle = apply('floor_mod', apply('floor_div', i, int(2)), int(5))
  const first = apply('floor_div', i, int(10))
  const index = add(add(mul(last, int(15)), mul(middle, int(3))), first)
  return copyFrom(30, i, build.load(f32, 0, index))
}

function copyFrom(
  size: number,
  i: Kernel['stores'][number]['index'],
  value: Kernel['stores'][number]['value'],
): Kernel {
  return {
    inputs: [{ dtype: value.dtype, elementCount: size }],
    outputs: [{ dtype: value.dtype, elementCount: size }],
    loops: [size],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: i, value }],
    checks: [],
  }
}

/** Positions below 0 on the way: floor division and remainder of negative numbers. */
function folded(): Kernel {
  const { build, add, sub, mul, int, apply } = writing()
  const i = build.loop(0, 64)
  const shifted = sub(mul(i, int(7)), int(200))
  const place = apply('floor_mod', shifted, int(64))
  const load = build.load(i32, 0, place)
  const value = add(mul(load, int(1000)), apply('floor_div', shifted, int(9)))
  return copyFrom(64, i, value)
}

async function gatherFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const table = { dtype: f32, values: [10, 11, 12, 13, 14] }
  const job = (ids: number[], code: number): Job => ({
    kernel: gather(f32, 5, ids.length, code),
    inputs: [table, { dtype: i32, values: ids }],
  })
  const fine = await runJobs(device, number, [job([4, 0, 0, 3, 2], 1)])
  t.same(fine.outputs[0]?.[0], [14, 10, 10, 13, 12])
  t.equal(fine.failure, undefined)
  const bad = await runJobs(device, number, [job([1, 2, 5, -1, 7], 42)])
  t.same(bad.failure?.code, 42, 'the code of the check')
  t.same(bad.failure?.position, [2], 'the first position, not another')
  const far = await runJobs(device, number, [job([2 ** 31 - 1, -(2 ** 31), 0], 3)])
  t.same(far.failure?.position, [0], 'positions far outside read nothing')
  const many = Array.from({ length: 3000 }, (_, place) => (place >= 1711 ? 9 : place % 5))
  const late = await runJobs(device, number, [job([0], 5), job(many, 6), job([-1], 7)])
  t.match(late.failure, { code: 6, position: [1711] }, 'the first failing dispatch counts')
  const after = await runJobs(device, number, [job([3], 1)])
  t.same(after.outputs[0]?.[0], [13], 'and the next list runs as if nothing had been')
  t.equal(after.failure, undefined)
  await gridFacts(t, device, number)
}

/** Checks in a kernel of two loops and a reduction: position of all counters, and the first check's code. */
async function gridFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const { build, add, mul, int, apply } = writing()
  const [i, j, k] = [build.loop(0, 3), build.loop(1, 4), build.loop(2, 5)]
  const value = build.load(i32, 0, add(add(mul(i, int(20)), mul(j, int(5))), k))
  const kernel: Kernel = {
    inputs: [{ dtype: i32, elementCount: 60 }],
    outputs: [{ dtype: i32, elementCount: 12 }],
    loops: [3, 4],
    reduced: [5],
    reductions: [{ combine: 'sum', dtype: i32, body: value }],
    stores: [{ output: 0, index: add(mul(i, int(4)), j), value: build.accumulator(i32, 0) }],
    checks: [
      { code: 8, ok: apply('less', value, int(100)) },
      { code: 9, ok: apply('less', value, int(50)) },
    ],
  }
  const values = Array.from({ length: 60 }, () => 1)
  values[33] = 60
  values[34] = 200
  values[50] = 300
  const { failure } = await runJobs(device, number, [{ kernel, inputs: [{ dtype: i32, values }] }])
  t.match(failure, { code: 9, position: [1, 2, 3] }, 'the first iteration in loop order')
}

/** `m = 0.5 m + g; w = w - 2 m`, both in place, and the old w as an output of its own. */
function momentum(size: number): Job {
  const { build, add, sub, mul } = writing()
  const i = build.loop(0, size)
  const load = (input: number) => build.load(f32, input, i)
  const next = add(mul(load(1), build.constant(f32, 0.5)), load(2))
  return {
    kernel: {
      inputs: [0, 1, 2].map(() => ({ dtype: f32, elementCount: size })),
      outputs: [
        { dtype: f32, elementCount: size, inPlaceOf: 0 },
        { dtype: f32, elementCount: size, inPlaceOf: 1 },
        { dtype: f32, elementCount: size },
      ],
      loops: [size],
      reduced: [],
      reductions: [],
      stores: [
        { output: 0, index: i, value: sub(load(0), mul(next, build.constant(f32, 2))) },
        { output: 1, index: i, value: next },
        { output: 2, index: i, value: load(0) },
      ],
      checks: [],
    },
    inputs: [100, 8, 1].map((first) => ({
      dtype: f32,
      values: Array.from({ length: size }, (_, place) => first + place * 0.25),
    })),
  }
}

/** Rows 6, 1, 3 of a `[8, 4]` table grow by those of `[3, 4]`, in place; the others stay. */
function scatter(): Job {
  const { build, add, mul, int } = writing()
  const [row, column] = [build.loop(0, 3), build.loop(1, 4)]
  const target = add(mul(build.load(i32, 1, row), int(4)), column)
  const source = build.load(f32, 2, add(mul(row, int(4)), column))
  return {
    kernel: {
      inputs: [
        { dtype: f32, elementCount: 32 },
        { dtype: i32, elementCount: 3 },
        { dtype: f32, elementCount: 12 },
      ],
      outputs: [{ dtype: f32, elementCount: 32, inPlaceOf: 0 }],
      loops: [3, 4],
      reduced: [],
      reductions: [],
      stores: [{ output: 0, index: target, value: add(build.load(f32, 0, target), source) }],
      checks: [],
    },
    inputs: [
      { dtype: f32, values: count(32) },
      { dtype: i32, values: [6, 1, 3] },
      { dtype: f32, values: count(12).map((value) => value * 100) },
    ],
  }
}

/** Rows of an `[8, 4]` table, both ways, with those of `[3, 4]`; a negative row is nowhere. */
function exchange(dtype: ScalarType, rows: readonly number[]): Job {
  const { build, add, mul, int } = writing()
  const [row, column] = [build.loop(0, 3), build.loop(1, 4)]
  const target = add(mul(build.load(i32, 1, row), int(4)), column)
  const from = add(mul(row, int(4)), column)
  const isSomewhere = build.apply('greater_equal', [target, int(0)])
  const sized = (values: readonly number[]): readonly Scalar[] => {
    if (dtype === 'bool') return values.map((value) => value % 3 === 0)
    if (dtype === 'int64') return values.map(BigInt)
    return dtype === 'int8' ? values.map((value) => value % 100) : values
  }
  return {
    kernel: {
      inputs: [
        { dtype, elementCount: 32 },
        { dtype: i32, elementCount: 3 },
        { dtype, elementCount: 12 },
      ],
      outputs: [
        { dtype, elementCount: 32, inPlaceOf: 0 },
        { dtype, elementCount: 12, inPlaceOf: 2 },
      ],
      loops: [3, 4],
      reduced: [],
      reductions: [],
      stores: [
        { output: 0, index: target, value: build.load(dtype, 2, from) },
        { output: 1, index: from, value: build.load(dtype, 0, target, isSomewhere) },
      ],
      checks: [],
    },
    inputs: [
      { dtype, values: sized(count(32)) },
      { dtype: i32, values: rows },
      { dtype, values: sized(count(12).map((value) => value * 100)) },
    ],
  }
}

/** A kernel without loops: one iteration, one element. */
function scalarJob(): Job {
  const { build, mul, int } = writing()
  const x = build.load(f32, 0, int(0))
  return {
    kernel: {
      inputs: [{ dtype: f32, elementCount: 1 }],
      outputs: [{ dtype: f32, elementCount: 1 }],
      loops: [],
      reduced: [],
      reductions: [],
      stores: [{ output: 0, index: int(0), value: mul(x, x) }],
      checks: [],
    },
    inputs: [{ dtype: f32, values: [1.5] }],
  }
}

async function constantFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const { build, int } = writing()
  const values: readonly Scalar[] = [
    Number.NaN,
    Infinity,
    -Infinity,
    -0,
    3.4028234663852886e38,
    1.1754943508222875e-38,
    Math.fround(0.1),
    -16777216,
  ]
  const kernel: Kernel = {
    inputs: [],
    outputs: [{ dtype: f32, elementCount: values.length }],
    loops: [],
    reduced: [],
    reductions: [],
    stores: values.map((value, place) => ({
      output: 0,
      index: int(place),
      value: build.constant(f32, value),
    })),
    checks: [],
  }
  const { outputs } = await runJobs(device, number, [{ kernel, inputs: [] }])
  for (const [place, value] of values.entries()) {
    const got = outputs[0]?.[0]?.[place]
    const same = Object.is(got, value) || (value === 0 && got === 0)
    t.ok(same, `${String(value)} is stored as itself, got ${String(got)}`)
  }
}
