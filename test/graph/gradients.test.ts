// Gradients as tf.gradients gives them: what is connected, what is refused, how gradients are named and added,
// slices, complex numbers, and symmetric matrices.
import t from 'tap'
import { openSession } from '../../conformance/session.ts'
import {
  addGradients,
  attribute,
  dense,
  type Expressions,
  isSparse,
  nameOfOutput,
  type Output,
} from '../../graph/index.ts'
import { decodeGraphDef, encodeGraphDef } from '../../proto/index.ts'
import {
  type Element,
  elementsOf,
  type NumericTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'
import {
  differences,
  doubles,
  newGraph,
  numbers,
  placeholder,
  referenceEngine,
  weighted,
} from './gradient-bench.ts'

t.test('gradients of graphs', async (t) => {
  const engine = await referenceEngine(t)

  /** Values of outputs, each flat. */
  async function valuesOf(
    e: Expressions,
    outputs: readonly Output[],
    feeds: ReadonlyMap<Output, Tensor> = new Map(),
  ): Promise<readonly (readonly Element[])[]> {
    const empty = decodeGraphDef(encodeGraphDef({ versions: { producer: 134 } }))
    await engine.load('values', encodeGraphDef(e.builder.graphDef(empty)))
    const session = openSession(engine, 'values', 'values')
    const named = Object.fromEntries([...feeds].map(([x, one]) => [nameOfOutput(x), one]))
    const fetched = await session.run(named, outputs.map(nameOfOutput), [])
    await session.close()
    return fetched.map((one) => elementsOf(one as NumericTensor))
  }

  function gradients(e: Expressions, ys: readonly Output[], xs: readonly Output[]) {
    const found = addGradients(e.builder, { ys, xs })
    return found.map((one) => (one === undefined ? undefined : dense(e, one)))
  }

  t.test('an x that no y depends on has none, and one that does has its own type', async (t) => {
    const e = newGraph()
    const [x, y] = [placeholder(e, 'x', 'float64'), placeholder(e, 'y', 'float32')]
    const [toX, toY] = gradients(e, [e.square(x)], [x, y])
    t.equal(toX?.dtype, 'float64')
    t.equal(toY, undefined)
  })

  t.test('nothing flows through whole numbers, comparisons and stopped gradients', async (t) => {
    const e = newGraph()
    const x = placeholder(e, 'x', 'float32')
    const ways = [
      e.cast(e.cast(x, 'int32'), 'float32'),
      e.cast(e.t('Greater', x, e.scalar(0, 'float32')), 'float32'),
      e.t('StopGradient', x),
      e.t('Floor', x),
    ]
    for (const y of ways) t.same(gradients(e, [y], [x]), [undefined])
    const whole = placeholder(e, 'n', 'int32')
    t.same(gradients(e, [e.cast(whole, 'float32')], [whole]), [undefined])
  })

  t.test('a tensor that is to be stopped at counts as a constant', async (t) => {
    const e = newGraph()
    const x = placeholder(e, 'x', 'float64')
    const inner = e.square(x)
    const y = e.mul(inner, x)
    const request = { ys: [y], xs: [x], stopGradients: [inner] }
    const [toX] = addGradients(e.builder, request)
    const [values] = await valuesOf(e, [toX as Output], new Map([[x, doubles([2], [3, 5])]]))
    t.same(values, [9, 25])
  })

  t.test('several ys are added up, and an x may be a y', async (t) => {
    const e = newGraph()
    const x = placeholder(e, 'x', 'float64')
    const [toX] = gradients(e, [x, e.square(x), e.scaled(x, 4)], [x])
    const [values] = await valuesOf(e, [toX as Output], new Map([[x, doubles([2], [3, 5])]]))
    t.same(values, [11, 15])
    t.match(toX?.node, { op: 'AddN', name: /^gradients\/AddN/ })
  })

  t.test('what flows in may be given for some ys', async (t) => {
    const e = newGraph()
    const [x, dy] = [placeholder(e, 'x', 'float64'), placeholder(e, 'dy', 'float64')]
    const ys = [e.square(x), e.scaled(x, 4)]
    const [toX] = addGradients(e.builder, { ys, xs: [x], gradYs: [dy, undefined] })
    const feeds = new Map([
      [x, doubles([2], [3, 5])],
      [dy, doubles([2], [10, 0])],
    ])
    t.same(await valuesOf(e, [toX as Output], feeds), [[64, 4]])
    t.throws(
      () => addGradients(e.builder, { ys, xs: [x], gradYs: [e.complex(dy, dy)] }),
      refused({ code: 'INVALID_ARGUMENT', reason: 'gradient/type' }),
    )
  })

  t.test('nodes are named as TensorFlow names them', async (t) => {
    const e = newGraph()
    const [x, w] = [placeholder(e, 'x', 'float32'), placeholder(e, 'w', 'float32')]
    const loss = e.builder.within('layer', () => e.matMul(x, w))
    const request = { ys: [loss], xs: [x, w], isGated: true }
    const names = (found: ReturnType<typeof addGradients>): readonly string[] =>
      found.map((one) => (one === undefined || isSparse(one) ? '' : one.node.name))
    t.same(names(addGradients(e.builder, request)), [
      'gradients/layer/MatMul_grad/tuple/control_dependency',
      'gradients/layer/MatMul_grad/tuple/control_dependency_1',
    ])
    t.ok(e.builder.node('gradients/layer/MatMul_grad/tuple/group_deps'))
    t.ok(e.builder.node('gradients/grad_ys_0'))
    t.same(names(addGradients(e.builder, { ys: [loss], xs: [x] })), [
      'gradients_1/layer/MatMul_grad/MatMul',
    ])
  })

  t.test('an op without a gradient is refused in the words of TensorFlow', async (t) => {
    const e = newGraph()
    const x = placeholder(e, 'x', 'float32')
    const y = e.op('Mod', [x, x], { T: attribute.type('float32') }, 'remainder')
    t.throws(
      () => addGradients(e.builder, { ys: [y], xs: [x] }),
      refused({
        code: 'UNIMPLEMENTED',
        reason: 'gradient/unknown',
        message: "No gradient defined for operation 'remainder' (op type: Mod)",
      }),
    )
    const guarded = e.op('PreventGradient', [x], {
      T: attribute.type('float32'),
      message: attribute.text('not this'),
    })
    t.throws(
      () => addGradients(e.builder, { ys: [guarded], xs: [x] }),
      refused({ message: 'Gradient explicitly disabled. Reason: not this' }),
    )
    const elsewhere = placeholder(e, 'elsewhere', 'float32')
    t.same(gradients(e, [y], [elsewhere]), [undefined], 'unless nothing flows through it')
    t.throws(
      () => addGradients(e.builder, { ys: [e.complex(x, x)], xs: [x] }),
      refused({ message: 'Gradients of complex tensors must set grad_ys (y.dtype = complex64)' }),
    )
  })

  t.test('a node without the inputs of its op is refused', async (t) => {
    const e = newGraph()
    const x = placeholder(e, 'x', 'float32')
    const lame = e.op('MatMul', [x], { T: attribute.type('float32') })
    t.throws(
      () => addGradients(e.builder, { ys: [lame], xs: [x] }),
      refused({ code: 'INVALID_ARGUMENT', reason: 'graph/inputs' }),
    )
  })

  t.test(
    'gathered rows give slices; several of them are joined, and with others added',
    async (t) => {
      const e = newGraph()
      const table = placeholder(e, 'table', 'float64')
      const rows = (...places: readonly number[]): Output => e.gather(table, e.integers(places))
      const sum = (x: Output): Output => e.sum(x, [0, 1])
      const loss = e.add(sum(rows(1, 1)), sum(e.scaled(rows(2), 3)))
      const [slices] = addGradients(e.builder, { ys: [loss], xs: [table] })
      t.ok(slices !== undefined && isSparse(slices))
      const other = e.add(loss, sum(table))
      const [mixed] = addGradients(e.builder, { ys: [other], xs: [table] })
      t.ok(mixed !== undefined && !isSparse(mixed))
      const feeds = new Map([[table, doubles([3, 2], [0, 0, 0, 0, 0, 0])]])
      const both = [slices, mixed].map((one) => dense(e, one as Output))
      t.same(await valuesOf(e, both, feeds), [
        [0, 0, 2, 2, 3, 3],
        [1, 1, 3, 3, 4, 4],
      ])
    },
  )

  t.test('a second derivative is the gradient of a gradient', async (t) => {
    const e = newGraph()
    const x = placeholder(e, 'x', 'float64')
    const [once] = gradients(e, [weighted(e, [e.t('Tanh', e.mul(x, e.t('Sigmoid', x)))])], [x])
    const loss = weighted(e, [once as Output])
    const xs = new Map([[x, doubles([4], [-0.7, 0.2, 0.9, 1.4])]])
    t.same(await differences(engine, e, loss, xs), [])
  })

  t.test('gradients of complex numbers agree with differences of both their parts', async (t) => {
    const parts = (e: Expressions): readonly [Output, Output, Output] => {
      const [re, im] = [placeholder(e, 're', 'float64'), placeholder(e, 'im', 'float64')]
      return [re, im, e.complex(re, im)]
    }
    const toReal = { T: attribute.type('complex128'), Tout: attribute.type('float64') }
    const ways: Readonly<Record<string, (e: Expressions, z: Output) => Output>> = {
      Conj: (e, z) => e.conj(z),
      ComplexAbs: (e, z) => e.op('ComplexAbs', [z], toReal),
      Angle: (e, z) => e.op('Angle', [z], toReal),
      Square: (e, z) => e.square(z),
      Exp: (e, z) => e.t('Exp', z),
      Mul: (e, z) => e.mul(z, e.conj(e.square(z))),
      RealDiv: (e, z) => e.div(z, e.square(z)),
      MatMul: (e, z) => e.matMul(e.reshape(z, [2, 3]), e.reshape(z, [3, 2])),
      BatchMatMulV2: (e, z) => e.batchMatMul(e.reshape(z, [2, 3]), e.reshape(z, [2, 3]), true),
      Transpose: (e, z) =>
        e.op('ConjugateTranspose', [e.reshape(z, [2, 3]), e.integers([1, 0])], {
          T: attribute.type('complex128'),
          Tperm: attribute.type('int32'),
        }),
    }
    for (const [name, way] of Object.entries(ways)) {
      const e = newGraph()
      const [re, im, z] = parts(e)
      const y = way(e, z)
      const seen = y.dtype === 'complex128' ? [e.real(y), e.imaginary(y)] : [y]
      const xs = new Map([
        [re, doubles([6], numbers(6))],
        [im, doubles([6], numbers(6, 7))],
      ])
      t.same(await differences(engine, e, weighted(e, seen), xs), [], name)
    }
    for (const [op, shape] of [
      ['FFT', [2, 3]],
      ['IFFT', [2, 3]],
      ['FFT2D', [2, 3]],
      ['IFFT2D', [3, 2]],
      ['FFT3D', [1, 2, 3]],
      ['IFFT3D', [1, 2, 3]],
    ] as const) {
      const e = newGraph()
      const [re, im, z] = parts(e)
      const y = e.op(op, [e.reshape(z, shape)], { Tcomplex: attribute.type('complex128') })
      const xs = new Map([
        [re, doubles([6], numbers(6))],
        [im, doubles([6], numbers(6, 7))],
      ])
      t.same(await differences(engine, e, weighted(e, [e.real(y), e.imaginary(y)]), xs), [], op)
    }
  })

  t.test('gradients of symmetric matrices are those of what makes them', async (t) => {
    const symmetric = (e: Expressions, x: Output): Output =>
      e.add(
        e.matMul(x, x, false, true),
        e.constant(tensorOfElements('float64', [3, 3], [3, 0, 0, 0, 5, 0, 0, 0, 9])),
      )
    const T = { T: attribute.type('float64') }
    const ways: Readonly<Record<string, (e: Expressions, x: Output) => readonly Output[]>> = {
      Cholesky: (e, x) => [e.op('Cholesky', [x], T)],
      values: (e, x) => [e.op('SelfAdjointEigV2', [x], { ...T, compute_v: attribute.bool(false) })],
      // Squares, as the sign of a vector is nobody's to choose.
      vectors: (e, x) => {
        const { outputs } = e.node('SelfAdjointEigV2', [x], {
          ...T,
          compute_v: attribute.bool(true),
        })
        return [outputs[0], e.square(outputs[1])]
      },
    }
    for (const [name, way] of Object.entries(ways)) {
      const e = newGraph()
      const x = placeholder(e, 'x', 'float64')
      const loss = weighted(e, way(e, symmetric(e, x)))
      t.same(
        await differences(engine, e, loss, new Map([[x, doubles([3, 3], numbers(9))]])),
        [],
        name,
      )
    }
  })

  t.test('a cast between floats is undone', async (t) => {
    const e = newGraph()
    const x = placeholder(e, 'x', 'float64')
    const [toX] = gradients(e, [e.cast(e.square(e.cast(x, 'float32')), 'float64')], [x])
    t.equal(toX?.dtype, 'float64')
    t.same(await valuesOf(e, [toX as Output], new Map([[x, doubles([2], [3, 5])]])), [[6, 10]])
  })
})
