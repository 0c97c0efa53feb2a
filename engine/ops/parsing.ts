// tf.Example records to tensors: dense, sparse and ragged features.
// Source: tensorflow/core/util/example_proto_fast_parsing.cc, core/kernels/example_parsing_ops.cc.
import { decodeExample, type Example, type Feature, WireError } from '../../proto/index.ts'
import {
  type DType,
  elementCountOf,
  elementsOf,
  formatShape,
  type NumericDType,
  type PartialShape,
  type Shape,
  type StringTensor,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** One value of a feature. */
type FeatureValue = number | bigint | Uint8Array

interface SparseSpec {
  readonly key: string
  readonly dtype: DType
}

interface RaggedSpec extends SparseSpec {
  readonly splitDtype: DType
}

interface DenseSpec extends SparseSpec {
  /** -1 as the first size: as long as the longest record's. */
  readonly shape: PartialShape
}

const names: Readonly<Record<string, string>> = {
  float32: 'float',
  int64: 'int64',
  string: 'string',
}

/** Values of a feature, which must be of the wanted type; undefined where there are none. */
function valuesOf(
  feature: Feature | undefined,
  key: string,
  dtype: DType,
  record: string,
): readonly FeatureValue[] | undefined {
  if (feature === undefined) return undefined
  const { float_list, int64_list, bytes_list } = feature
  const found = float_list ?? int64_list ?? bytes_list
  if (found === undefined) return undefined
  const type = float_list !== undefined ? 'float32' : int64_list !== undefined ? 'int64' : 'string'
  if (type === dtype) return found.value
  throw invalid(
    'run/example',
    `Name: ${record}, Key: ${key}, Index: 0.  Data types don't match. Data type: ${names[type]} but expected type: ${names[dtype] ?? dtype}`,
  )
}

function tensorOfValues(dtype: DType, shape: Shape, values: readonly FeatureValue[]): Tensor {
  if (dtype === 'string') return stringTensor(shape, values as readonly Uint8Array[])
  return tensorOfElements(dtype as NumericDType, shape, values as readonly (number | bigint)[])
}

/** Elements of a default, as feature values. */
function defaultValues(tensor: Tensor): readonly FeatureValue[] {
  return tensor.dtype === 'string' ? tensor.strings : (elementsOf(tensor) as FeatureValue[])
}

function parseRecord(bytes: Uint8Array, record: string): Example {
  try {
    return decodeExample(bytes)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw invalid('run/example', `Could not parse example input, value: '${record}'`)
  }
}

/** Records parsed once, with the names that messages show. */
class Records {
  readonly examples: readonly Example[]
  readonly names: readonly string[]

  constructor(serialized: Tensor, given: Tensor) {
    const texts = given.dtype === 'string' ? given.strings : []
    const decoder = new TextDecoder()
    const records = (serialized as StringTensor).strings
    this.names = records.map((_, place) =>
      texts[place] === undefined ? '<unknown>' : decoder.decode(texts[place]),
    )
    this.examples = records.map((bytes, place) => parseRecord(bytes, this.names[place]))
  }

  /** Values of a feature for each record. */
  values(key: string, dtype: DType): readonly (readonly FeatureValue[] | undefined)[] {
    return this.examples.map(({ features }, place) =>
      valuesOf(features?.feature.get(key), key, dtype, this.names[place]),
    )
  }
}

/** Indices `[n, 2]`, values `[n]` and shape `[records, longest]`; of one record without the batch. */
function sparseOf(
  records: Records,
  { key, dtype }: SparseSpec,
  isBatch: boolean,
): readonly Tensor[] {
  const rows = records.values(key, dtype).map((values) => values ?? [])
  const values = rows.flat()
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 0)
  const indices = rows.flatMap((row, place) =>
    row.flatMap((_, column) => (isBatch ? [BigInt(place), BigInt(column)] : [BigInt(column)])),
  )
  const rank = isBatch ? 2 : 1
  const shape = isBatch ? [BigInt(rows.length), BigInt(longest)] : [BigInt(longest)]
  return [
    tensorOfElements('int64', [values.length, rank], indices),
    tensorOfValues(dtype, [values.length], values),
    tensorOfElements('int64', [rank], shape),
  ]
}

function denseOf(records: Records, spec: DenseSpec, fallback: Tensor, isBatch: boolean): Tensor {
  const { key, dtype } = spec
  const shape = spec.shape ?? []
  const rows = records.values(key, dtype)
  const lead = isBatch ? [rows.length] : []
  if (shape[0] === -1) return paddedOf(records, spec, fallback, lead)
  const count = elementCountOf(shape)
  const all = rows.flatMap((values, place) => {
    if (values === undefined) {
      const given = defaultValues(fallback)
      if (given.length === 0 && count > 0) {
        throw invalid(
          'run/example',
          `Name: ${records.names[place]}, Feature: ${key} (data type: ${names[dtype] ?? dtype}) is required but could not be found.`,
        )
      }
      return given.length === 1 ? new Array<FeatureValue>(count).fill(given[0]) : given
    }
    if (values.length !== count) {
      throw invalid(
        'run/example',
        `Name: ${records.names[place]}, Key: ${key}, Index: ${place}.  Number of ${names[dtype] ?? dtype} values != expected.  values size: ${values.length} but output shape: ${formatShape(shape)}`,
      )
    }
    return values
  })
  return tensorOfValues(dtype, [...lead, ...shape], all)
}

/** Rows of different lengths, filled up with the default. */
function paddedOf(
  records: Records,
  { key, dtype, shape }: DenseSpec,
  fallback: Tensor,
  lead: Shape,
): Tensor {
  const rest = (shape ?? []).slice(1)
  const stride = elementCountOf(rest)
  const rows = records.values(key, dtype).map((values) => values ?? [])
  for (const [place, row] of rows.entries()) {
    if (stride !== 0 && row.length % stride === 0) continue
    throw invalid(
      'run/example',
      `Name: ${records.names[place]}, Key: ${key}, Index: ${place}.  Number of ${names[dtype] ?? dtype} values is not a multiple of stride length. Saw ${row.length} values but output shape is: ${formatShape(shape)}`,
    )
  }
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 0)
  const given = defaultValues(fallback)[0]
  const filler = given ?? (dtype === 'string' ? new Uint8Array(0) : dtype === 'int64' ? 0n : 0)
  const all = rows.flatMap((row) => [
    ...row,
    ...new Array<FeatureValue>(longest - row.length).fill(filler),
  ])
  return tensorOfValues(dtype, [...lead, longest / stride, ...rest], all)
}

/** Values of all records in one list, and where each record's begin. */
function raggedOf(records: Records, { key, dtype, splitDtype }: RaggedSpec): readonly Tensor[] {
  const rows = records.values(key, dtype).map((values) => values ?? [])
  const splits = [0]
  for (const row of rows) splits.push(splits[splits.length - 1] + row.length)
  const values = rows.flat()
  return [
    tensorOfValues(dtype, [values.length], values),
    splitDtype === 'int64'
      ? tensorOfElements('int64', [splits.length], splits.map(BigInt))
      : tensorOfElements('int32', [splits.length], splits),
  ]
}

interface Parsing {
  readonly sparse: readonly SparseSpec[]
  readonly dense: readonly DenseSpec[]
  readonly ragged: readonly RaggedSpec[]
}

/** Runs a parse: outputs in the op's order (indices, values, shapes, dense, ragged values, splits). */
function parse(
  at: Lowering,
  serialized: TensorValue,
  recordNames: TensorValue,
  defaults: readonly TensorValue[],
  { sparse, dense, ragged }: Parsing,
): readonly TensorValue[] {
  const isBatch = serialized.shape.length > 0
  const lead = isBatch ? serialized.shape : []
  const denseShape = ({ shape }: DenseSpec): Shape | undefined =>
    shape === undefined || shape.includes(-1) ? undefined : [...lead, ...shape]
  const unknown = { shape: undefined }
  return at.step({
    inputs: [serialized, recordNames, ...defaults],
    outputs: [
      ...sparse.map(() => ({ dtype: 'int64' as const, ...unknown })),
      ...sparse.map(({ dtype }) => ({ dtype, ...unknown })),
      ...sparse.map(() => ({ dtype: 'int64' as const, shape: [isBatch ? 2 : 1] })),
      ...dense.map((spec) => ({ dtype: spec.dtype, shape: denseShape(spec) })),
      ...ragged.map(({ dtype }) => ({ dtype, ...unknown })),
      ...ragged.map(({ splitDtype }) => ({ dtype: splitDtype, ...unknown })),
    ],
    run: ([bytes, given, ...fallbacks]) => {
      const records = new Records(bytes, given)
      const sparseParts = sparse.map((spec) => sparseOf(records, spec, isBatch))
      const raggedParts = ragged.map((spec) => raggedOf(records, spec))
      return [
        ...sparseParts.map(([indices]) => indices),
        ...sparseParts.map(([, values]) => values),
        ...sparseParts.map(([, , shape]) => shape),
        ...dense.map((spec, place) => denseOf(records, spec, fallbacks[place], isBatch)),
        ...raggedParts.map(([values]) => values),
        ...raggedParts.map(([, splits]) => splits),
      ]
    },
  })
}

function textsOf(tensor: Tensor): string[] {
  const decoder = new TextDecoder()
  return tensor.dtype === 'string' ? tensor.strings.map((bytes) => decoder.decode(bytes)) : []
}

const parseExample = defineOp({
  name: 'ParseExample',
  inputs: [
    'serialized: string',
    'names: string',
    'sparse_keys: Nsparse * string',
    'dense_keys: Ndense * string',
    'dense_defaults: Tdense',
  ],
  outputs: [
    'sparse_indices: Nsparse * int64',
    'sparse_values: sparse_types',
    'sparse_shapes: Nsparse * int64',
    'dense_values: Tdense',
  ],
  attributes: [
    'Nsparse: int >= 0',
    'Ndense: int >= 0',
    'sparse_types: list(type)',
    'Tdense: list(type)',
    'dense_shapes: list(shape)',
  ],
  lower: (at) => {
    const keys = (name: string): string[] =>
      at.inputs(name).map((value) => textsOf(at.contentOf(value))[0])
    const types = at.attributes.types('Tdense')
    const shapes = at.attributes.shapes('dense_shapes')
    const sparseTypes = at.attributes.types('sparse_types')
    return parse(at, at.input('serialized'), at.input('names'), at.inputs('dense_defaults'), {
      sparse: keys('sparse_keys').map((key, place) => ({ key, dtype: sparseTypes[place] })),
      dense: keys('dense_keys').map((key, place) => ({
        key,
        dtype: types[place],
        shape: shapes[place],
      })),
      ragged: [],
    })
  },
})

const parseExampleV2 = defineOp({
  name: 'ParseExampleV2',
  inputs: [
    'serialized: string',
    'names: string',
    'sparse_keys: string',
    'dense_keys: string',
    'ragged_keys: string',
    'dense_defaults: Tdense',
  ],
  outputs: [
    'sparse_indices: num_sparse * int64',
    'sparse_values: sparse_types',
    'sparse_shapes: num_sparse * int64',
    'dense_values: Tdense',
    'ragged_values: ragged_value_types',
    'ragged_row_splits: ragged_split_types',
  ],
  attributes: [
    'Tdense: list(type)',
    'num_sparse: int >= 0',
    'sparse_types: list(type)',
    'ragged_value_types: list(type)',
    'ragged_split_types: list(type)',
    'dense_shapes: list(shape)',
  ],
  lower: (at) => {
    const keys = (name: string): string[] => textsOf(at.contentOf(at.input(name)))
    const { attributes } = at
    const types = attributes.types('Tdense')
    const shapes = attributes.shapes('dense_shapes')
    const sparseTypes = attributes.types('sparse_types')
    const raggedTypes = attributes.types('ragged_value_types')
    const splitTypes = attributes.types('ragged_split_types')
    return parse(at, at.input('serialized'), at.input('names'), at.inputs('dense_defaults'), {
      sparse: keys('sparse_keys').map((key, place) => ({ key, dtype: sparseTypes[place] })),
      dense: keys('dense_keys').map((key, place) => ({
        key,
        dtype: types[place],
        shape: shapes[place],
      })),
      ragged: keys('ragged_keys').map((key, place) => ({
        key,
        dtype: raggedTypes[place],
        splitDtype: splitTypes[place],
      })),
    })
  },
})

/** Parsing of records. */
export const parsingOps: readonly OpDefinition[] = [parseExample, parseExampleV2]
