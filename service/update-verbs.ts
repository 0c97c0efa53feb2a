// The verbs that update a variable by one TensorFlow op: one row each. A row says which op, what it
// takes beside the variable and of which types; the service runs it, the routes and a batch offer it.
import { type DType, dtypes, kindOf, type PartialShape, type Shape } from '../tensor/index.ts'

/** A tensor that a verb takes. */
export interface UpdateInput {
  /** Its name in bodies, and in the op. */
  readonly name: 'value' | 'indices' | 'updates'
  /** `variable`: the variable's own type; `index`: int32 or int64, int64 where a body does not say. */
  readonly type: 'variable' | 'index'
  readonly help: string
  /** Its shape, where the body cannot say it: as far as the variable's and the indices' shapes give it. */
  readonly shape: (variable: PartialShape, indices: Shape) => PartialShape
}

/** One verb. */
export interface UpdateVerb {
  /** TensorFlow's op. */
  readonly op: string
  readonly summary: string
  readonly help: string
  readonly inputs: readonly UpdateInput[]
  /** What it takes that is no tensor: the limit of a count, or which slice. */
  readonly argument?: 'limit' | 'slice'
  /** Types of variables that TensorFlow has the op for. */
  readonly dtypes: readonly DType[]
  /** What TensorFlow says where the variable has no value, before its name. */
  readonly uninitialized: string
  /** Whether a partitioned variable takes it as a whole, as TensorFlow's PartitionedVariable does. */
  readonly forParts?: boolean
  /** Name of the op's output that the reply shows, beside the variable's own. */
  readonly output?: string
}

const values = dtypes.filter((dtype) => kindOf(dtype) !== 'opaque')
const numbers: readonly DType[] = [
  ...(['float32', 'float64', 'int32', 'uint8', 'int16', 'int8', 'complex64', 'int64'] as const),
  ...(['bfloat16', 'uint16', 'complex128', 'float16', 'uint32', 'uint64'] as const),
]
const realNumbers = numbers.filter((dtype) => kindOf(dtype) !== 'complex')
// TensorFlow's own list for ScatterMin and ScatterMax.
const ordered: readonly DType[] = ['float16', 'bfloat16', 'float32', 'float64', 'int32', 'int64']

const uninitializedParameters = 'Attempting to use uninitialized parameters: '
const nullReference = 'Null ref for params: '

const value: UpdateInput = {
  name: 'value',
  type: 'variable',
  help: "Of the variable's type and shape.",
  shape: (variable) => variable,
}

const indices: UpdateInput = {
  name: 'indices',
  type: 'index',
  help: 'Which rows: places along the first dimension, in any shape.',
  shape: () => undefined,
}

const updates: UpdateInput = {
  name: 'updates',
  type: 'variable',
  help: 'A row for each index: of shape indices.shape + variable.shape[1:], or one scalar for all.',
  shape: (variable, places) => variable && [...places, ...variable.slice(1)],
}

const vectors: UpdateInput = {
  name: 'indices',
  type: 'index',
  help: 'Index vectors along its last dimension, each naming an element or, where shorter than the rank, a slice.',
  shape: () => undefined,
}

const vectorUpdates: UpdateInput = {
  name: 'updates',
  type: 'variable',
  help: 'An element or slice for each index vector: of shape indices.shape[:-1] + variable.shape[indices.shape[-1]:].',
  shape: (variable, places) =>
    variable && [...places.slice(0, -1), ...variable.slice(places.at(-1) ?? 1)],
}

const inOrder = 'Where an index comes more than once, its updates apply one after the other.'
const lastWins = 'Where an index comes more than once, the last update stays.'

function scatter(
  op: string,
  summary: string,
  allowed: readonly DType[],
  duplicates = inOrder,
): UpdateVerb {
  const help = `${duplicates} An index out of range is refused, and nothing is written.`
  const inputs = [indices, updates]
  return { op, summary, help, inputs, dtypes: allowed, uninitialized: nullReference }
}

function scatterVectors(
  op: string,
  summary: string,
  allowed: readonly DType[],
  duplicates = inOrder,
): UpdateVerb {
  return { ...scatter(op, summary, allowed, duplicates), inputs: [vectors, vectorUpdates] }
}

/** Every verb, under the name that follows the colon. Source: tensorflow/core/ops/state_ops.cc. */
export const updateVerbs = {
  assign_add: {
    op: 'AssignAdd',
    summary: 'Add to the value',
    help: 'Element by element; nothing is broadcast.',
    inputs: [value],
    dtypes: numbers,
    uninitialized: uninitializedParameters,
    forParts: true,
  },
  assign_sub: {
    op: 'AssignSub',
    summary: 'Subtract from the value',
    help: 'Element by element; nothing is broadcast.',
    inputs: [value],
    dtypes: numbers,
    uninitialized: uninitializedParameters,
    forParts: true,
  },
  count_up_to: {
    op: 'CountUpTo',
    summary: 'Add one to a scalar, up to a limit',
    help: 'Replies with the value before in "output". At the limit it is refused (OUT_OF_RANGE) and stays.',
    inputs: [],
    argument: 'limit',
    dtypes: ['int32', 'int64'],
    uninitialized: 'Attempting to use uninitialized value ',
    output: 'output',
  },
  scatter_update: scatter('ScatterUpdate', 'Replace rows', values, lastWins),
  scatter_add: scatter('ScatterAdd', 'Add to rows', numbers),
  scatter_sub: scatter('ScatterSub', 'Subtract from rows', numbers),
  scatter_mul: scatter('ScatterMul', 'Multiply rows', numbers),
  scatter_div: scatter('ScatterDiv', 'Divide rows', numbers),
  scatter_min: scatter('ScatterMin', 'Lower rows to a minimum', ordered),
  scatter_max: scatter('ScatterMax', 'Raise rows to a maximum', ordered),
  scatter_nd_update: scatterVectors(
    'ScatterNdUpdate',
    'Replace elements or slices',
    values,
    lastWins,
  ),
  scatter_nd_add: scatterVectors('ScatterNdAdd', 'Add to elements or slices', numbers),
  scatter_nd_sub: scatterVectors('ScatterNdSub', 'Subtract from elements or slices', numbers),
  scatter_nd_min: scatterVectors(
    'ScatterNdMin',
    'Lower elements or slices to a minimum',
    realNumbers,
  ),
  scatter_nd_max: scatterVectors(
    'ScatterNdMax',
    'Raise elements or slices to a maximum',
    realNumbers,
  ),
  assign_slice: {
    op: 'StridedSliceAssign',
    summary: 'Replace a slice of the value',
    help: 'The slice is written as NumPy writes it: "0:10,:,3". The value has exactly its shape.',
    inputs: [
      { ...value, help: "Of the variable's type and the slice's shape.", shape: () => undefined },
    ],
    argument: 'slice',
    dtypes: values,
    uninitialized: uninitializedParameters,
  },
} as const satisfies Readonly<Record<string, UpdateVerb>>

/** The name of a verb. */
export type UpdateVerbName = keyof typeof updateVerbs

/** The row of a verb. */
export function updateVerb(name: UpdateVerbName): UpdateVerb {
  return updateVerbs[name]
}

/** Whether there is a verb of that name. */
export function isUpdateVerb(name: string): name is UpdateVerbName {
  return Object.hasOwn(updateVerbs, name)
}
