// Makes one loop of neighbouring loops that all positions walk as one, so that a kernel over
// [32, 10, 10, 3] elements is a kernel over 9600 where nothing tells the difference. Flat positions of
// iterations stay what they were.
import { remake } from '../ir/build.ts'
import type { Expression, Load } from '../ir/expression.ts'
import type { Kernel } from '../ir/kernel.ts'
import type { ExpressionBuilder } from '../ir/row.ts'
import { orderOf } from '../ir/walk.ts'
import { type Affine, affineOf } from './access.ts'

/** Roots of all expressions of a kernel. */
export function rootsOf(kernel: Kernel): readonly Expression[] {
  return [
    ...kernel.checks.map((check) => check.ok),
    ...kernel.reductions.map((reduction) => reduction.body),
    ...kernel.stores.flatMap((store) => [store.index, store.value]),
  ]
}

/**
 * The kernel with fewer loops: loops of one iteration are dropped, and a loop joins the next one inside it
 * where every position takes its counter as the next digit. Same results, same flat order of
 * iterations. A kernel with a loop of no iterations stays as it is.
 */
export function collapseLoops(kernel: Kernel, build: ExpressionBuilder): Kernel {
  const extents = [...kernel.loops, ...kernel.reduced]
  if (extents.includes(0)) return kernel
  const uses = usesOf(kernel)
  const kept = extents.flatMap((extent, axis) => (extent === 1 ? [] : [axis]))
  const groups: number[][] = []
  for (const axis of kept) {
    const group = groups.at(-1)
    const outer = group?.at(-1)
    if (group && outer !== undefined && mayJoin(outer, axis)) group.push(axis)
    else groups.push([axis])
  }
  if (groups.length === extents.length) return kernel
  const parallel = groups.filter((group) => group[0]! < kernel.loops.length).length
  const places = placesOf(extents, groups)
  return {
    ...rewrite(kernel, build, places),
    loops: places.extents.slice(0, parallel),
    reduced: places.extents.slice(parallel),
  }

  function mayJoin(outer: number, inner: number): boolean {
    if (outer < kernel.loops.length && inner >= kernel.loops.length) return false
    if ((uses.bareAxes & ((1 << outer) | (1 << inner))) !== 0) return false
    return uses.positions.every(
      ({ terms }) => (terms.get(outer) ?? 0) === Math.imul(terms.get(inner) ?? 0, extents[inner]!),
    )
  }
}

/** Where each old axis went: to which new one, and whether it is its innermost digit. */
interface Places {
  readonly axis: ReadonlyMap<number, number>
  readonly innermost: ReadonlySet<number>
  readonly extents: readonly number[]
}

function placesOf(extents: readonly number[], groups: readonly (readonly number[])[]): Places {
  return {
    axis: new Map(groups.flatMap((group, place) => group.map((axis) => [axis, place]))),
    innermost: new Set(groups.map((group) => group.at(-1)!)),
    extents: groups.map((group) => group.reduce((total, axis) => total * extents[axis]!, 1)),
  }
}

/** Positions of all loads and stores, and the axes (as bits) that matter anywhere else. */
interface Uses {
  readonly positions: readonly Affine[]
  readonly bareAxes: number
}

function usesOf(kernel: Kernel): Uses {
  const positions: Affine[] = []
  let bareAxes = 0
  const seen = new Set<Expression>()
  const stack: Expression[] = []
  const position = (index: Expression) => {
    const affine = affineOf(index)
    positions.push(affine)
    stack.push(...affine.rests.map((rest) => rest.expression))
  }
  for (const check of kernel.checks) stack.push(check.ok)
  for (const { body } of kernel.reductions) stack.push(body)
  for (const store of kernel.stores) {
    position(store.index)
    stack.push(store.value)
  }
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    if (node.kind === 'loop') bareAxes |= 1 << node.axis
    else if (node.kind === 'apply') stack.push(...node.operands)
    else if (node.kind === 'load') {
      position(node.index)
      if (node.guard !== undefined) stack.push(node.guard)
    }
  }
  return { positions, bareAxes }
}

function rewrite(kernel: Kernel, build: ExpressionBuilder, places: Places): Kernel {
  const made = new Map<Expression, Expression>()
  const place = (node: Expression): Expression => made.get(node)!
  const position = (index: Expression): Expression =>
    positionAgain(build, affineOf(index), places, remade)
  function remade(root: Expression): Expression {
    for (const node of orderOf([root], (seen) => made.has(seen))) {
      if (node.kind === 'load') made.set(node, loadAgain(node))
      else if (node.kind === 'loop') {
        // Counters of joined loops are in positions only, which are made from their digits below.
        const axis = places.axis.get(node.axis)!
        const same = places.extents[axis] === node.extent
        made.set(node, same ? build.loop(axis, node.extent) : build.constant('int32', 0))
      } else made.set(node, remake(build, node, place))
    }
    return made.get(root)!
  }
  function loadAgain(load: Load): Expression {
    const guard = load.guard === undefined ? undefined : place(load.guard)
    return build.load(load.dtype, load.input, position(load.index), guard)
  }
  return {
    ...kernel,
    checks: kernel.checks.map((check) => ({ ...check, ok: remade(check.ok) })),
    reductions: kernel.reductions.map((one) => ({ ...one, body: remade(one.body) })),
    stores: kernel.stores.map((store) => ({
      ...store,
      index: position(store.index),
      value: remade(store.value),
    })),
  }
}

function positionAgain(
  build: ExpressionBuilder,
  affine: Affine,
  places: Places,
  remade: (expression: Expression) => Expression,
): Expression {
  const int = (value: number) => build.constant('int32', value)
  const parts: Expression[] = []
  const term = (expression: Expression, coefficient: number) =>
    parts.push(coefficient === 1 ? expression : build.apply('mul', [expression, int(coefficient)]))
  // The innermost digit of a joined loop counts in the joined loop's own steps.
  const coefficients = new Map<number, number>()
  for (const [axis, coefficient] of affine.terms) {
    if (places.innermost.has(axis)) coefficients.set(places.axis.get(axis)!, coefficient)
  }
  for (const [axis, coefficient] of coefficients) {
    term(build.loop(axis, places.extents[axis]!), coefficient)
  }
  for (const rest of affine.rests) term(remade(rest.expression), rest.coefficient)
  if (affine.constant !== 0 || parts.length === 0) parts.push(int(affine.constant))
  return parts.reduce((sum, part) => build.apply('add', [sum, part]))
}
