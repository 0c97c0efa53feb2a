// What a failed check says: the message that its op has for it, with the values that it saw.
import {
  elementCountOf,
  type NumericTensor,
  numericTensor,
  type Refusal,
} from '../../tensor/index.ts'
import type { CheckFailure, Command, Submitted } from '../device/device.ts'
import { type PlannedKernel, refusalOfCheck, type SlotCommand } from '../plan/index.ts'

/** A list of commands that was sent: `planned` ones from `offset` on. None of them changes values in place. */
export interface Sent {
  readonly commands: readonly Command[]
  readonly planned: readonly SlotCommand[]
  readonly offset: number
}

/** The failed check in words; runs the commands before it once more to see the values it read. */
export async function refusalOfFailure(
  failure: CheckFailure,
  { commands, planned, offset }: Sent,
  list: readonly PlannedKernel[],
  submit: (commands: readonly Command[]) => Promise<Submitted>,
): Promise<Refusal> {
  const dispatch = planned[failure.command - offset]
  const command = commands[failure.command]
  if (dispatch.kind !== 'dispatch' || command.kind !== 'dispatch') {
    throw new Error('a check failed in no kernel')
  }
  const { kernel, checks, inputs } = list[dispatch.kernel]
  const reads = kernel.inputs.map(({ elementCount }, place): Command => {
    return { kind: 'read', buffer: command.buffers[place], offset: 0, elementCount }
  })
  const before = commands.slice(0, failure.command).filter((one) => one.kind !== 'read')
  const again = await submit([...before, ...reads])
  const tensors = inputs.map(({ dtype, shape }, place) =>
    numericTensor(dtype as NumericTensor['dtype'], [elementCountOf(shape)], again.reads[place]),
  )
  return refusalOfCheck(checks[failure.code], kernel, failure.position, tensors)
}
