// Walks a pruned graph and asks every op to lower itself, from symbolic values to symbolic values.
// Functions are walked in place. Where an op needs what only a run can tell, the walk stops with a
// Need, can be copied, and goes on with the answer.
import { type Edge, type GraphNode, isBackEdge, type Loop } from '../../graph/index.ts'
import { Refusal, type Shape } from '../../tensor/index.ts'
import {
  Attributes,
  type Call,
  type Compute,
  definitionOf,
  type HostStep,
  type Lowered,
  type OpDefinition,
  type TensorValue,
  type Value,
} from '../ops/index.ts'
import {
  calleeFrame,
  copyFrame,
  type Frame,
  type LoopState,
  maxDepth,
  maxNodes,
  neededPlaces,
  type Pending,
  rootFrame,
} from './frame.ts'
import { outputCount, portOffset, unknownOp } from './library.ts'
import { NodeLowering } from './lowering.ts'
import { namingNode } from './naming.ts'
import { type Answer, type Need, Suspension } from './need.ts'
import { type TraceRequest, TraceState, type TraceTools, type VariableState } from './tracing.ts'

/** What a finished walk gives. */
export interface Traced {
  readonly fetches: readonly TensorValue[]
  readonly assigned: readonly VariableState[]
  /** Steps that run whether or not anything needs them. */
  readonly steps: readonly HostStep[]
  /** Computes that can fail and whose checks count whether or not anything needs them. */
  readonly checked: readonly Compute[]
}

/** The walk of one request through its graph. */
export class Trace {
  readonly state: TraceState
  #frames: Frame[]
  #results: readonly Value[] | undefined
  /** Results of a call whose continuation has still to run. */
  #pending: Pending | undefined
  /** Steps answered for the node at hand, in order. */
  #answers: { readonly step: HostStep; readonly shapes: readonly Shape[] }[] = []
  #walked = 0

  constructor(request: TraceRequest, tools: TraceTools, from?: Trace) {
    this.state = from === undefined ? new TraceState(request, tools) : from.state.copy()
    this.#frames = from === undefined ? [rootFrame(request)] : from.#frames.map(copyFrame)
    if (from === undefined) return
    this.#pending = from.#pending
    this.#answers = [...from.#answers]
    this.#walked = from.#walked
  }

  /** A copy that goes its own way from here. */
  fork(): Trace {
    return new Trace(this.state.request, this.state.tools, this)
  }

  /** Takes the answer to the need that {@link Trace.advance} stopped with. */
  answer(need: Need, answer: Answer): void {
    if (need.kind === 'content' && answer.kind === 'content') {
      if (need.value.kind === 'array') this.state.contents.set(need.value.source, answer.tensor)
    } else if (need.kind === 'step' && answer.kind === 'step') {
      this.#answers.push({ step: need.step, shapes: answer.shapes })
    } else {
      throw new Error('the answer is of another kind than the need')
    }
  }

  /** Walks on, to the end (its results) or to a need. */
  advance(): Need | Traced {
    for (;;) {
      const frame = this.#frames[this.#frames.length - 1]
      if (this.#pending === undefined && frame.next === frame.units.length) {
        if (frame.loop === undefined) this.#leave(frame)
        else this.#endIteration(frame, frame.loop)
        if (this.#frames.length === 0) return this.#traced()
        continue
      }
      const unit = frame.units[frame.next]
      const need = typeof unit === 'number' ? this.#walkNode(frame, unit) : this.#enterLoop(unit)
      if (need !== undefined) return need
    }
  }

  #walkNode(frame: Frame, place: number): Need | undefined {
    const node = frame.body.nodes[place]
    if (++this.#walked > maxNodes) throw tooLong()
    const [steps, checked] = [this.state.steps.length, this.state.checked.length]
    let lowered: Lowered
    try {
      lowered =
        this.#pending === undefined
          ? this.#lower(frame, place)
          : this.#pending.resume(this.#loweringOf(frame, place), this.#pending.outputs)
    } catch (error) {
      if (!(error instanceof Suspension))
        throw namingNode(error, `${frame.path}${node.name}`, node.op)
      // The lowering begins again once the answer is there.
      this.state.steps.length = steps
      this.state.checked.length = checked
      return error.need
    }
    this.#pending = undefined
    this.#answers = []
    if ('kind' in lowered) this.#enter(frame, node, lowered)
    else {
      frame.values.set(place, lowered)
      frame.next++
    }
    return undefined
  }

  #enterLoop(loop: Loop): undefined {
    const around = this.#frames[this.#frames.length - 1]
    if (this.#frames.length >= maxDepth) throw tooLong()
    this.#frames.push({
      ...around,
      units: loop.units,
      outputs: [],
      next: 0,
      values: new Map(),
      dead: new Set(),
      resume: undefined,
      holds: [],
      loop: { loop, iteration: 0, carried: new Map(), left: new Map() },
    })
    return undefined
  }

  /** Goes on with the next iteration, or leaves the loop where nothing is carried on. */
  #endIteration(frame: Frame, state: LoopState): void {
    const { loop, iteration, left } = state
    for (const place of loop.exits) {
      const value = frame.values.get(place)?.[0]
      if (value !== undefined && value.kind !== 'dead') left.set(place, value)
    }
    const carried = new Map<number, Value>()
    for (const place of loop.merges) {
      const merge = frame.body.nodes[place]
      const back = merge.inputs.find((edge) => isBackEdge(frame.body.nodes[edge.node], merge))
      const value = back === undefined ? undefined : frame.values.get(back.node)?.[back.index]
      if (value !== undefined && value.kind !== 'dead') carried.set(place, value)
    }
    this.#frames.pop()
    if (carried.size > 0) {
      const constants = loop.enters.filter(
        (place) => frame.body.nodes[place].attributes.get('is_constant')?.b === true,
      )
      const values = new Map(
        constants.map((place) => [place, frame.values.get(place) as readonly Value[]]),
      )
      const dead = new Set(constants.filter((place) => frame.dead.has(place)))
      const next = { loop, iteration: iteration + 1, carried, left }
      this.#frames.push({ ...frame, next: 0, values, dead, loop: next })
      return
    }
    const around = this.#frames[this.#frames.length - 1]
    for (const place of loop.exits) {
      const value = left.get(place)
      around.values.set(place, [value ?? deadValue])
      if (value === undefined) around.dead.add(place)
    }
    around.next++
  }

  #lower(frame: Frame, place: number): Lowered {
    const node = frame.body.nodes[place]
    const already = frame.values.get(place)
    // Arguments of a function, and constants of a loop after its first iteration, are there already.
    if (already !== undefined) return already
    const direct = this.state.request.graph.functions.get(node.op)
    const definition = definitionOf(node.op)
    if (definition === undefined && direct === undefined) throw unknownOp(node, frame.path)
    const isMerge = node.op === 'Merge' || node.op === 'RefMerge'
    const inputs = isMerge
      ? this.#mergeInputs(frame, place)
      : node.inputs.map((edge) => this.#valueOf(frame, edge))
    const isDead = isMerge
      ? inputs.every(isDeadValue)
      : inputs.some(isDeadValue) || node.controls.some((control) => this.#isDead(frame, control))
    if (isDead && node.op !== 'ControlTrigger') {
      frame.dead.add(place)
      return new Array<Value>(outputCount(this.state.request.graph, node, frame.bindings)).fill(
        deadValue,
      )
    }
    if (definition === undefined) {
      return {
        kind: 'call',
        function: { name: node.op, bindings: node.attributes },
        inputs,
        holds: [],
        resume: (_at, outputs) => outputs,
      }
    }
    return definition.lower(this.#nodeLowering(frame, node, definition, inputs))
  }

  #nodeLowering(
    frame: Frame,
    node: GraphNode,
    definition: OpDefinition,
    raw: readonly Value[],
  ): NodeLowering {
    return new NodeLowering({
      trace: this.state,
      node,
      path: frame.path,
      definition,
      attributes: new Attributes(node, definition.attributes, frame.bindings),
      raw,
      device: node.device === '' ? frame.device : node.device,
      answers: this.#answers,
    })
  }

  /** The lowering of a node whose call has come back. */
  #loweringOf(frame: Frame, place: number): NodeLowering {
    const node = frame.body.nodes[place]
    const inputs = node.inputs.map((edge) => this.#valueOf(frame, edge))
    return this.#nodeLowering(
      frame,
      node,
      definitionOf(node.op) ?? directCall(node, inputs),
      inputs,
    )
  }

  /** Inputs of a Merge: in a loop the first iteration's, or what the one before carried on. */
  #mergeInputs(frame: Frame, place: number): Value[] {
    const merge = frame.body.nodes[place]
    const state = frame.loop
    const isOfLoop = merge.inputs.some((edge) => isBackEdge(frame.body.nodes[edge.node], merge))
    return merge.inputs.map((edge) => {
      // That of a conditional within a loop takes what its own iteration made.
      if (!isOfLoop) return this.#valueOf(frame, edge)
      const isBack = isBackEdge(frame.body.nodes[edge.node], merge)
      if (!isBack && (state === undefined || state.iteration === 0))
        return this.#valueOf(frame, edge)
      return (isBack ? state?.carried.get(place) : undefined) ?? deadValue
    })
  }

  /** The frame itself, then those around it that a loop sees. */
  *#visible(frame: Frame): Generator<Frame> {
    let at = this.#frames.indexOf(frame)
    for (let one: Frame | undefined = frame; one !== undefined; one = this.#frames[--at]) {
      yield one
      if (one.loop === undefined) return
    }
  }

  #isDead(frame: Frame, place: number): boolean {
    for (const one of this.#visible(frame)) if (one.dead.has(place)) return true
    return false
  }

  #valueOf(frame: Frame, edge: Edge): Value {
    if (frame.path === '') {
      const name = `${frame.body.nodes[edge.node].name}:${edge.index}`
      const type = this.state.request.feeds.get(name)
      if (type !== undefined) return this.state.fed(name, type)
    }
    let values: readonly Value[] | undefined
    for (const one of this.#visible(frame)) {
      values ??= one.values.get(edge.node)
    }
    const producer = frame.body.nodes[edge.node]
    const index =
      edge.index +
      (edge.port === ''
        ? 0
        : portOffset(this.state.request.graph, producer, edge.port, frame.bindings, frame.path))
    const value = values?.[index]
    if (value === undefined) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'graph/port',
        `Node "${frame.path}${producer.name}" (op ${producer.op}) has no output ${index}; it has ${values?.length ?? 0}.`,
        { names: { node: `${frame.path}${producer.name}`, output: index } },
      )
    }
    return value
  }

  #enter(caller: Frame, node: GraphNode, call: Call): void {
    this.#frames.push(
      calleeFrame(this.state.request.graph, caller, node, call, this.#frames.length),
    )
  }

  #leave(frame: Frame): void {
    const outputs = frame.outputs.map((edge) => this.#valueOf(frame, edge))
    this.#frames.pop()
    if (frame.resume === undefined) this.#results = outputs
    else this.#pending = { resume: frame.resume, outputs, holds: frame.holds }
  }

  #traced(): Traced {
    const { fetches } = this.state.request
    const values = (this.#results ?? []).map((value, place): TensorValue => {
      const name = `${fetches[place].node}:${fetches[place].index}`
      if (value.kind === 'reference') return this.state.readVariable(value.variable)
      if (value.kind === 'known' || value.kind === 'array') return this.state.resolved(value)
      if (value.kind === 'dead') {
        throw new Refusal(
          'INVALID_ARGUMENT',
          'run/dead-fetch',
          `Retval[${place}] does not have value: "${name}" is in a branch that was not taken.`,
          { names: { tensor: name } },
        )
      }
      throw new Refusal(
        'INVALID_ARGUMENT',
        'run/fetch-type',
        `"${name}" is of type ${value.dtype}, which cannot be fetched.`,
        { names: { tensor: name } },
      )
    })
    return {
      fetches: values,
      assigned: [...this.state.variables.values()].filter((one) => one.assigned),
      steps: this.state.steps,
      checked: this.state.checked,
    }
  }

  /** Everything that the rest of the walk may need, and nothing that it surely does not. */
  liveValues(): Value[] {
    const live: Value[] = [...(this.#pending?.outputs ?? []), ...(this.#pending?.holds ?? [])]
    for (const frame of this.#frames) {
      live.push(...frame.holds)
      if (frame.loop !== undefined) {
        live.push(...frame.loop.carried.values(), ...frame.loop.left.values())
      }
      for (const place of neededPlaces(frame)) live.push(...(frame.values.get(place) ?? []))
    }
    live.push(...this.state.liveValues())
    return live
  }
}

/** A call of a function by its name as an op, seen as an op without a signature. */
function directCall(node: GraphNode, inputs: readonly Value[]): OpDefinition {
  const argument = (value: Value, place: number): OpDefinition['inputs'][number] => ({
    name: `input_${place}`,
    type: { dtype: value.dtype },
    countAttribute: undefined,
    typeList: false,
    reference: false,
  })
  return {
    name: node.op,
    inputs: inputs.map(argument),
    outputs: [],
    attributes: new Map(),
    stateful: false,
    always: false,
    declares: undefined,
    calls: undefined,
    writes: [],
    reads: true,
    infer: undefined,
    lower: () => {
      throw new Error('a call by name is entered, not lowered')
    },
  }
}

const deadValue: Value = { kind: 'dead', dtype: 'float32' }

function tooLong(): Refusal {
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    'run/too-long',
    `The run takes more than ${maxNodes} operations once its loops are unrolled, or nests them too deep.`,
  )
}

function isDeadValue(value: Value): boolean {
  return value.kind === 'dead'
}
