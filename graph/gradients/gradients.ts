// Symbolic differentiation of a graph under construction: from tensors back to what they depend on,
// each op's gradient once everything that its outputs flow into has been differentiated.
// Source: tensorflow/python/ops/gradients_util.py (_GradientsHelper).
import { Refusal } from '../../tensor/index.ts'
import {
  attribute,
  type BuiltNode,
  Expressions,
  type GraphBuilder,
  isComplex,
  nameOfOutput,
  type Output,
} from '../builder/index.ts'
import { namedCallGradient } from './calls.ts'
import { checkInputs } from './check.ts'
import { Frames, isLoopSwitch, isOp } from './frames.ts'
import { dense, Flow, type Gradient, type GradientFunction, isSparse } from './gradient.ts'
import { type GradientLoop, LoopGradients } from './loops.ts'
import { gradientOf } from './table.ts'
import { isTrainable } from './trainable.ts'

/** What to differentiate, and by what. */
export interface GradientRequest {
  readonly ys: readonly Output[]
  readonly xs: readonly Output[]
  /** What flows into each y: ones where nothing is given. */
  readonly gradYs?: readonly (Output | undefined)[] | undefined
  /** Tensors that count as constants. */
  readonly stopGradients?: readonly Output[] | undefined
  /** Whether gradients of an op are used only once all of them are there. */
  readonly isGated?: boolean | undefined
  /** Name scope of the new nodes; default `gradients`. */
  readonly name?: string | undefined
}

/** Functions that call functions so deep are refused: they may call themselves. */
const maxDepth = 64

/**
 * Adds the gradients of the sum of `ys` by each of `xs` to the graph, as `tf.gradients` does; undefined for
 * an x that no y depends on. A variable's handle stands for its value. Refuses what TensorFlow refuses:
 * an op without a gradient (UNIMPLEMENTED, `gradient/unknown`), a complex y without a gradient of its own,
 * gradients of another type than their y (INVALID_ARGUMENT, `gradient/..`).
 */
export function addGradients(
  builder: GraphBuilder,
  request: GradientRequest,
): readonly (Gradient | undefined)[] {
  return differentiate(builder, request, 0)
}

function differentiate(
  builder: GraphBuilder,
  request: GradientRequest,
  depth: number,
): readonly (Gradient | undefined)[] {
  if (depth > maxDepth) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'graph/recursion',
      `Functions call functions more than ${maxDepth} calls deep; functions must not call themselves.`,
    )
  }
  return builder.within(request.name ?? 'gradients', (scope) =>
    new Differentiation(builder, request, scope.slice(0, -1), depth).run(),
  )
}

/** One call's state. */
class Differentiation {
  readonly #builder: GraphBuilder
  readonly #e: Expressions
  readonly #request: GradientRequest
  readonly #source: string
  readonly #depth: number
  readonly #frames: Frames
  readonly #loops: LoopGradients
  /** By output, what flows into it; one gradient once they are added up. */
  readonly #grads = new Map<Output, Gradient[]>()
  readonly #pending = new Map<BuiltNode, number>()
  readonly #between = new Set<BuiltNode>()
  readonly #queue: BuiltNode[] = []
  readonly #xNodes: ReadonlySet<BuiltNode>
  readonly #stops: ReadonlySet<BuiltNode>

  constructor(builder: GraphBuilder, request: GradientRequest, source: string, depth: number) {
    this.#builder = builder
    this.#e = new Expressions(builder)
    this.#request = request
    this.#source = source
    this.#depth = depth
    this.#frames = new Frames(builder)
    this.#loops = new LoopGradients(this.#frames)
    this.#xNodes = new Set(request.xs.map((x) => x.node))
    const stopped = new Set((request.stopGradients ?? []).map((one) => one.node))
    this.#countPending()
    const exits = [...this.#between].filter((node) => isOp(node, 'Exit'))
    this.#loops.add(exits)
    this.#stops = new Set([...this.#leaves(), ...stopped])
  }

  run(): readonly (Gradient | undefined)[] {
    this.#begin()
    for (let at = 0; at < this.#queue.length; at++) this.#visit(this.#queue[at])
    for (const loop of this.#loops.all) loop.finish()
    return this.#request.xs.map((x) => {
      const loop = this.#loops.around(x.node, 'outputs')
      return this.#builder.inContext(loop, () => this.#aggregated(x))
    })
  }

  /** Marks the nodes between xs and ys, and counts how many of them take from each. */
  #countPending(): void {
    const reached = this.#reachedFromXs()
    const open = this.#request.ys.map((y) => y.node)
    for (let at = 0; at < open.length; at++) {
      const node = open[at]
      if (!reached.has(node) || this.#between.has(node)) continue
      this.#between.add(node)
      for (const input of node.inputs) open.push(input.node)
    }
    // A loop is differentiated with all of its exits.
    const frames = new Set([...this.#between].map((node) => this.#frames.frameOf(node)))
    for (const frame of frames) {
      const isLeft = frame?.exits.some((exit) => this.#between.has(exit))
      if (isLeft) for (const exit of frame?.exits ?? []) this.#between.add(exit)
    }
    for (const node of this.#between) {
      for (const input of node.inputs) {
        if (!this.#between.has(input.node)) continue
        this.#pending.set(input.node, (this.#pending.get(input.node) ?? 0) + 1)
      }
    }
  }

  #reachedFromXs(): Set<BuiltNode> {
    const consumers = new Map<Output, BuiltNode[]>()
    for (const node of this.#builder.nodes) {
      for (const input of node.inputs) {
        const list = consumers.get(input)
        if (list === undefined) consumers.set(input, [node])
        else list.push(node)
      }
    }
    const reached = new Set<BuiltNode>()
    const open = this.#request.xs.map((x) => x.node)
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if (reached.has(node)) continue
      reached.add(node)
      for (const output of node.outputs) {
        // An x counts even where its type is not one that gradients flow through: it is its own y.
        if (isTrainable(output.dtype)) open.push(...(consumers.get(output) ?? []))
      }
    }
    return reached
  }

  /** Nodes of xs before which nothing is differentiated. */
  #leaves(): BuiltNode[] {
    return [...this.#xNodes].filter(
      (node) => !node.inputs.some((input) => (this.#pending.get(input.node) ?? 0) > 0),
    )
  }

  #begin(): void {
    const { ys, gradYs = [] } = this.#request
    for (const [place, y] of ys.entries()) {
      const grad = gradYs[place]
      if (grad !== undefined) checkGradient(y, grad)
      const flow = grad ?? this.#ones(y, place)
      this.#flowInto(y, flow)
    }
    const begun = new Set<BuiltNode>()
    for (const { node } of ys) {
      const isLast = this.#between.has(node) && (this.#pending.get(node) ?? 0) === 0
      if (!isLast || begun.has(node)) continue
      begun.add(node)
      this.#queue.push(node)
    }
    this.#beginUnusedExits(new Set(ys.map((y) => y.node)))
  }

  /** Exits that no y needs: where others of the loop are needed, zeros flow into them. */
  #beginUnusedExits(yNodes: ReadonlySet<BuiltNode>): void {
    for (const loop of this.#loops.all) {
      for (const exit of loop.forwardExits) {
        if ((this.#pending.get(exit) ?? 0) > 0) continue
        loop.pendingExits--
        if (!yNodes.has(exit)) loop.unusedExits.push(exit)
        if (loop.pendingExits === 0) {
          for (const unused of loop.unusedExits) this.#beginUnused(unused)
        }
      }
    }
  }

  #beginUnused(exit: BuiltNode): void {
    const [output] = exit.outputs
    const zeros = isTrainable(output.dtype) ? this.#zerosFor(output, 'outputs') : undefined
    if (zeros !== undefined) this.#flowInto(output, zeros)
    this.#queue.push(exit)
  }

  #ones(y: Output, place: number): Output {
    if (isComplex(y.dtype)) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'gradient/type',
        `Gradients of complex tensors must set grad_ys (y.dtype = ${y.dtype})`,
        { names: { tensor: nameOfOutput(y) } },
      )
    }
    if (
      y.dtype === 'string' ||
      y.dtype === 'resource' ||
      y.dtype === 'variant' ||
      y.dtype === 'bool'
    ) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'gradient/type',
        `"${nameOfOutput(y)}" is of type ${y.dtype}, which has no gradient.`,
        { names: { tensor: nameOfOutput(y) } },
      )
    }
    const one = this.#e.scalar(1, y.dtype, `grad_ys_${place}/Const`)
    return this.#e.fill(this.#e.shape(y), one, `grad_ys_${place}`)
  }

  #flowInto(output: Output, gradient: Gradient): void {
    const list = this.#grads.get(output)
    if (list === undefined) this.#grads.set(output, [gradient])
    else list.push(gradient)
  }

  /** What flows into an output, added up. */
  #aggregated(output: Output): Gradient | undefined {
    const list = this.#grads.get(output)
    if (list === undefined) return undefined
    if (list.length > 1) {
      const sum = list.every(isSparse) ? joined(this.#e, list) : added(this.#e, list)
      list.splice(0, list.length, sum)
    }
    return list[0]
  }

  #visit(node: BuiltNode): void {
    const before = this.#loops.around(node, 'outputs')
    const raw = this.#builder.inContext(before, () =>
      node.outputs.map((output) => this.#aggregated(output)),
    )
    const isReached = raw.some((flow) => flow !== undefined) && !this.#stops.has(node)
    const rule = isReached ? this.#ruleOf(node) : 'none'
    if (rule !== 'none') {
      const after = this.#loops.around(node, 'inputs')
      this.#builder.inContext(after, () => this.#apply(node, rule, raw, after))
    }
    this.#release(node)
  }

  #ruleOf(node: BuiltNode): GradientFunction | 'none' {
    const rule = gradientOf(node.op)
    if (rule !== undefined) return rule
    if (this.#builder.functions.has(node.op)) return namedCallGradient
    if (node.op === 'PreventGradient') {
      const text = new TextDecoder().decode(node.attributes.get('message')?.s)
      throw noGradient(node, `Gradient explicitly disabled. Reason: ${text}`)
    }
    if (node.op === '_Arg') return 'none'
    throw noGradient(node, `No gradient defined for operation '${node.name}' (op type: ${node.op})`)
  }

  #apply(
    node: BuiltNode,
    rule: GradientFunction,
    raw: readonly (Gradient | undefined)[],
    loop: GradientLoop | undefined,
  ): void {
    const given = raw.map((flow) => flow !== undefined)
    this.#builder.within(`${node.name}_grad`, () => {
      const filled = raw.map((flow, place) => {
        const output = node.outputs[place]
        const needsZeros = flow === undefined && isTrainable(output.dtype) && !isLoopSwitch(node)
        return needsZeros ? this.#zerosFor(output, 'inputs') : flow
      })
      const { length } = node.inputs
      if (gradientOf(node.op) !== undefined) checkInputs(node, this.#builder.catalogue)
      const inputs = [...node.inputs]
      const parts = { e: this.#e, node, raw: filled, given, source: this.#source, loop }
      const found = rule(
        new Flow({
          ...parts,
          differentiate: (builder, request) => differentiate(builder, request, this.#depth + 1),
        }),
      )
      if (found.length < length) {
        throw new Error(`the gradient of ${node.op} is of ${found.length} inputs; it has ${length}`)
      }
      const gated = this.#gated(found)
      for (const [place, input] of inputs.entries()) {
        const gradient = gated[place]
        if (gradient === undefined) continue
        checkFlow(input, isSparse(gradient) ? gradient.values : gradient)
        this.#flowInto(input, gradient)
      }
    })
  }

  /** Zeros like an output; undefined for a resource. */
  #zerosFor(output: Output, side: 'inputs' | 'outputs'): Output | undefined {
    if (output.dtype === 'resource') return undefined
    const loop = this.#loops.around(output.node, side)
    return this.#builder.inContext(loop, () => this.#e.zerosLike(output))
  }

  /** Gradients that wait for each other: none is used before all of an op's are there. */
  #gated(found: readonly (Gradient | undefined)[]): readonly (Gradient | undefined)[] {
    const there = found.filter((gradient) => gradient !== undefined)
    if (this.#request.isGated !== true || there.length < 2) return found
    const e = this.#e
    return this.#builder.within('tuple', () => {
      const nodes = there.flatMap((one) => (isSparse(one) ? [one.values.node] : [one.node]))
      const barrier = e.noOp([...new Set(nodes)], 'group_deps')
      const after = (output: Output): Output =>
        this.#builder.add({
          op: 'Identity',
          name: 'control_dependency',
          inputs: [output],
          controls: [barrier],
          attributes: { T: attribute.type(output.dtype) },
        }).outputs[0]
      return found.map((one) => {
        if (one === undefined) return undefined
        return isSparse(one) ? { ...one, values: after(one.values) } : after(one)
      })
    })
  }

  /** What a node took from may now have all that flows into it. */
  #release(node: BuiltNode): void {
    for (const { node: producer } of node.inputs) {
      if (!this.#between.has(producer)) continue
      const left = (this.#pending.get(producer) ?? 0) - 1
      this.#pending.set(producer, left)
      const isReady = left === 0 || (left > 0 && isLoopSwitch(producer))
      if (!isReady) continue
      if (isOp(producer, 'Exit')) this.#defer(producer)
      else this.#queue.push(producer)
    }
  }

  /** Exits of a loop begin together: those into which nothing flows get zeros, or are left. */
  #defer(exit: BuiltNode): void {
    const loop = this.#loops.around(exit, 'inputs')
    if (loop === undefined) {
      this.#queue.push(exit)
      return
    }
    loop.deferredExits.push(exit)
    loop.pendingExits--
    if (loop.pendingExits > 0) return
    const reached = loop.deferredExits.filter((one) => this.#grads.has(one.outputs[0]))
    const unreached = loop.deferredExits.filter((one) => !this.#grads.has(one.outputs[0]))
    this.#queue.push(...reached)
    const unused = [...loop.unusedExits, ...unreached]
    if (reached.length > 0) for (const one of unused) this.#beginUnused(one)
    else this.#queue.push(...unused)
  }
}

/** Refuses a gradient of another type than its tensor: attributes of some node contradict each other. */
function checkFlow(to: Output, gradient: Output): void {
  if (to.dtype === gradient.dtype || to.dtype === 'resource') return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'gradient/type',
    `A gradient of type ${gradient.dtype} flows into ${nameOfOutput(to)} of type ${to.dtype}.`,
    { names: { tensor: nameOfOutput(to) } },
  )
}

/** Refuses what flows into a y and cannot be its gradient. */
function checkGradient(y: Output, grad: Output): void {
  if (
    isComplex(y.dtype) === isComplex(grad.dtype) &&
    isTrainable(grad.dtype) === isTrainable(y.dtype)
  ) {
    return
  }
  throw new Refusal(
    'INVALID_ARGUMENT',
    'gradient/type',
    `Gradient type ${grad.dtype} generated for tensor ${nameOfOutput(y)} with type ${y.dtype}; wanted ${y.dtype}.`,
    { names: { tensor: nameOfOutput(y) } },
  )
}

function noGradient(node: BuiltNode, message: string): Refusal {
  return new Refusal('UNIMPLEMENTED', 'gradient/unknown', message, {
    fix: 'Name a tensor behind it in stop_gradients, or put a StopGradient node there.',
    names: { node: node.name, op: node.op },
  })
}

function added(e: Expressions, list: readonly Gradient[]): Output {
  const values = list.map((one) => dense(e, one))
  return e.op('AddN', values, {
    N: attribute.int(values.length),
    T: attribute.type(values[0].dtype),
  })
}

function joined(e: Expressions, list: readonly Gradient[]): Gradient {
  const slices = list.filter(isSparse)
  const isWide = slices.some(({ indices }) => indices.dtype === 'int64')
  return {
    values: e.concat(
      slices.map(({ values }) => values),
      0,
    ),
    indices: e.concat(
      slices.map(({ indices }) => (isWide ? e.cast(indices, 'int64') : indices)),
      0,
    ),
    denseShape: slices[0].denseShape,
  }
}
