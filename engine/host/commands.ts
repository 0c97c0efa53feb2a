// What lists of commands for a device say of buffers.
import { byteLengthOf } from '../../tensor/index.ts'
import type { BufferId, Command, Submitted } from '../device/device.ts'

/** Bytes that a command asks room for. */
export function madeBytes(command: Command): number {
  return command.kind === 'allocate' ? command.elementCount * byteLengthOf(command.dtype) : 0
}

/** What a device said of a list of commands, for the list without its first `by`. */
export function shift(submitted: Submitted, by: number): Submitted {
  const { reads, failure } = submitted
  if (failure === undefined) return submitted
  return { reads, failure: { ...failure, command: failure.command - by } }
}

/** Buffers that a command names. */
export function buffersOf(command: Command): readonly BufferId[] {
  switch (command.kind) {
    case 'dispatch':
      return command.buffers
    case 'copy':
      return [command.from, command.to]
    default:
      return [command.buffer]
  }
}

/** Buffers that a command makes. */
export function madeBy(command: Command): readonly BufferId[] {
  return command.kind === 'allocate' ? [command.buffer] : []
}
