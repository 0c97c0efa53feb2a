// The recorded and collected checkpoints of the shared folder, in one form.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { dtypeOfName } from '../../tensor/index.ts'
import { filesOfFolder, sha256 } from './tools.ts'

/** A checkpoint with what is known of it. */
export interface RecordedCheckpoint {
  /** `conformance/checkpoints/adam_slots model.ckpt-7`. */
  readonly place: string
  /** All files of its folder but the recording. */
  readonly files: Readonly<Record<string, Uint8Array>>
  readonly prefix: string
  /** Element type, shape and hashes of the bytes (of strings: of each) as JSON, by name. */
  readonly tensors: Readonly<Record<string, string>>
  /** A file of data is not there. */
  readonly isPartial: boolean
}

/** What is compared of a tensor. */
export function describe(dtype: string, shape: readonly number[], hashes: unknown): string {
  return JSON.stringify([dtypeOfName(dtype) ?? dtype, shape, hashes])
}

interface RecordedTensor {
  readonly name?: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly sha256?: string
  readonly sha256_dense_le?: string
  readonly strings?: readonly string[]
  readonly strings_sha256?: readonly string[]
}

function described(tensors: Readonly<Record<string, RecordedTensor>>): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [name, tensor] of Object.entries(tensors)) {
    const strings =
      tensor.strings_sha256 ?? tensor.strings?.map((text) => sha256(Buffer.from(text, 'base64')))
    found[name] = describe(
      tensor.dtype,
      tensor.shape,
      strings ?? tensor.sha256 ?? tensor.sha256_dense_le,
    )
  }
  return found
}

/** Those of TensorFlow 2.21, then those that were collected. */
export function recordedCheckpoints(shared: string): readonly RecordedCheckpoint[] {
  const own = foldersIn(shared, 'conformance/checkpoints').map((place): RecordedCheckpoint => {
    const { files, recording } = readFolder(join(shared, place))
    const { prefix, tensors } = recording as unknown as {
      readonly prefix: string
      readonly tensors: Readonly<Record<string, RecordedTensor>>
    }
    const expected = described(tensors)
    return { place: `${place} ${prefix}`, files, prefix, tensors: expected, isPartial: false }
  })
  const groups = ['checkpoints_v1', 'checkpoints_v2', 'checkpoints_v2_small']
  const places = groups.flatMap((group) => foldersIn(shared, `fixtures/${group}`))
  return [...own, ...places.flatMap((place) => collected(shared, place))]
}

function foldersIn(shared: string, place: string): readonly string[] {
  return readdirSync(join(shared, place))
    .sort()
    .map((name) => `${place}/${name}`)
}

interface Recording {
  readonly format?: string
  readonly tensors: readonly RecordedTensor[]
}

function collected(shared: string, place: string): readonly RecordedCheckpoint[] {
  const { files, recording } = readFolder(join(shared, place))
  return Object.entries(recording as Readonly<Record<string, Recording>>)
    .filter(([, { format }]) => format !== undefined)
    .map(([file, { tensors }]) => {
      const byName = Object.fromEntries(tensors.map((tensor) => [tensor.name ?? '', tensor]))
      const prefix = file.replace(/\.index$/, '')
      const isPartial = place.endsWith('_index_only')
      return { place: `${place} ${prefix}`, files, prefix, tensors: described(byName), isPartial }
    })
}

function readFolder(folder: string) {
  const { 'expected.json': _, ...files } = filesOfFolder(folder)
  const recording: unknown = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'))
  return { files, recording: recording as Readonly<Record<string, unknown>> }
}
