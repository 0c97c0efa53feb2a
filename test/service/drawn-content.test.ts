// Big initial values: made in pieces, they are what one draw of the whole gives.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type Draw, Draws, philoxOfSeeds, type RandomDType } from '../../engine/random/index.ts'
import { type GivenInitializer, openService } from '../../service/index.ts'
import {
  type DType,
  elementArrayOf,
  type NumericTensor,
  type Shape,
  tensorOfElements,
} from '../../tensor/index.ts'

const folder = await mkdtemp(join(tmpdir(), 'holdfast-drawn-'))
const service = await openService({
  directory: folder,
  clock: Date.now,
  device: 'auto',
  threads: 1,
  allowSoftwareGpu: false,
  demo: false,
  log: () => undefined,
})
t.teardown(async () => {
  await service.close()
  await rm(folder, { recursive: true, force: true })
})

let made = 0

/** What initializing a new variable gives it. */
async function initialized(
  initializer: GivenInitializer,
  dtype: DType,
  shape: Shape,
): Promise<NumericTensor> {
  const name = `v${made++}`
  const request = { container: '', name, initializer, dtype, shape, reuse: 'auto' as const }
  await service.variables.create({ ...request, validateShape: true })
  await service.variables.initialize({ container: '', names: [name], onlyUninitialized: false }, {})
  const { value } = await service.reads.read('', name)
  return (await service.stored.tensor(value)) as NumericTensor
}

const draws = new Draws()

/** One draw by an op that has the seed 7 in a graph without one. */
function drawn(kind: Exclude<Draw['kind'], 'integers'>, dtype: RandomDType, count: number) {
  return elementArrayOf(dtype, draws.bytes({ kind, dtype }, philoxOfSeeds(87654321n, 7n), count))
}

function firstDifference(a: ArrayLike<number | bigint>, b: ArrayLike<number | bigint>): number {
  for (let at = 0; at < Math.max(a.length, b.length); at++) if (a[at] !== b[at]) return at
  return -1
}

// One past 8 MiB, where pieces begin, and then some; the last piece is a short one.
const odd = 77

t.test('uniform numbers, scaled as float32 arithmetic does', async (t) => {
  const count = 2 ** 21 + odd
  const given = { kind: 'random_uniform', minval: -2, maxval: 3, seed: 7 }
  const { bytes, dtype } = await initialized(given, 'float32', [count])
  const expected = drawn('uniform', 'float32', count) as Float32Array
  for (let at = 0; at < count; at++) expected[at] = Math.fround(expected[at] * 5) - 2
  t.equal(firstDifference(elementArrayOf(dtype, bytes), expected), -1)
})

t.test('truncated normal numbers, whose groups have stretches of their own', async (t) => {
  const count = 2 ** 20 + odd
  const given = { kind: 'truncated_normal', stddev: 0.5, mean: 1, seed: 7 }
  const wide = await initialized(given, 'float64', [count])
  const expected = drawn('truncated_normal', 'float64', count) as Float64Array
  for (let at = 0; at < count; at++) expected[at] = expected[at] * 0.5 + 1
  t.equal(firstDifference(elementArrayOf('float64', wide.bytes), expected), -1)
  const narrow = await initialized(given, 'float32', [2 * count])
  const other = drawn('truncated_normal', 'float32', 2 * count) as Float32Array
  for (let at = 0; at < 2 * count; at++) other[at] = Math.fround(other[at] * 0.5) + 1
  t.equal(firstDifference(elementArrayOf('float32', narrow.bytes), other), -1)
})

t.test('normal numbers of a narrow type, and whole numbers of a wide one', async (t) => {
  const count = 2 ** 22 + odd
  const normal = await initialized({ kind: 'random_normal', seed: 7 }, 'float16', [count])
  const expected = drawn('normal', 'float16', count)
  t.equal(firstDifference(elementArrayOf('float16', normal.bytes), expected), -1)
  const given = { kind: 'random_uniform', minval: -5, maxval: 2 ** 40, seed: 7 }
  const whole = await initialized(given, 'int64', [1, 2 ** 20 + odd])
  const range = 2n ** 40n + 5n
  const words = drawn('bits', 'uint64', 2 ** 20 + odd) as BigUint64Array
  const remainders = Array.from(words, (word: bigint) => (word % range) - 5n)
  t.equal(firstDifference(elementArrayOf('int64', whole.bytes), remainders), -1)
})

t.test('without a seed, no piece repeats another, nor the next initialization', async (t) => {
  const once = await initialized({ kind: 'random_uniform' }, 'float32', [2 ** 21 + odd])
  const again = await initialized({ kind: 'random_uniform' }, 'float32', [2 ** 21 + odd])
  const beginnings = [once, again].flatMap(({ bytes }) =>
    [0, 1, 2].map((piece) => bytes.subarray(piece * 2 ** 22, piece * 2 ** 22 + 16).join(' ')),
  )
  t.equal(new Set(beginnings).size, 6)
})

t.test('an expression over big values, whether they are pieced or not', async (t) => {
  const shape = [3, 2 ** 20 + odd]
  const count = shape[0] * shape[1]
  const seeds = { kind: 'random_uniform', seed: 7 }
  const options = { container: 'e', reuse: false, validateShape: true } as const
  const make = (name: string, initializer: GivenInitializer, given?: Shape) =>
    service.variables.create({ ...options, name, initializer, shape: given })
  const read = async (name: string) => {
    const { value } = await service.reads.read('e', name)
    const { bytes } = (await service.stored.tensor(value)) as NumericTensor
    return elementArrayOf('float32', bytes) as Float32Array
  }
  const initialize = (names: readonly string[]) =>
    service.variables.initialize({ container: 'e', names, onlyUninitialized: false }, {})
  await make('v', seeds, shape)
  await make('row', { kind: 'ones' }, [1, shape[1]])
  await initialize(['v', 'row'])
  const own = { initialized_value: 'v', mul: 2, add: { initialized_value: 'v', sub: [[1]] } }
  await make('own', own as GivenInitializer)
  await make('wide', { initialized_value: 'v', add: { initialized_value: 'row' } } as never)
  await initialize(['own', 'wide'])
  const values = drawn('uniform', 'float32', count) as Float32Array
  t.equal(firstDifference(await read('v'), values), -1)
  const expected = values.map((value) => Math.fround(2 * value) + Math.fround(value - 1))
  t.equal(firstDifference(await read('own'), expected), -1)
  t.equal(
    firstDifference(
      await read('wide'),
      values.map((value) => value + 1),
    ),
    -1,
  )
  // All at once: each takes what the other has only just been given.
  await make('third', {
    initialized_value: 'own',
    div: { initialized_value: 'v', add: 1 },
  } as never)
  await initialize(['third', 'own', 'v'])
  const quotient = expected.map((value, at) => value / Math.fround(values[at] + 1))
  t.equal(firstDifference(await read('third'), quotient), -1)
  t.equal(firstDifference(await read('own'), expected), -1)
  t.equal(firstDifference(await read('v'), values), -1)
  // One that cannot be made in pieces has the others computed whole.
  await initialize(['wide', 'row', 'v', 'own'])
  t.equal(firstDifference(await read('own'), expected), -1)
  await make('loose', { kind: 'random_uniform' }, shape)
  await make('same', { initialized_value: 'loose' })
  await initialize(['same', 'loose'])
  t.equal(firstDifference(await read('same'), await read('loose')), -1, 'drawn once only')
})

t.test('zeros, constants and identities of several pieces', async (t) => {
  const count = 200_000
  const same = await initialized({ kind: 'constant', value: [1, 2, 3] }, 'float32', [count])
  const numbers = elementArrayOf('float32', same.bytes)
  t.same([...numbers.slice(0, 4)], [1, 2, 3, 3])
  t.ok(numbers.subarray(3).every((number) => number === 3))
  const long = Array.from({ length: 70_000 }, (_, at) => at)
  const counted = await initialized({ kind: 'constant', value: long }, 'int64', [count])
  const wholes = elementArrayOf('int64', counted.bytes)
  t.equal(
    firstDifference(
      wholes,
      Array.from({ length: count }, (_, at) => BigInt(Math.min(at, 69_999))),
    ),
    -1,
  )
  const [rows, columns] = [700, 333]
  const identity = await initialized({ kind: 'identity', gain: 2 }, 'float16', [rows, columns])
  const expected = Array.from({ length: rows * columns }, (_, at) =>
    Math.floor(at / columns) === at % columns ? 2 : 0,
  )
  const { bytes } = tensorOfElements('float16', [rows, columns], expected)
  t.equal(firstDifference(identity.bytes, bytes), -1)
})

t.test('the parts of a partitioned identity are parts of one matrix', async (t) => {
  const request = { container: 'p', name: 'i', dtype: 'float32' as const, shape: [5, 3] }
  await service.variables.create({
    ...request,
    initializer: { kind: 'identity' },
    reuse: false,
    validateShape: true,
    partitions: [2, 1],
  })
  await service.variables.initialize(
    { container: 'p', names: undefined, onlyUninitialized: false },
    {},
  )
  const part = async (name: string): Promise<readonly unknown[]> => {
    const { value } = await service.reads.read('p', name)
    const tensor = (await service.stored.tensor(value)) as NumericTensor
    return Array.from(elementArrayOf('float32', tensor.bytes) as Float32Array)
  }
  t.same(await part('i/part_0'), [1, 0, 0, 0, 1, 0, 0, 0, 1])
  t.same(await part('i/part_1'), [0, 0, 0, 0, 0, 0])
})
