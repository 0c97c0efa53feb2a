// Runs kernels on a device and beside it on the reference device: values in, values out.

import type { BufferId, CheckFailure, Command, Device } from '../../../engine/device/device.ts'
import { referenceDevice } from '../../../engine/device/reference/index.ts'
import {
  type Kernel,
  type Scalar,
  type ScalarType,
  scalarOfBits,
  setScalar,
} from '../../../engine/ir/index.ts'
import { byteLengthOf } from '../../../tensor/index.ts'

/** Values of one type. */
export interface Values {
  readonly dtype: ScalarType
  readonly values: readonly Scalar[]
}

/** A kernel with what it is run on: one entry an input; in place outputs share their input's buffer. */
export interface Job {
  readonly kernel: Kernel
  readonly inputs: readonly Values[]
}

/** The outputs of a job, in the kernel's order. */
export type Outputs = readonly (readonly Scalar[])[]

/** Little-endian bytes of values. */
export function bytesOf({ dtype, values }: Values): Uint8Array {
  const size = byteLengthOf(dtype)
  const bytes = new Uint8Array(values.length * size)
  const view = new DataView(bytes.buffer)
  for (const [place, value] of values.entries()) setScalar(view, place * size, dtype, value)
  return bytes
}

/** Values of little-endian bytes. */
export function valuesOf(dtype: ScalarType, bytes: Uint8Array): Scalar[] {
  const size = byteLengthOf(dtype)
  return Array.from({ length: bytes.byteLength / size }, (_, place) => {
    let bits = 0n
    for (let byte = size - 1; byte >= 0; byte--) {
      bits = (bits << 8n) | BigInt(bytes[place * size + byte] as number)
    }
    return scalarOfBits(dtype, bits)
  })
}

/** Numbers for buffers that no other test of the same device uses at the time. */
export function bufferNumbers(): () => BufferId {
  let next = 1
  return () => next++
}

/** Runs jobs in one submit; frees all it allocated. */
export async function runJobs(
  device: Device,
  number: () => BufferId,
  jobs: readonly Job[],
): Promise<{ readonly outputs: readonly Outputs[]; readonly failure: CheckFailure | undefined }> {
  const ids = await device.compile(jobs.map((job) => job.kernel))
  const commands: Command[] = []
  const made: BufferId[] = []
  const allocate = (dtype: ScalarType, elementCount: number): BufferId => {
    const buffer = number()
    made.push(buffer)
    commands.push({ kind: 'allocate', buffer, dtype, elementCount })
    return buffer
  }
  const read: { buffer: BufferId; dtype: ScalarType; elementCount: number }[] = []
  for (const [place, { kernel, inputs }] of jobs.entries()) {
    const bound = inputs.map((input) => {
      const buffer = allocate(input.dtype, input.values.length)
      commands.push({ kind: 'write', buffer, offset: 0, bytes: bytesOf(input) })
      return buffer
    })
    const outputs = kernel.outputs.map(({ dtype, elementCount, inPlaceOf }) => ({
      dtype,
      elementCount,
      isNew: inPlaceOf === undefined,
      buffer:
        inPlaceOf === undefined ? allocate(dtype, elementCount) : (bound[inPlaceOf] as BufferId),
    }))
    const fresh = outputs.filter((output) => output.isNew).map((output) => output.buffer)
    commands.push({
      kind: 'dispatch',
      kernel: ids[place] as number,
      buffers: [...bound, ...fresh],
    })
    read.push(...outputs)
  }
  for (const { buffer, elementCount } of read) {
    commands.push({ kind: 'read', buffer, offset: 0, elementCount })
  }
  for (const buffer of made) commands.push({ kind: 'release', buffer })
  const { reads, failure } = await device.submit(commands)
  let next = 0
  const outputs = jobs.map(({ kernel }) =>
    kernel.outputs.map(({ dtype }) => valuesOf(dtype, reads[next++] as Uint8Array)),
  )
  return { outputs, failure }
}

/** The same jobs on the reference device. */
export function expectedOf(
  jobs: readonly Job[],
): Promise<{ readonly outputs: readonly Outputs[]; readonly failure: CheckFailure | undefined }> {
  return runJobs(referenceDevice(), bufferNumbers(), jobs)
}
