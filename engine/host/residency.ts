// What one device holds for the engine: values of the store, constants, temporaries that runs share,
// spare buffers, compiled kernels. It gives numbers to buffers and knows when a loss made them void.
import {
  byteLengthOf,
  elementCountOf,
  type NumericTensor,
  numericTensor,
  Refusal,
  type Shape,
} from '../../tensor/index.ts'
import type { BufferId, Command, Device, KernelId, Submitted } from '../device/device.ts'
import type { ByteRange, HeldBytes, ValueKey } from '../engine.ts'
import type { Kernel, ScalarType } from '../ir/index.ts'
import { buffersOf, madeBy, madeBytes, shift } from './commands.ts'
import type { DeviceBuffer } from './device-buffer.ts'
import { type Edit, Edits } from './edits.ts'
import { Kernels } from './kernels.ts'

/** Spare buffers kept for reuse, in elements over all. */
const maxSpareElements = 2 ** 26

export class Residency {
  readonly device: Device
  /** Values of the store, least recently used first. */
  readonly #values = new Map<ValueKey, DeviceBuffer>()
  /** Of buffers among the values, and of those whose newer value is not committed yet. */
  readonly #edits = new Edits()
  readonly #constants = new Map<NumericTensor, DeviceBuffer>()
  readonly #temporaries = new Map<string, DeviceBuffer>()
  readonly #spare = new Map<string, DeviceBuffer[]>()
  readonly #kernels: Kernels
  #spareElements = 0
  #nextBuffer = 0
  #generation: number
  /** Made or given back, to be told to the device with the next submit. */
  #pending: Command[] = []

  constructor(device: Device) {
    this.device = device
    this.#kernels = new Kernels(device)
    this.#generation = device.generation
  }

  get generation(): number {
    return this.#generation
  }

  /** Values of the store that can be read here. */
  get values(): ReadonlyMap<ValueKey, DeviceBuffer> {
    const buffers = new Set(this.#values.values())
    const uncommitted = [...this.#edits.all()].filter(({ buffer }) => !buffers.has(buffer))
    return new Map([
      ...this.#values,
      ...uncommitted.map(({ older, buffer }): [ValueKey, DeviceBuffer] => [older, buffer]),
    ])
  }

  /** Forgets what a lost device held. */
  noticeLoss(): void {
    if (this.device.generation === this.#generation) return
    this.#generation = this.device.generation
    this.#values.clear()
    this.#edits.clear()
    this.#constants.clear()
    this.#temporaries.clear()
    this.#spare.clear()
    this.#kernels.clear()
    this.#spareElements = 0
    this.#pending = []
  }

  isLive(buffer: DeviceBuffer): boolean {
    return buffer.generation === this.#generation && this.device.generation === this.#generation
  }

  /** A buffer for the caller to fill: a spare one, else a new one. */
  take(dtype: ScalarType, elementCount: number): DeviceBuffer {
    const spare = this.#spare.get(`${dtype} ${elementCount}`)?.pop()
    if (spare !== undefined) {
      this.#spareElements -= elementCount
      return spare
    }
    return this.#allocate(dtype, elementCount)
  }

  #allocate(dtype: ScalarType, elementCount: number): DeviceBuffer {
    const buffer = this.#nextBuffer++
    this.#pending.push({ kind: 'allocate', buffer, dtype, elementCount })
    return { buffer, dtype, elementCount, generation: this.#generation }
  }

  /** The caller needs the buffer no more. */
  giveBack(buffer: DeviceBuffer): void {
    if (!this.isLive(buffer)) return
    this.#endEdit(this.#edits.of(buffer))
    if (this.#spareElements + buffer.elementCount > maxSpareElements) {
      this.#pending.push({ kind: 'release', buffer: buffer.buffer })
      return
    }
    const key = `${buffer.dtype} ${buffer.elementCount}`
    const spare = this.#spare.get(key)
    if (spare === undefined) this.#spare.set(key, [buffer])
    else spare.push(buffer)
    this.#spareElements += buffer.elementCount
  }

  /** The temporary of that type, size and number; runs take turns, so all plans share them. */
  temporary(dtype: ScalarType, elementCount: number, ordinal: number): DeviceBuffer {
    const key = `${dtype} ${elementCount} ${ordinal}`
    let buffer = this.#temporaries.get(key)
    if (buffer === undefined) {
      buffer = this.#allocate(dtype, elementCount)
      this.#temporaries.set(key, buffer)
    }
    return buffer
  }

  /** Constants belong to graphs, and are uploaded again where a plan still has them. */
  dropConstants(): void {
    for (const { buffer } of this.#constants.values())
      this.#pending.push({ kind: 'release', buffer })
    this.#constants.clear()
  }

  /** A constant's buffer; `fill` is set where it has still to be written. */
  constant(tensor: NumericTensor): { readonly buffer: DeviceBuffer; readonly fill: boolean } {
    const known = this.#constants.get(tensor)
    if (known !== undefined) return { buffer: known, fill: false }
    const buffer = this.#allocate(tensor.dtype as ScalarType, elementCountOf(tensor.shape))
    this.#constants.set(tensor, buffer)
    return { buffer, fill: true }
  }

  /** The resident copy of a value, in a buffer that shows it from the next submit on. */
  value(key: ValueKey): DeviceBuffer | undefined {
    const buffer = this.#values.get(key)
    if (buffer === undefined) {
      const edit = this.#edits.ofOlder(key)
      this.#turn(edit, true)
      return edit?.buffer
    }
    this.#values.delete(key)
    this.#values.set(key, buffer)
    this.showNewer(buffer)
    return buffer
  }

  keep(key: ValueKey, buffer: DeviceBuffer): void {
    const edit = this.#edits.of(buffer)
    if (edit?.older === key) this.#endEdit(edit)
    if (this.#values.has(key)) this.giveBack(buffer)
    else this.#values.set(key, buffer)
  }

  evict(keys?: readonly ValueKey[]): void {
    for (const key of keys ?? [...this.values.keys()]) {
      this.#endEdit(this.#edits.ofOlder(key))
      const buffer = this.#values.get(key)
      if (buffer === undefined) continue
      this.#endEdit(this.#edits.of(buffer))
      this.#values.delete(key)
      if (this.isLive(buffer)) this.#pending.push({ kind: 'release', buffer: buffer.buffer })
    }
  }

  /** Runs a command with the next submit, before what that is asked for. */
  queue(command: Command): void {
    this.#pending.push(command)
  }

  /** The buffer is no copy of a value any more: it is the caller's to change and to give back. */
  withdraw(buffer: DeviceBuffer): void {
    this.#endEdit(this.#edits.of(buffer))
    for (const [key, held] of this.#values) if (held === buffer) this.#values.delete(key)
  }

  /**
   * A copy of a value was changed by the commands, and is the caller's. The value can be had from it as
   * long as the caller keeps it: the commands exchange elements with `logs`, which go back in the end.
   */
  edited(buffer: DeviceBuffer, commands: readonly Command[], logs: readonly DeviceBuffer[]): void {
    const older = [...this.#values].find(([, held]) => held === buffer)?.[0]
    this.#endEdit(this.#edits.of(buffer))
    if (older === undefined) {
      for (const log of logs) this.giveBack(log)
      return
    }
    this.#values.delete(older)
    this.#edits.add({ buffer, older, commands, logs, showsOlder: false })
  }

  /** Sees to it that the newer value is in a buffer that was changed in place. */
  showNewer(buffer: DeviceBuffer): void {
    this.#turn(this.#edits.of(buffer), false)
  }

  /** The caller's value in a buffer is not wanted: where it was made from a copy of another, that is there again. */
  revert(buffer: DeviceBuffer): void {
    const edit = this.#edits.of(buffer)
    if (edit === undefined || !this.isLive(buffer) || this.#values.has(edit.older)) {
      this.giveBack(buffer)
      return
    }
    this.#turn(edit, true)
    this.#forgetEdit(edit)
    this.#values.set(edit.older, buffer)
  }

  /** Whether some buffers can show two values. */
  get hasEdits(): boolean {
    return this.#edits.size > 0
  }

  /** Whether the value is the older one of a buffer that was changed in place. */
  isOlder(key: ValueKey): boolean {
    return this.#edits.ofOlder(key) !== undefined
  }

  /** One run reads such values and buffers: a buffer from which it would want both its values keeps the newer. */
  settle(keys: ReadonlySet<ValueKey>, buffers: ReadonlySet<DeviceBuffer>): void {
    for (const edit of [...this.#edits.all()]) {
      if (!keys.has(edit.older)) continue
      const isWanted =
        buffers.has(edit.buffer) || [...keys].some((key) => this.#values.get(key) === edit.buffer)
      if (isWanted) this.#endEdit(edit)
    }
  }

  #turn(edit: Edit | undefined, toOlder: boolean): void {
    if (edit !== undefined) this.#pending.push(...this.#edits.turn(edit, toOlder))
  }

  /** From now on the buffer has its newer value only. */
  #endEdit(edit: Edit | undefined): void {
    if (edit === undefined) return
    this.#turn(edit, false)
    this.#forgetEdit(edit)
  }

  #forgetEdit(edit: Edit): void {
    this.#edits.delete(edit)
    for (const log of edit.logs) this.giveBack(log)
  }

  /** Ids of the kernels, compiled where they are new to the device. */
  compile(kernels: readonly Kernel[]): Promise<readonly KernelId[]> {
    return this.#kernels.compile(kernels)
  }

  /**
   * Runs commands after what has been made and given back meanwhile. Where memory is short it gives up
   * whatever neither the commands nor `inUse` name, and tries once more.
   */
  async submit(commands: readonly Command[], inUse: Iterable<DeviceBuffer>): Promise<Submitted> {
    const prelude = this.#pending
    this.#pending = []
    const place = prelude.length
    try {
      return shift(await this.device.submit([...prelude, ...commands]), place)
    } catch (error) {
      if (!(error instanceof Refusal) || error.reason !== 'device/out-of-memory') throw error
      const kept = new Set([...commands, ...prelude].flatMap(buffersOf))
      for (const { buffer } of inUse) kept.add(buffer)
      return this.#submitAfterEviction(prelude, commands, kept, error)
    }
  }

  /** Gives up as much as the commands make; where that was not enough, everything that can be. */
  async #submitAfterEviction(
    prelude: readonly Command[],
    commands: readonly Command[],
    kept: ReadonlySet<BufferId>,
    refused: Refusal,
  ): Promise<Submitted> {
    const asked = [...prelude, ...commands]
    const wantedBytes = asked.reduce((sum, command) => sum + madeBytes(command), 0)
    const released: Command[] = []
    let last: unknown = refused
    for (const bytes of [wantedBytes, Number.POSITIVE_INFINITY]) {
      const more = this.#shrink(kept, bytes)
      if (more.length === 0) break
      released.push(...more)
      try {
        const submitted = await this.device.submit([...released, ...asked])
        return shift(submitted, released.length + prelude.length)
      } catch (error) {
        last = error
      }
    }
    this.#undo(prelude)
    // What was given up is forgotten already; the device hears of it with the next submit.
    this.#pending.unshift(...released)
    throw last
  }

  /** Forgets buffers whose making was refused; buffers given back stay to be given back. */
  #undo(prelude: readonly Command[]): void {
    const unmade = new Set(prelude.flatMap(madeBy))
    const forget = <Key>(map: Map<Key, DeviceBuffer>): void => {
      for (const [key, { buffer }] of map) if (unmade.has(buffer)) map.delete(key)
    }
    forget(this.#values)
    forget(this.#constants)
    forget(this.#temporaries)
    // Turns of edited buffers have still to happen as well; they concern buffers that are there.
    this.#pending.unshift(
      ...prelude.filter(
        (one) => one.kind === 'dispatch' || (one.kind === 'release' && !unmade.has(one.buffer)),
      ),
    )
    this.#unmade = new Set([...this.#unmade, ...unmade])
  }

  #unmade: ReadonlySet<BufferId> = new Set()

  /** Whether the buffer's making was refused, so that it must not be given back. */
  isUnmade(buffer: DeviceBuffer): boolean {
    return this.#unmade.has(buffer.buffer)
  }

  /**
   * Gives up at least `bytes`, as far as there is something that nobody uses: spare buffers first,
   * then constants and temporaries, then values, the least recently used ones first.
   */
  #shrink(kept: ReadonlySet<BufferId>, bytes: number): Command[] {
    const released: Command[] = []
    let freed = 0
    const drop = (held: DeviceBuffer): boolean => {
      if (kept.has(held.buffer)) return false
      released.push({ kind: 'release', buffer: held.buffer })
      freed += byteLengthOfBuffer(held)
      return true
    }
    for (const [key, list] of this.#spare) {
      this.#spare.set(
        key,
        list.filter((buffer) => !drop(buffer)),
      )
    }
    this.#spareElements = [...this.#spare.values()]
      .flat()
      .reduce((sum, { elementCount }) => sum + elementCount, 0)
    for (const held of [this.#constants, this.#temporaries, this.#values]) {
      for (const [key, buffer] of held as Map<unknown, DeviceBuffer>) {
        if (freed >= bytes) return released
        if (!drop(buffer)) continue
        ;(held as Map<unknown, DeviceBuffer>).delete(key)
        const edit = this.#edits.of(buffer)
        if (edit === undefined) continue
        this.#edits.delete(edit)
        for (const log of edit.logs) drop(log)
      }
    }
    return released
  }

  /** Bytes that are held, by what for. */
  get held(): HeldBytes {
    return {
      valueBytes: sumOf(this.#values.values()),
      constantBytes: sumOf(this.#constants.values()),
      temporaryBytes: sumOf(this.#temporaries.values()),
      spareBytes: sumOf([...this.#spare.values()].flat()),
    }
  }

  /** Bytes of a buffer, at element borders. */
  async readRanges(
    { buffer, dtype }: DeviceBuffer,
    ranges: readonly ByteRange[],
  ): Promise<readonly Uint8Array[]> {
    const size = byteLengthOf(dtype)
    const commands = ranges.map(({ offset, length }): Command => {
      return { kind: 'read', buffer, offset: offset / size, elementCount: length / size }
    })
    return (await this.submit(commands, [])).reads
  }

  /** Content of a buffer. */
  async read(buffer: DeviceBuffer, shape: Shape): Promise<NumericTensor> {
    const { dtype, elementCount } = buffer
    const { reads } = await this.submit(
      [{ kind: 'read', buffer: buffer.buffer, offset: 0, elementCount }],
      [],
    )
    return numericTensor(dtype, shape, reads[0])
  }
}

function byteLengthOfBuffer({ dtype, elementCount }: DeviceBuffer): number {
  return elementCount * byteLengthOf(dtype)
}

function sumOf(buffers: Iterable<DeviceBuffer>): number {
  let sum = 0
  for (const buffer of buffers) sum += byteLengthOfBuffer(buffer)
  return sum
}
