// The engine itself, on the thread that calls it: graphs, plans, resident values, handles, runs. Runs
// take turns. Threads and messages are in worker.ts and client.ts.
import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { type Graph, graphOf } from '../../graph/index.ts'
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  isNumeric,
  type NumericTensor,
  numericTensor,
  packStrings,
  Refusal,
  type Tensor,
  type TensorType,
} from '../../tensor/index.ts'
import type { Device } from '../device/device.ts'
import type {
  Assigned,
  ByteRange,
  DeviceStatus,
  Engine,
  GraphSummary,
  Handle,
  RunEffects,
  RunReply,
  RunReport,
  RunRequest,
  ValueBinding,
  ValueKey,
} from '../engine.ts'
import {
  type Answer,
  type Donors,
  effectsOf,
  type Need,
  noDonors,
  type Pause,
  Placement,
  planStage,
  Splats,
  type Stage,
  type StageTarget,
  summaryOf,
  Trace,
  type TraceTools,
  variableKey,
} from '../plan/index.ts'
import type { DeviceBuffer } from './device-buffer.ts'
import { Execution, type ExecutionHost, type ExecutionResult, type HeldValue } from './execution.ts'
import { IdleWatch } from './idle.ts'
import { decodeGraph, feedsOf, keyOf, planKey, targetsOf, tensorOf } from './request.ts'
import { Residency } from './residency.ts'
import { EngineState } from './state.ts'
import { Turns } from './turns.ts'

/** What an engine on the calling thread is made of. */
export interface CoreOptions {
  /** The preferred device first; `/device:CPU:0` (or the reference device) is among them. */
  readonly devices: readonly Device[]
  readonly readValue: (value: ValueKey) => Promise<Uint8Array>
  /** False keeps every array a kernel of its own; for tests that compare. */
  readonly fuse?: boolean
  /** Idle time after which spare memory goes back to the system; a minute where it is absent. */
  readonly idleMs?: number | undefined
  /** Elements from which on variables are patched where few elements of them change; for tests. */
  readonly patchFrom?: number
  /** Elements from which on values that are made anew may take the place of old ones; for tests. */
  readonly donateFrom?: number
  /** A fresh 64-bit number for random streams without a seed. */
  readonly randomSeed?: () => bigint
}

/** A device that so long had nothing to do may begin anew, without its spare memory. */
const defaultIdleMs = 60_000
/** Less spare memory is not worth it. */
const leastIdleBytes = 64 * 2 ** 20

/** Below so many elements making a variable anew costs no more than patching it. */
const defaultPatchFrom = 2 ** 16
/** Below so many elements memory for a second value is not worth loading the first again, should it be wanted. */
const defaultDonateFrom = 2 ** 18

/** Plans kept. */
const maxPlans = 256

/** Stages kept of one plan: loops whose length only a run can tell make one for each iteration. */
const maxStages = 1024

/** A plan: its first stage, from which the others are reached. */
interface CachedPlan {
  readonly graph: string
  readonly root: Stage
  stages: number
}

interface LoadedGraph {
  readonly graph: Graph
  readonly summary: GraphSummary
  /** By request; so that a run asked again and again is looked through once. */
  readonly effects: Map<string, RunEffects>
}

/** Effects kept of one graph. */
const maxEffects = 256

interface Held {
  readonly value: HeldValue
  readonly dtype: DType
  readonly shape: readonly number[]
}

export class EngineCore implements Engine, ExecutionHost {
  readonly #options: CoreOptions
  readonly #residencies: ReadonlyMap<string, Residency>
  readonly #graphs = new Map<string, LoadedGraph>()
  readonly #plans = new Map<string, CachedPlan>()
  readonly #handles = new Map<Handle, Held>()
  readonly #turns = new Turns()
  readonly #state: EngineState
  readonly #tools: TraceTools = { splats: new Splats(), constants: new WeakMap() }
  readonly #idle: IdleWatch
  #nextHandle = 1

  constructor(options: CoreOptions) {
    this.#idle = new IdleWatch(options.idleMs ?? defaultIdleMs, () => this.#giveBackMemory())
    this.#options = options
    this.#residencies = new Map(
      options.devices.map((device) => [device.facts.name, new Residency(device)]),
    )
    const randomSeed = options.randomSeed ?? (() => randomBytes(8).readBigUInt64LE())
    this.#state = new EngineState(randomSeed, threadsOf(options.devices))
  }

  residency(device: string): Residency {
    const residency = this.#residencies.get(device)
    if (residency === undefined) throw unknownDevice(device)
    return residency
  }

  readValue(value: ValueKey): Promise<Uint8Array> {
    return this.#options.readValue(value)
  }

  held(handle: Handle): HeldValue {
    return this.#heldOf(handle).value
  }

  #heldOf(handle: Handle): Held {
    const held = this.#handles.get(handle)
    if (held === undefined) {
      throw new Refusal(
        'NOT_FOUND',
        'engine/handle',
        `There is no value with the handle ${handle}.`,
      )
    }
    const { value } = held
    if (value.kind === 'buffer' && !this.residency(value.device).isLive(value.buffer)) {
      throw new Refusal(
        'UNAVAILABLE',
        'device/lost',
        `The value with the handle ${handle} was on ${value.device}, which was lost.`,
        { names: { device: value.device } },
      )
    }
    return held
  }

  async load(id: string, graphDef: Uint8Array): Promise<GraphSummary> {
    // A copy: constants are views into it, for as long as the graph lives.
    const graph = graphOf(decodeGraph(Uint8Array.from(graphDef)))
    const summary = summaryOf(graph)
    await this.unload(id)
    this.#graphs.set(id, { graph, summary, effects: new Map() })
    return summary
  }

  unload(id: string): Promise<void> {
    return this.#turn(async () => {
      if (!this.#graphs.delete(id)) return
      for (const [key, plan] of this.#plans) {
        if (plan.graph === id) this.#plans.delete(key)
      }
      this.#state.dropGraph(id)
      for (const residency of this.#residencies.values()) residency.dropConstants()
    })
  }

  #graph(id: string): LoadedGraph {
    const loaded = this.#graphs.get(id)
    if (loaded !== undefined) return loaded
    throw new Refusal('NOT_FOUND', 'graph/unknown', `There is no graph "${id}".`, {
      names: { graph: id },
    })
  }

  async effects(
    run: Pick<RunRequest, 'graph' | 'fetches' | 'targets' | 'container'> & {
      readonly feeds: readonly string[]
    },
  ): Promise<RunEffects> {
    const { graph, effects } = this.#graph(run.graph)
    const key = JSON.stringify([run.fetches, run.targets, run.feeds, run.container])
    const known = effects.get(key)
    if (known !== undefined) return known
    const feeds = new Set(run.feeds.map((name) => keyOf(tensorOf(graph, name, 'feed'))))
    const found = effectsOf(
      graph,
      run.fetches.map((name) => tensorOf(graph, name, 'fetch')),
      targetsOf(graph, run.targets),
      feeds,
      run.container,
    )
    if (effects.size >= maxEffects) effects.delete(effects.keys().next().value as string)
    effects.set(key, found)
    return found
  }

  run(request: RunRequest): Promise<RunReply> {
    return this.#turn(() => this.#run(request))
  }

  async #run(request: RunRequest): Promise<RunReply> {
    for (const residency of this.#residencies.values()) residency.noticeLoss()
    const { graph } = this.#graph(request.graph)
    const feeds = feedsOf(graph, request.feeds)
    const bindings = new Map<string, ValueBinding>()
    for (const { container, name, binding } of request.variables) {
      if (binding !== null) bindings.set(variableKey(container, name), binding)
    }
    const started = performance.now()
    const state = this.#state.overlay()
    const execution = new Execution(this, feeds, bindings, state)
    this.#settle(bindings)
    const donors = await this.#donors(request, bindings)
    const report = {
      planned: false,
      planMs: 0,
      kernels: 0,
      softPlaced: [] as Stage['softPlaced'][number][],
    }
    const planning = async <Result>(plan: () => Result): Promise<Result> => {
      const from = performance.now()
      report.planned = true
      const result = plan()
      report.planMs += performance.now() - from
      return result
    }
    try {
      const plan = await this.#plan(request, graph, feeds, bindings, donors, planning)
      let stage = plan.root
      for (;;) {
        for (const { planned } of stage.kernels) report.kernels += planned.length
        report.softPlaced.push(...stage.softPlaced)
        await execution.runStage(stage)
        if (stage.end.kind === 'finish') break
        stage = await this.#continue(plan, stage.end, request, donors, execution, planning)
      }
      const result = await execution.finish(stage.end)
      state.commit()
      return {
        fetches: result.fetches,
        assigned: this.#assigned(result),
        report:
          request.report === true ? this.#report(request, report, execution, started) : undefined,
      }
    } catch (error) {
      execution.abandon()
      throw error
    }
  }

  #report(
    request: RunRequest,
    partial: Pick<RunReport, 'planned' | 'planMs' | 'kernels' | 'softPlaced'>,
    execution: Execution,
    started: number,
  ): RunReport {
    return {
      ...partial,
      ...execution.counts,
      runMs: performance.now() - started - partial.planMs,
      device: this.#target(request.device, noDonors).devices[0].name,
    }
  }

  /** A buffer that can show two values shows one in a run. */
  #settle(bindings: ReadonlyMap<string, ValueBinding>): void {
    const keys = new Set<ValueKey>()
    const buffers = new Set<DeviceBuffer>()
    for (const binding of bindings.values()) {
      if ('value' in binding) keys.add(binding.value)
      else {
        const held = this.#handles.get(binding.handle)?.value
        if (held?.kind === 'buffer') buffers.add(held.buffer)
      }
    }
    for (const residency of this.#residencies.values()) residency.settle(keys, buffers)
  }

  /**
   * Variables that the run assigns and whose copies it may change: those of values that the store has,
   * and that are nothing else's in this run.
   */
  async #donors(request: RunRequest, bindings: ReadonlyMap<string, ValueBinding>): Promise<Donors> {
    const { writes } = await this.effects({ ...request, feeds: Object.keys(request.feeds) })
    if (writes.length === 0) return noDonors
    const counts = new Map<ValueKey, number>()
    for (const binding of bindings.values()) {
      if ('value' in binding) counts.set(binding.value, (counts.get(binding.value) ?? 0) + 1)
    }
    const own = writes.flatMap(({ container, name }): [string, ValueBinding][] => {
      const key = variableKey(container, name)
      const binding = bindings.get(key)
      return binding === undefined || !this.#isDonor(binding, counts) ? [] : [[key, binding]]
    })
    const { donateFrom = defaultDonateFrom } = this.#options
    const whole = own.filter(([, { shape }]) => elementCountOf(shape) >= donateFrom)
    return { patched: new Set(own.map(([key]) => key)), whole: new Set(whole.map(([key]) => key)) }
  }

  #isDonor(binding: ValueBinding, counts: ReadonlyMap<ValueKey, number>): boolean {
    if (!('value' in binding) || counts.get(binding.value) !== 1) return false
    if (!isNumeric(binding.dtype)) return false
    return ![...this.#residencies.values()].some((one) => one.isOlder(binding.value))
  }

  #assigned(result: ExecutionResult): Assigned[] {
    return result.assigned.map(({ variable, value, shape, since }) => {
      const handle = this.#nextHandle++
      const { container, name, dtype } = variable
      this.#handles.set(handle, { value, dtype, shape })
      return { container, name, handle, dtype, shape, ...since }
    })
  }

  async #plan(
    request: RunRequest,
    graph: Graph,
    feeds: ReadonlyMap<string, Tensor>,
    bindings: ReadonlyMap<string, ValueBinding>,
    donors: Donors,
    planning: <Result>(plan: () => Result) => Promise<Result>,
  ): Promise<CachedPlan> {
    const key = planKey(request, feeds, [[...donors.patched], [...donors.whole]])
    const known = this.#plans.get(key)
    if (known !== undefined) {
      this.#plans.delete(key)
      this.#plans.set(key, known)
      return known
    }
    const root = await planning(() => {
      const target = this.#target(request.device, donors)
      const trace = new Trace(
        {
          graph,
          types: target.devices[0].types,
          stateScope: `${request.container}\u0000${request.graph}`,
          fetches: request.fetches.map((name) => tensorOf(graph, name, 'fetch')),
          targets: targetsOf(graph, request.targets),
          feeds: new Map([...feeds].map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
          container: request.container,
          patchFrom: this.#options.patchFrom ?? defaultPatchFrom,
          variables: new Map(
            [...bindings].map(([name, { dtype, shape }]): [string, TensorType] => [
              name,
              { dtype, shape },
            ]),
          ),
        },
        this.#tools,
      )
      return planStage(trace, trace.advance(), new Placement(), target)
    })
    const plan = { graph: request.graph, root, stages: 1 }
    this.#plans.set(key, plan)
    if (this.#plans.size > maxPlans) this.#plans.delete(this.#plans.keys().next().value as string)
    return plan
  }

  async #continue(
    plan: CachedPlan,
    pause: Pause,
    request: RunRequest,
    donors: Donors,
    execution: Execution,
    planning: <Result>(plan: () => Result) => Promise<Result>,
  ): Promise<Stage> {
    const { answer, key } = await answerTo(pause.need, execution)
    const known = pause.next.get(key)
    if (known !== undefined) return known
    const next = await planning(() => {
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

  /** Devices in the order in which kernels try them. */
  #target(device: string, donors: Donors): StageTarget {
    const { devices, fuse } = this.#options
    const preferred = device === '' ? devices[0] : devices.find((one) => one.facts.name === device)
    if (preferred === undefined) throw unknownDevice(device)
    const others = devices.filter((one) => one !== preferred && one.facts.name.includes('CPU'))
    return {
      devices: [preferred, ...others].map((one) => one.facts),
      fuse: fuse ?? true,
      splats: this.#tools.splats,
      donors,
    }
  }

  async read(handle: Handle): Promise<Tensor> {
    return this.#turn(async () => {
      const { value, shape } = this.#heldOf(handle)
      if (value.kind === 'buffer') {
        const residency = this.residency(value.device)
        residency.showNewer(value.buffer)
        return residency.read(value.buffer, shape)
      }
      const { tensor } = value
      return tensor.dtype === 'string' ? tensor : { ...tensor, bytes: new Uint8Array(tensor.bytes) }
    })
  }

  readRanges(handle: Handle, ranges: readonly ByteRange[]): Promise<readonly Uint8Array[]> {
    return this.#turn(async () => {
      const { value, dtype } = this.#heldOf(handle)
      if (!isNumeric(dtype)) throw new Error('strings have no ranges')
      if (value.kind === 'tensor') {
        const { bytes } = value.tensor as NumericTensor
        return ranges.map(
          ({ offset, length }) => new Uint8Array(bytes.slice(offset, offset + length)),
        )
      }
      const residency = this.residency(value.device)
      residency.showNewer(value.buffer)
      return residency.readRanges(value.buffer, ranges)
    })
  }

  adopt(handle: Handle, value: ValueKey): Promise<void> {
    // In turn: a run that was asked before may still read the value by its handle.
    return this.#turn(async () => {
      const held = this.#take(handle)
      if (held.value.kind !== 'buffer') return
      const residency = this.residency(held.value.device)
      if (residency.isLive(held.value.buffer)) residency.keep(value, held.value.buffer)
    })
  }

  release(handle: Handle): Promise<void> {
    return this.#turn(async () => {
      const { value } = this.#take(handle)
      if (value.kind === 'buffer') this.residency(value.device).revert(value.buffer)
    })
  }

  #take(handle: Handle): Held {
    const held = this.#handles.get(handle)
    if (held === undefined) throw this.#noHandle(handle)
    this.#handles.delete(handle)
    return held
  }

  #noHandle(handle: Handle): Refusal {
    return new Refusal('NOT_FOUND', 'engine/handle', `There is no value with the handle ${handle}.`)
  }

  prefetch(
    device: string,
    values: readonly (TensorType & { readonly value: ValueKey })[],
  ): Promise<void> {
    return this.#turn(async () => {
      const residency = this.residency(device)
      residency.noticeLoss()
      for (const { value, dtype, shape } of values) {
        if (residency.value(value) !== undefined || elementCountOf(shape) === 0) continue
        if (!isNumeric(dtype) || !(residency.device.facts.types as ReadonlySet<DType>).has(dtype))
          continue
        const tensor = numericTensor(dtype, shape, await this.#options.readValue(value))
        const buffer = residency.take(dtype as never, elementCountOf(shape))
        residency.keep(value, buffer)
        await residency.submit(
          [{ kind: 'write', buffer: buffer.buffer, offset: 0, bytes: tensor.bytes }],
          values.flatMap((one) => residency.value(one.value) ?? []),
        )
      }
    })
  }

  evict(device: string, values?: readonly ValueKey[]): Promise<void> {
    return this.#turn(async () => {
      const residency = this.residency(device)
      residency.evict(values)
      await residency.submit([], [])
    })
  }

  async dropState(container: string): Promise<void> {
    this.#state.drop(`${container}\u0000`)
  }

  async devices(): Promise<readonly DeviceStatus[]> {
    return Promise.all(
      [...this.#residencies.values()].map(async (residency) => {
        const { device } = residency
        residency.noticeLoss()
        const { types, ...facts } = device.facts
        return {
          facts: { ...facts, types: [...types] },
          memory: { ...(await device.memory()), ...residency.held },
          generation: device.generation,
          resident: [...residency.values].map(([value, { dtype, elementCount }]) => ({
            value,
            byteLength: elementCount * byteLengthOf(dtype),
          })),
          state: 'ready' as const,
        }
      }),
    )
  }

  #turn<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#idle.touch()
    return this.#turns.take(work)
  }

  /** After a while without work: room that no value needs goes back to the system, if it is much. */
  async #giveBackMemory(): Promise<void> {
    await this.#turns.take(async () => {
      for (const residency of this.#residencies.values()) {
        const { device } = residency
        const hasHandles = [...this.#handles.values()].some(
          ({ value }) => value.kind === 'buffer' && value.device === device.facts.name,
        )
        if (hasHandles) continue
        residency.noticeLoss()
        const { reservedBytes } = await device.memory()
        const { valueBytes, constantBytes } = residency.held
        const idleBytes = reservedBytes - valueBytes - constantBytes
        if (idleBytes >= leastIdleBytes && idleBytes >= reservedBytes / 2) await device.renew()
        residency.noticeLoss()
      }
    })
  }

  async close(): Promise<void> {
    this.#idle.close()
    await this.#turns.take(async () => {
      for (const { device } of this.#residencies.values()) await device.close()
      await this.#state.close()
    })
  }
}

/** Threads of the CPU device; 1 where there is none. */
function threadsOf(devices: readonly Device[]): number {
  const device = devices.find(({ facts }) => facts.kind === 'wasm')
  return Number(device?.facts.limits.threads ?? 1)
}

function unknownDevice(device: string): Refusal {
  return new Refusal('NOT_FOUND', 'device/unknown', `There is no device "${device}".`, {
    names: { device },
  })
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
