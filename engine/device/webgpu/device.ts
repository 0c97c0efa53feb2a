// The WebGPU device: the port's lists in, frames to the GPU process out. It remembers compiled kernels
// and which life of the process they belong to; buffers are known to the process alone.
import assert from 'node:assert'
import { Refusal } from '../../../tensor/index.ts'
import { type Kernel, verifyKernel } from '../../ir/index.ts'
import { chooseWebgpuTiling, type WebgpuTiling } from '../../tile/webgpu.ts'
import type {
  CheckFailure,
  Command,
  Device,
  DeviceFacts,
  DeviceMemory,
  KernelId,
  Submitted,
} from '../device.ts'
import { type Answer, Connection, lost } from './connection.ts'
import { GpuProcess } from './life.ts'
import {
  type Adapter,
  type CompileAnswer,
  decodeSubmitAnswer,
  encodeSubmit,
  jsonBody,
  kinds,
  type OpenAnswer,
  type Program,
  parseJsonBody,
} from './protocol.ts'
import { programOf } from './wgsl.ts'
import { webgpuTypes } from './wgsl-types.ts'

/** What a WebGPU device is made with. */
export interface WebgpuOptions {
  /** TensorFlow's name, `/device:GPU:0`. */
  readonly name: string
  /** Place in {@link listAdapters}, counting only adapters that may be used; the name's number by default. */
  readonly adapterIndex?: number
  /** The whole environment of the GPU process: what the driver's loader needs. Empty by default. */
  readonly environment?: Readonly<Record<string, string>>
  /** Also takes an adapter that computes on the CPU; never by default. */
  readonly allowSoftware?: boolean
  /** Bytes of buffers that may live at once; 4 GiB by default. */
  readonly memoryBytes?: number
  /** Longest time for one call once those before it are answered; 60 seconds by default. */
  readonly deadlineMs?: number
  /** How kernels are tiled; {@link chooseWebgpuTiling} by default. For tests and measurements. */
  readonly tiling?: (kernel: Kernel, facts: DeviceFacts) => WebgpuTiling
  /** Takes lines for people. */
  readonly log?: (line: string) => void
}

/** A WebGPU device, with what operations and drills need beside the port. */
export interface WebgpuDevice extends Device {
  /** The GPU process while there is one. */
  readonly processId: number | undefined
  /** Destroys the GPU device as a driver's reset does, for drills; answered as any loss is. */
  loseDevice(): Promise<void>
}

const defaultMemoryBytes = 4 * 1024 ** 3
const defaultDeadlineMs = 60_000
const listDeadlineMs = 30_000
/** One binding is kept for the status buffer of kernels with checks. */
const statusBindings = 1

/** The adapters that a GPU process with this environment sees, software ones included. */
export async function listAdapters(options: {
  readonly environment?: Readonly<Record<string, string>>
  readonly log?: (line: string) => void
}): Promise<readonly Adapter[]> {
  const { environment = {}, log = () => undefined } = options
  const connection = new Connection({ environment, log, deadlineMs: listDeadlineMs })
  try {
    const { body } = await connection.ask(kinds.list, [])
    return parseJsonBody<readonly Adapter[]>(body)
  } finally {
    await connection.end('adapters are listed')
  }
}

/**
 * A device on a WebGPU adapter, in a process of its own. Refuses with UNAVAILABLE
 * (`device/no-adapter`) where no adapter of that number may be used. Buffers hold 4 bytes an
 * element; denormal float32 values may be flushed to zero. Bytes to be written are not copied: they
 * must not change until the submit is answered. An idle device does not keep the program alive.
 */
export async function webgpuDevice(options: WebgpuOptions): Promise<WebgpuDevice> {
  const { environment = {}, log = () => undefined } = options
  const { memoryBytes = defaultMemoryBytes, deadlineMs = defaultDeadlineMs } = options
  const found = await listAdapters({ environment, log })
  const usable = found.filter((one) => options.allowSoftware === true || !one.software)
  const index = options.adapterIndex ?? Number(/\d+$/.exec(options.name)?.[0] ?? 0)
  const adapter = usable.at(index)
  if (!adapter) {
    const names = found.map(({ name, software }) => (software ? `${name} (software)` : name))
    const message = `there is no WebGPU adapter ${index}; found: ${names.join(', ') || 'none'}`
    throw new Refusal('UNAVAILABLE', 'device/no-adapter', message)
  }
  const process = new GpuProcess(adapter, memoryBytes, { environment, deadlineMs, log })
  const answer = await process.start()
  const facts = factsOf(options.name, answer, memoryBytes)
  return new GpuDevice(process, facts, options.tiling ?? chooseWebgpuTiling)
}

function factsOf(name: string, answer: OpenAnswer, memoryBytes: number): DeviceFacts {
  const { limits, description, software } = answer
  return {
    name,
    kind: 'webgpu',
    description,
    types: new Set(webgpuTypes),
    maxBufferBytes: Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize),
    maxBuffersPerKernel: limits.maxStorageBuffersPerShaderStage - statusBindings,
    memoryBytes,
    limits: { ...limits, software },
  }
}

/** A kernel that the process of a generation has. */
interface Compiled {
  readonly kernel: Kernel
  readonly program: Program
  readonly key: string
  readonly generation: number
}

class GpuDevice implements WebgpuDevice {
  readonly facts: DeviceFacts
  readonly #process: GpuProcess
  readonly #tiling: (kernel: Kernel, facts: DeviceFacts) => WebgpuTiling
  readonly #kernels = new Map<KernelId, Compiled>()
  readonly #numbers = new Map<string, KernelId>()
  #numbersByKernel = new WeakMap<Kernel, KernelId>()
  #nextKernel = 1
  /** Calls take their turn here, so that none overtakes one that waits for a start. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(
    process: GpuProcess,
    facts: DeviceFacts,
    tiling: (kernel: Kernel, facts: DeviceFacts) => WebgpuTiling,
  ) {
    this.#process = process
    this.facts = facts
    this.#tiling = tiling
    process.onLost = () => this.#forgetKernels()
  }

  get generation(): number {
    return this.#process.generation
  }

  get processId(): number | undefined {
    return this.#process.processId
  }

  async compile(kernels: readonly Kernel[]): Promise<readonly KernelId[]> {
    for (const kernel of kernels) this.#refuseUnfit(kernel)
    const fresh: KernelId[] = []
    let ids: readonly KernelId[] = []
    const { body } = await this.#ask(kinds.compile, () => {
      ids = kernels.map((kernel) => this.#numberOf(kernel, fresh))
      return [jsonBody(fresh.map((id) => this.#kernels.get(id)?.program))]
    })
    const failures = parseJsonBody<CompileAnswer>(body)
    fresh.forEach((id, place) => {
      if (failures[place] !== null) this.#forget(id)
    })
    const broken = ids.findIndex((id) => !this.#kernels.has(id))
    if (broken < 0) return ids
    const why = failures[fresh.indexOf(ids[broken])] ?? 'it failed to compile in an earlier call'
    const message = `kernel ${broken} of ${kernels.length} does not compile on the GPU: ${why}`
    throw new Refusal('INTERNAL', 'device/compile-failed', message)
  }

  async submit(commands: readonly Command[]): Promise<Submitted> {
    const ran: { readonly command: number; readonly kernel: Kernel }[] = []
    const { body, parts } = await this.#ask(kinds.submit, () =>
      encodeSubmit(commands, (id, command) => {
        const { kernel, program } = this.#compiled(id)
        if (program.statusWords > 0) ran.push({ command, kernel })
        return program.id
      }),
    )
    const { status, reads } = decodeSubmitAnswer(body, parts)
    return { reads, failure: firstFailure(ran, status) }
  }

  async memory(): Promise<DeviceMemory> {
    const { body } = await this.#ask(kinds.memory, () => [])
    return parseJsonBody<DeviceMemory>(body)
  }

  /** Buffers that end are the driver's again at once. */
  async renew(): Promise<boolean> {
    return false
  }

  async loseDevice(): Promise<void> {
    await this.#ask(kinds.drill, () => [])
  }

  async close(): Promise<void> {
    await this.#process.close()
  }

  async #ask(kind: number, pieces: () => readonly Uint8Array[]): Promise<Answer> {
    const turn = this.#turn.then(() => this.#process.ready())
    this.#turn = turn.catch(() => undefined)
    const connection = await turn
    try {
      const answer = await connection.ask(kind, pieces())
      this.#process.succeeded()
      return answer
    } catch (error) {
      throw this.#translated(error)
    }
  }

  /** What the process finds wrong with a list is our mistake, unless the list is of an earlier life. */
  #translated(error: unknown): unknown {
    if (!(error instanceof Refusal)) return error
    const { reason, message } = error
    const unknown = reason === 'device/unknown-buffer' || reason === 'device/unknown-kernel'
    if (unknown && this.generation > 1) return lost(`${message}; it may be of an earlier life`)
    return unknown || reason === 'device/bad-command' ? new Error(message) : error
  }

  #refuseUnfit(kernel: Kernel): void {
    verifyKernel(kernel)
    const buffers = [...kernel.inputs, ...kernel.outputs]
    const strange = buffers.find(({ dtype }) => !this.facts.types.has(dtype))
    if (strange) {
      const message = `this device has no ${strange.dtype}`
      throw new Refusal('UNIMPLEMENTED', 'device/unsupported-type', message)
    }
    const bound = kernel.outputs.filter(({ inPlaceOf }) => inPlaceOf === undefined)
    const count = kernel.inputs.length + bound.length
    if (count > this.facts.maxBuffersPerKernel) {
      const message = `a kernel of ${count} buffers; this device binds ${this.facts.maxBuffersPerKernel}`
      throw new Refusal('UNIMPLEMENTED', 'device/too-many-buffers', message)
    }
  }

  /** The kernel's number; a new one is added to `fresh`, its program to be compiled. */
  #numberOf(kernel: Kernel, fresh: KernelId[]): KernelId {
    const known = this.#numbersByKernel.get(kernel)
    if (known !== undefined) return known
    const program = programOf(kernel, this.#tiling(kernel, this.facts), this.facts)
    const codes = kernel.checks.map(({ code }) => code)
    const key = JSON.stringify([program, kernel.loops, kernel.reduced, codes])
    let id = this.#numbers.get(key)
    if (id === undefined) {
      id = this.#nextKernel++
      const { generation } = this
      this.#kernels.set(id, { kernel, program: { ...program, id }, key, generation })
      this.#numbers.set(key, id)
      fresh.push(id)
    }
    this.#numbersByKernel.set(kernel, id)
    return id
  }

  #compiled(id: KernelId): Compiled {
    const compiled = this.#kernels.get(id)
    if (compiled) return compiled
    assert(id > 0 && id < this.#nextKernel, `there is no kernel ${id}`)
    throw lost(`kernel ${id} is of an earlier life of the device`)
  }

  #forget(id: KernelId): void {
    const compiled = this.#kernels.get(id)
    if (!compiled) return
    this.#kernels.delete(id)
    this.#numbers.delete(compiled.key)
    this.#numbersByKernel.delete(compiled.kernel)
  }

  #forgetKernels(): void {
    this.#kernels.clear()
    this.#numbers.clear()
    this.#numbersByKernel = new WeakMap()
  }
}

/** The first iteration of the first dispatch in which a check did not hold. */
function firstFailure(
  ran: readonly { readonly command: number; readonly kernel: Kernel }[],
  status: Uint32Array,
): CheckFailure | undefined {
  let start = 0
  for (const { command, kernel } of ran) {
    const words = status.subarray(start, start + kernel.checks.length)
    start += kernel.checks.length
    // A word is the largest of what is left to 2^32 - 1 from a failing position: 0 without any.
    const largest = words.reduce((most, word) => Math.max(most, word), 0)
    if (largest === 0) continue
    const { code } = kernel.checks[words.indexOf(largest)]
    return { command, code, position: countersOf(kernel, 0xffffffff - largest) }
  }
  return undefined
}

/** Loop counters of a flat position, parallel loops first. */
function countersOf(kernel: Kernel, position: number): readonly number[] {
  let rest = position
  return [...kernel.loops, ...kernel.reduced]
    .toReversed()
    .map((extent) => {
      const counter = rest % extent
      rest = Math.floor(rest / extent)
      return counter
    })
    .toReversed()
}
