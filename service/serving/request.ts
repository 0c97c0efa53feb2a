// Predict requests: tensors out of the row form (`instances`) or the column form (`inputs`).
// Source: tensorflow_serving/util/json_tensor.cc; the sentences are TensorFlow Serving's.
import { setImmediate as giveWay } from 'node:timers/promises'
import { bytesOfBase64 } from '../../proto/index.ts'
import {
  byteLengthOf,
  type DType,
  type Element,
  formatShape,
  isNumeric,
  Refusal,
  type Shape,
  sameShape,
  stringTensor,
  type Tensor,
  tensorflowNameOf,
  tensorOfElements,
} from '../../tensor/index.ts'
import { base64Of, isNamedObject, kindName, parseServingJson, type ServingJson } from './json.ts'
import { shownJson } from './writer.ts'

/** A request's inputs by their names in the signature. */
export interface PredictInputs {
  readonly form: 'row' | 'column'
  readonly tensors: ReadonlyMap<string, Tensor>
}

type Members = ReadonlyMap<string, ServingJson>

/** The members of a request body. Refuses what is no JSON object. */
export function parseRequest(body: string): Members {
  if (body.length === 0) throw invalid('JSON Parse error: The document is empty')
  const request = parseServingJson(body)
  if (request instanceof Map) return request
  throw invalid(`JSON Value: ${shownJson(request)} Is not object`)
}

/** `signature_name` of a request; empty where it names none. */
export function signatureNameOf(request: Members): string {
  const name = request.get('signature_name')
  if (name === undefined) return ''
  if (typeof name === 'string') return name
  throw invalid(
    `JSON Value: ${shownJson(request)} not formatted correctly. 'signature_name' key must be a string value.`,
  )
}

/** The tensors of a predict request. `types`: element type by input name, of the signature. */
export async function predictInputs(
  request: Members,
  types: ReadonlyMap<string, DType>,
): Promise<PredictInputs> {
  const instances = request.get('instances')
  const inputs = request.get('inputs')
  if (instances !== undefined && inputs !== undefined) {
    throw invalid(
      `JSON Value: ${shownJson(request)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist `,
    )
  }
  if (instances !== undefined) {
    if (!Array.isArray(instances)) {
      throw invalid(`JSON Value: ${shownJson(request)} Excepting 'instances' to be an list/array`)
    }
    if (instances.length === 0) {
      throw invalid(`JSON Value: ${shownJson(request)} No values in 'instances' array`)
    }
    return { form: 'row', tensors: await rows(instances, types) }
  }
  if (inputs !== undefined) return { form: 'column', tensors: columns(inputs, types) }
  throw invalid("Missing 'inputs' or 'instances' key")
}

/** One input's elements as they are gathered. */
class Gathered {
  readonly dtype: DType
  shape: Shape | undefined
  count = 0
  readonly elements: Element[] = []
  readonly strings: Uint8Array[] = []

  constructor(dtype: DType) {
    this.dtype = dtype
  }

  /** Adds one value; its shape must be that of those before. */
  add(value: ServingJson): void {
    const before = this.#length()
    const shape = shapeOf(value)
    this.#fill(value, shape, 0)
    const size = this.#length() - before
    if (this.shape === undefined) {
      this.shape = shape
      this.count = size
    } else if (this.count !== size) {
      throw invalid(`Expecting tensor size: ${this.count} but got: ${size}`)
    } else if (!sameShape(this.shape, shape)) {
      throw invalid(`Expecting shape ${formatShape(this.shape)} but got: ${formatShape(shape)}`)
    }
  }

  tensor(shape: Shape): Tensor {
    if (this.dtype === 'string') return stringTensor(shape, this.strings)
    if (!isNumeric(this.dtype)) throw new Error('no element of such a type was taken')
    return tensorOfElements(this.dtype, shape, this.elements)
  }

  #length(): number {
    return this.dtype === 'string' ? this.strings.length : this.elements.length
  }

  #fill(value: ServingJson, shape: Shape, level: number): void {
    const rank = shape.length
    if (!Array.isArray(value)) {
      if (level !== rank) {
        throw invalid(
          `JSON Value: ${shownJson(value)} found at incorrect level: ${level + 1} in the JSON DOM. Expected at level: ${rank}`,
        )
      }
      if (this.dtype === 'string') this.strings.push(stringOf(value))
      else this.elements.push(elementOf(value, this.dtype))
      return
    }
    if (level >= rank) {
      throw invalid(`Encountered list at unexpected level: ${level} expected < ${rank}`)
    }
    if (value.length !== shape[level]) {
      throw invalid(
        `Encountered list at unexpected size: ${value.length} at level: ${level} expected size: ${shape[level]}`,
      )
    }
    for (const item of value) this.#fill(item, shape, level + 1)
  }
}

const mostDimensions = 254

function shapeOf(value: ServingJson): Shape {
  const shape: number[] = []
  let item: ServingJson | undefined = value
  while (Array.isArray(item)) {
    shape.push(item.length)
    if (shape.length > mostDimensions) {
      throw invalid(`A tensor has at most ${mostDimensions} dimensions.`)
    }
    item = item[0]
  }
  return shape
}

// Instances that are read between two pauses: some milliseconds.
const instancesAtOnce = 8192

async function rows(
  instances: readonly ServingJson[],
  types: ReadonlyMap<string, DType>,
): Promise<ReadonlyMap<string, Tensor>> {
  const [first] = instances
  if (!(first instanceof Map) && types.size > 1) {
    throw invalid(
      'instances is a plain list, but expecting list of objects as multiple input tensors required as per tensorinfo_map',
    )
  }
  const areObjects = isNamedObject(first)
  const gathered = new Map([...types].map(([name, dtype]) => [name, new Gathered(dtype)]))
  const wanted = [...types.keys()].sort()
  for (const [place, item] of instances.entries()) {
    if (areObjects) addObject(place, item, gathered, wanted)
    else addPlain(place, item, gathered.get(wanted[0]) as Gathered)
    if (place % instancesAtOnce === instancesAtOnce - 1) await giveWay()
  }
  return new Map(
    [...gathered].map(([name, one]) => [
      name,
      one.tensor([instances.length, ...(one.shape ?? [])]),
    ]),
  )
}

function addObject(
  place: number,
  item: ServingJson,
  gathered: ReadonlyMap<string, Gathered>,
  wanted: readonly string[],
): void {
  if (!isNamedObject(item)) {
    throw invalid(`Expecting object but got list at item ${place} of input list`)
  }
  for (const [name, value] of item) {
    within(`Failed to process element: ${place} key: ${name} of 'instances' list. Error: `, () => {
      const input = gathered.get(name)
      if (input === undefined) throw invalid(`JSON object: does not have named input: ${name}`)
      input.add(value)
    })
  }
  if ([...item.keys()].sort().join('\0') !== wanted.join('\0')) {
    throw invalid(
      `Failed to process element: ${place} of 'instances' list. JSON object: ${shownJson(item)} keys must be equal to: ${wanted.join(',')}`,
    )
  }
}

function addPlain(place: number, item: ServingJson, input: Gathered): void {
  if (isNamedObject(item)) {
    throw invalid(`Expecting value/list but got object at item ${place} of input list`)
  }
  within(`Failed to process element: ${place} of 'instances' list. Error: `, () => input.add(item))
}

function columns(
  inputs: ServingJson,
  types: ReadonlyMap<string, DType>,
): ReadonlyMap<string, Tensor> {
  const one = (name: string, value: ServingJson): [string, Tensor] => {
    const gathered = new Gathered(types.get(name) as DType)
    gathered.add(value)
    return [name, gathered.tensor(gathered.shape ?? [])]
  }
  if (isNamedObject(inputs)) {
    return new Map(
      [...types.keys()].map((name) => {
        const value = inputs.get(name)
        if (value !== undefined) return one(name, value)
        throw invalid(`Missing named input: ${name} in 'inputs' object.`)
      }),
    )
  }
  if (types.size > 1) {
    throw invalid(
      'inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map',
    )
  }
  const [name] = types.keys()
  return new Map([one(name, inputs)])
}

const int32Least = -(2n ** 31n)
const integerRanges: Readonly<Partial<Record<DType, readonly [bigint, bigint]>>> = {
  int8: [-128n, 127n],
  uint8: [0n, 255n],
  int16: [-32768n, 32767n],
  uint16: [0n, 65535n],
  int32: [int32Least, 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
}

function elementOf(value: ServingJson, dtype: DType): Element {
  if (dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16') {
    if (typeof value === 'number') return value
    if (typeof value === 'bigint') return Number(value)
    throw typeError(value, dtype)
  }
  if (dtype === 'bool') {
    if (typeof value === 'boolean') return value
    throw typeError(value, dtype)
  }
  const range = integerRanges[dtype]
  if (range === undefined) {
    throw new Refusal(
      'UNIMPLEMENTED',
      'dtype/not-in-json',
      `Conversion of JSON Value: ${shownJson(value)} to type: ${typeName(dtype)}`,
    )
  }
  if (typeof value !== 'bigint' || value < range[0] || value > range[1]) {
    throw typeError(value, dtype)
  }
  return byteLengthOf(dtype) === 8 ? value : Number(value)
}

function stringOf(value: ServingJson): Uint8Array {
  if (typeof value === 'string') return new TextEncoder().encode(value)
  if (!(value instanceof Map)) throw typeError(value, 'string')
  const encoded = base64Of(value)
  if (encoded === undefined) {
    throw invalid(`JSON Value: ${shownJson(value)} not formatted correctly for base64 data`)
  }
  const bytes = bytesOfBase64(encoded)
  if (bytes === undefined) throw invalid('Unable to base64 decode')
  return bytes
}

/** A type's name as TensorFlow prints it in messages: `float`, `int64`. */
export function typeName(dtype: DType): string {
  return tensorflowNameOf(dtype).slice('DT_'.length).toLowerCase()
}

function typeError(value: ServingJson, dtype: DType): Refusal {
  return invalid(
    `JSON Value: ${shownJson(value)} Type: ${kindName(value)} is not of expected type: ${typeName(dtype)}`,
  )
}

/** Puts a sentence before that of a refusal. */
function within(sentence: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    throw new Refusal(error.code, error.reason, `${sentence}${error.code}: ${error.message}`)
  }
}

/** INVALID_ARGUMENT `predict/invalid`, with TensorFlow Serving's sentence. */
export function invalid(message: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'predict/invalid', message)
}
