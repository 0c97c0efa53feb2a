// Every row, for every type a device has, on edges and random values, held against the reference.
import type { Test } from 'tap'
import type { BufferId, Device, DeviceFacts } from '../../../engine/device/device.ts'
import {
  computedTypeOf,
  expressionBuilder,
  isFloat,
  isUnsigned,
  isWide,
  type Kernel,
  limitsOf,
  type Row,
  rows,
  type Scalar,
  type ScalarType,
} from '../../../engine/ir/index.ts'
import { type Job, runJobs, type Values } from './bench.ts'
import { complaintAbout } from './judge.ts'
import { operandsFor, sequence } from './samples.ts'

/** One row with the types it is asked with. */
interface Question {
  readonly row: Row
  readonly operandTypes: readonly ScalarType[]
  readonly result: ScalarType
}

/** Types that a row whose result is given may be asked for. */
function resultsOf(row: Row, operand: ScalarType, types: readonly ScalarType[]): ScalarType[] {
  const name = row.name
  if (name === 'cast')
    return types.filter((type) => !isFloat(operand) || isFloat(type) || type === 'bool')
  if (name === 'truncate_cast') return types.filter((type) => !isFloat(type) && type !== 'bool')
  const target = /^(?:to|whole)_(.*)$/.exec(name)?.[1] ?? /^(.*)_of_bits$/.exec(name)?.[1]
  if (name.startsWith('to_')) return types.filter((type) => computedTypeOf(type) === target)
  if (target !== undefined) return types.filter((type) => type === target)
  const bits = /^bits_of_(.*)$/.exec(name)?.[1]
  const unsigned = { float32: 'uint32', float64: 'uint64', float16: 'uint16', bfloat16: 'uint16' }
  return types.filter((type) => type === unsigned[bits as keyof typeof unsigned])
}

/** All questions that the types of a device allow. */
function questionsFor(types: readonly ScalarType[]): Question[] {
  const questions: Question[] = []
  for (const row of rows.values()) {
    for (const type of row.types.filter((type) => types.includes(type))) {
      const plain = Array.from({ length: row.arity }, () => type)
      const operandTypes = row.name === 'select' ? (['bool', type, type] as const) : plain
      if (operandTypes.some((operand) => !types.includes(operand))) continue
      const results =
        row.result === 'given'
          ? resultsOf(row, type, types)
          : [row.result === 'bool' ? 'bool' : type].filter((result) =>
              types.includes(result as ScalarType),
            )
      for (const result of results) {
        questions.push({ row, operandTypes, result: result as ScalarType })
      }
    }
  }
  return questions
}

/** Operands that keep the promises a row asks for. */
function promised({ row, operandTypes, result }: Question, operands: Scalar[]): Scalar[] {
  const type = operandTypes[0] as ScalarType
  const [x, y] = operands
  if (row.name === 'unchecked_div' || row.name === 'unchecked_mod') {
    const bad = Number(y) === 0 || (!isUnsigned(type) && Number(y) === -1)
    return bad ? [x as Scalar, isWide(type) ? 3n : 3] : operands
  }
  if (row.name.startsWith('unchecked_shift')) {
    const count = Math.abs(Number(y)) % (isWide(type) ? 64 : 32)
    return [x as Scalar, isWide(type) ? BigInt(count) : count]
  }
  if (row.name.startsWith('whole_')) {
    const [low, high] = limitsOf(result)
    const value = Number(x)
    return [value > low && value < high * (1 - 2 ** -20) ? value : 5]
  }
  return operands
}

/** How many applications of a row one kernel makes. */
function sampleCount({ row }: Question): number {
  return row.arity === 1 ? 96 : 160
}

/** Questions that share operands and result types, a few to a kernel: each stores to a part of one output. */
function groupsOf(questions: readonly Question[], most: number): Question[][] {
  const groups = new Map<string, Question[][]>()
  for (const question of questions) {
    const key = `${question.operandTypes.join(' ')} ${question.result}`
    const lists = groups.get(key) ?? [[]]
    const last = lists[lists.length - 1] as Question[]
    if (last.length < most) last.push(question)
    else lists.push([question])
    groups.set(key, lists)
  }
  return [...groups.values()].flat()
}

/** One kernel for a group: iteration i applies question q to operands `q n + i` and stores them there. */
function jobOf(group: readonly Question[], samples: readonly Scalar[][][]): Job {
  const build = expressionBuilder()
  const first = group[0] as Question
  const count = sampleCount(first)
  const elementCount = count * group.length
  const iteration = build.loop(0, count)
  const stores = group.map(({ row, operandTypes, result }, place) => {
    const index = build.apply('add', [iteration, build.constant('int32', place * count)])
    const operands = operandTypes.map((type, input) => build.load(type, input, index))
    return { output: 0, index, value: build.apply(row.name, operands, result) }
  })
  const inputs: Values[] = first.operandTypes.map((dtype, input) => ({
    dtype,
    values: samples.flatMap((list) => list.map((operands) => operands[input] as Scalar)),
  }))
  const kernel: Kernel = {
    inputs: inputs.map(({ dtype }) => ({ dtype, elementCount })),
    outputs: [{ dtype: first.result, elementCount }],
    loops: [count],
    reduced: [],
    reductions: [],
    stores,
    checks: [],
  }
  return { kernel, inputs }
}

/** How many rows share a kernel; large kernels compile slowly on software drivers. */
const rowsPerKernel = 8

/** Every row of every type of the device. */
export async function rowFacts(t: Test, device: Device, number: () => BufferId): Promise<void> {
  const types = [...device.facts.types]
  const random = sequence(20_240)
  const questions = questionsFor(types)
  t.ok(questions.length >= 100, `${questions.length} rows and types`)
  const byType = new Map<string, Question[]>()
  for (const question of questions) {
    const type = question.operandTypes[question.operandTypes.length - 1] as string
    byType.set(type, [...(byType.get(type) ?? []), question])
  }
  for (const [type, list] of byType) {
    await t.test(`rows of ${type} are what the reference says`, async (t) => {
      const groups = groupsOf(list, rowsPerKernel)
      const samples = groups.map((group) =>
        group.map((question) =>
          operandsFor(question.operandTypes, sampleCount(question), random).map((operands) =>
            promised(question, operands),
          ),
        ),
      )
      const jobs = groups.map((group, place) => jobOf(group, samples[place] as Scalar[][][]))
      const { outputs } = await runJobs(device, number, jobs)
      for (const [place, group] of groups.entries()) {
        const values = outputs[place]?.[0] as readonly Scalar[]
        judgeGroup(t, device.facts, group, samples[place] as Scalar[][][], values)
      }
    })
  }
}

function judgeGroup(
  t: Test,
  facts: DeviceFacts,
  group: readonly Question[],
  samples: readonly Scalar[][][],
  values: readonly Scalar[],
): void {
  let next = 0
  for (const [place, { row, operandTypes, result }] of group.entries()) {
    const complaints: string[] = []
    for (const operands of samples[place] as Scalar[][]) {
      const got = values[next++] as Scalar
      const complaint = complaintAbout(facts, { row, operandTypes, result, operands, got })
      if (complaint !== undefined) complaints.push(complaint)
    }
    const name = `${row.name} of ${operandTypes.join(', ')} as ${result}`
    t.same(complaints.slice(0, 5), [], name)
  }
}
