// The reference device: the interpreter behind the device port. It is the truth that other devices are
// held against, and it keeps to the port's promises about memory and refusals.
import assert from 'node:assert'
import { byteLengthOf, elementArrayOf, Refusal } from '../../../tensor/index.ts'
import { type Kernel, type ScalarType, scalarTypes, verifyKernel } from '../../ir/index.ts'
import type { BufferId, CheckFailure, Command, Device, KernelId, Submitted } from '../device.ts'
import { type Elements, interpret } from './interpret.ts'

interface Buffer {
  readonly dtype: ScalarType
  readonly bytes: Uint8Array
  readonly elements: Elements
}

/** Limits of a reference device, smaller ones for tests. */
interface ReferenceOptions {
  readonly maxBufferBytes?: number
  readonly memoryBytes?: number
  readonly types?: readonly ScalarType[]
}

/** A device that interprets kernels on the calling thread. */
export function referenceDevice(options: ReferenceOptions = {}): Device {
  const types = new Set(options.types ?? scalarTypes)
  const maxBufferBytes = options.maxBufferBytes ?? 2 ** 30
  const memoryBytes = options.memoryBytes ?? 2 ** 32
  const kernels: Kernel[] = []
  const buffers = new Map<BufferId, Buffer>()
  let liveBytes = 0

  const bufferOf = (id: BufferId): Buffer => {
    const buffer = buffers.get(id)
    assert(buffer !== undefined, `there is no buffer ${id}`)
    return buffer
  }

  const dispatch = (id: KernelId, bound: readonly BufferId[]) => {
    const kernel = kernels[id]
    assert(kernel !== undefined, `there is no kernel ${id}`)
    const inputs = kernel.inputs.map((_, place) => bufferOf(bound[place] as BufferId))
    let next = inputs.length
    const outputs = kernel.outputs.map(({ inPlaceOf }) =>
      inPlaceOf === undefined ? bufferOf(bound[next++] as BufferId) : (inputs[inPlaceOf] as Buffer),
    )
    assert(next === bound.length, `kernel ${id} binds ${next} buffers, got ${bound.length}`)
    for (const [place, want] of [...kernel.inputs, ...kernel.outputs].entries()) {
      const buffer = [...inputs, ...outputs][place] as Buffer
      assert(
        buffer.dtype === want.dtype && buffer.elements.length === want.elementCount,
        `kernel ${id} wants another type or count in place ${place}`,
      )
    }
    const elementsOf = (of: readonly Buffer[]) => of.map(({ elements }) => elements)
    return interpret(kernel, elementsOf(inputs), elementsOf(outputs))
  }

  const allocate = (id: BufferId, dtype: ScalarType, elementCount: number): void => {
    assert(types.has(dtype), `this device does not hold ${dtype}`)
    assert(!buffers.has(id), `buffer ${id} lives already`)
    const bytes = new Uint8Array(elementCount * byteLengthOf(dtype))
    buffers.set(id, { dtype, bytes, elements: elementArrayOf(dtype, bytes) })
    liveBytes += bytes.byteLength
  }

  const run = (
    command: Command,
    reads: Uint8Array[],
  ): Omit<CheckFailure, 'command'> | undefined => {
    switch (command.kind) {
      case 'allocate':
        allocate(command.buffer, command.dtype, command.elementCount)
        return undefined
      case 'release':
        liveBytes -= bufferOf(command.buffer).bytes.byteLength
        buffers.delete(command.buffer)
        return undefined
      case 'write': {
        const { dtype, bytes } = bufferOf(command.buffer)
        bytes.set(command.bytes, command.offset * byteLengthOf(dtype))
        return undefined
      }
      case 'dispatch':
        return dispatch(command.kernel, command.buffers)
      case 'copy': {
        const [from, to] = [bufferOf(command.from), bufferOf(command.to)]
        assert(
          from.dtype === to.dtype && from.bytes.length === to.bytes.length,
          'a copy is between buffers of one type and count',
        )
        to.bytes.set(from.bytes)
        return undefined
      }
      case 'read': {
        const { dtype, bytes } = bufferOf(command.buffer)
        const start = command.offset * byteLengthOf(dtype)
        const end = start + command.elementCount * byteLengthOf(dtype)
        assert(end <= bytes.length, 'a read lies within its buffer')
        reads.push(bytes.slice(start, end))
        return undefined
      }
      default:
        return command satisfies never
    }
  }

  const submit = (commands: readonly Command[]): Submitted => {
    const sizeOf = (id: BufferId) => buffers.get(id)?.bytes.byteLength
    refuseTooLarge(commands, liveBytes, { maxBufferBytes, memoryBytes }, sizeOf)
    const reads: Uint8Array[] = []
    let failure: CheckFailure | undefined
    for (const [command, what] of commands.entries()) {
      const failed = run(what, reads)
      if (failed !== undefined) failure ??= { command, ...failed }
    }
    return { reads, failure }
  }

  return {
    facts: {
      name: '/device:CPU:0',
      kind: 'reference',
      description: 'interpreter',
      types,
      maxBufferBytes,
      maxBuffersPerKernel: 1024,
      memoryBytes,
      limits: {},
    },
    generation: 1,
    async compile(list) {
      for (const kernel of list) {
        verifyKernel(kernel)
        for (const { dtype } of [...kernel.inputs, ...kernel.outputs]) {
          assert(types.has(dtype), `this device does not compute ${dtype}`)
        }
      }
      return list.map((kernel) => {
        const known = kernels.indexOf(kernel)
        return known >= 0 ? known : kernels.push(kernel) - 1
      })
    },
    submit: async (commands) => submit(commands),
    memory: async () => ({
      liveBuffers: buffers.size,
      liveBytes,
      reservedBytes: liveBytes,
      kernels: kernels.length,
    }),
    renew: async () => false,
    async close() {
      buffers.clear()
      kernels.length = 0
      liveBytes = 0
    },
  }
}

/** Refuses a list that would need more memory at any time than there is; nothing has run then. */
function refuseTooLarge(
  commands: readonly Command[],
  liveBytes: number,
  limits: { readonly maxBufferBytes: number; readonly memoryBytes: number },
  sizeOf: (id: BufferId) => number | undefined,
): void {
  const made = new Map<BufferId, number>()
  let total = liveBytes
  for (const command of commands) {
    if (command.kind === 'release') {
      total -= made.get(command.buffer) ?? sizeOf(command.buffer) ?? 0
      made.delete(command.buffer)
    }
    if (command.kind !== 'allocate') continue
    const bytes = command.elementCount * byteLengthOf(command.dtype)
    made.set(command.buffer, bytes)
    total += bytes
    if (bytes > limits.maxBufferBytes || total > limits.memoryBytes) {
      throw new Refusal(
        'RESOURCE_EXHAUSTED',
        'device/out-of-memory',
        `A buffer of ${bytes} bytes was asked for; one may have ${limits.maxBufferBytes}, and all together ${limits.memoryBytes}, of which ${total - bytes} are in use.`,
      )
    }
  }
}
