// Optimizer steps on numbers small enough to follow by head.
import t from 'tap'
import {
  type AttributeText,
  benchDevices,
  constant,
  floats,
  handleVariable,
  ints,
  type NodeText,
  valuesOf,
  variable,
  withEngine,
} from './bench.ts'

const type = { type: 'float32' } as const

type Values = Readonly<Record<string, readonly number[]>>

for (const device of benchDevices) {
  t.test(`optimizers on ${device}`, (t) =>
    withEngine(device, async (open) => {
      /** Slots after one step; inputs in their order, slots first, lists are variables' values. */
      const stepped = async (
        op: string,
        slots: Values,
        others: Values,
        attributes: Readonly<Record<string, AttributeText>> = {},
      ): Promise<Record<string, unknown>> => {
        const isHandle = op.startsWith('Resource')
        const make = isHandle ? handleVariable : variable
        const given: NodeText[] = Object.entries(others).map(([name, values]) => {
          const isGradient = name === 'grad' || name === 'delta'
          if (name === 'indices') return constant(name, ints([values.length], values))
          return constant(name, floats(isGradient ? [values.length] : [], values))
        })
        const bench = await open([
          ...Object.entries(slots).flatMap(([name, values]) =>
            make(name, floats([values.length], values)),
          ),
          ...given,
          {
            name: 'step',
            op,
            inputs: [...Object.keys(slots), ...Object.keys(others)],
            attributes: { T: type, Tindices: { type: 'int32' }, ...attributes },
          },
        ])
        await bench.run({ targets: Object.keys(slots).map((name) => `${name}/assign`) })
        await bench.run({ targets: ['step'] })
        const names = Object.keys(slots)
        const read = names.map((name) => (isHandle ? `${name}/read:0` : `${name}:0`))
        const after = await bench.run({ fetches: read })
        return Object.fromEntries(names.map((name, place) => [name, valuesOf(after[place])]))
      }

      await t.test('gradient descent goes down by the rate', async (t) => {
        const one = { var: [1, 2] }
        const given = { alpha: [0.5], delta: [2, -4] }
        t.same(await stepped('ApplyGradientDescent', one, given), { var: [0, 4] })
        t.same(await stepped('ResourceApplyGradientDescent', one, given), { var: [0, 4] })
      })

      await t.test('momentum goes on, and looks ahead where it is Nesterov', async (t) => {
        const slots = { var: [1], accum: [2] }
        const given = { lr: [0.5], grad: [4], momentum: [0.5] }
        t.same(await stepped('ApplyMomentum', slots, given), { var: [-1.5], accum: [5] })
        t.same(await stepped('ApplyMomentum', slots, given, { use_nesterov: true }), {
          var: [-2.25],
          accum: [5],
        })
        t.same(await stepped('ResourceApplyKerasMomentum', slots, given), {
          var: [0],
          accum: [-1],
        })
      })

      await t.test('Adagrad divides by the root of all squares, and may leave them', async (t) => {
        const slots = { var: [1], accum: [12] }
        const given = { lr: [1], grad: [2] }
        t.same(await stepped('ApplyAdagrad', slots, given), { var: [0.5], accum: [16] })
        const full = { var: [1], accum: [16] }
        const kept = await stepped('ApplyAdagrad', full, given, { update_slots: false })
        t.same(kept, { var: [0.5], accum: [16] })
        const second = { lr: [1], epsilon: [4], grad: [2] }
        t.same(await stepped('ResourceApplyAdagradV2', slots, second), { var: [0.75], accum: [16] })
      })

      await t.test('Adam corrects its averages', async (t) => {
        const slots = { var: [1], m: [0], v: [0] }
        const given = {
          beta1_power: [0.5],
          beta2_power: [0.75],
          lr: [1],
          beta1: [0.5],
          beta2: [0.75],
          epsilon: [0],
          grad: [2],
        }
        t.same(await stepped('ApplyAdam', slots, given), { var: [0], m: [1], v: [1] })
      })

      await t.test('proximal steps cut small values to zero', async (t) => {
        const given = { alpha: [1], l1: [1], l2: [1], delta: [1, 0] }
        const slots = { var: [1.5, -5] }
        t.same(await stepped('ApplyProximalGradientDescent', slots, given), { var: [0, -2] })
      })

      await t.test('the regularized leader stays at zero while its sum is small', async (t) => {
        const slots = { var: [0, 0], accum: [0, 0], linear: [0, 0] }
        const given = { grad: [4, 1], lr: [1], l1: [2], l2: [0], lr_power: [-0.5] }
        const result = await stepped('ApplyFtrl', slots, given)
        t.same(result.accum, [16, 1])
        t.same(result.linear, [4, 1])
        t.same(result.var, [-0.5, 0])
      })

      await t.test('signs that agree make a larger step', async (t) => {
        const slots = { var: [1, 1], m: [0, 10] }
        const given = { lr: [0.5], alpha: [1], sign_decay: [1], beta: [0.5], grad: [2, -2] }
        t.same(await stepped('ApplyAddSign', slots, given), { var: [-1, 1], m: [1, 4] })
      })

      await t.test(
        'a sparse step leaves other slices alone and takes duplicates in turn',
        async (t) => {
          const slots = { var: [1, 1, 1], accum: [0, 0, 0] }
          const given = { lr: [1], grad: [1, 2, 1], indices: [2, 0, 2], momentum: [0.5] }
          t.same(await stepped('SparseApplyMomentum', slots, given), {
            var: [-1, 1, -1.5],
            accum: [2, 0, 1.5],
          })
          t.same(await stepped('ResourceSparseApplyMomentum', slots, given), {
            var: [-1, 1, -1.5],
            accum: [2, 0, 1.5],
          })
        },
      )

      await t.test('a slice named very often takes every step', async (t) => {
        const often = Array.from({ length: 21 }, () => 1)
        const given = { alpha: [1], l1: [0], l2: [0], grad: often, indices: often }
        const slots = { var: [0, 21] }
        t.same(await stepped('SparseApplyProximalGradientDescent', slots, given), { var: [0, 0] })
      })

      await t.test('wrong shapes and indices are refused in words of TensorFlow', async (t) => {
        const slots = { var: [1, 1], accum: [0, 0] }
        const given = { lr: [1], grad: [1], indices: [2], momentum: [0.5] }
        await t.rejects(stepped('SparseApplyMomentum', slots, given), {
          message: /^Index 2 at offset 0 in indices is out of range/,
        })
        await t.rejects(stepped('ApplyMomentum', { var: [1], accum: [0, 0] }, given), {
          code: 'INVALID_ARGUMENT',
        })
        const rates = { alpha: [1], delta: [1, 2, 3] }
        await t.rejects(stepped('ApplyGradientDescent', { var: [1, 1] }, rates), {
          message: /^var and delta do not have the same shape\[2\] \[3\]/,
        })
      })
    }),
  )
}
