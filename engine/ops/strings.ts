// Ops on strings: joining, cutting, case, length, splitting. Strings are bytes, done on the host.
import {
  elementCountOf,
  formatShape,
  type Shape,
  sameShape,
  stridesOf,
  stringTensor,
  type Tensor,
} from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { axisOf, broadcastShape, integerOf, integersOf, invalid } from './shapes.ts'
import {
  bytesOf,
  joinBytes,
  mapStrings,
  mapToNumbers,
  stringsOf,
  textOf,
  wholeTensor,
} from './string-values.ts'
import type { TensorValue } from './value.ts'

/** Bytes that C's isspace takes for white space. */
const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13)

const stringJoin = defineOp({
  name: 'StringJoin',
  inputs: ['inputs: N * string'],
  outputs: ['output: string'],
  attributes: ['N: int', "separator: string = ''"],
  lower: (at) => {
    const inputs = at.inputs('inputs')
    const separator = at.attributes.bytes('separator')
    const shape = inputs.find((input) => input.shape.length > 0)?.shape ?? []
    for (const [place, input] of inputs.entries()) {
      if (input.shape.length === 0 || sameShape(input.shape, shape)) continue
      throw invalid(
        'shape/mismatch',
        `Input shapes do not match: ${formatShape(shape)} vs. ${formatShape(input.shape)} at index ${place}`,
      )
    }
    return at.step({
      inputs,
      outputs: [{ dtype: 'string', shape }],
      run: (tensors) => {
        const all = tensors.map(stringsOf)
        const joined = Array.from({ length: elementCountOf(shape) }, (_, place) =>
          joinBytes(
            all.map((strings, one) => strings[inputs[one].shape.length === 0 ? 0 : place]),
            separator,
          ),
        )
        return [stringTensor(shape, joined)]
      },
    })
  },
})

const units = "{'BYTE', 'UTF8_CHAR'}"

/** Bytes that begin a character: all that do not go on with one. */
function characterCount(bytes: Uint8Array): number {
  return bytes.reduce((count, byte) => count + ((byte & 0xc0) === 0x80 ? 0 : 1), 0)
}

const stringLength = defineOp({
  name: 'StringLength',
  inputs: ['input: string'],
  outputs: ['output: int32'],
  attributes: [`unit: ${units} = 'BYTE'`],
  infer: (shapes) => shapes,
  lower: (at) => {
    const isCharacters = at.attributes.text('unit') === 'UTF8_CHAR'
    return [
      mapToNumbers(at, at.input('input'), 'int32', (bytes) =>
        isCharacters ? characterCount(bytes) : bytes.length,
      ),
    ]
  },
})

/** Changes case: of ASCII alone, or of all characters where the encoding is UTF-8. */
function caseOp(name: 'StringLower' | 'StringUpper'): OpDefinition {
  const isLower = name === 'StringLower'
  const from = isLower ? 65 : 97
  const ascii = (byte: number): number => (byte >= from && byte < from + 26 ? byte ^ 32 : byte)
  const full = (bytes: Uint8Array): Uint8Array =>
    bytesOf(isLower ? textOf(bytes).toLowerCase() : textOf(bytes).toUpperCase())
  return defineOp({
    name,
    inputs: ['input: string'],
    outputs: ['output: string'],
    attributes: ["encoding: string = ''"],
    infer: (shapes) => shapes,
    lower: (at) => {
      const encoding = at.attributes.text('encoding')
      if (encoding !== '' && encoding !== 'utf-8') {
        throw invalid(
          'graph/attribute',
          `only utf-8 or '' (no encoding) is supported for 'encoding' attribute, got ${encoding}`,
        )
      }
      const change = encoding === '' ? (bytes: Uint8Array) => bytes.map(ascii) : full
      return [mapStrings(at, at.input('input'), change)]
    },
  })
}

const stringStrip = defineOp({
  name: 'StringStrip',
  inputs: ['input: string'],
  outputs: ['output: string'],
  infer: (shapes) => shapes,
  lower: (at) => [mapStrings(at, at.input('input'), stripped)],
})

function stripped(bytes: Uint8Array): Uint8Array {
  let from = 0
  let to = bytes.length
  while (from < to && isSpace(bytes[from])) from++
  while (to > from && isSpace(bytes[to - 1])) to--
  return bytes.slice(from, to)
}

/** For each element of a broadcast shape its place in a tensor of `shape`. */
function broadcastPlaces(shape: Shape, to: Shape): (flat: number) => number {
  const strides = stridesOf(shape)
  const skipped = to.length - shape.length
  return (flat) => {
    let rest = flat
    let place = 0
    for (let axis = to.length - 1; axis >= 0; axis--) {
      const own = axis - skipped
      if (own >= 0 && shape[own] !== 1) place += (rest % to[axis]) * strides[own]
      rest = Math.floor(rest / to[axis])
    }
    return place
  }
}

const substr = defineOp({
  name: 'Substr',
  inputs: ['input: string', 'pos: T', 'len: T'],
  outputs: ['output: string'],
  attributes: ['T: {int32, int64}', `unit: ${units} = 'BYTE'`],
  lower: (at) => {
    const [input, pos, len] = ['input', 'pos', 'len'].map((name) => at.input(name))
    if (!sameShape(pos.shape, len.shape)) {
      throw invalid(
        'shape/mismatch',
        `pos and len should have the same shape, got: ${formatShape(pos.shape)} vs. ${formatShape(len.shape)}`,
      )
    }
    const isCharacters = at.attributes.text('unit') === 'UTF8_CHAR'
    const shape = broadcastShape(input.shape, pos.shape)
    return at.step({
      inputs: [input, pos, len],
      outputs: [{ dtype: 'string', shape }],
      run: ([texts, froms, counts]) => {
        const [starts, lengths] = [integersOf(froms), integersOf(counts)]
        const textAt = broadcastPlaces(input.shape, shape)
        const numberAt = broadcastPlaces(pos.shape, shape)
        const strings = stringsOf(texts)
        const cut = Array.from({ length: elementCountOf(shape) }, (_, place) => {
          const one = numberAt(place)
          return cutOf(strings[textAt(place)], starts[one], lengths[one], isCharacters, place)
        })
        return [stringTensor(shape, cut)]
      },
    })
  },
})

/** A part of a string; a negative start counts from the end. */
function cutOf(
  bytes: Uint8Array,
  pos: number,
  count: number,
  isCharacters: boolean,
  place: number,
): Uint8Array {
  const offsets = isCharacters ? characterOffsets(bytes) : undefined
  const size = offsets === undefined ? bytes.length : offsets.length - 1
  const from = pos < 0 ? pos + size : pos
  if (from < 0 || from > size) {
    throw invalid(
      'run/index',
      `pos ${pos} out of range for string b'${textOf(bytes)}' at index ${place}`,
    )
  }
  const to = Math.min(Math.max(from + count, from), size)
  return offsets === undefined ? bytes.slice(from, to) : bytes.slice(offsets[from], offsets[to])
}

function characterOffsets(bytes: Uint8Array): number[] {
  const offsets: number[] = []
  for (const [place, byte] of bytes.entries()) if ((byte & 0xc0) !== 0x80) offsets.push(place)
  offsets.push(bytes.length)
  return offsets
}

/** Pieces of each string of a vector, as a sparse tensor `[strings, most]`. */
function splitInto(
  at: Lowering,
  input: TensorValue,
  others: readonly TensorValue[],
  split: (bytes: Uint8Array, others: readonly Tensor[]) => readonly Uint8Array[],
): readonly TensorValue[] {
  if (input.shape.length !== 1) {
    throw invalid(
      'shape/mismatch',
      `input must be a vector, got shape: ${formatShape(input.shape)}`,
    )
  }
  return at.step({
    inputs: [input, ...others],
    outputs: [
      { dtype: 'int64', shape: undefined },
      { dtype: 'string', shape: undefined },
      { dtype: 'int64', shape: [2] },
    ],
    run: ([texts, ...given]) => {
      const rows = stringsOf(texts).map((bytes) => split(bytes, given))
      const pieces = rows.flat()
      const indices = rows.flatMap((row, place) => row.flatMap((_, column) => [place, column]))
      const most = rows.reduce((largest, row) => Math.max(largest, row.length), 0)
      return [
        wholeTensor([pieces.length, 2], indices),
        stringTensor([pieces.length], pieces),
        wholeTensor([2], [rows.length, most]),
      ]
    },
  })
}

const stringSplit = defineOp({
  name: 'StringSplit',
  inputs: ['input: string', 'delimiter: string'],
  outputs: ['indices: int64', 'values: string', 'shape: int64'],
  attributes: ['skip_empty: bool = true'],
  lower: (at) => {
    const delimiter = at.input('delimiter')
    if (delimiter.shape.length > 0) {
      throw invalid(
        'shape/mismatch',
        `delimiter must be a scalar, got shape: ${formatShape(delimiter.shape)}`,
      )
    }
    const skips = at.attributes.bool('skip_empty')
    return splitInto(at, at.input('input'), [delimiter], (bytes, [given]) => {
      const pieces = splitAtAny(bytes, stringsOf(given)[0])
      return skips ? pieces.filter((piece) => piece.length > 0) : pieces
    })
  },
})

/** Cut at every byte that is one of the delimiter's; without a delimiter at every byte. */
function splitAtAny(bytes: Uint8Array, delimiter: Uint8Array): readonly Uint8Array[] {
  if (delimiter.length === 0) return Array.from(bytes, (byte) => Uint8Array.of(byte))
  if (bytes.length === 0) return []
  const pieces: Uint8Array[] = []
  let from = 0
  for (const [place, byte] of bytes.entries()) {
    if (!delimiter.includes(byte)) continue
    pieces.push(bytes.slice(from, place))
    from = place + 1
  }
  pieces.push(bytes.slice(from))
  return pieces
}

const stringSplitV2 = defineOp({
  name: 'StringSplitV2',
  inputs: ['input: string', 'sep: string'],
  outputs: ['indices: int64', 'values: string', 'shape: int64'],
  attributes: ['maxsplit: int = -1'],
  lower: (at) => {
    const separator = at.input('sep')
    if (separator.shape.length > 0) {
      throw invalid(
        'shape/mismatch',
        `sep must be a scalar, got shape: ${formatShape(separator.shape)}`,
      )
    }
    const most = at.attributes.int('maxsplit')
    const limit = most < 0 ? Number.POSITIVE_INFINITY : most
    return splitInto(at, at.input('input'), [separator], (bytes, [given]) => {
      const [sep] = stringsOf(given)
      return sep.length === 0 ? splitAtSpace(bytes, limit) : splitAt(bytes, sep, limit)
    })
  },
})

/** Cut at the separator, at most so often. */
function splitAt(bytes: Uint8Array, separator: Uint8Array, limit: number): readonly Uint8Array[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const pieces: Uint8Array[] = []
  let from = 0
  while (pieces.length < limit) {
    const place = text.indexOf(separator, from)
    if (place < 0) break
    pieces.push(bytes.slice(from, place))
    from = place + separator.length
  }
  pieces.push(bytes.slice(from))
  return pieces
}

/** Cut at runs of white space, which also end nothing at either side. */
function splitAtSpace(bytes: Uint8Array, limit: number): readonly Uint8Array[] {
  const pieces: Uint8Array[] = []
  let at = 0
  for (;;) {
    while (at < bytes.length && isSpace(bytes[at])) at++
    if (at === bytes.length) return pieces
    if (pieces.length === limit) return [...pieces, stripped(bytes.slice(at))]
    let to = at
    while (to < bytes.length && !isSpace(bytes[to])) to++
    pieces.push(bytes.slice(at, to))
    at = to
  }
}

/** Joins along axes, in the order in which the axes are given. */
const reduceJoin = defineOp({
  name: 'ReduceJoin',
  inputs: ['inputs: string', 'reduction_indices: int32'],
  outputs: ['output: string'],
  attributes: ['keep_dims: bool = false', "separator: string = ''"],
  lower: (at) => {
    const input = at.input('inputs')
    const rank = input.shape.length
    const given = integersOf(at.contentOf(at.input('reduction_indices')))
    // Without axes all are joined.
    const axes = (given.length === 0 ? [...input.shape.keys()] : given).map((axis) => {
      if (axis < -rank || axis >= rank) {
        throw invalid(
          'shape/axis',
          `Invalid reduction dimension ${axis} for input with ${rank} dimension(s)`,
        )
      }
      return axisOf(axis, rank)
    })
    if (new Set(axes).size !== axes.length) {
      throw invalid('shape/axis', 'Duplicate reduction dimension')
    }
    const keep = at.attributes.bool('keep_dims')
    const shape = input.shape.flatMap((size, axis) =>
      axes.includes(axis) ? (keep ? [1] : []) : [size],
    )
    const separator = at.attributes.bytes('separator')
    return at.step({
      inputs: [input],
      outputs: [{ dtype: 'string', shape }],
      run: ([tensor]) => [
        stringTensor(
          shape,
          groupsOf(input.shape, axes).map((places) =>
            joinBytes(
              places.map((place) => stringsOf(tensor)[place]),
              separator,
            ),
          ),
        ),
      ],
    })
  },
})

/** For each kept position the places of the elements that are joined. */
function groupsOf(shape: Shape, axes: readonly number[]): readonly (readonly number[])[] {
  const strides = stridesOf(shape)
  const kept = [...shape.keys()].filter((axis) => !axes.includes(axis))
  const placesOver = (over: readonly number[]): readonly number[] =>
    over.reduce(
      (places: readonly number[], axis) =>
        places.flatMap((place) =>
          Array.from({ length: shape[axis] }, (_, one) => place + one * strides[axis]),
        ),
      [0],
    )
  const inner = placesOver(axes)
  return placesOver(kept).map((start) => inner.map((place) => start + place))
}

/** Strings of one segment joined in their order; negative ids are dropped. */
const unsortedSegmentJoin = defineOp({
  name: 'UnsortedSegmentJoin',
  inputs: ['inputs: string', 'segment_ids: Tindices', 'num_segments: Tnumsegments'],
  outputs: ['output: string'],
  attributes: [
    "separator: string = ''",
    'Tindices: {int32, int64}',
    'Tnumsegments: {int32, int64} = int32',
  ],
  lower: (at) => {
    const [input, ids] = [at.input('inputs'), at.input('segment_ids')]
    const segments = integerOf(at.contentOf(at.input('num_segments')), 'num_segments')
    const rank = ids.shape.length
    if (!sameShape(input.shape.slice(0, rank), ids.shape)) {
      throw invalid('shape/mismatch', 'segment_ids must be a prefix of the shape of inputs')
    }
    const rest = input.shape.slice(rank)
    const width = elementCountOf(rest)
    const separator = at.attributes.bytes('separator')
    const shape = [segments, ...rest]
    return at.step({
      inputs: [input, ids],
      outputs: [{ dtype: 'string', shape }],
      run: ([tensor, rows]) => {
        const strings = stringsOf(tensor)
        const groups = Array.from({ length: segments * width }, (): Uint8Array[] => [])
        for (const [row, id] of integersOf(rows).entries()) {
          if (id >= segments) {
            throw invalid(
              'run/index',
              `segment_ids must be smaller than num_segments (${segments}), but got ${id}`,
            )
          }
          for (let one = 0; id >= 0 && one < width; one++) {
            groups[id * width + one].push(strings[row * width + one])
          }
        }
        return [
          stringTensor(
            shape,
            groups.map((group) => joinBytes(group, separator)),
          ),
        ]
      },
    })
  },
})

/** Ops on strings as such. */
export const stringOps: readonly OpDefinition[] = [
  stringJoin,
  stringLength,
  caseOp('StringLower'),
  caseOp('StringUpper'),
  stringStrip,
  substr,
  stringSplit,
  stringSplitV2,
  reduceJoin,
  unsortedSegmentJoin,
]
