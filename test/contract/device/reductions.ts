// Reductions of every combination and type: exact where order cannot matter, within the bound of
// summation where it can.
import type { Test } from 'tap'
import type { BufferId, Device } from '../../../engine/device/device.ts'
import {
  type Combine,
  isFloat,
  roundTo,
  type Scalar,
  type ScalarType,
} from '../../../engine/ir/index.ts'
import { expectedOf, type Job, runJobs } from './bench.ts'
import { isSame, unitInLastPlace } from './judge.ts'
import { product, rowReduction, writing } from './kernels.ts'
import { sequence } from './samples.ts'

const numeric: readonly Combine[] = ['sum', 'product', 'max', 'min', 'argmax', 'argmin']
const logical: readonly Combine[] = ['all', 'any']

/** Lengths of reductions: none, one, odd, a power of two, and more than a workgroup; fewer for narrow types. */
function lengthsFor(dtype: ScalarType): readonly number[] {
  return /32|64|bool/.test(dtype) ? [0, 1, 7, 64, 301] : [0, 7, 301]
}

/** Small values of a type; whole ones and few, so that ties happen. */
function values(dtype: ScalarType, count: number, random: () => number): Scalar[] {
  return Array.from({ length: count }, () => {
    if (dtype === 'bool') return random() < 0.9
    if (isFloat(dtype)) return roundTo(dtype, random() * 3 - 1.2)
    return roundTo(dtype, BigInt(Math.floor(random() * 9) - 3))
  })
}

/** How far a float reduction may be off: every step rounds, in any order. */
function reductionBound(
  combine: Combine,
  dtype: ScalarType,
  row: readonly Scalar[],
  exact: number,
): number {
  const step = unitInLastPlace(dtype, 1) / 2
  const size =
    combine === 'sum'
      ? row.reduce<number>((sum, value) => sum + Math.abs(Number(value)), 0)
      : Math.abs(exact)
  return (row.length + 2) * step * size * 1.1 + unitInLastPlace(dtype, exact)
}

/** All facts about reductions. */
export async function reductionFacts(
  t: Test,
  device: Device,
  number: () => BufferId,
): Promise<void> {
  const random = sequence(77)
  const rows = 3
  for (const dtype of device.facts.types) {
    if (!device.facts.types.has('int32')) continue
    await t.test(`reductions of ${dtype}`, async (t) => {
      const cases = (dtype === 'bool' ? logical : numeric).flatMap((combine) =>
        lengthsFor(dtype).map((length) => ({ combine, length })),
      )
      const jobs = cases.map(({ combine, length }) => ({
        kernel: rowReduction(combine, dtype, rows, length),
        inputs: [{ dtype, values: values(dtype, rows * length, random) }],
      }))
      const got = await runJobs(device, number, jobs)
      const want = await expectedOf(jobs)
      for (const [place, { combine, length }] of cases.entries()) {
        const complaints: string[] = []
        for (let row = 0; row < rows; row++) {
          const source = (jobs[place] as Job).inputs[0]?.values.slice(
            row * length,
            (row + 1) * length,
          )
          const a = want.outputs[place]?.[0]?.[row] as Scalar
          const b = got.outputs[place]?.[0]?.[row] as Scalar
          const isOrdered = isFloat(dtype) && (combine === 'sum' || combine === 'product')
          const near =
            isOrdered &&
            Math.abs(Number(a) - Number(b)) <=
              reductionBound(combine, dtype, source as Scalar[], Number(a))
          if (!near && !isSame(a, b, true)) complaints.push(`row ${row}: wanted ${a}, got ${b}`)
        }
        t.same(complaints, [], `${combine} of ${length}`)
      }
    })
  }
  await t.test('max and min pass NaN on, and positions skip it', async (t) =>
    specialFacts(t, device, number),
  )
  await t.test('several reductions share loops and meet in the stored values', async (t) =>
    momentFacts(t, device, number),
  )
  await t.test('products of matrices of odd sizes', async (t) => productFacts(t, device, number))
}

async function specialFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const nan = Number.NaN
  const lists: number[][] = [
    [1, nan, 3, 2],
    [nan, nan, nan, nan],
    [-Infinity, -Infinity, -Infinity, -Infinity],
    [2, 5, 5, 1],
    [4, 1, 7, 1],
    [0, Infinity, -Infinity, 3],
  ]
  const combines: readonly Combine[] = ['max', 'min', 'argmax', 'argmin']
  const wanted: Record<string, number[]> = {
    max: [nan, nan, -Infinity, 5, 7, Infinity],
    min: [nan, nan, -Infinity, 1, 1, -Infinity],
    argmax: [2, 0, 0, 1, 2, 1],
    argmin: [0, 0, 0, 3, 1, 2],
  }
  const jobs = combines.map((combine) => ({
    kernel: rowReduction(combine, 'float32', lists.length, 4),
    inputs: [{ dtype: 'float32' as const, values: lists.flat() }],
  }))
  const { outputs } = await runJobs(device, number, jobs)
  for (const [place, combine] of combines.entries()) {
    const got = outputs[place]?.[0] as number[]
    for (const [row, want] of (wanted[combine] as number[]).entries()) {
      t.ok(Object.is(got[row], want), `${combine} of ${lists[row]} is ${want}, got ${got[row]}`)
    }
  }
}

/** `[rows, 5, 4]`: mean, largest less smallest, and position of the largest, over both inner loops. */
async function momentFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const { build, add, sub, mul, int } = writing()
  const [row, y, x] = [build.loop(0, 3), build.loop(1, 5), build.loop(2, 4)]
  const index = add(add(mul(row, int(20)), mul(y, int(4))), x)
  const body = build.load('float32', 0, index)
  const value = (reduction: number) => build.accumulator('float32', reduction)
  const mean = build.apply('div', [value(0), build.constant('float32', 20)])
  const kernel = {
    inputs: [{ dtype: 'float32' as const, elementCount: 60 }],
    outputs: [
      { dtype: 'float32' as const, elementCount: 6 },
      { dtype: 'int32' as const, elementCount: 3 },
    ],
    loops: [3],
    reduced: [5, 4],
    reductions: (['sum', 'max', 'min', 'argmax'] as const).map((combine) => ({
      combine,
      dtype: 'float32' as const,
      body,
    })),
    stores: [
      { output: 0, index: mul(row, int(2)), value: mean },
      { output: 0, index: add(mul(row, int(2)), int(1)), value: sub(value(1), value(2)) },
      { output: 1, index: row, value: build.accumulator('int32', 3) },
    ],
    checks: [],
  }
  const source = Array.from({ length: 60 }, (_, place) => (place * 37) % 61)
  const { outputs } = await runJobs(device, number, [
    { kernel, inputs: [{ dtype: 'float32', values: source }] },
  ])
  const lists = [0, 1, 2].map((row) => source.slice(row * 20, row * 20 + 20))
  for (const [row, list] of lists.entries()) {
    const sum = list.reduce((total, value) => total + value, 0)
    const [mean, spread] = [outputs[0]?.[0]?.[row * 2], outputs[0]?.[0]?.[row * 2 + 1]]
    t.ok(Math.abs(Number(mean) - sum / 20) < 1e-4, 'the mean')
    t.equal(spread, Math.max(...list) - Math.min(...list), 'the spread')
    t.equal(outputs[0]?.[1]?.[row], list.indexOf(Math.max(...list)), 'the place of the largest')
  }
}

const sizes = [
  [1, 1, 1],
  [5, 7, 3],
  [17, 33, 19],
  [2, 65, 130],
  [64, 32, 48],
] as const

async function productFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const random = sequence(5)
  const types = (['float32', 'float64', 'int32', 'float16'] as const).filter((type) =>
    device.facts.types.has(type),
  )
  for (const dtype of types) {
    const cases = sizes.flatMap((size) => [false, true].map((relu) => ({ size, relu })))
    const jobs = cases.map(({ size: [m, n, k], relu }) => ({
      kernel: product(dtype, [m, n, k], relu),
      inputs: [m * k, k * n, ...(relu ? [n] : [])].map((count) => ({
        dtype,
        values: values(dtype, count, random),
      })),
    }))
    const { outputs } = await runJobs(device, number, jobs)
    for (const [place, { size, relu }] of cases.entries()) {
      const worst = worstOfProduct(dtype, size, jobs[place] as Job, outputs[place]?.[0] as Scalar[])
      t.ok(
        worst <= 1,
        `${size.join(' x ')} of ${dtype}${relu ? ' with bias and floor' : ''}: ${worst}`,
      )
    }
  }
}

/** The largest error over its bound, from sums in doubles. */
function worstOfProduct(
  dtype: ScalarType,
  [m, n, k]: readonly [number, number, number],
  { inputs }: Job,
  got: readonly Scalar[],
): number {
  const at = (input: number, place: number) => Number(inputs[input]?.values[place])
  const step = isFloat(dtype) ? unitInLastPlace(dtype, 1) / 2 : 0
  let worst = 0
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let [sum, size] = [0, 0]
      for (let l = 0; l < k; l++) {
        const term = at(0, i * k + l) * at(1, l * n + j)
        sum += term
        size += Math.abs(term)
      }
      const relu = inputs.length > 2
      const want = relu ? Math.max(0, sum + at(2, j)) : sum
      const bound = (k + 4) * step * (size + Math.abs(want)) + Number.MIN_VALUE
      const error = Math.abs(Number(got[i * n + j]) - want)
      worst = Math.max(worst, Number.isNaN(error) ? Infinity : error / bound)
    }
  }
  return worst
}
