// Runs one submit on the GPU: allocations first, then everything in its order in as few command
// buffers as writes allow, then one map for all that is read back.
import assert from 'node:assert'
import { Refusal } from '../../../../tensor/index.ts'
import { type Operation, partByteLength, type SubmitAnswer } from '../protocol.ts'
import { checkSubmit } from './check.ts'
import { type DeviceBuffer, type DeviceMemory, narrow, usages, widen } from './memory.ts'
import type { Programs } from './programs.ts'
import { caught } from './scope.ts'
import { Staging } from './staging.ts'

const statusSlotBytes = 256
const statusSlotWords = statusSlotBytes / 4

/** What a submit reads back, at which byte of the staging buffer. */
interface Readback {
  readonly buffer: DeviceBuffer
  readonly sourceOffset: number
  readonly stagingOffset: number
  readonly byteLength: number
}

/** An answer of which large reads may still lie in mapped memory: valid until `release`. */
export interface MappedAnswer extends SubmitAnswer {
  readonly release: () => void
}

/** Runs submits, one encoded after the other; their results may be awaited meanwhile. */
export class Submits {
  readonly #device: GPUDevice
  readonly #memory: DeviceMemory
  readonly #programs: Programs
  readonly #staging: Staging
  #status: GPUBuffer | undefined
  #statusGroups = new Map<string, GPUBindGroup>()

  constructor(device: GPUDevice, memory: DeviceMemory, programs: Programs) {
    this.#device = device
    this.#memory = memory
    this.#programs = programs
    this.#staging = new Staging(device)
  }

  /**
   * Starts a submit: once this resolves its commands are on the queue, and the next may start. The
   * answer comes when the GPU is done. A refusal here has changed nothing.
   */
  async start(operations: readonly Operation[]): Promise<{ answer: Promise<MappedAnswer> }> {
    checkSubmit(operations, this.#memory, this.#programs)
    const wanted = operations.filter((operation) => operation.kind === 'allocate')
    const fresh = wanted.length > 0 ? await this.#memory.create(wanted) : []
    const statusWords = this.#statusWordsOf(operations)
    const readBytes = operations.reduce(
      (sum, one) => sum + (one.kind === 'read' ? 4 * one.elementCount : 0),
      0,
    )
    const stagingBytes = statusWords.total * 4 + readBytes
    let staging: GPUBuffer | undefined
    let readbacks: readonly Readback[] = []
    const failed = caught(this.#device, () => {
      if (stagingBytes > 0) staging = this.#staging.take(stagingBytes)
      readbacks = this.#encode(operations, fresh, statusWords.total, staging)
    })
    const answer = failed.then(async (failure) => {
      if (failure) {
        staging?.destroy()
        throw new Refusal('INTERNAL', 'device/failed', `the GPU refused a submit: ${failure}`)
      }
      if (staging) return this.#collect(staging, stagingBytes, statusWords.used, readbacks)
      await this.#device.queue.onSubmittedWorkDone()
      return { status: new Uint32Array(), reads: [], release: () => undefined }
    })
    return { answer }
  }

  /** Where in the status buffer each dispatch with checks reports: whole slots, in order. */
  #statusWordsOf(operations: readonly Operation[]): {
    readonly total: number
    readonly used: readonly (readonly [number, number])[]
  } {
    const used: (readonly [number, number])[] = []
    let total = 0
    for (const operation of operations) {
      if (operation.kind !== 'dispatch') continue
      const words = this.#programs.pipelines.get(operation.program)?.program.statusWords ?? 0
      if (words === 0) continue
      used.push([total, words])
      total += Math.ceil(words / statusSlotWords) * statusSlotWords
    }
    return { total, used }
  }

  #encode(
    operations: readonly Operation[],
    fresh: readonly DeviceBuffer[],
    statusWords: number,
    staging: GPUBuffer | undefined,
  ): readonly Readback[] {
    const recorder = new Recorder(this.#device)
    const released: DeviceBuffer[] = []
    const readbacks: Readback[] = []
    let freshPlace = 0
    let statusWord = 0
    let stagingOffset = statusWords * 4
    let status: GPUBuffer | undefined
    for (const operation of operations) {
      switch (operation.kind) {
        case 'allocate':
          this.#memory.add(operation.buffer, fresh[freshPlace++])
          break
        case 'release': {
          const buffer = this.#memory.remove(operation.buffer)
          assert(buffer, 'checked before')
          // At once: its number may come back in the same list.
          this.#programs.forget(buffer)
          released.push(buffer)
          break
        }
        case 'write':
          recorder.write(this.#find(operation.buffer), operation.offset, operation.bytes)
          break
        case 'copy': {
          const from = this.#find(operation.from)
          recorder.copy(from.gpu, 0, this.#find(operation.to).gpu, 0, from.byteLength)
          break
        }
        case 'read': {
          const buffer = this.#find(operation.buffer)
          const sourceOffset = 4 * operation.offset
          const byteLength = 4 * operation.elementCount
          readbacks.push({ buffer, sourceOffset, stagingOffset, byteLength })
          assert(staging)
          recorder.copy(buffer.gpu, sourceOffset, staging, stagingOffset, byteLength)
          stagingOffset += byteLength
          break
        }
        case 'dispatch':
          // Not sooner: what is recorded before a write costs a command buffer of its own.
          if (statusWords > 0) status ??= this.#clearStatus(recorder, statusWords * 4)
          statusWord += this.#dispatch(recorder, operation, status, statusWord)
          break
        default:
          operation satisfies never
      }
    }
    if (status && staging) recorder.copy(status, 0, staging, 0, statusWords * 4)
    recorder.flush()
    for (const buffer of released) buffer.gpu.destroy()
    return readbacks
  }

  /** Records a dispatch; answers with the status words that it takes. */
  #dispatch(
    recorder: Recorder,
    operation: Operation & { kind: 'dispatch' },
    status: GPUBuffer | undefined,
    statusWord: number,
  ): number {
    const pipeline = this.#programs.pipelines.get(operation.program)
    assert(pipeline, 'checked before')
    const { workgroups, statusWords } = pipeline.program
    const slots = Math.ceil(statusWords / statusSlotWords)
    if (!workgroups.includes(0)) {
      const pass = recorder.pass()
      const buffers = operation.buffers.map((id) => this.#find(id))
      pass.setPipeline(pipeline.gpu)
      pass.setBindGroup(0, this.#programs.bindGroupOf(pipeline, operation.buffers, buffers))
      if (status && slots > 0) pass.setBindGroup(1, this.#statusGroup(status, statusWord, slots))
      pass.dispatchWorkgroups(...workgroups)
    }
    return slots * statusSlotWords
  }

  #find(id: number): DeviceBuffer {
    const buffer = this.#memory.buffers.get(id)
    assert(buffer, 'checked before')
    return buffer
  }

  /** The status buffer with zeros in its first bytes; grown where it is too small. */
  #clearStatus(recorder: Recorder, byteLength: number): GPUBuffer {
    if (!this.#status || this.#status.size < byteLength) {
      this.#status?.destroy()
      this.#statusGroups.clear()
      let size = 16 * statusSlotBytes
      while (size < byteLength) size *= 2
      const usage = usages.storage | usages.copySource | usages.copyTarget
      this.#status = this.#device.createBuffer({ size, usage })
    }
    recorder.clear(this.#status, byteLength)
    return this.#status
  }

  #statusGroup(buffer: GPUBuffer, firstWord: number, slots: number): GPUBindGroup {
    const key = `${firstWord}:${slots}`
    const known = this.#statusGroups.get(key)
    if (known) return known
    const group = this.#device.createBindGroup({
      layout: this.#programs.statusLayout,
      entries: [
        {
          binding: 0,
          resource: { buffer, offset: 4 * firstWord, size: slots * statusSlotBytes },
        },
      ],
    })
    this.#statusGroups.set(key, group)
    return group
  }

  async #collect(
    staging: GPUBuffer,
    byteLength: number,
    used: readonly (readonly [number, number])[],
    readbacks: readonly Readback[],
  ): Promise<MappedAnswer> {
    await staging.mapAsync(usages.mapRead, 0, byteLength)
    const bytes = new Uint8Array(staging.getMappedRange(0, byteLength))
    const words = new Uint32Array(bytes.buffer, 0, byteLength / 4)
    const status = new Uint32Array(used.reduce((sum, [, count]) => sum + count, 0))
    let place = 0
    for (const [first, count] of used) {
      status.set(words.subarray(first, first + count), place)
      place += count
    }
    let mapped = false
    const reads = readbacks.map(({ buffer, stagingOffset, byteLength }) => {
      const words = bytes.subarray(stagingOffset, stagingOffset + byteLength)
      if (buffer.storage !== 'word') return narrow(buffer.storage, words)
      if (byteLength < partByteLength) return words.slice()
      mapped = true
      return words
    })
    const release = (): void => {
      staging.unmap()
      this.#staging.give(staging)
    }
    if (!mapped) release()
    return { status, reads, release: mapped ? release : () => undefined }
  }
}

/** Records commands into one encoder for as long as nothing must be on the queue before them. */
class Recorder {
  readonly #device: GPUDevice
  #encoder: GPUCommandEncoder | undefined
  #pass: GPUComputePassEncoder | undefined

  constructor(device: GPUDevice) {
    this.#device = device
  }

  pass(): GPUComputePassEncoder {
    this.#pass ??= this.#open().beginComputePass()
    return this.#pass
  }

  copy(from: GPUBuffer, offset: number, to: GPUBuffer, toOffset: number, byteLength: number): void {
    if (byteLength > 0) {
      this.#between().copyBufferToBuffer(from, offset, to, toOffset, byteLength)
    }
  }

  clear(buffer: GPUBuffer, byteLength: number): void {
    this.#between().clearBuffer(buffer, 0, byteLength)
  }

  /** Writes take place on the queue at once: what was recorded before goes first. */
  write(buffer: DeviceBuffer, offset: number, bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return
    this.flush()
    const words = widen(buffer.storage, bytes)
    // The words are a view of a frame or of a fresh array: never of shared memory.
    this.#device.queue.writeBuffer(buffer.gpu, 4 * offset, words as Uint8Array<ArrayBuffer>)
  }

  flush(): void {
    this.#pass?.end()
    this.#pass = undefined
    if (this.#encoder) this.#device.queue.submit([this.#encoder.finish()])
    this.#encoder = undefined
  }

  #open(): GPUCommandEncoder {
    this.#encoder ??= this.#device.createCommandEncoder()
    return this.#encoder
  }

  #between(): GPUCommandEncoder {
    this.#pass?.end()
    this.#pass = undefined
    return this.#open()
  }
}
