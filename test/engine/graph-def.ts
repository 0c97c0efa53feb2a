// GraphDefs for tests, written in a few lines: nodes with their attributes, functions, and their bytes.
import { protoOfTensor } from '../../formats/index.ts'
import { type Draft, encode } from '../../proto/index.ts'
import {
  type DType,
  type NumericDType,
  numberOfDType,
  type PartialShape,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'

export type Attribute = Draft<'AttrValue'>
export type Node = Draft<'NodeDef'>

export const type = (dtype: DType): Attribute => ({ type: numberOfDType(dtype) })
export const types = (...dtypes: DType[]): Attribute => ({
  list: { type: dtypes.map(numberOfDType) },
})
export const int = (value: number): Attribute => ({ i: BigInt(value) })
export const ints = (...values: number[]): Attribute => ({ list: { i: values.map(BigInt) } })
export const bool = (value: boolean): Attribute => ({ b: value })
export const text = (value: string): Attribute => ({ s: new TextEncoder().encode(value) })
export const func = (name: string): Attribute => ({ func: { name } })
export const shape = (sizes: PartialShape): Attribute => ({
  shape: sizes === undefined ? { unknown_rank: true } : { dim: sizes.map((size) => ({ size })) },
})

/** A node; inputs as in a NodeDef. */
export function node(
  name: string,
  op: string,
  inputs: readonly string[] = [],
  attributes: Readonly<Record<string, Attribute>> = {},
  device = '',
): Node {
  return { name, op, input: inputs, device, attr: new Map(Object.entries(attributes)) }
}

/** A tensor from nested or flat numbers. */
export function tensor(
  dtype: NumericDType,
  sizes: Shape,
  elements: readonly (number | bigint | boolean)[],
): Tensor {
  const wide = dtype === 'int64' || dtype === 'uint64'
  return tensorOfElements(dtype, sizes, wide ? elements.map((one) => BigInt(one)) : elements)
}

export const f32 = (sizes: Shape, elements: readonly number[]): Tensor =>
  tensor('float32', sizes, elements)
export const i32 = (sizes: Shape, elements: readonly number[]): Tensor =>
  tensor('int32', sizes, elements)

/** A Const node. */
export function constant(name: string, value: Tensor): Node {
  return node(name, 'Const', [], {
    dtype: type(value.dtype),
    value: { tensor: protoOfTensor(value) },
  })
}

/** A Placeholder node. */
export function placeholder(name: string, dtype: DType, sizes: PartialShape = undefined): Node {
  return node(name, 'Placeholder', [], { dtype: type(dtype), shape: shape(sizes) })
}

/** A reference variable. */
export function variable(name: string, dtype: DType, sizes: Shape): Node {
  return node(name, 'VariableV2', [], { dtype: type(dtype), shape: shape(sizes) })
}

/** Bytes of a graph of these nodes. */
export function graphDef(
  nodes: readonly Node[],
  functions: readonly Draft<'FunctionDef'>[] = [],
): Uint8Array {
  return encode('GraphDef', {
    node: nodes,
    library: { function: functions },
    versions: { producer: 1087 },
  })
}

/** A function: arguments and results as `name: type`, results from `name:port:index` or an argument. */
export function functionDef(
  name: string,
  args: Readonly<Record<string, DType>>,
  results: Readonly<Record<string, readonly [DType, string]>>,
  nodes: readonly Node[],
): Draft<'FunctionDef'> {
  return {
    signature: {
      name,
      input_arg: Object.entries(args).map(([arg, dtype]) => ({
        name: arg,
        type: numberOfDType(dtype),
      })),
      output_arg: Object.entries(results).map(([result, [dtype]]) => ({
        name: result,
        type: numberOfDType(dtype),
      })),
    },
    node_def: nodes,
    ret: new Map(Object.entries(results).map(([result, [, source]]) => [result, source])),
  }
}
