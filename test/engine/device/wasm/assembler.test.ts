import t from 'tap'
import {
  assemble,
  disassemble,
  type Instruction,
  type ValueType,
} from '../../../../engine/device/wasm/assembler.ts'
import { hasRelaxedSimd } from '../../../../engine/device/wasm/device.ts'
import { shareLocals } from '../../../../engine/device/wasm/locals.ts'
import { opcodes } from '../../../../engine/device/wasm/opcodes.ts'
import { rows } from '../../../../engine/ir/index.ts'

const memory = new WebAssembly.Memory({ initial: 1, maximum: 65_536, shared: true })

function run(code: readonly Instruction[], locals: readonly ValueType[] = [], ...given: number[]) {
  const parameters = given.map(() => 'i32' as const)
  const bytes = assemble([{ name: 'f', parameters, locals, code }])
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    environment: { memory },
  })
  ;(exports.f as (...given: number[]) => void)(...given)
  return new DataView(memory.buffer)
}

/** Whether a function of this code is valid. */
function isValid(parameters: readonly ValueType[], code: readonly Instruction[]): boolean {
  return WebAssembly.validate(assemble([{ name: 'f', parameters, locals: [], code }]))
}

t.test('every instruction that a row names is known', async (t) => {
  for (const row of rows.values()) {
    for (const form of Object.values(row.wasm ?? {})) {
      for (const name of [...form.scalar, ...(form.vector ?? [])]) {
        t.ok(opcodes.has(name), `${row.name}: ${name}`)
      }
    }
  }
})

t.test('every operation on values is valid for some operands', async (t) => {
  const types = ['i32', 'i64', 'f32', 'f64', 'v128'] as const
  const operands = (arity: number): ValueType[][] =>
    arity === 0
      ? [[]]
      : operands(arity - 1).flatMap((rest) => types.map((type): ValueType[] => [...rest, type]))
  const candidates = [1, 2, 3].flatMap(operands)
  for (const [name, { immediates }] of opcodes) {
    if (immediates !== 'none' && immediates !== 'lane') continue
    if (['else', 'end', 'return', 'unreachable', 'nop', 'drop', 'select'].includes(name)) continue
    const instruction: Instruction = immediates === 'lane' ? [name, 1] : [name]
    const found = candidates.some((parameters) =>
      isValid(parameters, [
        ...parameters.map((_, at): Instruction => ['local.get', at]),
        instruction,
        ['drop'],
      ]),
    )
    t.ok(found, name)
  }
})

t.test('every access is valid with its alignment', async (t) => {
  const types = ['i32', 'i64', 'f32', 'f64', 'v128'] as const
  for (const [name, { immediates }] of opcodes) {
    if (immediates !== 'memory' && immediates !== 'memory-lane') continue
    const instruction: Instruction = immediates === 'memory' ? [name, 8] : [name, 8, 0]
    const valid = [
      [],
      ...types.map((type) => [type]),
      ['i32', 'i64'],
      ['i64', 'i64'],
      ['i32', 'i32'],
    ].some((more) =>
      [[], [['drop']]].some((after) =>
        isValid(
          ['i32', ...(more as ValueType[])],
          [
            ...['i32', ...more].map((_, at): Instruction => ['local.get', at]),
            instruction,
            ...(after as unknown as Instruction[]),
          ],
        ),
      ),
    )
    t.ok(valid, name)
  }
})

t.test('numbers of every size are encoded', async (t) => {
  for (const value of [0, 1, -1, 63, 64, -64, -65, 127, 128, 2 ** 31 - 1, -(2 ** 31)]) {
    const view = run([
      ['i32.const', 0],
      ['i32.const', value],
      ['i32.store', 0],
    ])
    t.equal(view.getInt32(0, true), value)
  }
  for (const value of [0n, -1n, 1n << 40n, (1n << 63n) - 1n, -(1n << 63n)]) {
    const view = run([
      ['i32.const', 0],
      ['i64.const', value],
      ['i64.store', 8],
    ])
    t.equal(view.getBigInt64(8, true), value)
  }
  const view = run([
    ['i32.const', 0],
    ['f64.const', -0],
    ['f64.store', 16],
    ['i32.const', 0],
    ['f32.const', 1.5],
    ['f32.store', 24],
  ])
  t.ok(Object.is(view.getFloat64(16, true), -0))
  t.equal(view.getFloat32(24, true), 1.5)
})

t.test('an instruction that does not exist is a mistake', async (t) => {
  t.throws(() => assemble([{ name: 'f', parameters: [], locals: [], code: [['i32.frob']] }]), {
    message: /i32\.frob/,
  })
})

t.test('locals are shared by values that do not live together, loops considered', async (t) => {
  // Local 1 is set before the loop and read in it, after local 2 was set there.
  const code: Instruction[] = [
    ['i32.const', 7],
    ['local.set', 1],
    ['i32.const', 0],
    ['local.set', 3],
    ['loop'],
    ['i32.const', 5],
    ['local.set', 2],
    ['i32.const', 0],
    ['local.get', 1],
    ['i32.store', 0],
    ['i32.const', 0],
    ['local.get', 2],
    ['i32.store', 4],
    ['local.get', 3],
    ['i32.const', 1],
    ['i32.add'],
    ['local.tee', 3],
    ['local.get', 0],
    ['i32.lt_s'],
    ['br_if', 0],
    ['end'],
    ['i32.const', 9],
    ['local.set', 4],
    ['i32.const', 0],
    ['local.get', 4],
    ['i32.store', 8],
  ]
  const locals = ['i32', 'i32', 'i32', 'i32'] as const
  const shared = shareLocals({ name: 'f', parameters: ['i32'], locals, code })
  t.equal(shared.locals.length, 3, 'the last takes the place of one of the first three')
  const view = run(shared.code, shared.locals, 3)
  t.same([view.getInt32(0, true), view.getInt32(4, true), view.getInt32(8, true)], [7, 5, 9])
})

t.test('relaxed SIMD is there, as in every Node that this runs on', async (t) => {
  t.equal(hasRelaxedSimd(), true)
})

t.test('a function reads as text', async (t) => {
  const text = disassemble({
    name: 'f',
    parameters: ['i32'],
    locals: [],
    code: [['local.get', 0], ['if'], ['nop'], ['else'], ['f32.const', -0], ['drop'], ['end']],
  })
  t.equal(
    text,
    '(func $f (param i32)\n  local.get 0\n  if\n    nop\n  else\n    f32.const -0\n    drop\n  end\n)',
  )
})
