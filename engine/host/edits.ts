// Buffers that can show two values: the one that they had before a run changed a few elements in place,
// and the one since. The same exchange of elements leads from either to the other and costs what was
// touched. So a run asked before the newer value was committed still reads the older one, and a value
// that is never committed leaves no trace.
import type { BufferId, Command } from '../device/device.ts'
import type { ValueKey } from '../engine.ts'
import type { DeviceBuffer } from './device-buffer.ts'

/** One buffer with two values. */
export interface Edit {
  readonly buffer: DeviceBuffer
  /** The value that it had. */
  readonly older: ValueKey
  /** Exchanges that lead from the older value to the newer; backwards they lead back. */
  readonly commands: readonly Command[]
  /** What the exchanges keep the other value's elements in. */
  readonly logs: readonly DeviceBuffer[]
  showsOlder: boolean
}

/** The edits of one device; a buffer has one at most. */
export class Edits {
  readonly #byBuffer = new Map<BufferId, Edit>()
  readonly #byOlder = new Map<ValueKey, Edit>()

  get size(): number {
    return this.#byBuffer.size
  }

  clear(): void {
    this.#byBuffer.clear()
    this.#byOlder.clear()
  }

  all(): Iterable<Edit> {
    return this.#byBuffer.values()
  }

  add(edit: Edit): void {
    this.#byBuffer.set(edit.buffer.buffer, edit)
    this.#byOlder.set(edit.older, edit)
  }

  of({ buffer }: DeviceBuffer): Edit | undefined {
    return this.#byBuffer.get(buffer)
  }

  ofOlder(key: ValueKey): Edit | undefined {
    return this.#byOlder.get(key)
  }

  delete(edit: Edit): void {
    this.#byBuffer.delete(edit.buffer.buffer)
    if (this.#byOlder.get(edit.older) === edit) this.#byOlder.delete(edit.older)
  }

  /** What has to run so that the buffer shows the wanted one of its values. */
  turn(edit: Edit, toOlder: boolean): readonly Command[] {
    if (edit.showsOlder === toOlder) return []
    edit.showsOlder = toOlder
    return toOlder ? edit.commands.toReversed() : edit.commands
  }
}
