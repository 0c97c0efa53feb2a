// Runs small graphs for tests of ops: nodes written down as `name: Op(inputs)`, sessions that keep
// variables from run to run, on the interpreter and on the CPU device.
import { openSession } from '../../../conformance/session.ts'
import { referenceDevice } from '../../../engine/device/reference/index.ts'
import { wasmDevice } from '../../../engine/device/wasm/index.ts'
import { createEngineInThread, type Engine } from '../../../engine/index.ts'
import { protoOfTensor } from '../../../formats/index.ts'
import { type Draft, encodeGraphDef } from '../../../proto/index.ts'
import {
  type DType,
  dtypeOfName,
  type Element,
  elementsOf,
  type NumericDType,
  numberOfDType,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../../tensor/index.ts'

/** An attribute: a type by its name, a shape, a number (int), or what it is. */
export type AttributeText =
  | { readonly type: DType }
  | { readonly shape: readonly number[] }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly floats: readonly number[] }
  | { readonly texts: readonly string[] }
  | { readonly tensor: Tensor }
  | number
  | boolean
  | string

export interface NodeText {
  readonly name: string
  readonly op: string
  readonly inputs?: readonly string[]
  readonly attributes?: Readonly<Record<string, AttributeText>>
}

type AttributeDraft = Draft<'AttrValue'>

function attributeOf(value: AttributeText): AttributeDraft {
  if (typeof value === 'number') return { i: BigInt(value) }
  if (typeof value === 'boolean') return { b: value }
  if (typeof value === 'string') return { s: new TextEncoder().encode(value) }
  if ('type' in value) return { type: numberOfDType(value.type) }
  if ('float' in value) return { f: value.float }
  if ('ints' in value) return { list: { i: value.ints.map(BigInt) } }
  if ('floats' in value) return { list: { f: value.floats } }
  if ('texts' in value) {
    return { list: { s: value.texts.map((text) => new TextEncoder().encode(text)) } }
  }
  if ('tensor' in value) return { tensor: protoOfTensor(value.tensor) }
  return { shape: { dim: value.shape.map((size) => ({ size })) } }
}

/** The serialized GraphDef of the nodes. */
export function graphOf(nodes: readonly NodeText[]): Uint8Array {
  return encodeGraphDef({
    node: nodes.map(({ name, op, inputs = [], attributes = {} }) => ({
      name,
      op,
      input: [...inputs],
      attr: new Map(
        Object.entries(attributes).map(([key, value]): [string, AttributeDraft] => [
          key,
          attributeOf(value),
        ]),
      ),
    })),
  })
}

/** A float32 tensor. */
export function floats(shape: readonly number[], values: readonly number[]): Tensor {
  return tensorOfElements('float32', shape, values)
}

/** An int32 tensor. */
export function ints(shape: readonly number[], values: readonly number[]): Tensor {
  return tensorOfElements('int32', shape, values)
}

/** An int64 tensor. */
export function longs(shape: readonly number[], values: readonly number[]): Tensor {
  return tensorOfElements('int64', shape, values.map(BigInt))
}

/** A string tensor of texts (UTF-8). */
export function texts(shape: readonly number[], values: readonly string[]): Tensor {
  return stringTensor(
    shape,
    values.map((value) => new TextEncoder().encode(value)),
  )
}

/** Elements of a tensor: numbers and truth values as they are, strings as text. */
export function valuesOf(tensor: Tensor): (Element | string)[] {
  if (tensor.dtype !== 'string') return elementsOf(tensor)
  return tensor.strings.map((bytes) => new TextDecoder().decode(bytes))
}

export interface Run {
  readonly feeds?: Readonly<Record<string, Tensor>>
  readonly fetches?: readonly string[]
  readonly targets?: readonly string[]
}

/** A graph in a session. */
export interface Bench {
  run(run: Run): Promise<readonly Tensor[]>
}

/** Devices that ops are tried on. */
export const benchDevices = ['reference', 'cpu'] as const

/** Calls `use` with a way to open sessions on the device. */
export async function withEngine(
  device: (typeof benchDevices)[number],
  use: (open: (nodes: readonly NodeText[]) => Promise<Bench>) => Promise<void>,
): Promise<void> {
  const opened = device === 'reference' ? referenceDevice() : await wasmDevice({ threads: 1 })
  const engine: Engine = createEngineInThread({
    devices: [opened],
    readValue: async (value) => {
      throw new Error(`value ${value} was asked for`)
    },
    randomSeed: () => 7n,
  })
  let graphs = 0
  try {
    await use(async (nodes) => {
      const id = `graph ${graphs++}`
      await engine.load(id, graphOf(nodes))
      const session = openSession(engine, id, id)
      return {
        run: ({ feeds = {}, fetches = [], targets = [] }) => session.run(feeds, fetches, targets),
      }
    })
  } finally {
    await engine.close()
  }
}

/** A placeholder. */
export function placeholder(name: string, dtype: DType = 'float32'): NodeText {
  return { name, op: 'Placeholder', attributes: { dtype: { type: dtype } } }
}

/** A reference variable `name` with `name/init` (a constant) and `name/assign`. */
export function variable(name: string, value: Tensor): readonly NodeText[] {
  const { dtype, shape } = value
  return [
    { name, op: 'VariableV2', attributes: { dtype: { type: dtype }, shape: { shape } } },
    {
      name: `${name}/init`,
      op: 'Const',
      attributes: { dtype: { type: dtype }, value: { tensor: value } },
    },
    {
      name: `${name}/assign`,
      op: 'Assign',
      inputs: [name, `${name}/init`],
      attributes: { T: { type: dtype } },
    },
  ]
}

/** A resource variable `name` with `name/init`, `name/assign` and `name/read`. */
export function handleVariable(name: string, value: Tensor): readonly NodeText[] {
  const { dtype, shape } = value
  const type = { dtype: { type: dtype } }
  return [
    { name, op: 'VarHandleOp', attributes: { ...type, shape: { shape }, shared_name: name } },
    { name: `${name}/init`, op: 'Const', attributes: { ...type, value: { tensor: value } } },
    {
      name: `${name}/assign`,
      op: 'AssignVariableOp',
      inputs: [name, `${name}/init`],
      attributes: type,
    },
    { name: `${name}/read`, op: 'ReadVariableOp', inputs: [name], attributes: type },
  ]
}

/** A constant. */
export function constant(name: string, value: Tensor): NodeText {
  return {
    name,
    op: 'Const',
    attributes: { dtype: { type: value.dtype }, value: { tensor: value } },
  }
}

/** A tensor of numbers of the named type. */
export function numbers(
  dtype: string,
  shape: readonly number[],
  values: readonly Element[],
): Tensor {
  return tensorOfElements(dtypeOfName(dtype) as NumericDType, shape, values)
}

/**
 * Outputs of one op whose inputs are fed: `dtypes` are its attributes, `outputs` how many outputs to
 * fetch.
 */
export async function outputsOf(
  open: (nodes: readonly NodeText[]) => Promise<Bench>,
  op: string,
  inputs: readonly Tensor[],
  attributes: Readonly<Record<string, AttributeText>> = {},
  outputs = 1,
): Promise<readonly Tensor[]> {
  const names = inputs.map((_, place) => `x${place}`)
  const bench = await open([
    ...inputs.map(({ dtype }, place) => placeholder(names[place], dtype)),
    { name: 'y', op, inputs: names, attributes },
  ])
  return bench.run({
    feeds: Object.fromEntries(inputs.map((input, place) => [names[place], input])),
    fetches: Array.from({ length: outputs }, (_, place) => `y:${place}`),
  })
}
