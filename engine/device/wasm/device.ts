// The CPU device: kernels as WebAssembly, buffers in one shared memory, several threads. It keeps the
// promises of the device port; how kernels become code is compile.ts's.
import { strict as assert } from 'node:assert'
import { setTimeout as pause } from 'node:timers/promises'
import v8 from 'node:v8'
import { runInNewContext } from 'node:vm'
import { byteLengthOf, Refusal } from '../../../tensor/index.ts'
import { type Kernel, kernelLimits, scalarTypes, verifyKernel } from '../../ir/index.ts'
import type {
  CheckFailure,
  Command,
  Device,
  DeviceFacts,
  DeviceMemory,
  KernelId,
  Submitted,
} from '../device.ts'
import { assemble } from './assembler.ts'
import { Buffers } from './buffers.ts'
import { type CompiledKernel, compileKernel, keyOfKernel } from './compile.ts'
import {
  argumentsAddress,
  failureAddress,
  instantiate,
  type KernelFunction,
  maxThreads,
} from './control.ts'
import { Crew } from './crew.ts'
import { DeviceHeap, largestMemoryBytes, reservedBytes } from './memory.ts'

/** What a CPU device is made with. */
export interface WasmDeviceOptions {
  /** Threads that compute, the calling one included: 1 .. 64. */
  readonly threads: number
  /** Bytes that all buffers together may take; at most what a WebAssembly memory holds, 4 GiB. */
  readonly memoryBytes?: number | undefined
  readonly log?: ((level: 'info' | 'warn' | 'error', message: string) => void) | undefined
}

/**
 * Has WebAssembly compiled by the optimizing compiler at once. For the whole process; to be called
 * before the first module is compiled. Code has no way from the baseline to the optimized form while
 * it runs, so that otherwise a long first call would be slow to its end.
 */
export function compileOptimizedAtOnce(): void {
  v8.setFlagsFromString('--no-liftoff')
  v8.setFlagsFromString('--no-wasm-lazy-compilation')
}

/** A module with one relaxed instruction: whether it is valid tells whether there are any. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(
    assemble([
      {
        name: 'f',
        parameters: ['v128'],
        locals: [],
        code: [
          ['local.get', 0],
          ['local.get', 0],
          ['local.get', 0],
          ['f32x4.relaxed_madd'],
          ['drop'],
        ],
      },
    ]),
  )
}

/** Rounds of collection that give a former memory back, and the pause that grows between them. */
const collections = 3
const pauseMs = 20

/** A shared memory goes back to the system only once V8 has found that nobody has it any more. */
function collectGarbage(): void {
  v8.setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

/** A device that computes on the CPU. Refuses nothing; see {@link Device} for what its calls refuse. */
export async function wasmDevice(options: WasmDeviceOptions): Promise<Device> {
  compileOptimizedAtOnce()
  return new WasmDevice(options)
}

/** Vector operations below which waking other threads, some 15 µs, brings little: 30 to 80 µs of work. */
const sharedCost = 160_000
/** Pieces that a job is cut into for each thread, so that a slow one does not hold up the others. */
const piecesPerThread = 4

interface LoadedKernel extends CompiledKernel {
  readonly kernel: Kernel
  readonly run: KernelFunction | undefined
  /** Iterations of the outermost loop in a piece; 0: one thread does it all. */
  readonly piece: number
}

class WasmDevice implements Device {
  readonly facts: DeviceFacts
  readonly #threads: number
  readonly #relaxedSimd = hasRelaxedSimd()
  #generation = 1
  #heap!: DeviceHeap
  #buffers!: Buffers
  #crew!: Crew
  #kernels!: LoadedKernel[]
  #ids!: Map<string, KernelId>
  #known!: WeakMap<Kernel, KernelId>
  #arguments!: Uint32Array
  #scratchBytes = 0
  #scratch: readonly number[] = []

  constructor({ threads, memoryBytes = largestMemoryBytes, log }: WasmDeviceOptions) {
    assert(threads >= 1 && threads <= maxThreads, `threads: 1 .. ${maxThreads}, got ${threads}`)
    const budget = Math.min(memoryBytes, largestMemoryBytes - reservedBytes)
    this.#threads = threads
    this.facts = {
      name: '/device:CPU:0',
      kind: 'wasm',
      description: `WebAssembly SIMD, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
      types: new Set(scalarTypes),
      maxBufferBytes: budget,
      maxBuffersPerKernel: kernelLimits.buffers,
      memoryBytes: budget,
      limits: { threads, relaxedSimd: this.#relaxedSimd },
    }
    if (!this.#relaxedSimd) log?.('warn', 'No relaxed SIMD: products and sums are not fused.')
    this.#begin()
  }

  get generation(): number {
    return this.#generation
  }

  /** An empty memory, and threads on it that know no kernel yet. */
  #begin(): void {
    this.#heap = new DeviceHeap()
    const { memory } = this.#heap
    this.#buffers = new Buffers(this.#heap, this.facts.memoryBytes)
    this.#crew = new Crew(memory, this.#threads)
    this.#arguments = new Uint32Array(memory.buffer, argumentsAddress, kernelLimits.buffers)
    this.#kernels = []
    this.#ids = new Map()
    this.#known = new WeakMap()
    this.#scratchBytes = 0
    this.#scratch = []
  }

  async renew(): Promise<boolean> {
    const former = this.#crew.close()
    this.#generation += 1
    this.#begin()
    await former
    // By then nothing of the former memory is on the stack; what ended threads held goes in a later round.
    for (let round = 0; round < collections; round++) {
      await pause(round * pauseMs)
      collectGarbage()
    }
    return true
  }

  async compile(kernels: readonly Kernel[]): Promise<readonly KernelId[]> {
    const fresh = new Map<string, Kernel>()
    for (const kernel of kernels) {
      if (this.#known.has(kernel)) continue
      verifyKernel(kernel)
      const key = keyOfKernel(kernel)
      const id = this.#ids.get(key)
      if (id === undefined) fresh.set(key, kernel)
      else this.#known.set(kernel, id)
    }
    if (fresh.size > 0) this.#load(fresh)
    return kernels.map((kernel) => {
      const id = this.#known.get(kernel) ?? this.#ids.get(keyOfKernel(kernel))!
      this.#known.set(kernel, id)
      return id
    })
  }

  async submit(commands: readonly Command[]): Promise<Submitted> {
    const planned = this.#buffers.plan(commands)
    const reads: Uint8Array[] = []
    let failure: CheckFailure | undefined
    let mistake: unknown
    let allocated = 0
    for (let at = 0; at < commands.length; at++) {
      const command = commands[at]!
      // What was planned is done whatever happens, so that buffers and memory always agree.
      if (command.kind === 'allocate') {
        this.#buffers.allocate(command.buffer, planned[allocated++]!)
      } else if (command.kind === 'release') this.#buffers.release(command.buffer)
      else if (mistake === undefined) {
        try {
          if (command.kind === 'dispatch') failure ??= this.#dispatch(command, at)
          else this.#move(command, reads)
        } catch (error) {
          mistake = error
        }
      }
    }
    if (mistake !== undefined) throw mistake
    return { reads, failure }
  }

  async memory(): Promise<DeviceMemory> {
    const { count: liveBuffers, liveBytes } = this.#buffers
    const reservedBytes = this.#heap.bytes.byteLength
    return { liveBuffers, liveBytes, reservedBytes, kernels: this.#kernels.length }
  }

  async close(): Promise<void> {
    await this.#crew.close()
  }

  /** Moves bytes into, between or out of buffers. */
  #move(
    command: Exclude<Command, { kind: 'allocate' | 'release' | 'dispatch' }>,
    reads: Uint8Array[],
  ): void {
    switch (command.kind) {
      case 'write':
        this.#write(command)
        break
      case 'copy':
        this.#copy(command)
        break
      case 'read':
        reads.push(this.#read(command))
        break
      default:
        command satisfies never
    }
  }

  /** Compiles kernels, by their keys, into one module for all threads; they get the next numbers. */
  #load(fresh: ReadonlyMap<string, Kernel>): void {
    const first = this.#kernels.length
    const kernels = [...fresh.values()]
    const compiled = kernels.map((kernel, at) =>
      compileKernel(kernel, { name: `kernel${first + at}`, relaxedSimd: this.#relaxedSimd }),
    )
    this.#reserveScratch(Math.max(...compiled.map(({ scratchBytes }) => scratchBytes)))
    const coded = compiled.flatMap(({ code }, at) => (code ? [first + at] : []))
    const functions = compiled.flatMap(({ code }) => (code ? [code] : []))
    const message = { module: new WebAssembly.Module(assemble(functions)), kernels: coded }
    const runs = instantiate(message, this.#heap.memory)
    this.#crew.teach(message)
    for (const [at, one] of compiled.entries()) {
      const id = first + at
      const run = runs.get(id)
      this.#kernels.push({ ...one, kernel: kernels[at]!, run, piece: this.#pieceOf(one) })
    }
    for (const [at, key] of [...fresh.keys()].entries()) this.#ids.set(key, first + at)
  }

  /** Sees to it that each thread has so many bytes of scratch. They count as nobody's. */
  #reserveScratch(bytes: number): void {
    if (bytes <= this.#scratchBytes) return
    for (const address of this.#scratch) this.#heap.release(address)
    const placed = Array.from({ length: this.#crew.threads }, () => this.#heap.allocate(bytes))
    this.#scratch = placed.flatMap((block) => (block ? [block.address] : []))
    this.#scratchBytes = this.#scratch.length === placed.length ? bytes : 0
    if (this.#scratchBytes === 0) {
      throw new Refusal(
        'RESOURCE_EXHAUSTED',
        'device/out-of-memory',
        `There is no room for ${bytes} bytes of scratch for each thread of /device:CPU:0.`,
      )
    }
    this.#crew.setScratch(this.#scratch)
  }

  #pieceOf({ extent, step, cost }: CompiledKernel): number {
    const steps = Math.floor(extent / step)
    if (this.#crew.threads === 1 || cost < sharedCost || steps < 2) return 0
    const pieces = Math.min(steps, this.#crew.threads * piecesPerThread)
    return Math.ceil(steps / pieces) * step
  }

  #dispatch(
    command: Extract<Command, { kind: 'dispatch' }>,
    place: number,
  ): CheckFailure | undefined {
    const loaded = this.#kernels[command.kernel]
    assert(loaded !== undefined, `there is no kernel ${command.kernel}`)
    const { kernel, run, piece, extent } = loaded
    this.#bind(kernel, command)
    if (run === undefined) return undefined
    const checked = kernel.checks.length > 0
    if (checked) this.#crew.clearFailures()
    if (piece > 0) this.#crew.run({ kernel: command.kernel, run, extent, piece })
    else run(argumentsAddress, 0, extent, failureAddress(0), this.#crew.scratch)
    return checked ? this.#failureOf(kernel, place) : undefined
  }

  /** Writes the buffers' addresses where the kernel finds them: inputs, then outputs that are not in place. */
  #bind(kernel: Kernel, { buffers }: Extract<Command, { kind: 'dispatch' }>): void {
    let bound = 0
    const bind = (slot: number, want: Kernel['inputs'][number]) => {
      const buffer = this.#buffers.get(buffers[bound++] as number)
      assert(
        buffer.dtype === want.dtype && buffer.elementCount === want.elementCount,
        `place ${bound - 1} wants ${want.elementCount} ${want.dtype}, got ${buffer.elementCount} ${buffer.dtype}`,
      )
      this.#arguments[slot] = buffer.address
    }
    for (let input = 0; input < kernel.inputs.length; input++) bind(input, kernel.inputs[input]!)
    for (let output = 0; output < kernel.outputs.length; output++) {
      const want = kernel.outputs[output]!
      if (want.inPlaceOf === undefined) bind(kernel.inputs.length + output, want)
    }
    assert(bound === buffers.length, `the kernel binds ${bound} buffers, got ${buffers.length}`)
  }

  #failureOf(kernel: Kernel, command: number): CheckFailure | undefined {
    const least = this.#crew.leastFailure()
    if (least === undefined) return undefined
    const checks = BigInt(kernel.checks.length)
    const position: number[] = []
    let rest = least / checks
    for (const extent of [...kernel.loops, ...kernel.reduced].reverse()) {
      position.unshift(Number(rest % BigInt(extent)))
      rest /= BigInt(extent)
    }
    return { command, code: kernel.checks[Number(least % checks)]!.code, position }
  }

  #write({ buffer: id, offset, bytes }: Extract<Command, { kind: 'write' }>): void {
    const { address, byteLength, dtype } = this.#buffers.get(id)
    const start = offset * byteLengthOf(dtype)
    assert(start + bytes.byteLength <= byteLength, `a write past the end of buffer ${id}`)
    this.#heap.bytes.set(bytes, address + start)
  }

  #copy({ from, to }: Extract<Command, { kind: 'copy' }>): void {
    const source = this.#buffers.get(from)
    const target = this.#buffers.get(to)
    assert(
      source.dtype === target.dtype && source.elementCount === target.elementCount,
      'a copy is between buffers of one type and count',
    )
    const { address, byteLength } = source
    this.#heap.bytes.copyWithin(target.address, address, address + byteLength)
  }

  #read({ buffer: id, offset, elementCount }: Extract<Command, { kind: 'read' }>): Uint8Array {
    const { address, byteLength, dtype } = this.#buffers.get(id)
    const start = offset * byteLengthOf(dtype)
    const end = start + elementCount * byteLengthOf(dtype)
    assert(end <= byteLength, `a read past the end of buffer ${id}`)
    return this.#heap.bytes.slice(address + start, address + end)
  }
}
