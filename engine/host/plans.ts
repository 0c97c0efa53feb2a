// Plans of requests, kept for when they are asked again: a plan is its first stage, from which the others
// are reached by what a run saw.
import type { Graph } from '../../graph/index.ts'
import { packStrings, type Tensor, type TensorType } from '../../tensor/index.ts'
import type { Device } from '../device/device.ts'
import type { RunRequest, ValueBinding } from '../engine.ts'
import {
  type Answer,
  type Donors,
  type Need,
  type Pause,
  Placement,
  planStage,
  Splats,
  type Stage,
  type StageTarget,
  Trace,
  type TraceTools,
} from '../plan/index.ts'
import { unknownDevice } from './devices.ts'
import type { Execution } from './execution.ts'
import { planKey, targetsOf, tensorOf } from './request.ts'

/** Plans kept. */
const maxPlans = 256

/** Stages kept of one plan: loops whose length only a run can tell make one for each iteration. */
const maxStages = 1024

export interface PlanOptions {
  readonly devices: readonly Device[]
  /** False keeps every array a kernel of its own. */
  readonly fuse: boolean
  /** Elements from which on variables are patched where few elements of them change. */
  readonly patchFrom: number
}

/** What is planned: a request with what was looked up for it. */
export interface Planned {
  readonly request: RunRequest
  readonly graph: Graph
  readonly feeds: ReadonlyMap<string, Tensor>
  readonly bindings: ReadonlyMap<string, ValueBinding>
  readonly donors: Donors
}

/** A plan as it is kept. */
export interface Plan {
  readonly graph: string
  readonly root: Stage
  stages: number
}

/** Told how long planning took, in milliseconds, whenever something was planned. */
export type Planning = <Result>(plan: () => Result) => Result

export class Plans {
  readonly #options: PlanOptions
  readonly #plans = new Map<string, Plan>()
  readonly #tools: TraceTools = { splats: new Splats(), constants: new WeakMap() }

  constructor(options: PlanOptions) {
    this.#options = options
  }

  /** Drops the plans of a graph. */
  dropGraph(id: string): void {
    for (const [key, plan] of this.#plans) if (plan.graph === id) this.#plans.delete(key)
  }

  /** The plan for a request. */
  of(planned: Planned, planning: Planning): Plan {
    const { request, feeds, donors } = planned
    const key = planKey(request, feeds, donors)
    const known = this.#plans.get(key)
    if (known !== undefined) {
      this.#plans.delete(key)
      this.#plans.set(key, known)
      return known
    }
    const root = planning(() => {
      const target = this.#target(request.device, donors)
      const trace = this.#trace(planned, target)
      return planStage(trace, trace.advance(), new Placement(), target)
    })
    const plan = { graph: request.graph, root, stages: 1 }
    this.#plans.set(key, plan)
    if (this.#plans.size > maxPlans) this.#plans.delete(this.#plans.keys().next().value as string)
    return plan
  }

  #trace({ request, graph, feeds, bindings }: Planned, target: StageTarget): Trace {
    return new Trace(
      {
        graph,
        types: target.devices[0].types,
        stateScope: `${request.container}\u0000${request.graph}`,
        fetches: request.fetches.map((name) => tensorOf(graph, name, 'fetch')),
        targets: targetsOf(graph, request.targets),
        feeds: new Map([...feeds].map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
        container: request.container,
        patchFrom: this.#options.patchFrom,
        variables: new Map(
          [...bindings].map(([name, { dtype, shape }]): [string, TensorType] => [
            name,
            { dtype, shape },
          ]),
        ),
      },
      this.#tools,
    )
  }

  /** The stage that follows a pause, by what the run saw. */
  async next(
    plan: Plan,
    pause: Pause,
    { request, donors }: Planned,
    execution: Execution,
    planning: Planning,
  ): Promise<Stage> {
    const { answer, key } = await answerTo(pause.need, execution)
    const known = pause.next.get(key)
    if (known !== undefined) return known
    const next = planning(() => {
      const trace = pause.trace.fork()
      trace.answer(pause.need, answer)
      const outcome = trace.advance()
      return planStage(trace, outcome, pause.placement, this.#target(request.device, donors))
    })
    if (plan.stages < maxStages) {
      pause.next.set(key, next)
      plan.stages++
    }
    return next
  }

  /** The device that a run prefers; refuses one that is not there. */
  preferred(device: string): Device {
    const { devices } = this.#options
    const found = device === '' ? devices[0] : devices.find((one) => one.facts.name === device)
    if (found === undefined) throw unknownDevice(device)
    return found
  }

  /** Devices in the order in which kernels try them. */
  #target(device: string, donors: Donors): StageTarget {
    const { devices, fuse } = this.#options
    const preferred = this.preferred(device)
    const others = devices.filter((one) => one !== preferred && one.facts.name.includes('CPU'))
    return {
      devices: [preferred, ...others].map((one) => one.facts),
      fuse,
      splats: this.#tools.splats,
      donors,
    }
  }
}

/** What was seen, and the key under which the way on from it is remembered. */
async function answerTo(
  need: Need,
  execution: Execution,
): Promise<{ readonly answer: Answer; readonly key: string }> {
  if (need.kind === 'content') {
    const tensor = await execution.tensorOf(need.value)
    return { answer: { kind: 'content', tensor }, key: contentKey(tensor) }
  }
  const shapes = execution.outputsOf(need.step).map(({ shape }) => shape)
  return { answer: { kind: 'step', shapes }, key: JSON.stringify(shapes) }
}

function contentKey(tensor: Tensor): string {
  const bytes = tensor.dtype === 'string' ? packStrings(tensor) : tensor.bytes
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
