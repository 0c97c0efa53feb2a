// Which device a kernel can run on, and which one a node's text asks for.
import type { DeviceFacts } from '../device/device.ts'
import { type Kernel, type ScalarType, visit } from '../ir/index.ts'

/** Why the device cannot run the kernel; undefined where it can. */
export function inability(facts: DeviceFacts, kernel: Kernel): string | undefined {
  const buffers = [...kernel.inputs, ...kernel.outputs]
  if (buffers.length > facts.maxBuffersPerKernel) {
    return `binds at most ${facts.maxBuffersPerKernel} buffers`
  }
  for (const { dtype, elementCount } of buffers) {
    if (!facts.types.has(dtype)) return `does not compute ${dtype}`
    if (elementCount * 4 > facts.maxBufferBytes)
      return `holds at most ${facts.maxBufferBytes} bytes in one buffer`
  }
  let unknown: ScalarType | undefined
  const roots = [
    ...kernel.reductions.map((reduction) => reduction.body),
    ...kernel.stores.map((store) => store.value),
    ...kernel.checks.map((check) => check.ok),
  ]
  visit(roots, (node) => {
    if (!facts.types.has(node.dtype)) unknown = node.dtype
  })
  return unknown === undefined ? undefined : `does not compute ${unknown}`
}

/** Type and full name of the device that a node asks for: `/job:w/gpu:1` is `/device:GPU:1`. */
export function deviceOfText(
  text: string,
): { readonly type: string; readonly name: string } | undefined {
  const match = /(?:^|\/)(?:device:)?(cpu|gpu)(?::(\d+|\*))?$/i.exec(text)
  if (match === null) return undefined
  const type = `/device:${match[1].toUpperCase()}:`
  const index = match[2] === undefined || match[2] === '*' ? '0' : match[2]
  return { type, name: `${type}${index}` }
}
