// Initial values: TensorFlow's own numbers for seeded draws, values made from other variables', and
// TensorFlow's refusals.

import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { type GivenInitializer, openService } from '../../service/index.ts'
import { fansOf, planInitializer } from '../../service/initializer.ts'
import { type DType, elementsOf, type NumericTensor, type Shape } from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'
import { sharedFolder } from '../helper/shared.ts'

const folder = await mkdtemp(join(tmpdir(), 'holdfast-initializer-'))
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

const anyVersion = {}

async function make(
  container: string,
  name: string,
  initializer: GivenInitializer,
  dtype?: DType,
  shape?: Shape,
): Promise<void> {
  const request = { container, name, initializer, dtype, shape, reuse: 'auto' as const }
  await service.variables.create({ ...request, validateShape: true })
}

async function initialize(container: string, names?: readonly string[]): Promise<void> {
  await service.variables.initialize({ container, names, onlyUninitialized: false }, anyVersion)
}

async function numbersOf(container: string, name: string): Promise<readonly number[]> {
  const { value } = await service.reads.read(container, name)
  return elementsOf((await service.stored.tensor(value)) as NumericTensor).map(Number)
}

let drawn = 0

/** What initializing a new variable gives it. */
async function draw(
  kind: string,
  given: object,
  dtype: DType,
  shape: Shape,
): Promise<readonly number[]> {
  const name = `v${drawn++}`
  await make('draws', name, { kind, ...given }, dtype, shape)
  await initialize('draws', [name])
  return numbersOf('draws', name)
}

t.test("random_uniform with seed 1 begins as TensorFlow's does", async (t) => {
  const [first] = await draw('random_uniform', { seed: 1 }, 'float32', [1])
  t.equal(first, Math.fround(0.2390374))
})

const argumentsOf: Readonly<Record<string, object>> = {
  zeros: {},
  ones: {},
  constant: { value: 1.25 },
  identity: { gain: 2 },
  orthogonal: {},
  random_uniform: { minval: -2, maxval: 3 },
  random_normal: { mean: 1, stddev: 2 },
  truncated_normal: { stddev: 0.5 },
  uniform_unit_scaling: { factor: 1.2 },
  variance_scaling: { scale: 2 },
  variance_scaling_avg_uniform: { scale: 1.5, mode: 'fan_avg', distribution: 'uniform' },
  glorot_uniform: {},
  glorot_normal: {},
  he_normal: {},
  he_uniform: {},
  lecun_normal: {},
  lecun_uniform: {},
}
const unseeded = ['zeros', 'ones', 'constant', 'identity']

t.test('seeded initializers give the values that TensorFlow recorded', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const lines = readFileSync(join(shared, 'conformance/initializers.jsonl'), 'utf8').split('\n')
  const cases = lines.flatMap((line) => {
    const found = /^\{"name": "(\w+)\/graph_seed_(\w+)_op_seed_(\d+)_/.exec(line)
    return found === null ? [] : [{ line, kind: found[1], graph: found[2], op: Number(found[3]) }]
  })
  const recorded = cases.map(({ line, kind, graph, op }, place) => {
    const { name, steps, tolerance } = JSON.parse(line)
    const [tensor] = Object.values<{ shape: Shape; data: string }>(steps[1].fetches)
    const graphSeed = graph === 'None' ? {} : { graph_seed: Number(graph) }
    const seeds = unseeded.includes(kind) ? {} : { seed: op, ...graphSeed }
    const known = kind === 'variance_scaling_avg_uniform' ? 'variance_scaling' : kind
    const initializer = { kind: known, ...argumentsOf[kind], ...seeds }
    return { variable: `r${place}`, name, initializer, tensor, tolerance }
  })
  t.ok(recorded.length > 150, `${recorded.length} cases`)
  for (const { variable, initializer, tensor } of recorded) {
    await make('recorded', variable, initializer, 'float32', tensor.shape)
  }
  await initialize('recorded')
  for (const { variable, name, tensor, tolerance } of recorded) {
    const { buffer } = new Uint8Array(Buffer.from(tensor.data, 'base64'))
    const wanted = new Float32Array(buffer)
    const got = await numbersOf('recorded', variable)
    t.equal(got.length, wanted.length)
    const far = got.findIndex(
      (value, index) =>
        Math.abs(value - wanted[index]) > tolerance.abs + tolerance.rel * Math.abs(wanted[index]),
    )
    t.equal(far, -1, `${name} ${got.slice(0, 3)} for ${wanted.slice(0, 3)}`)
  }
})

t.test('a long draw begins as a short one, and a seed draws the same again', async (t) => {
  const seed = { seed: 7 }
  const long = await draw('truncated_normal', seed, 'float32', [40_001])
  const short = await draw('truncated_normal', seed, 'float32', [33])
  t.same(long.slice(0, 32), short.slice(0, 32))
  t.ok(long.every((value) => Math.abs(value) < 2))
  const mean = long.reduce((sum, value) => sum + value, 0) / long.length
  t.ok(Math.abs(mean) < 0.02)
  const once = await draw('random_normal', {}, 'float32', [4])
  t.notSame(await draw('random_normal', {}, 'float32', [4]), once, 'without a seed it differs')
})

t.test('draws of other types stay in their bounds', async (t) => {
  const bounds = { minval: -3, maxval: 5, seed: 3 }
  for (const dtype of ['float64', 'float16', 'bfloat16', 'int32', 'int64'] as const) {
    const values = await draw('random_uniform', bounds, dtype, [500])
    t.ok(
      values.every((value) => value >= -3 && value <= 5),
      dtype,
    )
    t.ok(new Set(values).size > 4, dtype)
    if (dtype.startsWith('int')) t.ok(values.every((value) => Number.isInteger(value) && value < 5))
  }
})

t.test('identity, and fans as TensorFlow counts them', async (t) => {
  t.same(await draw('identity', { gain: 3 }, 'float32', [2, 3]), [3, 0, 0, 0, 3, 0])
  t.same(await draw('identity', {}, 'float64', [3, 2]), [1, 0, 0, 1, 0, 0])
  for (const dtype of ['int8', 'int32', 'int64', 'uint64', 'float16', 'bfloat16'] as const) {
    t.same(await draw('identity', { gain: 2 }, dtype, [2, 2]), [2, 0, 0, 2], dtype)
  }
  t.same(fansOf([]), { fanIn: 1, fanOut: 1 })
  t.same(fansOf([4]), { fanIn: 4, fanOut: 4 })
  t.same(fansOf([2, 3]), { fanIn: 2, fanOut: 3 })
  t.same(fansOf([5, 5, 2, 3]), { fanIn: 50, fanOut: 75 })
})

t.test('an orthogonal matrix times its transpose is the identity times gain squared', async (t) => {
  const matrix = await draw('orthogonal', { gain: 2, seed: 3 }, 'float32', [3, 2, 2])
  const column = (at: number) => matrix.filter((_, index) => index % 2 === at)
  const dot = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, value, index) => sum + value * b[index], 0)
  t.ok(Math.abs(dot(column(0), column(0)) - 4) < 1e-5)
  t.ok(Math.abs(dot(column(0), column(1))) < 1e-5)
})

t.test('many variables of one size are drawn apart', async (t) => {
  const count = 600
  for (let index = 0; index < count; index++) {
    await make('many', `w${index}`, { kind: 'glorot_uniform' }, 'float32', [4])
  }
  await initialize('many')
  const firsts = new Set<number>()
  for (let index = 0; index < count; index++) {
    const [first] = await numbersOf('many', `w${index}`)
    firsts.add(first)
  }
  t.ok(firsts.size > count - 5)
})

t.test('an expression takes the initialized values of others, in order', async (t) => {
  const float = (name: string, initializer: GivenInitializer) => make('e', name, initializer)
  await float('v', { dtype: 'float32', value: [1, 2] })
  await float('double', { initialized_value: 'v', mul: 2, add: 1 })
  await float('rows', { initialized_value: 'double', sub: [[1], [2]] })
  await float('both', {
    initialized_value: 'rows',
    add: { initialized_value: 'v', div: 2 },
  })
  await make('e', 'drawn', { kind: 'random_uniform', seed: 7 }, 'float32', [2])
  await float('copy', { initialized_value: 'drawn' })
  t.same((await service.variables.get('e', 'rows')).shape, [2, 2])
  await initialize('e')
  t.same(await numbersOf('e', 'double'), [3, 5])
  t.same(await numbersOf('e', 'rows'), [2, 4, 1, 3])
  t.same(await numbersOf('e', 'both'), [2.5, 5, 1.5, 4])
  t.same(await numbersOf('e', 'copy'), await numbersOf('e', 'drawn'))
})

t.test('an expression reads what has a value, and computes what has none', async (t) => {
  await make('r', 'v', { dtype: 'int64', value: ['9007199254740993'] })
  await make('r', 'w', { initialized_value: 'v', add: 1 })
  await initialize('r', ['w'])
  t.equal((await service.variables.uninitialized('r')).includes('v'), true, 'v stays uninitialized')
  const exact = async (name: string) => {
    const { value } = await service.reads.read('r', name)
    return elementsOf((await service.stored.tensor(value)) as NumericTensor)
  }
  t.same(await exact('w'), [9007199254740994n])
  await initialize('r', ['v'])
  const add = async () => ({
    dtype: 'int64' as const,
    shape: [1],
    byteLength: 8,
    async *chunks() {
      yield new Uint8Array(BigInt64Array.of(5n).buffer)
    },
  })
  await service.writes.assign('r', 'v', add, anyVersion)
  await initialize('r', ['w'])
  t.same(await exact('w'), [6n])
  await initialize('r')
  t.same(await exact('w'), [9007199254740994n], 'v was initialized before w')
})

t.test(
  'variables that wait for each other are refused by name, and nothing is written',
  async (t) => {
    await make('c', 'a', { dtype: 'float32', value: 1 })
    await make('c', 'b', { initialized_value: 'a' })
    await make('c', 'other', { dtype: 'float32', value: 1 })
    await service.variables.remove('c', 'a', anyVersion)
    await t.rejects(initialize('c', ['b']), refused({ reason: 'variable/unknown' }))
    await make('c', 'a', { initialized_value: 'b' })
    await t.rejects(initialize('c'), {
      code: 'FAILED_PRECONDITION',
      reason: 'initializer/cycle',
      message: 'The initial values of a -> b -> a wait for each other.',
    })
    t.same([...(await service.variables.uninitialized('c'))].sort(), ['a', 'b', 'other'])
  },
)

t.test('an expression that cannot be is refused when the variable is made', async (t) => {
  await make('x', 'v', { dtype: 'float32', value: [1, 2] })
  await make('x', 'i', { dtype: 'int32', value: [1, 2] })
  await make('x', 's', { dtype: 'string', value: 'a' })
  const refusal = (initializer: object, expected: object) =>
    t.rejects(make('x', 'new', initializer as GivenInitializer), refused(expected))
  await refusal({ initialized_value: 'none' }, { reason: 'variable/unknown' })
  await refusal({ initialized_value: 'v', power: 2 }, { reason: 'initializer/invalid' })
  await refusal({ initialized_value: 3 }, { reason: 'initializer/invalid' })
  await refusal({ initialized_value: 'v', add: [1, 2, 3] }, { reason: 'initializer/invalid' })
  await refusal({ initialized_value: 's', add: 'b' }, { reason: 'initializer/invalid' })
  await refusal({ initialized_value: 'i', div: 2 }, { message: /takes floating point/ })
  await refusal(
    { initialized_value: 'v', add: { initialized_value: 'i' } },
    { reason: 'initializer/dtype-mismatch' },
  )
  await make('x', 'text', { initialized_value: 's' })
  await initialize('x')
  t.equal((await service.reads.read('x', 'text')).value.dtype, 'string')
  let deep: object = { initialized_value: 'v' }
  for (let level = 0; level < 20; level++) deep = { initialized_value: 'v', add: deep }
  await refusal(deep, { message: /at most 16 levels/ })
})

t.test('bounds beyond 2^53 are exact, and an upper one is never drawn', async (t) => {
  const bounds = { minval: '9007199254740993', maxval: '9007199254740994', seed: 3 }
  await make('draws', 'exact', { kind: 'random_uniform', ...bounds }, 'int64', [3])
  await initialize('draws', ['exact'])
  const { value } = await service.reads.read('draws', 'exact')
  const tensor = (await service.stored.tensor(value)) as NumericTensor
  t.same(elementsOf(tensor), [9007199254740993n, 9007199254740993n, 9007199254740993n])
})

t.test('a constant is a scalar or a dense array that fits', async (t) => {
  const plan = (given: object, dtype: DType = 'float32') =>
    planInitializer({ kind: 'constant', ...given }, dtype, [2, 2])
  t.same(plan({}), { fill: 'constant', elements: [0] })
  t.same(plan({ value: [[1, 2]] }), { fill: 'constant', elements: [1, 2] })
  t.same(plan({ value: [[1, 2]] }, 'complex64'), { fill: 'constant', elements: [[1, 2]] })
  const square = [
    [1, 2],
    [3, 4],
  ]
  t.same(plan({ value: square, verify_shape: true }), { fill: 'constant', elements: [1, 2, 3, 4] })
  const says = (message: string | RegExp) => ({ reason: 'initializer/invalid', message })
  t.throws(() => plan({ value: [[1, 2], [3]] }), says(/^Argument must be a dense tensor/))
  t.throws(() => plan({ value: [1, [2]] }), says(/^Argument must be a dense tensor/))
  t.throws(() => plan({ value: { a: 1 } }), says(/^Invalid type for initial value: \{"a":1\}/))
  t.throws(() => plan({ value: null }), says(/^Invalid type for initial value: null/))
  t.throws(() => plan({ value: [] }), says('A constant needs at least one element.'))
  t.throws(
    () => plan({ value: [1, 2], verify_shape: true }),
    says("Expected Tensor's shape: [2,2], got [2]."),
  )
  t.throws(() => plan({ value: 1, verify_shape: 1 }), says(/is true or false/))
})

t.test('distributions are known in any case of their letters', async (t) => {
  const plan = (distribution: string) =>
    planInitializer({ kind: 'variance_scaling', distribution, seed: 1 }, 'float32', [2, 2])
  t.same(plan('Uniform'), plan('uniform'))
})

t.test("arguments that cannot be are refused in TensorFlow's words", async (t) => {
  const plan =
    (description: { kind: string }, dtype: DType = 'float32') =>
    () =>
      planInitializer(description, dtype, [2, 2])
  const says = (message: string | RegExp) => ({ message })
  t.throws(
    plan({ kind: 'variance_scaling', scale: 0 } as never),
    says('`scale` must be positive float.'),
  )
  t.throws(plan({ kind: 'variance_scaling', mode: 'x' } as never), says(/Invalid `mode` argument/))
  t.throws(
    plan({ kind: 'variance_scaling', distribution: 'x' } as never),
    says(/Invalid `distribution`/),
  )
  t.throws(
    plan({ kind: 'glorot_uniform' }, 'int32'),
    says('Expected floating point type, got int32.'),
  )
  t.throws(plan({ kind: 'identity' }, 'string'), says(/real numbers/))
  t.throws(plan({ kind: 'identity' }, 'complex64'), says(/real numbers/))
  t.throws(plan({ kind: 'identity', gain: 0.5 } as never, 'int32'), says(/whole number/))
  t.throws(
    plan({ kind: 'random_normal', graph_seed: 5 } as never),
    says(/"graph_seed" wants a "seed"/),
  )
  t.throws(plan({ kind: 'orthogonal' }, 'float16'), says(/no Qr of float16/))
  t.throws(
    plan({ kind: 'random_uniform' }, 'int32'),
    says('Must specify maxval for integer dtype int32'),
  )
  const beyond = { kind: 'random_uniform', maxval: 2 ** 31 }
  t.throws(plan(beyond, 'int32'), says(/whole numbers of that type.*"maxval" is 2147483648/))
  t.throws(
    plan({ kind: 'random_uniform', maxval: '0x10' } as never, 'int64'),
    says(/whole numbers/),
  )
  t.throws(plan({ kind: 'random_normal', stddev: null } as never), says(/number; null was given/))
  t.throws(plan({ kind: 'constant', value: [1, 2, 3, 4, 5] } as never), says(/Too many elements/))
  t.throws(plan({ kind: 'random_normal', stddev: 'x' } as never), says(/is a number/))
  t.throws(plan({ kind: 'random_normal', seed: 0.5 } as never), says('A seed is a whole number.'))
  t.throws(
    plan({ kind: 'random_uniform', maxval: 1, minval: 1 } as never, 'int32'),
    says(/minval < maxval/),
  )
  t.throws(
    plan({ kind: 'toString' }),
    refused({ code: 'UNIMPLEMENTED', reason: 'initializer/unknown' }),
  )
})
