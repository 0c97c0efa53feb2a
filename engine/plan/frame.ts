// The frames of a trace: bodies being walked, one above another, as functions call and loops go round.
import type { Body, Edge, Loop, Unit } from '../../graph/index.ts'
import type { Bindings, Call, Value } from '../ops/index.ts'

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
