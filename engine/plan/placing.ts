// Which device a kernel can run on, and which one a node's text asks for.
import { Refusal } from '../../tensor/index.ts'
import type { DeviceFacts } from '../device/device.ts'
import { type Kernel, type ScalarType, visit } from '../ir/index.ts'

/** Nodes that run elsewhere than asked, with the reason. */
type SoftPlaced = readonly {
  readonly node: string
  readonly device: string
  readonly reason: string
}[]

/**
 * The device that a kernel runs on: the one that its node asks for, where it can; else one that can,
 * which is said. The first device is the preferred one. Refuses (UNIMPLEMENTED `device/unable`) what none can.
 */
export function placedOn(
  devices: readonly DeviceFacts[],
  { device, node, op }: { readonly device: string; readonly node: string; readonly op: string },
  kernel: Kernel,
): { readonly device: string; readonly softPlaced: SoftPlaced } {
  const asked = deviceOfText(device)
  const exact = devices.find((facts) => facts.name === asked?.name)
  const sameType = devices.find((facts) => asked !== undefined && facts.name.startsWith(asked.type))
  const preferred = exact ?? sameType ?? devices[0]
  const softPlaced =
    asked !== undefined && preferred.name !== asked.name
      ? [{ node, device: preferred.name, reason: `there is no ${asked.name}` }]
      : []
  const problem = inability(preferred, kernel)
  if (problem === undefined) return { device: preferred.name, softPlaced }
  const able = devices.find((facts) => inability(facts, kernel) === undefined)
  if (able === undefined) {
    throw new Refusal(
      'UNIMPLEMENTED',
      'device/unable',
      `No device can run op ${op} of node "${node}": ${preferred.name} ${problem}.`,
      { names: { node, op, device: preferred.name } },
    )
  }
  const reason = `${preferred.name} ${problem}`
  return { device: able.name, softPlaced: [...softPlaced, { node, device: able.name, reason }] }
}

/** Why the device cannot run the kernel; undefined where it can. */
function inability(facts: DeviceFacts, kernel: Kernel): string | undefined {
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
function deviceOfText(text: string): { readonly type: string; readonly name: string } | undefined {
  const match = /(?:^|\/)(?:device:)?(cpu|gpu)(?::(\d+|\*))?$/i.exec(text)
  if (match === null) return undefined
  const type = `/device:${match[1].toUpperCase()}:`
  const index = match[2] === undefined || match[2] === '*' ? '0' : match[2]
  return { type, name: `${type}${index}` }
}
