// Variables as nodes of a graph: finding them, reading and assigning them, and making new ones beside
// them, by reference or by handle as the one beside them is.
// Source: tensorflow/python/training/slot_creator.py.
import {
  type DType,
  dtypeOfNumber,
  elementCountOf,
  isBigInt,
  isNumeric,
  type PartialShape,
  tensorOfElements,
} from '../../tensor/index.ts'
import {
  type AttributeDrafts,
  attribute,
  type BuiltNode,
  Expressions,
  type GraphBuilder,
  type Output,
} from '../builder/index.ts'
import { shapeOfProto } from '../graph.ts'

const references: ReadonlySet<string> = new Set(['Variable', 'VariableV2'])

/** Whether the node is a variable, by reference or by handle. */
export function isVariable({ op }: BuiltNode): boolean {
  return references.has(op) || op === 'VarHandleOp'
}

/** Whether the variable is one by reference. */
export function isReference({ op }: BuiltNode): boolean {
  return references.has(op)
}

/** The type of a variable's value. */
export function dtypeOfVariable({ attributes }: BuiltNode): DType {
  return dtypeOfNumber(attributes.get('dtype')?.type ?? 0) ?? 'variant'
}

/** The shape that a variable declares. */
export function shapeOfVariable({ attributes }: BuiltNode): PartialShape {
  const shape = attributes.get('shape')?.shape
  return shapeOfProto(
    shape && {
      unknown_rank: shape.unknown_rank ?? false,
      dim: (shape.dim ?? []).map(({ size = 0, name = '' }) => ({ size, name })),
    },
  )
}

/** Adds a node that runs where the variable is. */
export function beside(
  { builder }: Expressions,
  variable: BuiltNode,
  op: string,
  inputs: readonly Output[],
  attributes: AttributeDrafts,
  name = op,
): BuiltNode {
  return builder.add({
    op,
    name,
    inputs,
    device: variable.device,
    attributes: { ...attributes, ...locationOf(variable) },
  })
}

/** The colocation with a variable. */
function locationOf({ name }: BuiltNode): AttributeDrafts {
  return { _class: attribute.texts([`loc:@${name}`]) }
}

/** The variable's present value; by reference it is the variable itself. */
export function readVariable(e: Expressions, variable: BuiltNode): Output {
  if (isReference(variable)) {
    const known = readOf(e.builder, variable)
    return known ?? e.identity(variable.outputs[0], 'read')
  }
  const attributes = { dtype: attribute.type(dtypeOfVariable(variable)) }
  return e.op('ReadVariableOp', [variable.outputs[0]], attributes)
}

function readOf(builder: GraphBuilder, { name }: BuiltNode): Output | undefined {
  const node = builder.node(`${name}/read`)
  return node?.op === 'Identity' && node.inputs[0].node.name === name ? node.outputs[0] : undefined
}

/** Assigns, adds to or subtracts from a variable. */
export function writeVariable(
  e: Expressions,
  variable: BuiltNode,
  verb: 'Assign' | 'AssignAdd' | 'AssignSub',
  value: Output,
  name?: string,
): BuiltNode {
  const dtype = attribute.type(value.dtype)
  const inputs = [variable.outputs[0], value]
  if (isReference(variable)) return beside(e, variable, verb, inputs, { T: dtype }, name)
  return beside(e, variable, `${verb}VariableOp`, inputs, { dtype }, name)
}

/** Adds to slices of a variable, or replaces them. */
export function scatterVariable(
  e: Expressions,
  variable: BuiltNode,
  verb: 'Add' | 'Update',
  indices: Output,
  values: Output,
): BuiltNode {
  const inputs = [variable.outputs[0], indices, values]
  const index = { Tindices: attribute.type(indices.dtype) }
  const dtype = attribute.type(values.dtype)
  return isReference(variable)
    ? beside(e, variable, `Scatter${verb}`, inputs, { T: dtype, ...index })
    : beside(e, variable, `ResourceScatter${verb}`, inputs, { dtype, ...index })
}

/** A variable to make beside another one. */
export interface VariableSpec {
  /** Whole name; made unique. */
  readonly name: string
  readonly dtype: DType
  readonly shape: PartialShape
  readonly initial: number
}

/** A new variable: its node, and the node that gives it its first value. */
export interface NewVariable {
  readonly node: BuiltNode
  readonly initializer: BuiltNode
  readonly initial: number
  readonly dtype: DType
  readonly shape: PartialShape
}

/** Elements from which on first values are made by a Fill rather than kept in the graph. */
const mostInline = 1000

/** Makes a variable beside another: of its kind, on its device and in its container. */
export function newVariable(
  builder: GraphBuilder,
  like: BuiltNode | undefined,
  spec: VariableSpec,
): NewVariable {
  return builder.within(null, () => {
    const e = new Expressions(builder)
    const name = builder.uniqueName(spec.name)
    const inScope = `${name}/`
    const { dtype, shape } = spec
    const attributes: AttributeDrafts = {
      dtype: attribute.type(dtype),
      shape: shape === undefined ? attribute.unknownShape : attribute.shape(shape),
      container: like?.attributes.get('container') ?? attribute.text(''),
      ...(like === undefined ? {} : locationOf(like)),
    }
    const isByHandle = like === undefined || !isReference(like)
    const node = builder.add({
      op: isByHandle ? 'VarHandleOp' : 'VariableV2',
      name: inScope,
      device: like?.device,
      attributes: { ...attributes, shared_name: attribute.text(isByHandle ? name : '') },
    })
    return builder.within(inScope, () => {
      const value = builder.within('Initializer', () => firstValue(e, spec, like))
      const initializer = writeVariable(e, node, 'Assign', value, 'Assign')
      if (shape === undefined || shape.includes(-1)) {
        initializer.attributes.set('validate_shape', attribute.bool(false))
      }
      if (isByHandle) builder.within('Read', () => readVariable(e, node))
      else e.identity(node.outputs[0], 'read')
      return { node, initializer, initial: spec.initial, dtype, shape }
    })
  })
}

function firstValue(
  e: Expressions,
  { dtype, shape, initial }: VariableSpec,
  like: BuiltNode | undefined,
): Output {
  if (!isNumeric(dtype)) throw new Error(`no variable of ${dtype}`)
  const name = initial === 0 ? 'zeros' : initial === 1 ? 'ones' : 'Const'
  const value = isBigInt(dtype) ? BigInt(initial) : initial
  if (shape === undefined || shape.includes(-1)) {
    if (like === undefined) throw new Error('a variable of unknown shape beside none')
    return e.fill(e.shape(readVariable(e, like)), e.scalar(initial, dtype), name)
  }
  const count = elementCountOf(shape)
  if (count <= mostInline) {
    const elements = new Array<number | bigint>(count).fill(value)
    return e.constant(tensorOfElements(dtype, shape, elements), name)
  }
  return e.fill(e.integers(shape), e.scalar(initial, dtype), name)
}
