// Device strings as TensorFlow's Python reads, merges and writes them. Which real device one means is
// the engine's matter. Source: tensorflow/python/framework/device_spec.py.
import { Refusal } from '../../tensor/index.ts'
import { shorten } from '../name.ts'
import { pythonInteger, pythonString } from './python-text.ts'

/** A parsed device string; absent fields ask for nothing. */
export interface DeviceSpec {
  readonly job?: string | undefined
  readonly replica?: number | undefined
  readonly task?: number | undefined
  /** Such as `CPU` or `GPU`. */
  readonly type?: string | undefined
  /** Absent: any of the type, written `*`. */
  readonly index?: number | undefined
}

/** Types that may stand without the word `device`: `/gpu:0`, in any case. */
const shortTypes: ReadonlySet<string> = new Set(['CPU', 'GPU', 'TPU', 'CUSTOM', 'EPU'])

/**
 * Parses `/job:ps/replica:0/task:1/device:GPU:0`, every field optional, `/gpu:0` and `/cpu` in short.
 * Refuses (INVALID_ARGUMENT, `device/invalid`) an unknown field, two types, and an index that is no
 * whole number, in TensorFlow's words.
 */
export function parseDevice(text: string): DeviceSpec {
  let job: string | undefined
  let replica: string | undefined
  let task: string | undefined
  let type: string | undefined
  let index: number | undefined
  for (const field of text.split('/').map((one) => one.split(':'))) {
    const [key, first, second] = field
    if (field.length === 2 && key === 'job') job = first
    else if (field.length === 2 && key === 'replica') replica = first
    else if (field.length === 2 && key === 'task') task = first
    else if (field.length <= 2 && shortTypes.has(key.toUpperCase())) {
      if (type !== undefined) throw secondType(text)
      type = key.toUpperCase()
      if (first !== undefined && first !== '*') index = integerOf(first, text)
    } else if (field.length === 3 && key === 'device') {
      if (type !== undefined) throw secondType(text)
      type = first === 'cpu' || first === 'gpu' ? first.toUpperCase() : first
      if (second !== '*') index = integerOf(second, text)
    } else if (key !== '') {
      throw invalid(
        `Unknown attribute '${shorten(key)}' is encountered while parsing the device spec: '${shorten(text)}'.`,
        text,
      )
    }
  }
  return {
    job,
    replica: replica === undefined ? undefined : integerOf(replica, text),
    task: task === undefined ? undefined : integerOf(task, text),
    type,
    index,
  }
}

/** The canonical text: job, replica, task, device, with `*` where a type has no index; '' where empty. */
export function formatDevice({ job, replica, task, type, index }: DeviceSpec): string {
  const fields: string[] = []
  if (job !== undefined) fields.push(`/job:${job}`)
  if (replica !== undefined) fields.push(`/replica:${replica}`)
  if (task !== undefined) fields.push(`/task:${task}`)
  if (type !== undefined) fields.push(`/device:${type}:${index ?? '*'}`)
  return fields.join('')
}

/** Both at once: each field of `inner` where it has one, else that of `outer` (type and index apart). */
export function mergeDevices(inner: DeviceSpec, outer: DeviceSpec): DeviceSpec {
  return {
    job: inner.job ?? outer.job,
    replica: inner.replica ?? outer.replica,
    task: inner.task ?? outer.task,
    type: inner.type ?? outer.type,
    index: inner.index ?? outer.index,
  }
}

/** {@link mergeDevices} on texts; canonical, and refusing what {@link parseDevice} refuses. */
export function mergeDeviceTexts(inner: string, outer: string): string {
  return formatDevice(mergeDevices(parseDevice(inner), parseDevice(outer)))
}

function integerOf(digits: string, text: string): number {
  const value = pythonInteger(digits)
  if (value !== undefined) return value
  throw invalid(`invalid literal for int() with base 10: ${pythonString(shorten(digits))}`, text)
}

function secondType(text: string): Refusal {
  return invalid(
    `Multiple device types are not allowed while parsing the device spec: ${shorten(text)}.`,
    text,
  )
}

function invalid(message: string, text: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'device/invalid', message, {
    fix: 'Write a device as TensorFlow does, such as /device:CPU:0 or /job:ps/task:1/device:GPU:0.',
    names: { device: shorten(text) },
  })
}
