// Replies of predict, classify and regress as TensorFlow Serving writes them.
// Source: tensorflow_serving/util/json_tensor.cc
import { setImmediate as giveWay } from 'node:timers/promises'
import { base64OfBytes } from '../../proto/index.ts'
import {
  type Element,
  elementArrayOf,
  elementCountOf,
  formatShape,
  type NumericTensor,
  readElement,
  type Tensor,
} from '../../tensor/index.ts'
import { invalid, typeName } from './request.ts'
import { decimalText, ServingWriter } from './writer.ts'

/** The body of a predict reply, in the form that the request had. */
export async function predictReply(
  outputs: ReadonlyMap<string, Tensor>,
  form: 'row' | 'column',
): Promise<string> {
  if (outputs.size === 0) throw invalid('Cannot convert empty tensor map to JSON')
  return form === 'row' ? rowReply(outputs) : columnReply(outputs)
}

async function rowReply(outputs: ReadonlyMap<string, Tensor>): Promise<string> {
  const batchSize = batchSizeOf(outputs)
  const printers = [...outputs].map(([name, tensor]) => [name, new Printer(name, tensor)] as const)
  const writer = new ServingWriter()
  writer.open('{')
  writer.key('predictions')
  writer.open('[')
  for (let item = 0; item < batchSize; item++) {
    if (printers.length > 1) writer.open('{')
    writer.singleLine = true
    for (const [name, printer] of printers) {
      if (printers.length > 1) writer.key(name)
      const written = printer.write(writer, 1)
      if (written !== undefined) await written
    }
    writer.singleLine = false
    if (printers.length > 1) writer.close()
  }
  writer.close()
  writer.close()
  return writer.text()
}

function batchSizeOf(outputs: ReadonlyMap<string, Tensor>): number {
  let batchSize: number | undefined
  for (const [name, { shape }] of outputs) {
    if (shape.length === 0) throw invalid(`Tensor name: ${name} has no shape information `)
    if (batchSize !== undefined && batchSize !== shape[0]) {
      throw invalid(
        `Tensor name: ${name} has inconsistent batch size: ${shape[0]} expecting: ${batchSize}`,
      )
    }
    batchSize = shape[0]
  }
  return batchSize ?? 0
}

async function columnReply(outputs: ReadonlyMap<string, Tensor>): Promise<string> {
  const writer = new ServingWriter()
  writer.open('{')
  writer.key('outputs')
  if (outputs.size > 1) writer.open('{')
  for (const [name, tensor] of outputs) {
    if (outputs.size > 1) writer.key(name)
    await new Printer(name, tensor).write(writer, 0)
  }
  if (outputs.size > 1) writer.close()
  writer.close()
  return writer.text()
}

// Values that are written between two pauses: some milliseconds.
const stretchElements = 8192

/** Writes a tensor's values in order, some of them at a time. */
class Printer {
  readonly #tensor: Tensor
  readonly #put: (writer: ServingWriter, index: number) => void
  #at = 0
  /** Values written since the last pause. */
  #sincePause = 0

  constructor(name: string, tensor: Tensor) {
    this.#tensor = tensor
    this.#put = putterOf(name, tensor)
  }

  /**
   * The next values: all below one place of the first `axis` axes. A promise where that takes long
   * enough to give way to other work in between.
   */
  write(writer: ServingWriter, axis: number): Promise<void> | undefined {
    const { shape } = this.#tensor
    const count = elementCountOf(shape.slice(axis))
    this.#sincePause += count
    if (count <= stretchElements) {
      this.#writeAll(writer, axis)
      if (this.#sincePause <= stretchElements) return undefined
      this.#sincePause = 0
      return giveWay()
    }
    this.#sincePause -= count
    return this.#writeInParts(writer, axis)
  }

  async #writeInParts(writer: ServingWriter, axis: number): Promise<void> {
    writer.open('[')
    for (let place = 0; place < this.#tensor.shape[axis]; place++) {
      const written = this.write(writer, axis + 1)
      if (written !== undefined) await written
    }
    writer.close()
  }

  #writeAll(writer: ServingWriter, axis: number): void {
    const { shape } = this.#tensor
    if (axis >= shape.length) {
      this.#put(writer, this.#at++)
      return
    }
    writer.open('[')
    for (let place = 0; place < shape[axis]; place++) this.#writeAll(writer, axis + 1)
    writer.close()
  }
}

function putterOf(name: string, tensor: Tensor): (writer: ServingWriter, index: number) => void {
  if (tensor.dtype !== 'string') {
    const text = textOf(tensor)
    return (writer, index) => writer.raw(text(index))
  }
  const { strings } = tensor
  if (!name.endsWith('_bytes')) {
    return (writer, index) => writer.raw(JSON.stringify(new TextDecoder().decode(strings[index])))
  }
  return (writer, index) => {
    writer.open('{')
    writer.key('b64')
    writer.raw(JSON.stringify(base64OfBytes(strings[index])))
    writer.close()
  }
}

function textOf(tensor: NumericTensor): (index: number) => string {
  const { dtype } = tensor
  const array = elementArrayOf(dtype, tensor.bytes)
  switch (dtype) {
    case 'float32':
    case 'float64':
    case 'float16':
    case 'bfloat16':
      return (index) => decimalText(readElement(dtype, array, index) as number, dtype)
    case 'int8':
    case 'uint8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'uint64':
    case 'bool':
      return (index) => String(readElement(dtype, array, index))
    default:
      throw invalid(`Failed to write JSON value for tensor type: ${typeName(dtype)}`)
  }
}

/** The body of a regress reply: one number an example. */
export function regressReply(outputs: Tensor, exampleCount: number): string {
  const { shape } = outputs
  const fits = shape.length === 1 || (shape.length === 2 && shape[1] === 1)
  if (!fits) {
    throw invalid(
      `Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got ${formatShape(shape)}`,
    )
  }
  if (outputs.dtype !== 'float32') {
    throw invalid(
      `Expected output Tensor of DT_FLOAT.  Got: ${outputs.dtype === 'string' ? 'DT_STRING' : `DT_${typeName(outputs.dtype).toUpperCase()}`}`,
    )
  }
  if (shape[0] !== exampleCount) {
    throw invalid(
      `Input batch size did not match output batch size: ${exampleCount} vs. ${shape[0]}`,
    )
  }
  const writer = new ServingWriter()
  writer.open('{')
  writer.key('results')
  writer.singleLine = true
  writer.open('[')
  for (const value of numbersOf(outputs)) writer.raw(decimalText(value, 'float32'))
  writer.close()
  writer.close()
  return writer.text()
}

/** The body of a classify reply: label and score of every class, for every example. */
export function classifyReply(
  classes: Tensor | undefined,
  scores: Tensor | undefined,
  exampleCount: number,
): string {
  const shape = (classes ?? scores)?.shape ?? []
  for (const tensor of [classes, scores]) {
    if (tensor !== undefined && tensor.shape.length !== 2) {
      throw invalid(
        `Expected Tensor shape: [batch_size num_classes] but got ${formatShape(tensor.shape)}`,
      )
    }
  }
  const [batchSize, classCount] = shape
  if (batchSize !== exampleCount) {
    throw invalid(`Expected classes output batch size of ${exampleCount}. Got: ${batchSize}`)
  }
  const labels = classes?.dtype === 'string' ? classes.strings : []
  const numbers = scores === undefined ? [] : numbersOf(scores)
  const writer = new ServingWriter()
  writer.open('{')
  writer.key('results')
  writer.open('[')
  for (let item = 0; item < batchSize; item++) {
    writer.singleLine = true
    writer.open('[')
    for (let place = item * classCount; place < (item + 1) * classCount; place++) {
      writer.open('[')
      writer.raw(JSON.stringify(new TextDecoder().decode(labels[place] ?? new Uint8Array())))
      writer.raw(decimalText(numbers[place] ?? 0, 'float32'))
      writer.close()
    }
    writer.close()
    writer.singleLine = false
  }
  writer.close()
  writer.close()
  return writer.text()
}

function numbersOf(tensor: Tensor): readonly number[] {
  if (tensor.dtype === 'string') return []
  const array = elementArrayOf(tensor.dtype, tensor.bytes)
  const { dtype } = tensor
  return Array.from({ length: elementCountOf(tensor.shape) }, (_, index) => {
    const element: Element = readElement(dtype, array, index)
    return Number(element)
  })
}
