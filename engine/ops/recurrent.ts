// Cells of recurrent networks in one op: LSTMBlockCell, BlockLSTM, GRUBlockCell.
// Source: tensorflow/core/kernels/rnn/{lstm_ops,gru_ops}.cc.
import { formatShape, type Shape, sameShape } from '../../tensor/index.ts'
import type { Expression, ScalarType } from '../ir/index.ts'
import { part, stacked, unstacked } from './array.ts'
import type { Builder } from './builder.ts'
import { elementwise, scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { matrixProduct } from './linalg.ts'
import { zerosOf } from './lists.ts'
import { integerOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

function sigmoid(b: Builder, x: Expression): Expression {
  return b.div(1, b.add(b.one('exp', b.one('neg', x)), 1))
}

function expectShape(name: string, value: TensorValue, shape: Shape): void {
  if (sameShape(value.shape, shape)) return
  throw invalid(
    'shape/mismatch',
    `${name} must have shape ${formatShape(shape)}, not ${formatShape(value.shape)}`,
  )
}

/** `[x, h] weights + bias`, without joining x and h. */
function joined(
  at: Lowering,
  x: TensorValue,
  h: TensorValue,
  weights: TensorValue,
  bias: TensorValue,
): TensorValue {
  const [inputs, units] = [x.shape[1], h.shape[1]]
  const ofInput = matrixProduct(at, x, part(at, weights, 0, 0, inputs), false, false)
  const ofState = matrixProduct(at, h, part(at, weights, 0, inputs, units), false, false)
  const dtype = scalarType(x.dtype)
  return elementwise(at, [ofInput, ofState, bias], dtype, (b, [p, q, r]) => b.add(b.add(p, q), r))
}

/** Weights of an LSTM, and how it treats its gates. */
interface Lstm {
  readonly weights: TensorValue
  readonly bias: TensorValue
  /** From the state to the gates i, f, o; undefined: not used. */
  readonly peepholes: readonly [TensorValue, TensorValue, TensorValue] | undefined
  readonly forgetBias: number
  /** The state is kept within it; 0 or less: anywhere. */
  readonly clip: number
  /** Order of the gates in the weights. */
  readonly gates: 'icfo' | 'ifco'
}

/** What one step gives, in the order of the ops' outputs. */
type LstmStep = readonly [
  i: TensorValue,
  cs: TensorValue,
  f: TensorValue,
  o: TensorValue,
  ci: TensorValue,
  co: TensorValue,
  h: TensorValue,
]

function lstmStep(
  at: Lowering,
  lstm: Lstm,
  x: TensorValue,
  state: TensorValue,
  h: TensorValue,
): LstmStep {
  const units = h.shape[1]
  const dtype: ScalarType = scalarType(x.dtype)
  const all = joined(at, x, h, lstm.weights, lstm.bias)
  const gate = (letter: string): TensorValue =>
    part(at, all, 1, lstm.gates.indexOf(letter) * units, units)
  /** A gate, which the state opens too through its peephole. */
  const opened = (
    letter: string,
    from: TensorValue,
    peephole: TensorValue | undefined,
    bias: number,
  ): TensorValue =>
    elementwise(
      at,
      peephole === undefined ? [gate(letter)] : [gate(letter), from, peephole],
      dtype,
      (b, [sum, c, weight]) => {
        const biased = bias === 0 ? sum : b.add(sum, bias)
        return sigmoid(b, weight === undefined ? biased : b.add(biased, b.mul(c, weight)))
      },
    )
  const [fromI, fromF, fromO] = lstm.peepholes ?? []
  const i = opened('i', state, fromI, 0)
  const f = opened('f', state, fromF, lstm.forgetBias)
  const ci = elementwise(at, [gate('c')], dtype, (b, [sum]) => b.one('tanh', sum))
  const cs = elementwise(at, [ci, i, state, f], dtype, (b, [input, open, former, keep]) => {
    const next = b.add(b.mul(input, open), b.mul(former, keep))
    return lstm.clip > 0 ? b.min(b.max(next, -lstm.clip), lstm.clip) : next
  })
  const o = opened('o', cs, fromO, 0)
  const co = elementwise(at, [cs], dtype, (b, [c]) => b.one('tanh', c))
  const next = elementwise(at, [co, o], dtype, (b, [c, open]) => b.mul(c, open))
  return [i, cs, f, o, ci, co, next]
}

const lstmInputs = ['cs_prev: T', 'h_prev: T', 'w: T', 'wci: T', 'wcf: T', 'wco: T', 'b: T']
const lstmOutputs = ['i: T', 'cs: T', 'f: T', 'o: T', 'ci: T', 'co: T', 'h: T']

/** The weights that a node has, their shapes checked. */
function lstmOf(at: Lowering, inputs: number, batch: number, version: 1 | 2): Lstm {
  const names = ['cs_prev', 'h_prev', 'w', 'wci', 'wcf', 'wco', 'b'] as const
  const [state, h, weights, wci, wcf, wco, bias] = names.map((name) => at.input(name))
  const units = state.shape[1]
  if (state.shape.length !== 2) throw invalid('shape/mismatch', 'cs_prev must be 2-dimensional')
  expectShape('cs_prev', state, [batch, units])
  expectShape('h_prev', h, [batch, units])
  expectShape('w', weights, [inputs + units, 4 * units])
  expectShape('b', bias, [4 * units])
  const isPeeping = at.attributes.bool('use_peephole')
  if (isPeeping) {
    for (const [name, weight] of Object.entries({ wci, wcf, wco })) {
      expectShape(name, weight, [units])
    }
  }
  return {
    weights,
    bias,
    peepholes: isPeeping ? [wci, wcf, wco] : undefined,
    forgetBias: version === 1 ? at.attributes.float('forget_bias') : 0,
    clip: at.attributes.float('cell_clip'),
    gates: version === 1 ? 'icfo' : 'ifco',
  }
}

const lstmBlockCell = defineOp({
  name: 'LSTMBlockCell',
  inputs: ['x: T', ...lstmInputs],
  outputs: lstmOutputs,
  attributes: [
    'forget_bias: float = 1',
    'cell_clip: float = 3',
    'use_peephole: bool = false',
    'T: {half, float}',
  ],
  lower: (at) => {
    const x = at.input('x')
    if (x.shape.length !== 2) throw invalid('shape/mismatch', 'x must be 2-dimensional')
    const lstm = lstmOf(at, x.shape[1], x.shape[0], 1)
    return lstmStep(at, lstm, x, at.input('cs_prev'), at.input('h_prev'))
  },
})

/** An LSTM over all steps of a sequence; what lies past its length is zeros. */
const blockLstm = (version: 1 | 2): OpDefinition =>
  defineOp({
    name: version === 1 ? 'BlockLSTM' : 'BlockLSTMV2',
    inputs: ['seq_len_max: int64', 'x: T', ...lstmInputs],
    outputs: lstmOutputs,
    attributes: [
      ...(version === 1
        ? ['forget_bias: float = 1', 'cell_clip: float = 3']
        : ['cell_clip: float = 0']),
      'use_peephole: bool = false',
      'T: {half, float}',
    ],
    lower: (at) => {
      const x = at.input('x')
      if (x.shape.length !== 3) throw invalid('shape/mismatch', 'x must be 3-dimensional')
      const [steps, batch, inputs] = x.shape
      const lstm = lstmOf(at, inputs, batch, version)
      const length = integerOf(at.contentOf(at.input('seq_len_max')), 'seq_len_max')
      if (length < 0 || length > steps) {
        throw invalid('run/range', `seq_len_max ${length} is not in 0 .. ${steps}`)
      }
      let [state, h] = [at.input('cs_prev'), at.input('h_prev')]
      const units = state.shape[1]
      if (steps === 0) {
        return lstmOutputs.map(() => zerosOf(at, x.dtype, [0, batch, units]))
      }
      const zero = zerosOf(at, x.dtype, [batch, units])
      const all = unstacked(at, x, 0).map((input, step): readonly TensorValue[] => {
        if (step >= length) return lstmOutputs.map(() => zero)
        const made = lstmStep(at, lstm, input, state, h)
        ;[, state] = made
        h = made[6]
        return made
      })
      return lstmOutputs.map((_, output) =>
        stacked(
          at,
          all.map((made) => made[output]),
          0,
        ),
      )
    },
  })

const gruBlockCell = defineOp({
  name: 'GRUBlockCell',
  inputs: ['x: T', 'h_prev: T', 'w_ru: T', 'w_c: T', 'b_ru: T', 'b_c: T'],
  outputs: ['r: T', 'u: T', 'c: T', 'h: T'],
  attributes: ['T: {float}'],
  lower: (at) => {
    const [x, h] = [at.input('x'), at.input('h_prev')]
    if (x.shape.length !== 2) throw invalid('shape/mismatch', 'x must be 2-dimensional')
    if (h.shape.length !== 2) throw invalid('shape/mismatch', 'h_prev must be 2-dimensional')
    const [batch, inputs] = x.shape
    const units = h.shape[1]
    const [gateWeights, weights] = [at.input('w_ru'), at.input('w_c')]
    const [gateBias, bias] = [at.input('b_ru'), at.input('b_c')]
    expectShape('h_prev', h, [batch, units])
    expectShape('w_ru', gateWeights, [inputs + units, 2 * units])
    expectShape('w_c', weights, [inputs + units, units])
    expectShape('b_ru', gateBias, [2 * units])
    expectShape('b_c', bias, [units])
    const dtype = scalarType(x.dtype)
    const gates = elementwise(at, [joined(at, x, h, gateWeights, gateBias)], dtype, (b, [sum]) =>
      sigmoid(b, sum),
    )
    const [r, u] = [part(at, gates, 1, 0, units), part(at, gates, 1, units, units)]
    const reset = elementwise(at, [h, r], dtype, (b, [state, gate]) => b.mul(state, gate))
    const c = elementwise(at, [joined(at, x, reset, weights, bias)], dtype, (b, [sum]) =>
      b.one('tanh', sum),
    )
    const next = elementwise(at, [u, h, c], dtype, (b, [gate, former, candidate]) =>
      b.add(b.mul(b.sub(1, gate), candidate), b.mul(gate, former)),
    )
    return [r, u, c, next]
  },
})

/** Recurrent cells. */
export const recurrentOps: readonly OpDefinition[] = [
  lstmBlockCell,
  blockLstm(1),
  blockLstm(2),
  gruBlockCell,
]
