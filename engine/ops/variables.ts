// Variables, by reference (VariableV2) and by handle (VarHandleOp): reading, assigning, adding.
import {
  elementCountOf,
  fitsShape,
  formatShape,
  Refusal,
  sameShape,
  tensorOfElements,
} from '../../tensor/index.ts'
import { elementwise, isKernelType, scalarType } from './common.ts'
import {
  type DeclaringNode,
  defineOp,
  type Lowering,
  type OpDefinition,
  type VariableSpec,
} from './definition.ts'
import { scatteredOnHost } from './scatter-host.ts'
import { invalid } from './shapes.ts'
import type { TensorValue, Value, Variable } from './value.ts'

/** The variable that a node declares: its shared name, else its own. */
function declared(
  { node, attributes }: DeclaringNode,
  dtype: string,
  reference: boolean,
): VariableSpec {
  const shared = attributes.text('shared_name')
  return {
    name: shared === '' ? node.name : shared,
    container: attributes.text('container'),
    dtype: attributes.type(dtype),
    shape: attributes.shape('shape'),
    reference,
  }
}

const referenceVariable = (name: string): OpDefinition =>
  defineOp({
    name,
    outputs: ['ref: Ref(dtype)'],
    attributes: [
      'shape: shape',
      'dtype: type',
      "container: string = ''",
      "shared_name: string = ''",
    ],
    declares: (node) => declared(node, 'dtype', true),
    lower: (at) => [at.reference(at.variable(declared(at, 'dtype', true)))],
  })

const handleVariable = defineOp({
  name: 'VarHandleOp',
  outputs: ['resource: resource'],
  attributes: [
    "container: string = ''",
    "shared_name: string = ''",
    "debug_name: string = ''",
    'dtype: type',
    'shape: shape',
    'allowed_devices: list(string) = []',
  ],
  declares: (node) => declared(node, 'dtype', false),
  lower: (at) => [at.handle(at.variable(declared(at, 'dtype', false)))],
})

const readVariable = defineOp({
  name: 'ReadVariableOp',
  inputs: ['resource: resource'],
  outputs: ['value: dtype'],
  attributes: ['dtype: type'],
  lower: (at) => {
    const variable = variableIn(at, 'resource')
    checkType(variable, at.attributes.type('dtype'))
    return [at.read(variable)]
  },
})

function checkType(variable: Variable, dtype: string): void {
  if (variable.dtype === dtype) return
  throw invalid(
    'variable/type',
    `Trying to read variable with wrong dtype. Expected ${dtype} got ${variable.dtype}`,
  )
}

/** The variable of a named input, whether a reference or a handle. */
export function variableIn(at: Lowering, input: string): Variable {
  return at.variableOf(at.rawInputs(input)[0])
}

const assign = defineOp({
  name: 'Assign',
  inputs: ['ref: Ref(T)', 'value: T'],
  outputs: ['output_ref: Ref(T)'],
  attributes: ['T: type', 'validate_shape: bool = true', 'use_locking: bool = true'],
  writes: ['ref'],
  reads: false,
  lower: (at) => {
    const variable = variableIn(at, 'ref')
    const value = at.input('value')
    const current = at.peek(variable)?.shape ?? variable.shape
    if (at.attributes.bool('validate_shape') && !fitsShape(value.shape, current)) {
      throw invalid(
        'shape/mismatch',
        `Assign requires shapes of both tensors to match. lhs shape= ${formatShape(current)} rhs shape= ${formatShape(value.shape)}`,
      )
    }
    at.assign(variable, value)
    return [at.reference(variable)]
  },
})

const assignVariable = defineOp({
  name: 'AssignVariableOp',
  inputs: ['resource: resource', 'value: dtype'],
  attributes: ['dtype: type', 'validate_shape: bool = false'],
  writes: ['resource'],
  reads: false,
  lower: (at) => {
    const variable = variableIn(at, 'resource')
    const value = at.input('value')
    checkType(variable, value.dtype)
    if (at.attributes.bool('validate_shape') && !fitsShape(value.shape, variable.shape)) {
      throw invalid(
        'shape/mismatch',
        `Shape mismatch: the variable has shape ${formatShape(variable.shape)}, the value ${formatShape(value.shape)}`,
      )
    }
    at.assign(variable, value)
    return []
  },
})

/** Current value of a reference variable that an update needs; refuses in TensorFlow's words. */
export function parametersOf(at: Lowering, variable: Variable): TensorValue {
  if (!variable.reference || at.peek(variable) !== undefined) return at.read(variable)
  throw new Refusal(
    'FAILED_PRECONDITION',
    'variable/uninitialized',
    `Attempting to use uninitialized parameters: ${variable.name}`,
    { names: { variable: variable.name } },
  )
}

function assignUpdate(name: string, row: 'add' | 'sub', isReference: boolean): OpDefinition {
  return defineOp({
    name,
    inputs: isReference ? ['ref: Ref(T)', 'value: T'] : ['resource: resource', 'value: T'],
    outputs: isReference ? ['output_ref: Ref(T)'] : [],
    attributes: isReference ? ['T: type', 'use_locking: bool = false'] : ['T: type'],
    writes: [isReference ? 'ref' : 'resource'],
    lower: (at) => {
      const variable = variableIn(at, isReference ? 'ref' : 'resource')
      const value = at.input('value')
      const current = parametersOf(at, variable)
      if (!sameShape(current.shape, value.shape)) {
        throw invalid(
          'shape/mismatch',
          isReference
            ? 'Parameters and update must be the same size'
            : `Cannot update variable with shape ${formatShape(current.shape)} using a Tensor with shape ${formatShape(value.shape)}, shapes must be equal.`,
        )
      }
      at.assign(
        variable,
        isKernelType(current.dtype)
          ? elementwise(at, [current, value], current.dtype, (b, [x, y]) => b.both(row, x, y))
          : updatedOnHost(at, current, value, row),
      )
      return isReference ? [at.reference(variable)] : []
    },
  })
}

/** The update of a type that no kernel holds: all of it is one slice. */
function updatedOnHost(
  at: Lowering,
  current: TensorValue,
  value: TensorValue,
  row: 'add' | 'sub',
): TensorValue {
  const { shape, dtype } = current
  const [result] = at.step({
    inputs: [current, value],
    outputs: [{ dtype, shape }],
    run: ([before, update]) => [
      scatteredOnHost(
        { dtype, shape, before },
        new Int32Array(1),
        elementCountOf(shape),
        update,
        row,
      ),
    ],
  })
  return result
}

/** An update of a variable whose attribute for its type is `dtype`. */
function handleUpdate(name: string, row: 'add' | 'sub'): OpDefinition {
  return defineOp({
    name,
    inputs: ['resource: resource', 'value: dtype'],
    attributes: ['dtype: type'],
    writes: ['resource'],
    lower: assignUpdate(name, row, false).lower,
  })
}

function isInitialized(name: string, input: string, attributes: string[]): OpDefinition {
  return defineOp({
    name,
    inputs: [input],
    outputs: ['is_initialized: bool'],
    attributes,
    lower: (at) => {
      const variable = variableIn(at, input.split(':')[0])
      return [at.known(tensorOfElements('bool', [], [at.peek(variable) !== undefined]))]
    },
  })
}

const variableShape = defineOp({
  name: 'VariableShape',
  inputs: ['input: resource'],
  outputs: ['output: out_type'],
  attributes: ['out_type: {int32, int64} = int32'],
  lower: (at) => {
    const { shape } = at.read(variableIn(at, 'input'))
    const dtype = at.attributes.type('out_type') === 'int64' ? 'int64' : 'int32'
    return [at.known(tensorOfElements(dtype, [shape.length], shape))]
  },
})

const destroyResource = defineOp({
  name: 'DestroyResourceOp',
  inputs: ['resource: resource'],
  attributes: ['ignore_lookup_error: bool = true'],
  writes: ['resource'],
  reads: false,
  lower: (at) => {
    const [value]: readonly Value[] = at.rawInputs('resource')
    if (value.kind === 'handle' && value.target.kind === 'variable') at.clear(value.target)
    return []
  },
})

const countUpTo = defineOp({
  name: 'CountUpTo',
  inputs: ['ref: Ref(T)'],
  outputs: ['output: T'],
  attributes: ['limit: int', 'T: {int32, int64}'],
  writes: ['ref'],
  lower: (at) => countUp(at, 'ref'),
})

const resourceCountUpTo = defineOp({
  name: 'ResourceCountUpTo',
  inputs: ['resource: resource'],
  outputs: ['output: T'],
  attributes: ['limit: int', 'T: {int32, int64}'],
  writes: ['resource'],
  lower: (at) => countUp(at, 'resource'),
})

function countUp(at: Lowering, input: string): readonly Value[] {
  const variable = variableIn(at, input)
  const limit = at.attributes.bigint('limit')
  const dtype = scalarType(variable.dtype)
  if (dtype === 'int32' && BigInt.asIntN(32, limit) !== limit) {
    throw invalid('op/attribute', `Attr limit has value ${limit} out of range for an int32`)
  }
  const current = at.read(variable)
  if (current.shape.length > 0) {
    throw invalid('shape/mismatch', `input is not a scalar: ${formatShape(current.shape)}`)
  }
  const before = at.compute({
    shape: [],
    dtype,
    inputs: [current],
    body: ({ axes, read }) => read(0, axes),
    checks: ({ b, axes, read }) => [
      {
        ok: b.less(read(0, axes), b.constant(dtype, dtype === 'int64' ? limit : Number(limit))),
        message: () => ({
          code: 'OUT_OF_RANGE',
          reason: 'variable/limit',
          message: `Reached limit of ${limit}`,
        }),
      },
    ],
  })
  at.assign(
    variable,
    elementwise(at, [before], dtype, (b, [x]) => b.add(x, 1)),
  )
  return [before]
}

/** Variables. */
export const variableOps: readonly OpDefinition[] = [
  referenceVariable('Variable'),
  referenceVariable('VariableV2'),
  handleVariable,
  readVariable,
  assign,
  assignVariable,
  assignUpdate('AssignAdd', 'add', true),
  assignUpdate('AssignSub', 'sub', true),
  handleUpdate('AssignAddVariableOp', 'add'),
  handleUpdate('AssignSubVariableOp', 'sub'),
  isInitialized('IsVariableInitialized', 'ref: Ref(dtype)', ['dtype: type']),
  isInitialized('VarIsInitializedOp', 'resource: resource', []),
  variableShape,
  destroyResource,
  countUpTo,
  resourceCountUpTo,
]
