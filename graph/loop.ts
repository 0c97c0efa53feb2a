// V1 while loops as units: the nodes between Enter and Exit of a frame run together, again and again.
// It finds them by their frames; who runs them is the engine.
import type { Body } from './graph.ts'
import { isBackEdge } from './order.ts'

/** One node, or a loop that runs as a whole. */
export type Unit = number | Loop

/** The nodes of one frame. */
export interface Loop {
  readonly kind: 'loop'
  readonly frame: string
  /** Nodes and inner loops of one iteration, in running order. */
  readonly units: readonly Unit[]
  readonly enters: readonly number[]
  readonly exits: readonly number[]
  readonly merges: readonly number[]
}

function isEnter(op: string): boolean {
  return op === 'Enter' || op === 'RefEnter'
}

function isExit(op: string): boolean {
  return op === 'Exit' || op === 'RefExit'
}

/**
 * The nodes of `order` (a running order), those of loops grouped. Every unit comes after what it
 * needs. Without loops it is the order itself.
 */
export function unitsOf(body: Body, order: readonly number[]): readonly Unit[] {
  if (!order.some((place) => isEnter(body.nodes[place].op))) return order
  const frames = framesOf(body, order)
  return grouped(body, order, frames, 0)
}

/** The frames that each node runs in, outermost first. */
function framesOf(body: Body, order: readonly number[]): ReadonlyMap<number, readonly string[]> {
  const frames = new Map<number, readonly string[]>()
  const decoder = new TextDecoder()
  for (const place of order) {
    const node = body.nodes[place]
    let deepest: readonly string[] = []
    const see = (producer: number): void => {
      const own = frames.get(producer) ?? []
      const output = isExit(body.nodes[producer].op) ? own.slice(0, -1) : own
      if (output.length > deepest.length) deepest = output
    }
    for (const edge of node.inputs) {
      if (!isBackEdge(body.nodes[edge.node], node)) see(edge.node)
    }
    for (const control of node.controls) see(control)
    if (isEnter(node.op)) {
      deepest = [...deepest, decoder.decode(node.attributes.get('frame_name')?.s)]
    }
    frames.set(place, deepest)
  }
  return frames
}

/** Units of the nodes at `depth`; deeper nodes go into their loops. */
function grouped(
  body: Body,
  places: readonly number[],
  frames: ReadonlyMap<number, readonly string[]>,
  depth: number,
): readonly Unit[] {
  const members = new Map<string, number[]>()
  const unitOf = new Map<number, number | string>()
  for (const place of places) {
    const frame = frames.get(place)?.[depth]
    if (frame === undefined) {
      unitOf.set(place, place)
      continue
    }
    unitOf.set(place, frame)
    const list = members.get(frame)
    if (list === undefined) members.set(frame, [place])
    else list.push(place)
  }
  return sorted(body, places, unitOf).map((unit): Unit => {
    if (typeof unit === 'number') return unit
    const own = members.get(unit) as number[]
    const atThisDepth = own.filter((place) => frames.get(place)?.length === depth + 1)
    const having = (test: (op: string) => boolean): number[] =>
      atThisDepth.filter((place) => test(body.nodes[place].op))
    return {
      kind: 'loop',
      frame: unit,
      units: grouped(body, own, frames, depth + 1),
      enters: having(isEnter),
      exits: having(isExit),
      merges: having((op) => op === 'Merge' || op === 'RefMerge'),
    }
  })
}

/** Units in running order: each after the units that its nodes need. */
function sorted(
  body: Body,
  places: readonly number[],
  unitOf: ReadonlyMap<number, number | string>,
): readonly (number | string)[] {
  const needs = new Map<number | string, Set<number | string>>()
  for (const place of places) {
    const unit = unitOf.get(place) as number | string
    let list = needs.get(unit)
    if (list === undefined) {
      list = new Set()
      needs.set(unit, list)
    }
    const node = body.nodes[place]
    for (const edge of node.inputs) {
      if (isBackEdge(body.nodes[edge.node], node)) continue
      const other = unitOf.get(edge.node)
      if (other !== undefined && other !== unit) list.add(other)
    }
    for (const control of node.controls) {
      const other = unitOf.get(control)
      if (other !== undefined && other !== unit) list.add(other)
    }
  }
  const done = new Set<number | string>()
  const result: (number | string)[] = []
  for (const first of needs.keys()) {
    const stack = [first]
    while (stack.length > 0) {
      const unit = stack[stack.length - 1]
      const open = done.has(unit)
        ? undefined
        : [...(needs.get(unit) as Set<number | string>)].find((other) => !done.has(other))
      if (open !== undefined) {
        needs.get(unit)?.delete(open)
        stack.push(open)
        continue
      }
      stack.pop()
      if (done.has(unit)) continue
      done.add(unit)
      result.push(unit)
    }
  }
  return result
}
