// Commands on their way into a stage: gathered for each device, and handed in as one submit where
// something waits for them. It knows no values, only slots.
import type { Instruction, Slot, SlotCommand, SlotId } from './stage.ts'

interface Segment {
  readonly commands: SlotCommand[]
  readonly slots: Map<SlotId, Slot>
  /** Whether kernels of it can fail; what ran before such a one is run again to tell why. */
  checks: boolean
  /** Whether it changes buffers in place, so that it must not be run again. */
  changes: boolean
}

/** What a kernel does beside writing new buffers. */
export type KernelTraits = Pick<Segment, 'checks' | 'changes'>

export class Segments {
  /** What was handed in, in running order; steps are added by the caller. */
  readonly instructions: Instruction[] = []
  readonly #open = new Map<string, Segment>()

  add(device: string, command: SlotCommand, slots: readonly Slot[]): void {
    const segment = this.#of(device)
    segment.commands.push(command)
    for (const slot of slots) segment.slots.set(slot.id, slot)
  }

  /** To be told of a kernel before its commands are added: what can fail and what changes in place are kept apart. */
  separate(device: string, { checks, changes }: KernelTraits): void {
    const before = this.#open.get(device)
    if (before !== undefined && ((checks && before.changes) || (changes && before.checks))) {
      this.flush(device)
    }
    const segment = this.#of(device)
    segment.checks ||= checks
    segment.changes ||= changes
  }

  #of(device: string): Segment {
    const known = this.#open.get(device)
    if (known !== undefined) return known
    const segment = { commands: [], slots: new Map(), checks: false, changes: false }
    this.#open.set(device, segment)
    return segment
  }

  flush(device: string): void {
    const segment = this.#open.get(device)
    if (segment === undefined) return
    const { commands, slots } = segment
    this.#open.delete(device)
    if (commands.length === 0) return
    this.instructions.push({ kind: 'submit', device, commands, slots: [...slots.values()] })
  }

  flushAll(): void {
    for (const device of [...this.#open.keys()]) this.flush(device)
  }
}
