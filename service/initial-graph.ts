// Initial values as graphs: the nodes that TensorFlow's initializers make, so that the engine draws and
// computes what TensorFlow would. It knows ops and names, and no variable of the store.
// Source: tensorflow/python/ops/{init_ops,random_ops,linalg_ops_impl}.py.
import { protoOfTensor } from '../formats/index.ts'
import type { Draft } from '../proto/index.ts'
import {
  type DType,
  elementCountOf,
  isBigInt,
  kindOf,
  type NumericDType,
  numberOfDType,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../tensor/index.ts'
import type { Expression, ExpressionOp } from './initial-expression.ts'
import type { ComputedPlan, Seeds } from './initializer.ts'

/** Nodes under construction; each method adds one and answers with its name. */
export interface GraphNodes {
  readonly nodes: Draft<'NodeDef'>[]
  add(name: string, op: string, inputs: readonly string[], attributes?: Attributes): string
  constant(name: string, tensor: Tensor): string
}

/** Draws are the same bits wherever they are used: the CPU makes them. */
export const drawingDevice = '/device:CPU:0'

/** GraphDef version of TensorFlow 1.15. */
export const graphVersion = 134

type Attributes = Readonly<Record<string, Draft<'AttrValue'>>>

/** No nodes yet. */
export function createGraphNodes(): GraphNodes {
  const nodes: Draft<'NodeDef'>[] = []
  function add(
    name: string,
    op: string,
    inputs: readonly string[],
    attributes: Attributes = {},
  ): string {
    nodes.push({ name, op, input: [...inputs], attr: new Map(Object.entries(attributes)) })
    return name
  }
  return {
    nodes,
    add,
    constant: (name, tensor) =>
      add(name, 'Const', [], {
        dtype: typeAttribute(tensor.dtype),
        value: { tensor: protoOfTensor(tensor) },
      }),
  }
}

/** A type as an attribute of a node. */
export function typeAttribute(dtype: DType): Draft<'AttrValue'> {
  return { type: numberOfDType(dtype) }
}

/** Nodes that say where in its stream a draw begins, as the stateless ops take it. */
export interface StreamNodes {
  readonly key: string
  readonly counter: string
}

/**
 * Adds the nodes of a plan; the last of them is called `name`. Its numbers are drawn from the beginning of
 * the stream of its seeds, or from the place in it that `stream` says.
 */
export function addPlan(
  graph: GraphNodes,
  name: string,
  plan: ComputedPlan,
  dtype: NumericDType,
  shape: Shape,
  stream?: StreamNodes,
): string {
  const part: Part = { graph, name, dtype, type: typeAttribute(dtype), stream }
  switch (plan.fill) {
    case 'uniform':
      return kindOf(dtype) === 'float'
        ? addUniform(part, plan.minimum, plan.maximum, plan.seeds, shape)
        : addIntegers(part, plan.minimum, plan.maximum, plan.seeds, shape)
    case 'normal':
      return addNormal(part, name, 'RandomStandardNormal', plan, shape)
    case 'truncated_normal':
      return addNormal(part, name, 'TruncatedNormal', plan, shape)
    case 'orthogonal':
      return addOrthogonal(part, plan.gain, plan.seeds, shape)
    case 'identity':
      return addIdentity(part, plan, shape)
    default:
      throw new Error(`unknown plan ${JSON.stringify(plan satisfies never)}`)
  }
}

interface Part {
  readonly graph: GraphNodes
  readonly name: string
  readonly dtype: NumericDType
  readonly type: Draft<'AttrValue'>
  readonly stream: StreamNodes | undefined
}

function scalar({ graph, name, dtype }: Part, suffix: string, value: number | bigint): string {
  const element = isBigInt(dtype) ? BigInt(value) : Number(value)
  return graph.constant(`${name}/${suffix}`, tensorOfElements(dtype, [], [element]))
}

/** Sizes as a tensor: int32 as TensorFlow has them, int64 where one does not fit. */
function sizes(
  { graph, name }: Pick<Part, 'graph' | 'name'>,
  suffix: string,
  shape: Shape,
): [string, NumericDType] {
  const dtype = shape.some((size) => size > 0x7fffffff) ? 'int64' : 'int32'
  const elements = dtype === 'int64' ? shape.map(BigInt) : shape
  return [
    graph.constant(`${name}/${suffix}`, tensorOfElements(dtype, [shape.length], elements)),
    dtype,
  ]
}

function seedAttributes([seed, seed2]: Seeds): Attributes {
  return { seed: { i: BigInt(seed) }, seed2: { i: BigInt(seed2) } }
}

const statelessOps = {
  RandomUniform: 'StatelessRandomUniformV2',
  RandomStandardNormal: 'StatelessRandomNormalV2',
  TruncatedNormal: 'StatelessTruncatedNormalV2',
  RandomUniformInt: 'StatelessRandomUniformIntV2',
} as const

type DrawOp = keyof typeof statelessOps

/** The draw itself; `bounds` are those of whole numbers. */
function addDraw(
  { graph, name, dtype, type, stream }: Part,
  op: DrawOp,
  node: string,
  seeds: Seeds,
  shape: Shape,
  bounds: readonly string[] = [],
): string {
  const [sizesName, sizesType] = sizes({ graph, name }, 'shape', shape)
  if (stream === undefined) {
    const typeName = op === 'RandomUniformInt' ? 'Tout' : 'dtype'
    const attributes = { ...seedAttributes(seeds), [typeName]: type, T: typeAttribute(sizesType) }
    return graph.add(node, op, [sizesName, ...bounds], attributes)
  }
  const algorithm = graph.constant(`${name}/alg`, tensorOfElements('int32', [], [philox]))
  const inputs = [sizesName, stream.key, stream.counter, algorithm, ...bounds]
  const attributes = { dtype: typeAttribute(dtype), Tshape: typeAttribute(sizesType) }
  return graph.add(node, statelessOps[op], inputs, attributes)
}

/** TensorFlow's number of the generator. */
const philox = 1

function addUniform(
  part: Part,
  minimum: number | bigint,
  maximum: number | bigint,
  seeds: Seeds,
  shape: Shape,
): string {
  const { graph, name, type } = part
  const low = scalar(part, 'min', minimum)
  const high = scalar(part, 'max', maximum)
  const drawn = addDraw(part, 'RandomUniform', `${name}/RandomUniform`, seeds, shape)
  const width = graph.add(`${name}/sub`, 'Sub', [high, low], { T: type })
  const scaled = graph.add(`${name}/mul`, 'Mul', [drawn, width], { T: type })
  return graph.add(name, 'AddV2', [scaled, low], { T: type })
}

function addIntegers(
  part: Part,
  minimum: number | bigint,
  maximum: number | bigint,
  seeds: Seeds,
  shape: Shape,
): string {
  const bounds = [scalar(part, 'min', minimum), scalar(part, 'max', maximum)]
  return addDraw(part, 'RandomUniformInt', part.name, seeds, shape, bounds)
}

function addNormal(
  part: Part,
  name: string,
  op: 'RandomStandardNormal' | 'TruncatedNormal',
  { mean, deviation, seeds }: { mean: number; deviation: number; seeds: Seeds },
  shape: Shape,
): string {
  const { graph, type } = part
  const meanName = scalar(part, 'mean', mean)
  const deviationName = scalar(part, 'stddev', deviation)
  const drawn = addDraw(part, op, `${part.name}/${op}`, seeds, shape)
  const scaled = graph.add(`${part.name}/mul`, 'Mul', [drawn, deviationName], { T: type })
  return graph.add(name, 'AddV2', [scaled, meanName], { T: type })
}

/** The orthogonal factor of a normal matrix, its columns' signs made those of the other's diagonal. */
function addOrthogonal(part: Part, gain: number, seeds: Seeds, shape: Shape): string {
  const { graph, name, type } = part
  const T = { T: type }
  const columns = shape[shape.length - 1]
  const rows = elementCountOf(shape.slice(0, -1))
  const tall = [Math.max(rows, columns), Math.min(rows, columns)]
  const standard = { mean: 0, deviation: 1, seeds }
  const normal = addNormal(part, `${name}/random_normal`, 'RandomStandardNormal', standard, tall)
  const factors = graph.add(`${name}/Qr`, 'Qr', [normal], { ...T, full_matrices: { b: false } })
  const diagonal = graph.add(`${name}/DiagPart`, 'DiagPart', [`${factors}:1`], T)
  const signs = graph.add(`${name}/Sign`, 'Sign', [diagonal], T)
  let matrix = graph.add(`${name}/signed`, 'Mul', [factors, signs], T)
  if (rows < columns) {
    const order = tensorOfElements('int32', [2], [1, 0])
    const permutation = graph.constant(`${name}/perm`, order)
    matrix = graph.add(`${name}/transpose`, 'Transpose', [matrix, permutation], {
      ...T,
      Tperm: typeAttribute('int32'),
    })
  }
  const [sizesName, sizesType] = sizes(part, 'Reshape/shape', shape)
  const reshaped = graph.add(`${name}/Reshape`, 'Reshape', [matrix, sizesName], {
    ...T,
    Tshape: typeAttribute(sizesType),
  })
  return graph.add(name, 'Mul', [scalar(part, 'gain', gain), reshaped], T)
}

function addIdentity(
  part: Part,
  { gain, part: wanted }: Extract<ComputedPlan, { readonly fill: 'identity' }>,
  shape: Shape,
): string {
  const { graph, name, type, dtype } = part
  const full = wanted?.fullShape ?? shape
  const filled = (suffix: string, of: Shape, value: number): string => {
    const [sizesName, sizesType] = sizes(part, `${suffix}/dims`, of)
    const element = scalar(part, `${suffix}/value`, value)
    const attributes = { T: type, index_type: typeAttribute(sizesType) }
    return graph.add(`${name}/${suffix}`, 'Fill', [sizesName, element], attributes)
  }
  const zeros = filled('zeros', full, 0)
  const diagonal = filled('diagonal', [Math.min(full[0], full[1])], gain)
  const matrix = wanted === undefined ? name : `${name}/whole`
  graph.add(matrix, 'MatrixSetDiag', [zeros, diagonal], { T: type })
  if (wanted === undefined) return matrix
  return addSlice(graph, name, matrix, { dtype, offset: wanted.offset, shape })
}

/** Adds the part of `whole` at `offset`, called `name`. */
export function addSlice(
  graph: GraphNodes,
  name: string,
  whole: string,
  part: { readonly dtype: DType; readonly offset: readonly number[]; readonly shape: Shape },
): string {
  const { dtype, offset, shape } = part
  const begin = tensorOfElements('int64', [offset.length], offset.map(BigInt))
  const size = tensorOfElements('int64', [shape.length], shape.map(BigInt))
  const inputs = [
    whole,
    graph.constant(`${name}/begin`, begin),
    graph.constant(`${name}/size`, size),
  ]
  return graph.add(name, 'Slice', inputs, {
    T: typeAttribute(dtype),
    Index: typeAttribute('int64'),
  })
}

const opOfWord: Readonly<Record<ExpressionOp, string>> = {
  add: 'AddV2',
  sub: 'Sub',
  mul: 'Mul',
  div: 'RealDiv',
}

/**
 * Adds the nodes of an expression; the last of them is called `name`. `nodeOf` gives the node of a
 * variable's initialized value.
 */
export function addExpression(
  graph: GraphNodes,
  name: string,
  expression: Expression,
  dtype: DType,
  nodeOf: (variable: string) => string,
): string {
  const T = { T: typeAttribute(dtype) }
  let result = nodeOf(expression.variable)
  expression.steps.forEach(({ op, operand }, place) => {
    const other =
      operand.form === 'tensor'
        ? graph.constant(`${name}/operand_${place}`, operand.tensor)
        : addExpression(graph, `${name}/operand_${place}`, operand.expression, dtype, nodeOf)
    result = graph.add(`${name}/${op}_${place}`, opOfWord[op], [result, other], T)
  })
  return graph.add(name, 'Identity', [result], T)
}
