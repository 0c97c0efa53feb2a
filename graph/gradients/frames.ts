// V1 control flow as found in a graph: which loop each node runs in, and under which conditions. Builders
// of loops know this of their own making; here it is read from Enter, Exit, Switch and Merge.
import {
  attribute,
  type BuildContext,
  type BuiltNode,
  type GraphBuilder,
  type Output,
} from '../builder/index.ts'
import { checkInputs } from './check.ts'

const decoder = new TextDecoder()

/** Ops that make loops and conditionals. */
const controlOps: ReadonlySet<string> = new Set(
  ['Enter', 'Exit', 'NextIteration', 'Switch', 'Merge'].flatMap((op) => [op, `Ref${op}`]),
).add('LoopCond')

/** Whether the node's op is `name`, by value or by reference. */
export function isOp({ op }: BuiltNode, name: string): boolean {
  return op === name || op === `Ref${name}`
}

/** Whether it is the Switch by which a loop goes on or ends, rather than that of a condition. */
export function isLoopSwitch(node: BuiltNode): boolean {
  return isOp(node, 'Switch') && node.inputs[1]?.node.op === 'LoopCond'
}

/** Whether it is the Merge at which an iteration begins. */
export function isLoopMerge(node: BuiltNode): boolean {
  return (
    isOp(node, 'Merge') &&
    node.inputs.some(({ node: producer }) => isOp(producer, 'Enter') || isBack(producer))
  )
}

function isBack(producer: BuiltNode): boolean {
  return isOp(producer, 'NextIteration')
}

/** Whether the output is brought into its loop once for all iterations. */
export function isConstantEnter({ node }: Output): boolean {
  return isOp(node, 'Enter') && node.attributes.get('is_constant')?.b === true
}

/** A condition under which a node runs: the branch of a predicate, told within a frame. */
export interface Guard {
  readonly predicate: Output
  readonly branch: 0 | 1
  readonly frame: LoopFrame | undefined
}

/** A loop: what runs once an iteration. New nodes can be added to it. */
export class LoopFrame implements BuildContext {
  readonly name: string
  readonly parent: LoopFrame | undefined
  readonly enters: BuiltNode[] = []
  readonly exits: BuiltNode[] = []
  /** The LoopCond. */
  condition: BuiltNode | undefined
  readonly #frames: Frames
  readonly #constants = new Map<Output, Output>()

  constructor(frames: Frames, name: string, parent: LoopFrame | undefined) {
    this.#frames = frames
    this.name = name
    this.parent = parent
  }

  get depth(): number {
    return this.parent === undefined ? 1 : this.parent.depth + 1
  }

  take(input: Output): Output {
    const frame = this.#frames.frameOfOutput(input)
    return frame === this ? input : this.constant(input)
  }

  contextFor(): undefined {
    return undefined
  }

  added(node: BuiltNode): void {
    this.#frames.place(node, this)
  }

  /** A value from outside, in every iteration. */
  constant(value: Output): Output {
    const known = this.#constants.get(value)
    if (known !== undefined) return known
    const around = this.parent === undefined ? value : this.parent.take(value)
    const entered = this.enter(around, true, 'Enter')
    this.#constants.set(value, entered)
    return entered
  }

  /** A value from the frame around, in every iteration or in the first. */
  enter(value: Output, isConstant: boolean, name: string): Output {
    const node = this.#frames.builder.inContext(undefined, () =>
      this.#frames.builder.add({
        op: 'Enter',
        name,
        inputs: [value],
        attributes: {
          T: attribute.type(value.dtype),
          frame_name: attribute.text(this.name),
          is_constant: attribute.bool(isConstant),
          parallel_iterations: attribute.int(10),
        },
      }),
    )
    this.#frames.place(node, this)
    return node.outputs[0]
  }

  /** Adds a node to the frame as it is, whose inputs are in it already. */
  add(op: string, inputs: readonly Output[], name: string): BuiltNode {
    const node = this.#frames.builder.inContext(undefined, () =>
      this.#frames.builder.add({
        op,
        name,
        inputs,
        attributes: {
          ...(op === 'LoopCond' ? {} : { T: attribute.type(inputs[0].dtype) }),
          ...(op === 'Merge' ? { N: attribute.int(inputs.length) } : {}),
        },
      }),
    )
    this.#frames.place(node, this)
    return node
  }

  /** Carries a value on to the second input of a Merge. */
  carry(merge: BuiltNode, value: Output): BuiltNode {
    const next = this.add('NextIteration', [value], 'NextIteration')
    merge.inputs[1] = next.outputs[0]
    return next
  }
}

/** The frames and conditions of a graph. */
export class Frames {
  readonly builder: GraphBuilder
  readonly #frameOf = new Map<BuiltNode, LoopFrame | undefined>()
  readonly #guards = new Map<BuiltNode, readonly Guard[]>()
  readonly #children = new Map<LoopFrame | undefined, Map<string, LoopFrame>>()

  constructor(builder: GraphBuilder) {
    this.builder = builder
    for (const node of forwardOrder(builder.nodes)) {
      if (controlOps.has(node.op)) checkInputs(node, builder.catalogue)
      this.place(node, this.#findFrame(node))
    }
  }

  #findFrame(node: BuiltNode): LoopFrame | undefined {
    let deepest: LoopFrame | undefined
    const see = (frame: LoopFrame | undefined): void => {
      if ((frame?.depth ?? 0) > (deepest?.depth ?? 0)) deepest = frame
    }
    for (const input of node.inputs) if (!isBack(input.node)) see(this.frameOfOutput(input))
    for (const control of node.controls) see(this.#frameAfter(control))
    if (!isOp(node, 'Enter')) return deepest
    return this.child(deepest, decoder.decode(node.attributes.get('frame_name')?.s))
  }

  /** The frame of that name within another, made where there is none. */
  child(parent: LoopFrame | undefined, name: string): LoopFrame {
    let children = this.#children.get(parent)
    if (children === undefined) {
      children = new Map()
      this.#children.set(parent, children)
    }
    let frame = children.get(name)
    if (frame === undefined) {
      frame = new LoopFrame(this, name, parent)
      children.set(name, frame)
    }
    return frame
  }

  /** A name like `name` that no frame has: frames of one name and one parent are one frame. */
  newName(name: string): string {
    const taken = new Set([...this.#children.values()].flatMap((frames) => [...frames.keys()]))
    let suffix = 1
    while (taken.has(`${name}_${suffix}`)) suffix++
    return `${name}_${suffix}`
  }

  /** Notes that a node runs in a frame. */
  place(node: BuiltNode, frame: LoopFrame | undefined): void {
    this.#frameOf.set(node, frame)
    if (frame === undefined) return
    if (isOp(node, 'Enter')) frame.enters.push(node)
    if (isOp(node, 'Exit')) frame.exits.push(node)
    if (node.op === 'LoopCond') frame.condition = node
  }

  /** The loop in which a node runs. An Enter runs within, and an Exit too. */
  frameOf(node: BuiltNode): LoopFrame | undefined {
    return this.#frameOf.get(node)
  }

  /** The loop in which an output is seen: an Exit's is seen outside. */
  frameOfOutput({ node }: Output): LoopFrame | undefined {
    return this.#frameAfter(node)
  }

  #frameAfter(node: BuiltNode): LoopFrame | undefined {
    const frame = this.frameOf(node)
    return isOp(node, 'Exit') ? frame?.parent : frame
  }

  /** The conditions under which an output is alive, outermost first. */
  guardsOf(output: Output): readonly Guard[] {
    const own = this.#guardsOfNode(output.node)
    if (!isOp(output.node, 'Switch') || isLoopSwitch(output.node)) return own
    const predicate = output.node.inputs[1]
    const frame = this.frameOf(output.node)
    return [...own, { predicate, branch: output.index === 0 ? 0 : 1, frame }]
  }

  #guardsOfNode(node: BuiltNode): readonly Guard[] {
    const stack = [node]
    while (stack.length > 0) {
      const at = stack[stack.length - 1]
      const needed = at.inputs.filter(({ node: producer }) => !isBack(producer))
      const open = [...needed.map((input) => input.node), ...at.controls].filter(
        (one) => !this.#guards.has(one) && !stack.includes(one),
      )
      if (open.length > 0) {
        stack.push(open[0])
        continue
      }
      stack.pop()
      const each = [
        ...needed.map((input) => this.guardsOf(input)),
        ...[...at.controls].map((control) => this.#guards.get(control) ?? []),
      ]
      const isCondition = isOp(at, 'Merge') && !isLoopMerge(at)
      this.#guards.set(at, isCondition ? common(each) : united(each))
    }
    return this.#guards.get(node) ?? []
  }
}

function sameGuard(a: Guard, b: Guard): boolean {
  return a.predicate === b.predicate && a.branch === b.branch
}

function united(lists: readonly (readonly Guard[])[]): readonly Guard[] {
  const result: Guard[] = []
  for (const list of [...lists].sort((a, b) => b.length - a.length)) {
    for (const guard of list) if (!result.some((one) => sameGuard(one, guard))) result.push(guard)
  }
  return result
}

/** What holds whichever input came: a Merge ends the condition that chose. */
function common(lists: readonly (readonly Guard[])[]): readonly Guard[] {
  const [first = [], ...rest] = lists
  return first.filter((guard) =>
    rest.every((list) => list.some((other) => sameGuard(other, guard))),
  )
}

/** Nodes such that each comes after its inputs and controls, what loops carry back aside. */
export function forwardOrder(nodes: readonly BuiltNode[]): readonly BuiltNode[] {
  const waiting = new Map<BuiltNode, number>()
  const consumers = new Map<BuiltNode, BuiltNode[]>()
  const ready: BuiltNode[] = []
  for (const node of nodes) {
    const producers = [
      ...node.inputs.map((input) => input.node).filter((one) => !isBack(one)),
      ...node.controls,
    ]
    waiting.set(node, producers.length)
    if (producers.length === 0) ready.push(node)
    for (const producer of producers) {
      const list = consumers.get(producer)
      if (list === undefined) consumers.set(producer, [node])
      else list.push(node)
    }
  }
  for (let place = 0; place < ready.length; place++) {
    for (const consumer of consumers.get(ready[place]) ?? []) {
      const left = (waiting.get(consumer) ?? 0) - 1
      waiting.set(consumer, left)
      if (left === 0) ready.push(consumer)
    }
  }
  return ready
}
