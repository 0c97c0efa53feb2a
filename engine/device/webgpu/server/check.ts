// Judges a whole submit before any of it is done, so that a refused one changes nothing: that
// buffers and programs exist, that ranges and types fit, and that memory stays in its bounds.
import { Refusal } from '../../../../tensor/index.ts'
import { denseByteLengthOf, type Operation, type Storage } from '../protocol.ts'
import { type DeviceMemory, storedByteLengthOf } from './memory.ts'
import type { Programs } from './programs.ts'

/** A buffer as far as judging needs it. */
interface Described {
  readonly storage: Storage
  readonly elementCount: number
}

/**
 * Throws a Refusal for the first operation that cannot be done: RESOURCE_EXHAUSTED for memory,
 * NOT_FOUND (`device/unknown-buffer`, `device/unknown-kernel`) for what is not there, and
 * INVALID_ARGUMENT (`device/bad-command`) for what does not fit.
 */
export function checkSubmit(
  operations: readonly Operation[],
  memory: DeviceMemory,
  programs: Programs,
): void {
  const changed = new Map<number, Described | undefined>()
  let change = 0
  const find = (id: number): Described => {
    const buffer = changed.has(id) ? changed.get(id) : memory.buffers.get(id)
    if (buffer) return buffer
    throw new Refusal('NOT_FOUND', 'device/unknown-buffer', `there is no buffer ${id}`)
  }
  for (const operation of operations) {
    switch (operation.kind) {
      case 'allocate': {
        const { buffer: id, elementCount } = operation
        if (changed.has(id) ? changed.get(id) : memory.buffers.has(id)) {
          throw badCommand(`buffer ${id} is allocated already`)
        }
        const byteLength = storedByteLengthOf(elementCount)
        change += byteLength
        memory.check(byteLength, change)
        changed.set(id, operation)
        break
      }
      case 'release':
        change -= storedByteLengthOf(find(operation.buffer).elementCount)
        changed.set(operation.buffer, undefined)
        break
      case 'write': {
        const buffer = find(operation.buffer)
        const elementCount = operation.bytes.byteLength / denseByteLengthOf(buffer.storage)
        checkRange('a write', operation.buffer, buffer, operation.offset, elementCount)
        break
      }
      case 'read': {
        const buffer = find(operation.buffer)
        checkRange('a read', operation.buffer, buffer, operation.offset, operation.elementCount)
        break
      }
      case 'copy': {
        const [from, to] = [find(operation.from), find(operation.to)]
        if (operation.from === operation.to || !sameForm(from, to)) {
          throw badCommand(`buffers ${operation.from} and ${operation.to} cannot be copied`)
        }
        break
      }
      case 'dispatch':
        checkDispatch(operation.program, operation.buffers, operation.buffers.map(find), programs)
        break
      default:
        operation satisfies never
    }
  }
}

function checkRange(
  what: string,
  id: number,
  buffer: Described,
  offset: number,
  elementCount: number,
): void {
  const sound = Number.isInteger(elementCount) && Number.isInteger(offset) && offset >= 0
  if (sound && elementCount >= 0 && offset + elementCount <= buffer.elementCount) return
  const range = `${elementCount} elements from ${offset}`
  throw badCommand(`${what} of ${range} is outside buffer ${id}, which has ${buffer.elementCount}`)
}

function checkDispatch(
  id: number,
  buffers: readonly number[],
  described: readonly Described[],
  programs: Programs,
): void {
  const pipeline = programs.pipelines.get(id)
  if (!pipeline) throw new Refusal('NOT_FOUND', 'device/unknown-kernel', `there is no kernel ${id}`)
  const { bindings } = pipeline.program
  if (buffers.length !== bindings.length) {
    throw badCommand(`kernel ${id} binds ${bindings.length} buffers, not ${buffers.length}`)
  }
  bindings.forEach((binding, place) => {
    const { storage, elementCount } = described[place]
    if (!sameForm(binding, described[place])) {
      const wanted = `${binding.elementCount} elements (${binding.storage})`
      const given = `buffer ${buffers[place]} with ${elementCount} (${storage})`
      throw badCommand(`place ${place} of kernel ${id} is for ${wanted}, not ${given}`)
    }
    const shared = buffers.indexOf(buffers[place])
    if (shared !== place && (binding.writable || bindings[shared].writable)) {
      throw badCommand(`kernel ${id} would write buffer ${buffers[place]}, bound in two places`)
    }
  })
}

function sameForm(a: Described, b: Described): boolean {
  return a.storage === b.storage && a.elementCount === b.elementCount
}

function badCommand(message: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'device/bad-command', message)
}
