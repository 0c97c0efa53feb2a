// The gradient of Einsum: again Einsums, with axes that were summed or repeated put right.
// Source: tensorflow/python/ops/linalg_grad.py (_EinsumGrad).
import { Refusal } from '../../tensor/index.ts'
import { attribute, type Expressions, type Output } from '../builder/index.ts'
import type { Flow, GradientFunction } from './gradient.ts'

const ellipsis = '...'

/** Axes of a subscript: a letter each, and `...` for any number of outer axes. */
function labelsOf(subscript: string): readonly string[] {
  return subscript.match(/\.\.\.|./g) ?? []
}

function without(labels: readonly string[], others: readonly string[]): string[] {
  return labels.filter((label) => !others.includes(label))
}

function einsum(e: Expressions, equation: string, inputs: readonly Output[]): Output {
  return e.op('Einsum', inputs, {
    N: attribute.int(inputs.length),
    T: attribute.type(inputs[0].dtype),
    equation: attribute.text(equation),
  })
}

/** The sizes of the named axes of `x`, in the order of `wanted`; those of `...` are several. */
function sizesOf(
  e: Expressions,
  shape: Output,
  labels: readonly string[],
  wanted: readonly string[],
): Output {
  const dots = labels.indexOf(ellipsis)
  const parts = wanted.map((label) => {
    const place = labels.indexOf(label)
    if (label === ellipsis) {
      const after = labels.length - 1 - dots
      return after === 0 ? e.part(shape, dots) : e.part(shape, dots, -after)
    }
    if (dots < 0 || place < dots) return e.part(shape, place, place + 1)
    const fromEnd = place - labels.length
    return fromEnd === -1 ? e.part(shape, -1) : e.part(shape, fromEnd, fromEnd + 1)
  })
  return parts.length === 0 ? e.integers([]) : e.concat(parts, 0)
}

interface Operand {
  readonly value: Output
  readonly labels: readonly string[]
}

/**
 * What flows to an operand: the product of the rest and the gradient, where axes of the operand that are
 * nowhere else are put back by repetition, and axes that repeat within the operand on their diagonal.
 */
function toOperand(
  { e, grad }: Flow,
  own: Operand,
  others: readonly Operand[],
  output: readonly string[],
): Output {
  const elsewhere = [output, ...others.map(({ labels }) => labels)].flat()
  const distinct = [...new Set(own.labels)]
  const kept = distinct.filter((label) => elsewhere.includes(label))
  const operands = [{ value: grad, labels: output }, ...others]
  const equation = `${operands.map(({ labels }) => labels.join('')).join(',')}->${kept.join('')}`
  const product = einsum(
    e,
    equation,
    operands.map(({ value }, place) => (place === 0 ? value : e.conj(value))),
  )
  const shape = e.shape(own.value)
  const summed = without(distinct, kept)
  const ownShape = sizesOf(e, shape, own.labels, distinct)
  let flow = product
  if (summed.length > 0) {
    const ones = e.integers(summed.map(() => 1))
    const sizes = sizesOf(e, e.shape(product), kept, kept)
    const wide = e.reshape(product, e.concat([ones, sizes], 0))
    const sized = e.concat([sizesOf(e, shape, own.labels, summed), sizes], 0)
    flow = einsum(e, `${[...summed, ...kept].join('')}->${distinct.join('')}`, [
      e.broadcastTo(wide, sized),
    ])
  }
  if (distinct.includes(ellipsis)) {
    // The outer axes may have been repeated: of the result's, only the operand's own remain.
    const outer = sizesOf(e, e.shape(flow), distinct, [ellipsis])
    const [, axes] = e.broadcastAxes(outer, sizesOf(e, shape, own.labels, [ellipsis]))
    const before = distinct.indexOf(ellipsis)
    flow = e.reshape(e.sum(flow, e.plus(axes, before)), ownShape)
  }
  if (distinct.length === own.labels.length) return flow
  return einsum(e, `${distinct.join('')}->${own.labels.join('')}`, [flow])
}

/** Of Einsum, of one or two operands. */
export const einsumGradient: GradientFunction = (at) => {
  const equation = at.text('equation', '').replaceAll(' ', '')
  const [left, right = ''] = equation.split('->')
  const output = labelsOf(right)
  const operands = left.split(',').map((subscript, place): Operand => {
    return { value: at.inputs[place], labels: labelsOf(subscript) }
  })
  if (operands.length !== at.inputs.length) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'graph/attribute',
      `The equation "${equation}" of node "${at.node.name}" names ${operands.length} operands; there are ${at.inputs.length}.`,
      { names: { node: at.node.name, op: at.node.op } },
    )
  }
  return operands.map((own) =>
    toOperand(
      at,
      own,
      operands.filter((one) => one !== own),
      output,
    ),
  )
}
