// Gradients of V1 while loops: a loop that runs backwards as often as the forward one ran. What it needs
// of each forward iteration is pushed on stacks there and popped here.
// Source: tensorflow/python/ops/{control_flow_state,control_flow_ops,control_flow_grad}.py.
import { Refusal } from '../../tensor/index.ts'
import {
  attribute,
  type BuildContext,
  type BuiltNode,
  Expressions,
  type GraphBuilder,
  type Output,
  outputAt,
} from '../builder/index.ts'
import { type Frames, isConstantEnter, isOp, type LoopFrame } from './frames.ts'
import { zerosOf } from './zeros.ts'

/** Ops that need no more of their input than its shape: they run where the input is, not its copy. */
const shapeOps: ReadonlySet<string> = new Set(['Shape', 'ShapeN', 'Size', 'Rank'])

/** The counter of a forward loop: how often it ran, and what its iterations wait for. */
interface ForwardCounter {
  /** Iterations, seen outside of the loop. */
  readonly total: Output
  /** The addition that begins an iteration's count. */
  readonly step: BuiltNode
  /** Runs once all pushes of the iteration have run, those not reached left aside. */
  readonly sync: BuiltNode
}

/** The loop that runs a forward loop's gradient. Nodes that are added to it see forward values. */
export class GradientLoop implements BuildContext {
  readonly forward: LoopFrame
  readonly outer: GradientLoop | undefined
  readonly frame: LoopFrame
  /** The Merge made at the first visit of each Switch of the forward loop. */
  readonly switchMerges = new Map<BuiltNode, BuiltNode>()
  /** Exits of the forward loop, before its counter was added. */
  readonly forwardExits: readonly BuiltNode[]
  pendingExits: number
  readonly deferredExits: BuiltNode[] = []
  readonly unusedExits: BuiltNode[] = []
  readonly #frames: Frames
  readonly #builder: GraphBuilder
  readonly #counter: ForwardCounter
  readonly #history = new Map<Output, Output>()
  readonly #constants = new Map<Output, Output>()
  /** LoopCond of the backward loop. */
  readonly condition: Output
  readonly #bodyPivot: BuiltNode
  readonly #sync: BuiltNode

  constructor(frames: Frames, forward: LoopFrame, outer: GradientLoop | undefined) {
    this.#frames = frames
    this.#builder = frames.builder
    this.forward = forward
    this.outer = outer
    this.forwardExits = [...forward.exits]
    this.pendingExits = this.forwardExits.length
    this.#counter = this.#countForward()
    this.frame = frames.child(outer?.frame, frames.newName(forward.name))
    const { condition, pivot, sync } = this.#countBackward()
    this.condition = condition
    this.#bodyPivot = pivot
    this.#sync = sync
  }

  #countForward(): ForwardCounter {
    const { forward } = this
    const { condition } = forward
    if (condition === undefined) throw unfit(forward, 'has no LoopCond')
    const zero = this.#outside(forward.parent, (e) => e.scalar(0, 'int32', 'f_count'))
    const entered = forward.enter(zero, false, 'f_count')
    const merge = forward.add('Merge', [entered, entered], 'Merge')
    const [left, right] = forward.add(
      'Switch',
      [merge.outputs[0], condition.outputs[0]],
      'Switch',
    ).outputs
    const step = this.#plusOne(forward, right)
    const next = forward.carry(merge, step.outputs[0])
    const exit = forward.add('Exit', [left], 'f_count')
    const sync = this.#builder.inContext(undefined, () =>
      this.#builder.add({ op: 'ControlTrigger', name: 'f_sync' }),
    )
    sync.controls.add(step)
    this.#frames.place(sync, forward)
    next.controls.add(sync)
    // Pushes of an inner loop's runs are ordered as the runs are.
    if (this.outer !== undefined) {
      zero.node.controls.add(this.outer.#counter.step)
      this.#frames.place(zero.node, forward.parent)
    }
    return { total: exit.outputs[0], step, sync }
  }

  #plusOne(frame: LoopFrame, value: Output): BuiltNode {
    const one = this.#builder.inContext(undefined, () =>
      new Expressions(this.#builder).scalar(1, 'int32', 'Add/y'),
    )
    one.node.controls.add(value.node)
    this.#frames.place(one.node, frame)
    return frame.add('AddV2', [value, one], 'Add')
  }

  #countBackward(): { condition: Output; pivot: BuiltNode; sync: BuiltNode } {
    const { frame, outer } = this
    const count = outer === undefined ? this.#counter.total : outer.take(this.#counter.total)
    const one = this.#outside(outer, (e) => e.scalar(1, 'int32', 'b_count'))
    const merge = frame.add('Merge', twice(frame.enter(count, false, 'b_count')), 'Merge')
    const constant = frame.constant(one)
    const more = this.#compare(merge.outputs[0], constant)
    const condition = frame.add('LoopCond', [more], 'b_count').outputs[0]
    const [left, right] = frame.add('Switch', [merge.outputs[0], condition], 'Switch').outputs
    const pivot = frame.add('Sub', [right, constant], 'Sub')
    const next = frame.carry(merge, pivot.outputs[0])
    const exit = frame.add('Exit', [left], 'b_count')
    const sync = this.#builder.inContext(undefined, () =>
      this.#builder.add({ op: 'ControlTrigger', name: 'b_sync' }),
    )
    sync.controls.add(pivot)
    this.#frames.place(sync, frame)
    next.controls.add(sync)
    // Pops of an inner loop's runs are ordered as the runs are.
    if (outer !== undefined) outer.#sync.controls.add(exit)
    return { condition, pivot, sync }
  }

  #compare(x: Output, y: Output): Output {
    const attributes = { T: attribute.type(x.dtype) }
    const node = this.#builder.inContext(undefined, () =>
      this.#builder.add({ op: 'GreaterEqual', inputs: [x, y], attributes }),
    )
    this.#frames.place(node, this.frame)
    return node.outputs[0]
  }

  /** Adds nodes in another context. */
  #outside(context: BuildContext | undefined, body: (e: Expressions) => Output): Output {
    return this.#builder.inContext(context, () => body(new Expressions(this.#builder)))
  }

  contextFor(op: string, inputs: readonly Output[]): BuildContext | undefined {
    if (!shapeOps.has(op) || inputs.length === 0) return undefined
    const isForward = inputs.every((input) => this.#frames.frameOfOutput(input) === this.forward)
    return isForward ? this.forward : undefined
  }

  added(node: BuiltNode): void {
    this.#frames.place(node, this.frame)
    const isFree = node.controls.size === 0 && node.inputs.every(isConstantEnter)
    if (isFree) node.controls.add(this.#bodyPivot)
  }

  /** A value as this loop sees it: its own, the forward loop's of the same iteration, or one from outside. */
  take(input: Output): Output {
    const frame = this.#frames.frameOfOutput(input)
    if (frame === this.frame) return input
    if (frame !== this.forward) return this.#constant(input)
    const known = this.#history.get(input)
    if (known !== undefined) return known
    const value = this.#forwardValue(input)
    this.#history.set(input, value)
    return value
  }

  /** A value from outside of both loops, in every iteration. */
  #constant(value: Output): Output {
    const known = this.#constants.get(value)
    if (known !== undefined) return known
    const around = this.outer === undefined ? value : this.outer.take(value)
    const entered = this.frame.enter(around, true, 'Enter')
    this.#constants.set(value, entered)
    return entered
  }

  #forwardValue(value: Output): Output {
    if (isConstantEnter(value)) return this.#constant(value.node.inputs[0])
    if (value.node.op === 'Const') {
      const attributes = Object.fromEntries(value.node.attributes)
      const copy = this.#builder.inContext(this, () =>
        this.#builder.add({ op: 'Const', attributes }),
      )
      return outputAt(copy, 0, value.dtype)
    }
    return this.#popped(this.#pushed(value), value)
  }

  /** Keeps the value of every iteration; the stack. */
  #pushed(value: Output): Output {
    const { forward } = this
    const elementType = { elem_type: attribute.type(value.dtype) }
    const stack = this.#outside(undefined, (e) =>
      e.op('StackV2', [e.scalar(-1, 'int32')], elementType, 'f_acc'),
    )
    const entered = forward.constant(stack)
    const push = this.#builder.inContext(undefined, () =>
      this.#builder.add({
        op: 'StackPushV2',
        inputs: [entered, value],
        controls: [this.#counter.step],
        attributes: { T: attribute.type(value.dtype), swap_memory: attribute.bool(false) },
      }),
    )
    this.#frames.place(push, forward)
    this.#counter.sync.controls.add(push)
    return stack
  }

  /** What was kept, last iteration first; popped under the condition under which it was pushed. */
  #popped(stack: Output, value: Output): Output {
    let entered = this.#constant(stack)
    const guard = this.#frames.guardsOf(value).findLast(({ frame }) => frame === this.forward)
    if (guard !== undefined) {
      const attributes = { T: attribute.type(entered.dtype) }
      const inputs = [entered, this.take(guard.predicate)]
      const chosen = this.#builder.inContext(this, () =>
        this.#builder.add({ op: 'Switch', inputs, attributes }),
      )
      entered = chosen.outputs[guard.branch]
    }
    const pop = this.#builder.inContext(this, () =>
      this.#builder.add({
        op: 'StackPopV2',
        inputs: [entered],
        attributes: { elem_type: attribute.type(value.dtype) },
      }),
    )
    this.#sync.controls.add(pop)
    return pop.outputs[0]
  }

  /** Adds what flows in every iteration; the sum, seen outside. `like` is what it is the gradient of. */
  summed(grad: Output, like: Output): Output {
    const { frame } = this
    const zero = this.#outside(this.outer, (e) => zerosOf(e, like, grad.dtype))
    const merge = frame.add('Merge', twice(frame.enter(zero, false, 'b_acc')), 'b_acc')
    const [left, right] = frame.add('Switch', [merge.outputs[0], this.condition], 'Switch').outputs
    frame.carry(merge, frame.add('AddV2', [right, grad], 'Add').outputs[0])
    return frame.add('Exit', [left], 'b_acc').outputs[0]
  }

  /** Values that an iteration does not take from the one before: zeros after the first. */
  finish(): void {
    for (const merge of this.switchMerges.values()) {
      if (merge.inputs[0] !== merge.inputs[1]) continue
      const entered = merge.inputs[0].node.inputs[0]
      const zero = this.#outside(this.outer, (e) => e.zerosLike(entered))
      // Through an Identity, which is there only as long as the loop goes on.
      const each = this.#constant(zero)
      this.frame.carry(
        merge,
        this.#outside(this, (e) => e.identity(each)),
      )
    }
  }
}

function twice(output: Output): readonly Output[] {
  return [output, output]
}

function unfit(frame: LoopFrame, problem: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'gradient/loop',
    `The loop "${frame.name}" ${problem}; its gradient cannot be made.`,
    { names: { frame: frame.name } },
  )
}

/** The backward loops of one call, by forward loop. */
export class LoopGradients {
  readonly #loops = new Map<LoopFrame, GradientLoop>()
  readonly frames: Frames

  constructor(frames: Frames) {
    this.frames = frames
  }

  get all(): readonly GradientLoop[] {
    return [...this.#loops.values()]
  }

  /** Makes the backward loops of the loops that these nodes leave, outer loops first. */
  add(exits: readonly BuiltNode[]): void {
    const forward = new Set(exits.map((exit) => this.frames.frameOf(exit)))
    const sorted = [...forward].flatMap((frame) => (frame === undefined ? [] : [frame]))
    sorted.sort((a, b) => a.depth - b.depth)
    for (const frame of sorted) {
      const outer = frame.parent === undefined ? undefined : this.#loops.get(frame.parent)
      if (frame.parent !== undefined && outer === undefined) {
        throw unfit(frame, `is within the loop "${frame.parent.name}", of which nothing is asked`)
      }
      this.#loops.set(frame, new GradientLoop(this.frames, frame, outer))
    }
  }

  /** The backward loop in which a node's gradient runs: as its outputs' gradients see it, or its inputs'. */
  around(node: BuiltNode, side: 'outputs' | 'inputs'): GradientLoop | undefined {
    const own = this.frames.frameOf(node)
    const frame = isOp(node, 'Exit') && side === 'outputs' ? own?.parent : own
    return frame === undefined ? undefined : this.#loops.get(frame)
  }
}
