// Initial values: TensorFlow's own numbers for seeded draws, and its refusals.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { collect } from '../../formats/index.ts'
import { initialContent } from '../../service/initial-values.ts'
import { fansOf, planInitializer } from '../../service/initializer.ts'
import { philoxBlock } from '../../service/philox.ts'
import { type DType, elementsOf, isNumeric, numericTensor, type Shape } from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'
import { sharedFolder } from '../helper/shared.ts'

const noSeed = () => ({ seed: 1n, seed2: 2n })

async function draw(
  kind: string,
  given: object,
  dtype: DType,
  shape: Shape,
): Promise<readonly number[]> {
  const plan = planInitializer({ kind, ...given }, dtype, shape)
  const content = initialContent(plan, dtype, shape, undefined, noSeed)
  const bytes = await collect(content.chunks(), content.byteLength)
  if (!isNumeric(dtype)) throw new Error('numbers are wanted')
  return elementsOf(numericTensor(dtype, shape, bytes)).map(Number)
}

t.test('the generator gives the published words for a key and counter of zero', async (t) => {
  const words = new Uint32Array(4)
  philoxBlock({ seed: 0n, seed2: 0n }, 0, words)
  t.same([...words], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8])
})

t.test("random_uniform with seed 1 begins as TensorFlow's does", async (t) => {
  const [first] = await draw('random_uniform', { seed: 1 }, 'float32', [1])
  t.equal(first, Math.fround(0.2390374))
})

t.test('seeded initializers give the values that TensorFlow recorded', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const lines = readFileSync(join(shared, 'conformance/initializers.jsonl'), 'utf8').split('\n')
  let compared = 0
  for (const line of lines.filter((one) => one.includes('graph_seed_None_op_seed_7'))) {
    const recorded = JSON.parse(line)
    const [kind] = recorded.name.split('/')
    const [, expected] = recorded.steps
    const [tensor] = Object.values<{ dtype: string; shape: Shape; data: string }>(expected.fetches)
    const given = argumentsOf[kind]
    if (given === undefined || tensor?.dtype !== 'DT_FLOAT') continue
    const got = await draw(kind, given, 'float32', tensor.shape)
    const { buffer } = new Uint8Array(Buffer.from(tensor.data, 'base64'))
    const wanted = new Float32Array(buffer)
    t.equal(got.length, wanted.length)
    const far = got.findIndex((value, index) => Math.abs(value - wanted[index]) > 2e-6)
    t.equal(far, -1, `${recorded.name} ${got.slice(0, 3)} for ${wanted.slice(0, 3)}`)
    compared++
  }
  t.ok(compared >= 20, `${compared} initializers compared`)
})

const seed = { seed: 7 }
const argumentsOf: Readonly<Record<string, object>> = {
  glorot_uniform: seed,
  glorot_normal: seed,
  he_normal: seed,
  he_uniform: seed,
  lecun_normal: seed,
  lecun_uniform: seed,
}

t.test('a long draw is the same in pieces as in one', async (t) => {
  const long = await draw('truncated_normal', seed, 'float32', [40_001])
  const short = await draw('truncated_normal', seed, 'float32', [33])
  t.same(long.slice(0, 33), short)
  t.ok(long.every((value) => Math.abs(value) < 2))
  const mean = long.reduce((sum, value) => sum + value, 0) / long.length
  t.ok(Math.abs(mean) < 0.02)
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
  t.same(fansOf([]), { fanIn: 1, fanOut: 1 })
  t.same(fansOf([4]), { fanIn: 4, fanOut: 4 })
  t.same(fansOf([2, 3]), { fanIn: 2, fanOut: 3 })
  t.same(fansOf([5, 5, 2, 3]), { fanIn: 50, fanOut: 75 })
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
