// A kernel as text for people and snapshots: one line for each node that is used more than once, the
// rest nested. The same kernel always gives the same text.
import type { Expression } from './expression.ts'
import type { Kernel } from './kernel.ts'
import { operandsOf, orderOf } from './walk.ts'

/** Deeper nesting than this gets a line of its own. */
const deepest = 6

const infixes: Readonly<Record<string, string>> = {
  add: '+',
  sub: '-',
  mul: '*',
  div: '/',
  floor_div: '//',
  floor_mod: '%',
  less: '<',
  less_equal: '<=',
  greater: '>',
  greater_equal: '>=',
  equal: '==',
  not_equal: '!=',
  logical_and: '&&',
  logical_or: '||',
}

/** Names of the loops by axis: i, j, k, .. */
function loopName(axis: number): string {
  return axis < 18 ? String.fromCharCode('i'.charCodeAt(0) + axis) : `loop${axis}`
}

/** Text of one expression in one line. Nodes in `names` are written by their name. */
function textOf(node: Expression, texts: ReadonlyMap<Expression, string>): string {
  const text = (operand: Expression) => texts.get(operand) as string
  switch (node.kind) {
    case 'constant': {
      const value = Object.is(node.value, -0) ? '-0' : String(node.value)
      return node.dtype === 'int32' || node.dtype === 'bool' ? value : `${value}:${node.dtype}`
    }
    case 'loop':
      return loopName(node.axis)
    case 'load': {
      const read = `in${node.input}[${text(node.index)}]`
      return node.guard === undefined ? read : `(${text(node.guard)} ? ${read} : 0)`
    }
    case 'accumulator':
      return `acc${node.reduction}`
    case 'apply': {
      const operands = node.operands.map(text)
      const symbol = infixes[node.row]
      if (symbol !== undefined) return `(${operands.join(` ${symbol} `)})`
      const first = node.operands.find((operand) => operand.dtype !== 'bool') ?? node.operands[0]
      const target = first?.dtype === node.dtype || node.dtype === 'bool' ? '' : `:${node.dtype}`
      return `${node.row}${target}(${operands.join(', ')})`
    }
    default:
      return node satisfies never
  }
}

/** Lines that define what is used more than once or nested too deeply, and the text of each node. */
function written(roots: readonly Expression[], lines: string[]): ReadonlyMap<Expression, string> {
  const uses = new Map<Expression, number>()
  const order = orderOf(roots)
  for (const node of order) {
    for (const operand of operandsOf(node)) uses.set(operand, (uses.get(operand) ?? 0) + 1)
  }
  const texts = new Map<Expression, string>()
  const depths = new Map<Expression, number>()
  let count = 0
  for (const node of order) {
    const operands = operandsOf(node)
    const depth = 1 + Math.max(0, ...operands.map((operand) => depths.get(operand) ?? 0))
    const named = operands.length > 0 && ((uses.get(node) ?? 0) > 1 || depth > deepest)
    const text = textOf(node, texts)
    if (named) lines.push(`  v${count} = ${text}`)
    texts.set(node, named ? `v${count++}` : text)
    depths.set(node, named ? 0 : operands.length === 0 ? 0 : depth)
  }
  return texts
}

/** The kernel as text: buffers, loops, shared values, reductions, checks, stores. */
export function printKernel(kernel: Kernel): string {
  const lines: string[] = []
  for (const [place, { dtype, elementCount }] of kernel.inputs.entries()) {
    lines.push(`in${place}: ${dtype}[${elementCount}]`)
  }
  for (const [place, { dtype, elementCount, inPlaceOf }] of kernel.outputs.entries()) {
    const where = inPlaceOf === undefined ? '' : ` in place of in${inPlaceOf}`
    lines.push(`out${place}: ${dtype}[${elementCount}]${where}`)
  }
  const loop = (extent: number, axis: number) => `${loopName(axis)} < ${extent}`
  lines.push(`for ${kernel.loops.map(loop).join(', ') || 'once'}`)
  if (kernel.reduced.length > 0) {
    const reduced = kernel.reduced.map((extent, axis) => loop(extent, kernel.loops.length + axis))
    lines.push(`over ${reduced.join(', ')}`)
  }
  const texts = written(
    [
      ...kernel.reductions.map((reduction) => reduction.body),
      ...kernel.checks.map((check) => check.ok),
      ...kernel.stores.flatMap((store) => [store.index, store.value]),
    ],
    lines,
  )
  for (const [place, { combine, dtype, body }] of kernel.reductions.entries()) {
    lines.push(`  acc${place} = ${combine} ${texts.get(body)} as ${dtype}`)
  }
  for (const { ok, code } of kernel.checks) lines.push(`  check ${code}: ${texts.get(ok)}`)
  for (const { output, index, value } of kernel.stores) {
    lines.push(`  out${output}[${texts.get(index)}] = ${texts.get(value)}`)
  }
  return `${lines.join('\n')}\n`
}

/** One expression as text, with lines for what it uses more than once before it. */
export function printExpression(expression: Expression): string {
  const lines: string[] = []
  const texts = written([expression], lines)
  return [...lines, texts.get(expression)].join('\n')
}
