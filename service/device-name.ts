// Device strings as TensorFlow writes them: the grammar, the canonical spelling, and which of the
// engine's devices one means. Source: tensorflow/python/framework/device_spec.py.
import { Refusal } from '../tensor/index.ts'

/** A parsed device string; absent parts are not constrained. */
export interface DeviceSpec {
  readonly job?: string
  readonly replica?: number
  readonly task?: number
  readonly type?: string
  /** Undefined: any of the type (`*`). */
  readonly index?: number
}

/** Parses a device string. Refuses (INVALID_ARGUMENT `device/invalid`) what TensorFlow refuses. */
export function parseDevice(text: string): DeviceSpec {
  const spec: { -readonly [key in keyof DeviceSpec]: DeviceSpec[key] } = {}
  for (const part of text.split('/')) {
    if (part === '') continue
    const words = part.split(':')
    const kind = words[0].toLowerCase()
    const isType = kind === 'cpu' || kind === 'gpu' || (kind === 'device' && words.length > 1)
    if (isType) {
      if (spec.type !== undefined) throw invalid(`Cannot specify multiple device types: ${text}`)
      const [type, index] = kind === 'device' ? words.slice(1) : [kind, words[1]]
      spec.type = /^(cpu|gpu)$/i.test(type) ? type.toUpperCase() : type
      if (index !== undefined && index !== '*') spec.index = numberOf(index, text)
      continue
    }
    if (words.length !== 2) throw invalid(`Unknown attribute: '${words[0]}' in '${text}'`)
    if (kind === 'job') spec.job = words[1]
    else if (kind === 'replica') spec.replica = numberOf(words[1], text)
    else if (kind === 'task') spec.task = numberOf(words[1], text)
    else throw invalid(`Unknown attribute: '${words[0]}' in '${text}'`)
  }
  return spec
}

/** The canonical spelling: job, replica, task, device; `*` where an index is missing. */
export function formatDevice(spec: DeviceSpec): string {
  const parts: string[] = []
  if (spec.job !== undefined) parts.push(`/job:${spec.job}`)
  if (spec.replica !== undefined) parts.push(`/replica:${spec.replica}`)
  if (spec.task !== undefined) parts.push(`/task:${spec.task}`)
  if (spec.type !== undefined) parts.push(`/device:${spec.type}:${spec.index ?? '*'}`)
  return parts.join('')
}

/**
 * The first of `names` (canonical device names) that the string means; undefined where there is
 * none. The empty string means none in particular: undefined too.
 */
export function matchDevice(text: string, names: readonly string[]): string | undefined {
  const wanted = parseDevice(text)
  if (wanted.type === undefined) return undefined
  return names.find((name) => {
    const one = parseDevice(name)
    return one.type === wanted.type && (wanted.index === undefined || wanted.index === one.index)
  })
}

function numberOf(text: string, whole: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text)
  throw invalid(`"${text}" in the device "${whole}" is not a whole number.`)
}

function invalid(message: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'device/invalid', message, {
    fix: 'Write a device as TensorFlow does, such as /device:CPU:0 or /device:GPU:0.',
  })
}
