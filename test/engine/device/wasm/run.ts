// Runs one kernel's code by itself, with a tiling of the test's choice, on a memory of its own.

import { assemble } from '../../../../engine/device/wasm/assembler.ts'
import { compileKernel } from '../../../../engine/device/wasm/compile.ts'
import {
  argumentsAddress,
  failureAddress,
  instantiate,
} from '../../../../engine/device/wasm/control.ts'
import { compileOptimizedAtOnce } from '../../../../engine/device/wasm/device.ts'
import { DeviceHeap } from '../../../../engine/device/wasm/memory.ts'
import type { Kernel } from '../../../../engine/ir/index.ts'
import type { ForcedWasmTiling } from '../../../../engine/tile/wasm.ts'
import { byteLengthOf } from '../../../../tensor/index.ts'

export interface Ran {
  readonly outputs: readonly Uint8Array[]
  /** Least failure, as position * checks + check. */
  readonly failure: bigint | undefined
}

/** Runs a kernel on the bytes of its inputs, the outermost loop in `pieces`. In-place outputs are inputs again. */
export function runKernel(
  kernel: Kernel,
  inputs: readonly Uint8Array[],
  options: { tiling?: ForcedWasmTiling | undefined; pieces?: number } = {},
): Ran {
  compileOptimizedAtOnce()
  const compiled = compileKernel(kernel, {
    name: 'kernel0',
    relaxedSimd: true,
    ...(options.tiling && { tiling: options.tiling }),
  })
  const heap = new DeviceHeap()
  const addresses = [...kernel.inputs, ...kernel.outputs].map(
    ({ dtype, elementCount }) => heap.allocate(elementCount * byteLengthOf(dtype))!.address,
  )
  for (const [at, bytes] of inputs.entries()) heap.bytes.set(bytes, addresses[at]!)
  const view = new DataView(heap.memory.buffer)
  for (const [at, address] of addresses.entries()) {
    view.setUint32(argumentsAddress + 4 * at, address, true)
  }
  view.setBigInt64(failureAddress(0), -1n, true)
  const scratch = heap.allocate(compiled.scratchBytes)!.address
  if (compiled.code !== undefined) {
    const module = new WebAssembly.Module(assemble([compiled.code]))
    const run = instantiate({ module, kernels: [0] }, heap.memory).get(0)!
    const steps = Math.ceil(compiled.extent / compiled.step / (options.pieces ?? 1))
    const piece = Math.max(1, steps) * compiled.step
    for (let begin = 0; begin < compiled.extent; begin += piece) {
      const end = Math.min(compiled.extent, begin + piece)
      run(argumentsAddress, begin, end, failureAddress(0), scratch)
    }
  }
  const least = view.getBigUint64(failureAddress(0), true)
  return {
    outputs: kernel.outputs.map(({ dtype, elementCount, inPlaceOf }, at) => {
      const address = addresses[inPlaceOf ?? kernel.inputs.length + at]!
      return heap.bytes.slice(address, address + elementCount * byteLengthOf(dtype))
    }),
    failure: least === 2n ** 64n - 1n ? undefined : least,
  }
}
