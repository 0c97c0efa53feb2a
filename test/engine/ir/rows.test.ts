// Rows: their truth against recorded TensorFlow results, and their expansions against the truth.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { interpret } from '../../../engine/device/reference/interpret.ts'
import {
  type Expression,
  evaluate,
  expandRows,
  expressionBuilder,
  isFloat,
  type Row,
  roundTo,
  rowOf,
  rows,
  type Scalar,
  type ScalarType,
  wasmTypeOf,
  wgslTypeOf,
} from '../../../engine/ir/index.ts'
import { elementArrayOf } from '../../../tensor/index.ts'
import { bytesOf, valuesOf } from '../../contract/device/bench.ts'
import { unitInLastPlace } from '../../contract/device/judge.ts'
import { sequence } from '../../contract/device/samples.ts'
import { sharedFolder } from '../../helper/shared.ts'

t.test('every row has a form, or an expansion, for each type and device', async (t) => {
  for (const row of rows.values()) {
    for (const type of row.types) {
      const wasm = row.wasm?.[wasmTypeOf(type)] !== undefined
      t.ok(wasm || row.expand, `${row.name} of ${type} in WebAssembly`)
      const wgslType = wgslTypeOf(type)
      if (wgslType === undefined || /64/.test(row.name)) continue
      const wgsl = row.wgsl?.(wgslType, 'a', 'b', 'c') !== undefined
      t.ok(wgsl || row.expand, `${row.name} of ${type} in WGSL`)
    }
  }
})

const sampleCount = 4000

/** Arguments over the whole range of a float type, mostly where functions bend. */
function argumentsOf(dtype: ScalarType, random: () => number): number[] {
  const far = dtype === 'float64' ? 300 : 80
  return Array.from({ length: sampleCount }, (_, place) => {
    const sign = random() < 0.5 ? -1 : 1
    switch (place % 5) {
      case 0:
        return roundTo(dtype, sign * random() * 4) as number
      case 1:
        return roundTo(dtype, sign * random()) as number
      case 2:
        return roundTo(dtype, 1 + sign * random() * 1e-3) as number
      case 3:
        return roundTo(dtype, sign * random() * 100) as number
      default:
        return roundTo(dtype, sign * Math.exp((random() * 2 - 1) * far)) as number
    }
  })
}

/** Largest error of a row's expansion, in units in the last place; infinite where NaN or infinity differ. */
function worstOf(row: Row, dtype: ScalarType): number {
  const random = sequence(row.name.length * 31 + 7)
  const build = expressionBuilder()
  const i = build.loop(0, sampleCount)
  const operands = Array.from({ length: row.arity }, (_, input) => build.load(dtype, input, i))
  const native = (row: Row, type: ScalarType) => row.wasm?.[wasmTypeOf(type)] !== undefined
  const [value] = expandRows(build, [build.apply(row.name, operands)], native)
  const inputs = operands.map(() => argumentsOf(dtype, random))
  const arrays = inputs.map((values) =>
    elementArrayOf(dtype as 'float32', bytesOf({ dtype, values })),
  )
  const bytes = bytesOf({ dtype, values: inputs[0] as number[] })
  const buffer = { dtype, elementCount: sampleCount }
  interpret(
    {
      inputs: inputs.map(() => buffer),
      outputs: [buffer],
      loops: [sampleCount],
      reduced: [],
      reductions: [],
      stores: [{ output: 0, index: i, value: value as Expression }],
      checks: [],
    },
    arrays,
    [elementArrayOf(dtype as 'float32', bytes)],
  )
  const got = valuesOf(dtype, bytes) as number[]
  let worst = 0
  for (const [place, result] of got.entries()) {
    const exact = row.value(dtype, ...inputs.map((values) => values[place] as number)) as number
    const want = roundTo(dtype, exact) as number
    if (Object.is(want, result)) continue
    const unit = unitInLastPlace(dtype, Math.max(Math.abs(want), row.judgedFrom ?? 0))
    const isBounded = Number.isFinite(want) && Number.isFinite(result)
    worst = Math.max(worst, isBounded ? Math.abs(result - exact) / unit : Infinity)
  }
  return worst
}

t.test('expansions are as exact as their rows state', async (t) => {
  for (const row of rows.values()) {
    if (row.expand === undefined || row.ulp === 0 || row.result !== 'operand') continue
    for (const dtype of ['float32', 'float64'] as const) {
      const worst = worstOf(row, dtype)
      t.ok(worst <= row.ulp + 0.5, `${row.name} of ${dtype}: ${worst.toFixed(2)} of ${row.ulp}`)
    }
  }
})

/** Rows that are a TensorFlow op by themselves. */
const ops: Readonly<Record<string, string>> = {
  Abs: 'abs',
  Neg: 'neg',
  Sign: 'sign',
  Reciprocal: 'reciprocal',
  Inv: 'reciprocal',
  Square: 'square',
  Sqrt: 'sqrt',
  Rsqrt: 'rsqrt',
  Exp: 'exp',
  Expm1: 'expm1',
  Log: 'log',
  Log1p: 'log1p',
  Sin: 'sin',
  Cos: 'cos',
  Tan: 'tan',
  Asin: 'asin',
  Acos: 'acos',
  Atan: 'atan',
  Sinh: 'sinh',
  Cosh: 'cosh',
  Tanh: 'tanh',
  Asinh: 'asinh',
  Acosh: 'acosh',
  Atanh: 'atanh',
  Erf: 'erf',
  Erfc: 'erfc',
  Floor: 'floor',
  Ceil: 'ceil',
  Round: 'round',
  Rint: 'round',
  Lgamma: 'lgamma',
  Digamma: 'digamma',
  IsNan: 'is_nan',
  IsInf: 'is_inf',
  IsFinite: 'is_finite',
  LogicalNot: 'logical_not',
  Invert: 'invert',
  Add: 'add',
  AddV2: 'add',
  Sub: 'sub',
  Mul: 'mul',
  RealDiv: 'div',
  FloorDiv: 'floor_div',
  TruncateDiv: 'truncate_div',
  FloorMod: 'floor_mod',
  Mod: 'truncate_mod',
  TruncateMod: 'truncate_mod',
  Maximum: 'max',
  Minimum: 'min',
  Pow: 'pow',
  Atan2: 'atan2',
  Equal: 'equal',
  NotEqual: 'not_equal',
  Less: 'less',
  LessEqual: 'less_equal',
  Greater: 'greater',
  GreaterEqual: 'greater_equal',
  LogicalAnd: 'logical_and',
  LogicalOr: 'logical_or',
  BitwiseAnd: 'bitwise_and',
  BitwiseOr: 'bitwise_or',
  BitwiseXor: 'bitwise_xor',
  LeftShift: 'shift_left',
  RightShift: 'shift_right',
  Cast: 'cast',
}

const dtypeOf: Readonly<Record<string, ScalarType>> = {
  DT_FLOAT: 'float32',
  DT_DOUBLE: 'float64',
  DT_INT32: 'int32',
  DT_INT64: 'int64',
  DT_UINT8: 'uint8',
  DT_INT8: 'int8',
  DT_UINT32: 'uint32',
  DT_HALF: 'float16',
  DT_BFLOAT16: 'bfloat16',
  DT_BOOL: 'bool',
}

interface Recorded {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data: string
}

interface Case {
  readonly name: string
  readonly steps: readonly {
    readonly feeds: Readonly<Record<string, Recorded>>
    readonly fetches: Readonly<Record<string, Recorded | null>>
  }[]
  readonly tolerance?: { readonly abs: number; readonly rel: number }
}

/** Elements of a recorded tensor. */
function elements({ dtype, data }: Recorded): Scalar[] {
  const bytes = Uint8Array.from(Buffer.from(data, 'base64'))
  return valuesOf(dtypeOf[dtype] as ScalarType, bytes)
}

t.test('rows have the values that TensorFlow had', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const path = join(shared, 'conformance/ops/elementwise.jsonl')
  let judged = 0
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue
    const recorded = JSON.parse(line) as Case
    const name = ops[recorded.name.split('/')[0] as string]
    const step = recorded.steps[0]
    const fetched = Object.values(step?.fetches ?? {})[0]
    const named = Object.entries(step?.feeds ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
    const feeds = named.map(([, feed]) => feed)
    // Its placeholders are named in the other order.
    if (name === 'atan2') feeds.reverse()
    if (name === undefined || !fetched || feeds.length === 0) continue
    if ([...feeds, fetched].some(({ dtype }) => dtypeOf[dtype] === undefined)) continue
    const isScalar = (feed: Recorded) => feed.shape.length === 0
    const isSame = (feed: Recorded) => feed.shape.join() === fetched.shape.join()
    const operandType = dtypeOf[feeds[0]?.dtype as string] as ScalarType
    if (!rowOf(name).types.includes(operandType)) continue
    if (!feeds.every((feed) => isScalar(feed) || isSame(feed))) continue
    judged++
    t.equal(complaintAbout(name, recorded, feeds, fetched), undefined, recorded.name)
  }
  t.ok(judged > 150, `${judged} cases`)
})

function complaintAbout(
  name: string,
  { tolerance }: Case,
  feeds: readonly Recorded[],
  fetched: Recorded,
): string | undefined {
  const [operandType, result] = [dtypeOf[feeds[0]?.dtype as string], dtypeOf[fetched.dtype]]
  if (operandType === undefined || result === undefined) return 'types'
  const isTruncated = name === 'cast' && isFloat(operandType) && !isFloat(result)
  const row = rowOf(isTruncated && result !== 'bool' ? 'truncate_cast' : name)
  const operands = feeds.map(elements)
  for (const [place, want] of elements(fetched).entries()) {
    const given = operands.map((list) => list[list.length === 1 ? 0 : place] as Scalar)
    const got = evaluate(row, result, operandType, given)
    if (Object.is(got, want)) continue
    const { abs, rel } = tolerance ?? { abs: 0, rel: 0 }
    const error = Math.abs(Number(got) - Number(want))
    if (!(error <= abs + rel * Math.abs(Number(want))))
      return `${given}: wanted ${want}, got ${got}`
  }
  return undefined
}
