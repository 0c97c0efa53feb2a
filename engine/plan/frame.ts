// The frames of a trace: bodies being walked, one above another, as functions call and loops go round.
import {
  type Body,
  type Edge,
  type Graph,
  type GraphNode,
  type Loop,
  runningOrder,
  type Unit,
  unitsOf,
} from '../../graph/index.ts'
import { Refusal } from '../../tensor/index.ts'
import type { Bindings, Call, Value } from '../ops/index.ts'
import { functionOrder } from './library.ts'
import type { TraceRequest } from './tracing.ts'

/** A body being walked. */
export interface Frame {
  readonly body: Body
  /** Prefix of the nodes' names in messages and keys. */
  readonly path: string
  readonly bindings: Bindings
  readonly device: string
  readonly units: readonly Unit[]
  readonly outputs: readonly Edge[]
  next: number
  readonly values: Map<number, readonly Value[]>
  /** Nodes that did not run, because of a branch not taken. */
  readonly dead: Set<number>
  /** In the calling frame: what becomes of this frame's results. */
  readonly resume: Call['resume'] | undefined
  /** Values that `resume` will need. */
  readonly holds: readonly Value[]
  /** A V1 loop's frame lies on that of the nodes around it and sees their values. */
  readonly loop: LoopState | undefined
}

/** A V1 loop going round. */
export interface LoopState {
  readonly loop: Loop
  readonly iteration: number
  /** What each Merge gets from the iteration before. */
  readonly carried: ReadonlyMap<number, Value>
  /** Values that have left the loop, by the place of the Exit. */
  readonly left: Map<number, Value>
}

/** A call that has come back. */
export interface Pending {
  readonly resume: Call['resume']
  readonly outputs: readonly Value[]
  readonly holds: readonly Value[]
}

/** Functions may be nested this deep; more is a recursion. */
export const maxDepth = 64

/** Nodes that one trace may walk, loops unrolled; more is refused rather than never ending. */
export const maxNodes = 4_000_000

/** A frame that goes its own way. */
export function copyFrame(frame: Frame): Frame {
  const { loop } = frame
  return {
    ...frame,
    values: new Map(frame.values),
    dead: new Set(frame.dead),
    loop: loop === undefined ? undefined : { ...loop, left: new Map(loop.left) },
  }
}

/** Nodes whose values the units still to come use, or the frame's results. */
export function neededPlaces(frame: Frame): Set<number> {
  const needed = new Set(frame.outputs.map((edge) => edge.node))
  const see = (unit: Unit): void => {
    if (typeof unit !== 'number') {
      for (const one of unit.units) see(one)
      return
    }
    const node = frame.body.nodes[unit]
    for (const edge of node.inputs) needed.add(edge.node)
    needed.add(unit)
  }
  // A loop's units all come again.
  const first = frame.loop === undefined ? frame.next : 0
  for (const unit of frame.units.slice(first)) see(unit)
  return needed
}

/** The frame that a request's walk begins with: what its fetches and targets need. */
export function rootFrame({ graph, fetches, targets, feeds }: TraceRequest): Frame {
  const edges = fetches.map(({ node, index }): Edge => {
    return { node: graph.byName.get(node) as number, port: '', index }
  })
  const isFed = (node: number, index: number): boolean =>
    feeds.size > 0 && feeds.has(`${graph.nodes[node].name}:${index}`)
  const wanted = edges.filter((edge) => !isFed(edge.node, edge.index)).map((edge) => edge.node)
  return {
    body: graph,
    path: '',
    bindings: new Map(),
    device: '',
    units: unitsOf(graph, runningOrder(graph, [...wanted, ...targets], isFed)),
    outputs: edges,
    next: 0,
    values: new Map(),
    dead: new Set(),
    resume: undefined,
    holds: [],
    loop: undefined,
  }
}

/**
 * The frame of a function that `node` calls, `depth` calls deep. Refuses functions that the library has
 * not (NOT_FOUND `graph/function`), another number of arguments than the function takes, and calls
 * that are too deep (INVALID_ARGUMENT `graph/recursion`).
 */
export function calleeFrame(
  graph: Graph,
  caller: Frame,
  node: GraphNode,
  call: Call,
  depth: number,
): Frame {
  const { name, bindings } = call.function
  const path = `${caller.path}${node.name}`
  const callee = graph.functions.get(name)
  if (callee === undefined) {
    throw new Refusal(
      'NOT_FOUND',
      'graph/function',
      `Function "${name}" is not defined in the graph's library; node "${path}" calls it.`,
      { names: { function: name, node: path } },
    )
  }
  if (depth >= maxDepth) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'graph/recursion',
      `Function "${name}" is called more than ${maxDepth} calls deep; functions must not call themselves.`,
      { names: { function: name } },
    )
  }
  if (call.inputs.length !== callee.inputs.length) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'graph/function',
      `Function "${name}" takes ${callee.inputs.length} arguments; node "${path}" gives ${call.inputs.length}.`,
      { names: { function: name, node: path } },
    )
  }
  return {
    body: callee,
    path: `${path}/`,
    bindings,
    device: node.device === '' ? caller.device : node.device,
    units: unitsOf(callee, functionOrder(callee)),
    outputs: callee.outputs.map((output) => output.source),
    next: 0,
    values: new Map(call.inputs.map((input, place) => [place, [input]])),
    dead: new Set(),
    resume: call.resume,
    holds: call.holds,
    loop: undefined,
  }
}
