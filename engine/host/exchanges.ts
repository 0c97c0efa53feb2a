// What one run changed in place of values that the store has, and how that is taken back if the run
// fails. Who may see which of the two values afterwards is edits.ts.
import { Refusal } from '../../tensor/index.ts'
import type { Command, KernelId } from '../device/device.ts'
import type { DeviceBuffer } from './device-buffer.ts'
import type { Residency } from './residency.ts'

type Dispatch = Extract<Command, { readonly kind: 'dispatch' }>

interface Exchange {
  readonly device: string
  readonly command: Dispatch
  /** What holds a value of the store. */
  readonly buffer: DeviceBuffer
  /** What the command exchanges it with, and where. */
  readonly logs: readonly DeviceBuffer[]
  state: 'planned' | 'done' | 'void'
}

export class Exchanges {
  readonly #residencyOf: (device: string) => Residency
  readonly #byCommand = new Map<Command, Exchange>()

  constructor(residencyOf: (device: string) => Residency) {
    this.#residencyOf = residencyOf
  }

  /** The command of an exchange, which is to be told of as {@link done} or {@link failed}. */
  add(
    device: string,
    kernel: KernelId,
    buffer: DeviceBuffer,
    logs: readonly DeviceBuffer[],
  ): Command {
    const buffers = [buffer, ...logs].map((one) => one.buffer)
    const command: Dispatch = { kind: 'dispatch', kernel, buffers }
    this.#byCommand.set(command, { device, command, buffer, logs, state: 'planned' })
    return command
  }

  isOne(command: Command): boolean {
    return this.#byCommand.has(command)
  }

  done(commands: readonly Command[]): void {
    for (const command of commands) this.#of(command).state = 'done'
  }

  /** A refusal for want of memory has changed nothing. After anything else nobody knows what the buffers hold. */
  failed(commands: readonly Command[], error: unknown): void {
    if (error instanceof Refusal && error.reason === 'device/out-of-memory') return
    for (const command of commands) {
      const { device, buffer } = this.#of(command)
      for (const one of this.#byCommand.values()) if (one.buffer === buffer) one.state = 'void'
      const residency = this.#residencyOf(device)
      residency.withdraw(buffer)
      residency.giveBack(buffer)
    }
  }

  #of(command: Command): Exchange {
    const exchange = this.#byCommand.get(command)
    if (exchange === undefined) throw new Error('the command is no exchange')
    return exchange
  }

  /** The run has succeeded: from now on each buffer can show both of its values. */
  keep(): void {
    for (const [buffer, list] of Map.groupBy(this.#byCommand.values(), (one) => one.buffer)) {
      const commands = list.map(({ command }) => command)
      const logs = list.flatMap((one) => one.logs)
      this.#residencyOf(list[0].device).edited(buffer, commands, logs)
    }
  }

  /** The run has failed: buffers show again what they showed before. */
  takeBack(): void {
    for (const { device, command, logs, state } of [...this.#byCommand.values()].reverse()) {
      const residency = this.#residencyOf(device)
      if (state === 'done') residency.queue(command)
      for (const log of logs) if (!residency.isUnmade(log)) residency.giveBack(log)
    }
  }
}
