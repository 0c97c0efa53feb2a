// Writes safetensors, streamed: the header first, then the tensors, widest elements first and by name
// within a width, so that every tensor is aligned. Equal tensors give equal bytes.
import { byteLengthOf, Refusal, type TensorStream } from '../tensor/index.ts'
import { carriedAsBytes, carriedKey, carriedText } from './carried-types.ts'
import {
  joinedOutputs,
  type OutputBytes,
  type OutputTensor,
  outputOf,
  outputOfTensor,
} from './output.ts'
import { maxHeaderLength, safetensorsTypes } from './safetensors-reader.ts'

/**
 * A safetensors file of `tensors`. Element types that the format has no name for (strings,
 * complex128, ..) travel as bytes, and the metadata says what they are. Refuses (INVALID_ARGUMENT)
 * names given twice or reserved (`safetensors/bad-name`).
 */
export function writeSafetensors(
  tensors: readonly OutputTensor[],
  metadata: ReadonlyMap<string, string> = new Map(),
): OutputBytes {
  const isCarried = ({ dtype }: TensorStream) => safetensorsTypes[dtype] === undefined
  const carried = tensors.filter(isCarried)
  const sorted = tensors
    .map((tensor) => (isCarried(tensor) ? carriedAsBytes(tensor) : tensor))
    .sort((a, b) => byteLengthOf(b.dtype) - byteLengthOf(a.dtype) || (a.name < b.name ? -1 : 1))
  const told = new Map(metadata)
  if (carried.length > 0) told.set(carriedKey, carriedText(carried))
  const header = headerOf(sorted, told)
  return joinedOutputs([outputOf(header), ...sorted.map(outputOfTensor)])
}

function headerOf(
  tensors: readonly TensorStream[],
  metadata: ReadonlyMap<string, string>,
): Uint8Array {
  const members: string[] = []
  if (metadata.size > 0) {
    const sorted = [...metadata].sort(([a], [b]) => (a < b ? -1 : 1))
    const pairs = sorted.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
    members.push(`"__metadata__":{${pairs.join(',')}}`)
  }
  const names = new Set(['__metadata__'])
  let offset = 0
  for (const { name, dtype, shape, byteLength } of tensors) {
    if (names.has(name)) {
      const message = `A safetensors file cannot hold a tensor "${name}": it is there already or reserved.`
      throw new Refusal('INVALID_ARGUMENT', 'safetensors/bad-name', message, {
        names: { tensor: name },
      })
    }
    names.add(name)
    const end = offset + byteLength
    const entry = `{"dtype":"${safetensorsTypes[dtype]}","shape":[${shape}],"data_offsets":[${offset},${end}]}`
    members.push(`${JSON.stringify(name)}:${entry}`)
    offset = end
  }
  return framed(`{${members.join(',')}}`)
}

/** The header's length, then the header filled up with blanks to a multiple of eight bytes. */
function framed(json: string): Uint8Array {
  const text = new TextEncoder().encode(json)
  const length = Math.ceil(text.byteLength / 8) * 8
  if (length > maxHeaderLength) {
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'safetensors/too-many-tensors',
      `The header would have ${length} bytes; at most ${maxHeaderLength} are allowed.`,
    )
  }
  const bytes = new Uint8Array(8 + length).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true)
  bytes.set(text, 8)
  return bytes
}
