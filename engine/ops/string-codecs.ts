// Strings to and from other things: base 64, numbers as text, raw bytes, serialized tensors.
import { protoOfTensor, tensorOfProto } from '../../formats/index.ts'
import { decodeTensorProto, encodeTensorProto, WireError } from '../../proto/index.ts'
import {
  byteLengthOf,
  type DType,
  type Element,
  elementsOf,
  formatShape,
  type NumericDType,
  numericTensor,
  stringTensor,
  type Tensor,
  tensorflowNameOf,
} from '../../tensor/index.ts'
import { formatFloat, formatWhole, type PrintFlags, padded, parseFloatText } from '../text/index.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { integerOf, invalid } from './shapes.ts'
import { bytesOf, mapStrings, mapToNumbers, stringsOf, textOf } from './string-values.ts'

/** Base 64 for URLs, padded where asked for. */
const encodeBase64 = defineOp({
  name: 'EncodeBase64',
  inputs: ['input: string'],
  outputs: ['output: string'],
  attributes: ['pad: bool = false'],
  infer: (shapes) => shapes,
  lower: (at) => {
    const pads = at.attributes.bool('pad')
    return [
      mapStrings(at, at.input('input'), (bytes) => {
        const text = Buffer.from(bytes).toString('base64url')
        return bytesOf(pads ? text.padEnd(Math.ceil(text.length / 4) * 4, '=') : text)
      }),
    ]
  },
})

const decodeBase64 = defineOp({
  name: 'DecodeBase64',
  inputs: ['input: string'],
  outputs: ['output: string'],
  infer: (shapes) => shapes,
  lower: (at) => [
    mapStrings(at, at.input('input'), (bytes) => {
      const text = Buffer.from(bytes).toString('latin1')
      if (!/^[A-Za-z0-9_-]*={0,2}$/.test(text) || text.replace(/=+$/, '').length % 4 === 1) {
        throw invalid('run/base64', 'Invalid character found in base64.')
      }
      return Uint8Array.from(Buffer.from(text, 'base64url'))
    }),
  ],
})

const wholeLimits: Readonly<Record<string, readonly [bigint, bigint]>> = {
  int32: [-(1n << 31n), (1n << 31n) - 1n],
  int64: [-(1n << 63n), (1n << 63n) - 1n],
  uint32: [0n, (1n << 32n) - 1n],
  uint64: [0n, (1n << 64n) - 1n],
}

function numberOf(text: string, dtype: DType): Element | undefined {
  if (dtype === 'float32' || dtype === 'float64') return parseFloatText(text)
  const trimmed = text.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, '')
  const [low, high] = wholeLimits[dtype]
  if (!(low < 0n ? /^-?\d+$/ : /^\d+$/).test(trimmed)) return undefined
  const value = BigInt(trimmed)
  if (value < low || value > high) return undefined
  return dtype.endsWith('64') ? value : Number(value)
}

const stringToNumber = defineOp({
  name: 'StringToNumber',
  inputs: ['string_tensor: string'],
  outputs: ['output: out_type'],
  attributes: ['out_type: {float, double, int32, int64, uint32, uint64} = float'],
  infer: (shapes) => shapes,
  lower: (at) => {
    const dtype = at.attributes.type('out_type')
    return [
      mapToNumbers(at, at.input('string_tensor'), dtype, (bytes) => {
        const value = numberOf(textOf(bytes), dtype)
        if (value !== undefined) return value
        throw invalid(
          'run/number',
          `StringToNumberOp could not correctly convert string: ${textOf(bytes)}`,
        )
      }),
    ]
  },
})

/** How `AsString` writes one element. */
interface TextForm {
  readonly conversion: 'f' | 'e' | 'g'
  readonly precision: number
  readonly flags: PrintFlags
}

function textOfElement(element: Element, dtype: NumericDType, form: TextForm): string {
  const { conversion, precision, flags } = form
  if (typeof element === 'boolean') return element ? 'true' : 'false'
  if (Array.isArray(element)) {
    const [re, im] = element.map((one) => formatFloat(one, conversion, precision, flags))
    return `(${re},${im})`
  }
  if (typeof element === 'bigint') return formatWhole(element, flags)
  const number = element as number
  return /float/.test(dtype)
    ? formatFloat(number, conversion, precision, flags)
    : formatWhole(BigInt(number), flags)
}

const asString = defineOp({
  name: 'AsString',
  inputs: ['input: T'],
  outputs: ['output: string'],
  attributes: [
    'T: type',
    'precision: int = -1',
    'scientific: bool = false',
    'shortest: bool = false',
    'width: int = -1',
    "fill: string = ''",
  ],
  infer: (shapes) => shapes,
  lower: (at) => {
    const input = at.input('input')
    const isFloat = /float|complex/.test(input.dtype)
    const precision = at.attributes.int('precision')
    const [isScientific, isShortest] = ['scientific', 'shortest'].map((name) =>
      at.attributes.bool(name),
    )
    const refuse = (text: string): never => {
      throw invalid('graph/attribute', text)
    }
    if (!isFloat && (isScientific || isShortest)) {
      refuse(`scientific and shortest format not supported for datatype ${input.dtype}`)
    }
    if (!isFloat && precision >= 0) refuse(`precision not supported for datatype ${input.dtype}`)
    if (isScientific && isShortest) {
      refuse('Cannot select both scientific and shortest notation')
    }
    const flag = at.attributes.text('fill')
    if (flag.length > 1) refuse('Fill string must be one or fewer characters')
    if (!['', ' ', '+', '-', '0', '#'].includes(flag)) {
      refuse(`Fill argument not supported: "${flag}"`)
    }
    const form: TextForm = {
      conversion: isScientific ? 'e' : isShortest ? 'g' : 'f',
      precision,
      flags: { flag, width: at.attributes.int('width') },
    }
    return at.step({
      inputs: [input],
      outputs: [{ dtype: 'string', shape: input.shape }],
      run: ([tensor]) => [stringTensor(input.shape, textsOf(tensor, form))],
    })
  },
})

function textsOf(tensor: Tensor, form: TextForm): readonly Uint8Array[] {
  if (tensor.dtype === 'string') {
    return tensor.strings.map((bytes) => {
      const spaces = padded(''.padStart(bytes.length, 'x'), form.flags)
      const before = spaces.length - spaces.trimStart().length
      const whole = new Uint8Array(spaces.length).fill(32)
      whole.set(bytes, before)
      return whole
    })
  }
  return elementsOf(tensor).map((element) => bytesOf(textOfElement(element, tensor.dtype, form)))
}

/** Bytes of elements, reversed within each where they come with the high byte first. */
function rawElements(bytes: Uint8Array, size: number, isLittle: boolean): Uint8Array {
  if (isLittle || size === 1) return bytes
  const turned = new Uint8Array(bytes.length)
  for (let place = 0; place < bytes.length; place++) {
    const element = place - (place % size)
    turned[place] = bytes[element + size - 1 - (place % size)]
  }
  return turned
}

/** Bytes of one component: what is turned when bytes come in the other order. */
function componentSize(dtype: NumericDType): number {
  return dtype.startsWith('complex') ? byteLengthOf(dtype) / 2 : byteLengthOf(dtype)
}

const decodeRaw = defineOp({
  name: 'DecodeRaw',
  inputs: ['bytes: string'],
  outputs: ['output: out_type'],
  attributes: ['out_type: type', 'little_endian: bool = true'],
  lower: (at) => {
    const input = at.input('bytes')
    const dtype = at.attributes.type('out_type') as NumericDType
    const isLittle = at.attributes.bool('little_endian')
    return at.step({
      inputs: [input],
      outputs: [{ dtype, shape: undefined }],
      run: ([tensor]) => {
        const strings = stringsOf(tensor)
        const length = strings[0]?.length ?? 0
        const other = strings.findIndex((bytes) => bytes.length !== length)
        if (other >= 0) {
          throw invalid(
            'shape/mismatch',
            `DecodeRaw requires input strings to all be the same size, but element ${other} has size ${length} != ${strings[other].length}`,
          )
        }
        const size = byteLengthOf(dtype)
        if (length % size !== 0) {
          throw invalid(
            'shape/mismatch',
            `Input to DecodeRaw has length ${length} that is not a multiple of ${size}, the size of ${tensorflowNameOf(dtype)}`,
          )
        }
        const all = Buffer.concat(strings)
        const bytes = rawElements(Uint8Array.from(all), componentSize(dtype), isLittle)
        return [numericTensor(dtype, [...input.shape, length / size], bytes)]
      },
    })
  },
})

/** Raw bytes cut or filled with zeros to a length. */
const decodePaddedRaw = defineOp({
  name: 'DecodePaddedRaw',
  inputs: ['input_bytes: string', 'fixed_length: int32'],
  outputs: ['output: out_type'],
  attributes: ['out_type: type', 'little_endian: bool = true'],
  lower: (at) => {
    const input = at.input('input_bytes')
    const dtype = at.attributes.type('out_type') as NumericDType
    const length = integerOf(at.contentOf(at.input('fixed_length')), 'fixed_length')
    const size = byteLengthOf(dtype)
    if (length <= 0 || length % size !== 0) {
      throw invalid(
        'shape/invalid',
        `fixed_length (${length}) must be a multiple of the size of out_type (${size})`,
      )
    }
    const isLittle = at.attributes.bool('little_endian')
    return at.step({
      inputs: [input],
      outputs: [{ dtype, shape: [...input.shape, length / size] }],
      run: ([tensor]) => {
        const strings = stringsOf(tensor)
        const bytes = new Uint8Array(strings.length * length)
        for (const [place, one] of strings.entries()) {
          bytes.set(one.subarray(0, length), place * length)
        }
        const shape = [...input.shape, length / size]
        return [numericTensor(dtype, shape, rawElements(bytes, componentSize(dtype), isLittle))]
      },
    })
  },
})

const serializeTensor = defineOp({
  name: 'SerializeTensor',
  inputs: ['tensor: T'],
  outputs: ['serialized: string'],
  attributes: ['T: type'],
  lower: (at) =>
    at.step({
      inputs: [at.input('tensor')],
      outputs: [{ dtype: 'string', shape: [] }],
      run: ([tensor]) => [stringTensor([], [encodeTensorProto(protoOfTensor(tensor))])],
    }),
})

const parseTensor = defineOp({
  name: 'ParseTensor',
  inputs: ['serialized: string'],
  outputs: ['output: out_type'],
  attributes: ['out_type: type'],
  lower: (at) => {
    const input = at.input('serialized')
    const dtype = at.attributes.type('out_type')
    if (input.shape.length > 0) {
      throw invalid(
        'shape/mismatch',
        `Expected \`serialized\` to be a scalar, got shape: ${formatShape(input.shape)}`,
      )
    }
    return at.step({
      inputs: [input],
      outputs: [{ dtype, shape: undefined }],
      run: ([tensor]) => [parsedTensor(stringsOf(tensor)[0], dtype)],
    })
  },
})

function parsedTensor(bytes: Uint8Array, dtype: DType): Tensor {
  let tensor: Tensor
  try {
    tensor = tensorOfProto(decodeTensorProto(bytes))
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw invalid('run/tensor', `Could not parse \`serialized\` as TensorProto: ${error.message}`)
  }
  if (tensor.dtype === dtype) return tensor
  throw invalid(
    'run/tensor',
    `Type mismatch between parsed tensor (${tensor.dtype}) and dtype (${dtype})`,
  )
}

/** Strings to and from other things. */
export const codecOps: readonly OpDefinition[] = [
  encodeBase64,
  decodeBase64,
  stringToNumber,
  asString,
  decodeRaw,
  decodePaddedRaw,
  serializeTensor,
  parseTensor,
]
