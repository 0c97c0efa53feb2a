// The engine itself, on the thread that calls it: graphs, plans, resident values, handles, runs. Runs
// take turns. Threads and messages are in worker.ts and client.ts.
import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  isNumeric,
  type NumericTensor,
  numericTensor,
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
import { type Stage, variableKey } from '../plan/index.ts'
import type { ExecutionHost } from './contents.ts'
import type { DeviceBuffer } from './device-buffer.ts'
import { unknownDevice } from './devices.ts'
import { Donations } from './donations.ts'
import { Execution, type ExecutionResult } from './execution.ts'
import { type AskedRun, Graphs, readGraph } from './graphs.ts'
import { Handles, type HeldValue } from './handles.ts'
import { IdleWatch } from './idle.ts'
import { type Planning, Plans } from './plans.ts'
import { feedsOf } from './request.ts'
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

export class EngineCore implements Engine, ExecutionHost {
  readonly #options: CoreOptions
  readonly #residencies: ReadonlyMap<string, Residency>
  readonly #graphs = new Graphs()
  readonly #plans: Plans
  readonly #handles: Handles
  readonly #donations: Donations
  readonly #turns = new Turns()
  readonly #state: EngineState
  readonly #idle: IdleWatch

  constructor(options: CoreOptions) {
    this.#idle = new IdleWatch(options.idleMs ?? defaultIdleMs, () => this.#giveBackMemory())
    this.#options = options
    this.#residencies = new Map(
      options.devices.map((device) => [device.facts.name, new Residency(device)]),
    )
    const { devices, fuse = true } = options
    const { patchFrom = defaultPatchFrom, donateFrom = defaultDonateFrom } = options
    this.#plans = new Plans({ devices, fuse, patchFrom })
    this.#handles = new Handles((device) => this.residency(device))
    this.#donations = new Donations([...this.#residencies.values()], donateFrom)
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
    return this.#handles.of(handle).value
  }

  async load(id: string, graphDef: Uint8Array): Promise<GraphSummary> {
    const loaded = readGraph(graphDef)
    await this.unload(id)
    this.#graphs.set(id, loaded)
    return loaded.summary
  }

  unload(id: string): Promise<void> {
    return this.#turn(async () => {
      if (!this.#graphs.delete(id)) return
      this.#plans.dropGraph(id)
      this.#state.dropGraph(id)
      for (const residency of this.#residencies.values()) residency.dropConstants()
    })
  }

  async effects(run: AskedRun): Promise<RunEffects> {
    return this.#graphs.effects(run)
  }

  run(request: RunRequest): Promise<RunReply> {
    return this.#turn(() => this.#run(request))
  }

  async #run(request: RunRequest): Promise<RunReply> {
    for (const residency of this.#residencies.values()) residency.noticeLoss()
    const { graph } = this.#graphs.of(request.graph)
    const feeds = feedsOf(graph, request.feeds)
    const bindings = new Map<string, ValueBinding>()
    for (const { container, name, binding } of request.variables) {
      if (binding !== null) bindings.set(variableKey(container, name), binding)
    }
    const started = performance.now()
    const state = this.#state.overlay()
    const execution = new Execution(this, feeds, bindings, state)
    this.#settle(bindings)
    const effects = this.#graphs.effects({ ...request, feeds: Object.keys(request.feeds) })
    const donors = this.#donations.of(effects, bindings)
    const planned = { request, graph, feeds, bindings, donors }
    const report = {
      planned: false,
      planMs: 0,
      kernels: 0,
      softPlaced: [] as Stage['softPlaced'][number][],
    }
    const planning: Planning = (plan) => {
      const from = performance.now()
      report.planned = true
      const result = plan()
      report.planMs += performance.now() - from
      return result
    }
    try {
      const plan = this.#plans.of(planned, planning)
      let stage = plan.root
      for (;;) {
        for (const { planned } of stage.kernels) report.kernels += planned.length
        report.softPlaced.push(...stage.softPlaced)
        await execution.runStage(stage)
        if (stage.end.kind === 'finish') break
        stage = await this.#plans.next(plan, stage.end, planned, execution, planning)
      }
      const result = await execution.finish(stage.end)
      state.commit()
      return {
        fetches: result.fetches,
        assigned: this.#assigned(result, bindings),
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
      device: this.#plans.preferred(request.device).facts.name,
    }
  }

  /** A buffer that can show two values shows one in a run. */
  #settle(bindings: ReadonlyMap<string, ValueBinding>): void {
    const residencies = [...this.#residencies.values()]
    if (!residencies.some((residency) => residency.hasEdits)) return
    const keys = new Set<ValueKey>()
    const buffers = new Set<DeviceBuffer>()
    for (const binding of bindings.values()) {
      if ('value' in binding) keys.add(binding.value)
      else {
        const held = this.#handles.peek(binding.handle)?.value
        if (held?.kind === 'buffer') buffers.add(held.buffer)
      }
    }
    for (const residency of residencies) residency.settle(keys, buffers)
  }

  #assigned(result: ExecutionResult, bindings: ReadonlyMap<string, ValueBinding>): Assigned[] {
    const keyed = ({ variable }: ExecutionResult['assigned'][number]): string =>
      variableKey(variable.container, variable.name)
    const keys = new Set(result.assigned.map(keyed))
    const lineages = this.#donations.ran(bindings, keys, result.overwritten)
    return result.assigned.map((one) => {
      const { variable, value, shape, since } = one
      const { container, name, dtype } = variable
      const lineage = lineages.get(keyed(one))
      const handle = this.#handles.add({ value, dtype, shape, lineage })
      return { container, name, handle, dtype, shape, ...since }
    })
  }

  async read(handle: Handle): Promise<Tensor> {
    return this.#turn(async () => {
      const { value, shape } = this.#handles.of(handle)
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
      const { value, dtype } = this.#handles.of(handle)
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
      const held = this.#handles.take(handle)
      if (held.lineage !== undefined) this.#donations.remember(value, held.lineage)
      if (held.value.kind !== 'buffer') return
      const residency = this.residency(held.value.device)
      if (residency.isLive(held.value.buffer)) residency.keep(value, held.value.buffer)
    })
  }

  release(handle: Handle): Promise<void> {
    return this.#turn(async () => {
      const { value } = this.#handles.take(handle)
      if (value.kind === 'buffer') this.residency(value.device).revert(value.buffer)
    })
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
        if (this.#handles.hasAnyOn(device.facts.name)) continue
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
