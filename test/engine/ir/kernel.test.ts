// Kernels: what verifyKernel refuses, how they print, and how expressions are made over.
import t from 'tap'
import {
  expandRows,
  expressionBuilder,
  type Kernel,
  linearOf,
  mapExpression,
  orderOf,
  printKernel,
  rowOf,
  substitute,
  verifyKernel,
  wasmTypeOf,
} from '../../../engine/ir/index.ts'
import { product, rowReduction } from '../../contract/device/kernels.ts'

const f32 = 'float32' as const

/** `out[i] = in[i] + in[i]`, with parts replaced. */
function doubling(changes: Partial<Kernel> = {}): Kernel {
  const build = expressionBuilder()
  const i = build.loop(0, 4)
  const x = build.load(f32, 0, i)
  return {
    inputs: [{ dtype: f32, elementCount: 4 }],
    outputs: [{ dtype: f32, elementCount: 4 }],
    loops: [4],
    reduced: [],
    reductions: [],
    stores: [{ output: 0, index: i, value: build.apply('add', [x, x]) }],
    checks: [],
    ...changes,
  }
}

t.test('legal kernels pass', async (t) => {
  verifyKernel(doubling())
  verifyKernel(doubling({ outputs: [{ dtype: f32, elementCount: 4, inPlaceOf: 0 }] }))
  verifyKernel(product(f32, [3, 4, 5], true))
  verifyKernel(rowReduction('argmax', 'float64', 3, 0))
  t.pass('none of them is refused')
})

t.test('kernels that are not legal are refused, with what is wrong', async (t) => {
  const build = expressionBuilder()
  const i = build.loop(0, 4)
  const x = build.load(f32, 0, i)
  const int = (value: number) => build.constant('int32', value)
  const store = (value = x, index = i, output = 0) => ({ stores: [{ output, index, value }] })
  const refused: [Partial<Kernel>, RegExp][] = [
    [{ loops: [5] }, /no loop 0 of 4/],
    [{ loops: [-1] }, /-1 is not an extent/],
    [{ inputs: [] }, /no input 0/],
    [{ inputs: [{ dtype: 'int32', elementCount: 4 }] }, /input 0 is int32/],
    [{ outputs: [{ dtype: f32, elementCount: 5 }] }, /5 elements, 4 are stored/],
    [{ outputs: [{ dtype: 'float64', elementCount: 4 }] }, /another type than its output/],
    [
      {
        outputs: [
          { dtype: f32, elementCount: 4 },
          { dtype: f32, elementCount: 4 },
        ],
      },
      /output 1/,
    ],
    [store(x, int(9)), /outside its output/],
    [store(x, i, 3), /no output 3/],
    [store(build.accumulator(f32, 0)), /no reduction 0/],
    [{ stores: [] }, /never stored/],
    [
      { reduced: [2], reductions: [{ combine: 'sum', dtype: 'float64', body: x }] },
      /body has another type/,
    ],
    [{ reduced: [2], reductions: [{ combine: 'all', dtype: f32, body: x }] }, /all of float32/],
    [
      {
        reduced: [2],
        reductions: [{ combine: 'sum', dtype: f32, body: build.accumulator(f32, 0) }],
      },
      /outside of a stored value/,
    ],
    [{ reduced: [2] }, /without a reduction/],
    [store(build.load(f32, 0, build.loop(1, 2))), /no loop 1/],
    [{ checks: [{ ok: i, code: 1 }] }, /not a truth value/],
    [
      {
        outputs: [{ dtype: f32, elementCount: 4, inPlaceOf: 0 }],
        ...store(build.load(f32, 0, build.apply('sub', [int(3), i]))),
      },
      /another position than it is stored at/,
    ],
    [
      {
        inputs: [{ dtype: f32, elementCount: 8 }],
        outputs: [{ dtype: f32, elementCount: 4, inPlaceOf: 0 }],
      },
      /another type or count/,
    ],
  ]
  for (const [changes, message] of refused) {
    t.throws(() => verifyKernel(doubling(changes)), message, String(message))
  }
})

t.test('nodes that no builder made are refused', async (t) => {
  const i = { kind: 'loop', dtype: 'int32', axis: 0, extent: 4 } as const
  const x = { kind: 'load', dtype: f32, input: 0, index: i, guard: undefined } as const
  const wrong = { kind: 'apply', dtype: f32, row: 'add', operands: [x, i] } as const
  const stores = [{ output: 0, index: i, value: wrong }]
  t.throws(() => verifyKernel(doubling({ stores })), /one type/)
  const unknown = { ...wrong, row: 'frobnicate', operands: [x] }
  const other = [{ output: 0, index: i, value: unknown }]
  t.throws(() => verifyKernel(doubling({ stores: other })), /no row named frobnicate/)
})

t.test('a kernel prints as text that names what is used twice', async (t) => {
  t.equal(
    printKernel(product(f32, [2, 3, 4], true)),
    [
      'in0: float32[8]',
      'in1: float32[12]',
      'in2: float32[3]',
      'out0: float32[6]',
      'for i < 2, j < 3',
      'over k < 4',
      '  acc0 = sum (in0[((i * 4) + k)] * in1[(j + (k * 3))]) as float32',
      '  out0[((i * 3) + j)] = max((acc0 + in2[j]), 0:float32)',
      '',
    ].join('\n'),
  )
  const build = expressionBuilder()
  const i = build.loop(0, 4)
  const x = build.load(f32, 0, i, build.apply('less', [i, build.constant('int32', 3)]))
  const value = build.apply('mul', [x, x])
  const text = printKernel(doubling({ stores: [{ output: 0, index: i, value }] }))
  t.match(text, /v0 = \(\(i < 3\) \? in0\[i\] : 0\)\n {2}out0\[i\] = \(v0 \* v0\)/)
})

t.test('substitution puts expressions in place of leaves', async (t) => {
  const [from, to] = [expressionBuilder(), expressionBuilder()]
  const x = from.load(f32, 0, from.loop(0, 4))
  const both = from.apply('add', [from.apply('exp', [x]), from.accumulator(f32, 1)])
  const inner = to.load(f32, 2, to.loop(1, 5))
  const made = substitute(to, both, {
    loop: () => to.loop(1, 5),
    load: (load) => (load.index === to.loop(1, 5) ? inner : undefined),
    accumulator: () => to.constant(f32, 3),
  })
  t.equal(made, to.apply('add', [to.apply('exp', [inner]), to.constant(f32, 3)]))
  t.equal(mapExpression(from, both), both)
})

t.test('affine positions give their coefficients', async (t) => {
  const build = expressionBuilder()
  const int = (value: number) => build.constant('int32', value)
  const [i, j] = [build.loop(0, 4), build.loop(3, 5)]
  const index = build.apply('sub', [
    build.apply('add', [build.apply('mul', [i, int(10)]), j]),
    int(7),
  ])
  const affine = linearOf(index)
  t.same([...(affine?.coefficients ?? [])].sort(), [
    [0, 10],
    [3, 1],
  ])
  t.equal(affine?.constant, -7)
  t.equal(linearOf(build.apply('mul', [i, j])), undefined)
  t.same(linearOf(int(5)), { coefficients: new Map(), constant: 5 })
})

t.test('rows expand until a device has all of them', async (t) => {
  const build = expressionBuilder()
  const x = build.load(f32, 0, build.loop(0, 4))
  const half = build.load('float16', 1, build.loop(0, 4))
  const roots = [
    build.apply('tanh', [build.apply('pow', [x, build.apply('sin', [x])])]),
    build.apply('lgamma', [half]),
    build.apply('floor_mod', [x, build.constant(f32, 3)]),
  ]
  const expanded = expandRows(
    build,
    roots,
    (row, type) => row.wasm?.[wasmTypeOf(type)] !== undefined,
  )
  t.equal(expanded[1]?.dtype, 'float16')
  for (const node of orderOf(expanded)) {
    if (node.kind !== 'apply') continue
    const type = node.operands[node.row === 'select' ? 1 : 0]?.dtype ?? f32
    if (rowOf(node.row).wasm?.[wasmTypeOf(type)] === undefined) t.fail(`${node.row} is left`)
  }
  t.throws(() => expandRows(build, roots, () => false), /no expansion/)
})
