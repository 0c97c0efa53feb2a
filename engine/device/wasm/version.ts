// Writes inner reduction loops twice where loads are guarded: once for the places where all guards hold throughout,
// without them, and once for the edges. Guards that are comparisons of positions say at the ends of the
// loops what holds in between.
import type { Expression, ExpressionBuilder } from '../../ir/index.ts'
import { orderOf, rangeOf } from '../../ir/index.ts'
import { affineOf } from '../../tile/access.ts'
import type { Evaluator } from './evaluate.ts'

/** Inner iterations that make it worth to ask first. */
const fewIterations = 8

/** The reduction loop before which to ask: the innermost with enough iterations in it; -1: none. */
export function versionLevelOf(reduced: readonly number[]): number {
  let iterations = 1
  for (let level = reduced.length - 1; level >= 0; level--) {
    iterations *= reduced[level]!
    if (iterations >= fewIterations) return level
  }
  return reduced.length > 0 && iterations >= fewIterations / 2 ? 0 : -1
}

interface VersionOptions {
  readonly build: ExpressionBuilder
  readonly lower: (expression: Expression) => Expression
}

/** Writes the reduction loops from `level` on, in one version or two. */
export function writeVersions(
  evaluator: Evaluator,
  options: VersionOptions,
  level: number,
  write: () => void,
): void {
  const { space, writer } = evaluator
  const { kernel } = space
  const guards = new Set<Expression>()
  let all: Expression | undefined
  for (const node of orderOf(kernel.reductions.map(({ body }) => body))) {
    if (node.kind !== 'load' || node.guard === undefined || guards.has(node.guard)) continue
    const everywhere = throughout(evaluator, options.build, level, node.guard)
    if (everywhere === undefined || space.isVarying(everywhere)) continue
    guards.add(node.guard)
    all = all === undefined ? everywhere : options.build.apply('logical_and', [all, everywhere])
  }
  if (all === undefined || all.kind === 'constant') {
    write()
    return
  }
  const condition = options.lower(all)
  const push = () => evaluator.push(writer.depth, condition, [])
  evaluator.assume(guards, push, write)
  const otherwise = () => {
    push()
    writer.emit(writer.depth, 'i32.eqz')
  }
  writer.region(otherwise, write)
}

/** Whether a condition holds at all positions of a tile and all iterations from `level` on; undefined: not known how. */
function throughout(
  evaluator: Evaluator,
  build: ExpressionBuilder,
  level: number,
  guard: Expression,
): Expression | undefined {
  if (guard.kind === 'constant') return guard
  if (guard.kind !== 'apply') return undefined
  const again = (one: Expression) => throughout(evaluator, build, level, one)
  const [a, b] = guard.operands as [Expression, Expression]
  switch (guard.row) {
    case 'logical_and': {
      const [left, right] = [again(a), again(b)]
      return left && right && build.apply('logical_and', [left, right])
    }
    case 'less':
    case 'less_equal':
    case 'greater':
    case 'greater_equal': {
      if (a.dtype !== 'int32') return undefined
      const upper = guard.row.startsWith('less')
      const left = endOf(evaluator, build, level, a, upper ? 1 : -1)
      const right = endOf(evaluator, build, level, b, upper ? -1 : 1)
      return left && right && build.apply(guard.row, [left, right])
    }
    default:
      return undefined
  }
}

/** The largest (sign 1) or smallest (-1) value of a position over a tile and the iterations from `level` on. */
function endOf(
  { space }: Evaluator,
  build: ExpressionBuilder,
  level: number,
  position: Expression,
  sign: 1 | -1,
): Expression | undefined {
  const { constant, terms, rests } = affineOf(position)
  const [low, high] = rangeOf(position)
  if (low <= -(2 ** 31) || high >= 2 ** 31 - 1) return undefined
  const first = space.kernel.loops.length + level
  const inner = ~((1 << first) - 1)
  const int = (value: number) => build.constant('int32', value)
  let sum: Expression = int(constant)
  const add = (part: Expression, coefficient: number) => {
    sum = build.apply('add', [sum, build.apply('mul', [part, int(coefficient)])])
  }
  for (const { expression, coefficient } of rests) {
    const axes = space.axesOf(expression)
    if ((axes & inner) !== 0 || space.tiling.unrolled.some((axis) => (axes & (1 << axis)) !== 0)) {
      return undefined
    }
    add(expression, coefficient)
  }
  for (const [axis, coefficient] of terms) {
    const far = coefficient * sign > 0
    if (axis >= first) add(int(far ? space.extents[axis]! - 1 : 0), coefficient)
    else {
      const { unroll, lanes } = space.binding(axis)
      const last = far ? unroll * lanes - 1 : 0
      add(build.apply('add', [build.loop(axis, space.extents[axis]!), int(last)]), coefficient)
    }
  }
  return sum
}
