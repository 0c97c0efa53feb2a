// Graphs made of graphs: with gradients added, or with a train op. Each is a new graph, kept like one that
// was uploaded; the one that it was made of stays as it is.
import { argumentsOfOp } from '../engine/index.ts'
import {
  addGradients,
  addMinimize,
  dense,
  Expressions,
  type Gradient,
  GraphBuilder,
  isSparse,
  nameOfOutput,
  type OptimizerSettings,
  type Output,
  parseTensorName,
  type TrainingVariable,
} from '../graph/index.ts'
import { type Draft, decodeGraphDef, encodeGraphDef, type GraphDef } from '../proto/index.ts'
import { type DType, type PartialShape, Refusal } from '../tensor/index.ts'
import type { Graphs, LoadedGraph } from './graphs.ts'

/** Gradients to add, by names of tensors; a variable's name stands for the variable. */
interface GradientsRequest {
  readonly ys: readonly string[]
  readonly xs: readonly string[]
  /** Tensors that flow into the ys; null, or none at all: ones do. */
  readonly gradYs?: readonly (string | null)[] | undefined
  readonly stopGradients?: readonly string[] | undefined
}

/** A train op to add. */
interface MinimizeRequest {
  readonly loss: string
  readonly optimizer: OptimizerSettings
  readonly variables?: readonly string[] | undefined
  readonly globalStep?: string | undefined
}

/** A gradient by the names of its tensors. */
export interface NamedGradient {
  /** The whole gradient, as one tensor. */
  readonly gradient: string
  /** The same in slices, where few slices of it count. */
  readonly slices:
    | { readonly values: string; readonly indices: string; readonly denseShape: string }
    | undefined
}

type Made = LoadedGraph & { readonly created: boolean }

/** A variable that training needs beside those that it trains. */
export interface NamedTrainingVariable {
  readonly name: string
  readonly slot: string
  /** The variable that it belongs to; undefined where it belongs to the whole graph. */
  readonly of: string | undefined
  /** The node that gives it its first value. */
  readonly initializer: string
  readonly initialValue: number
  readonly dtype: DType
  readonly shape: PartialShape
}

/** A graph with gradients; undefined for an x that no y depends on. */
export interface GraphWithGradients {
  readonly graph: Made
  readonly gradients: readonly (NamedGradient | undefined)[]
}

/** A graph with a train op. */
export interface TrainingGraph {
  readonly graph: Made
  readonly train: string
  readonly initialize: string
  readonly globalStep: string | undefined
  readonly gradients: readonly (NamedGradient & { readonly variable: string })[]
  readonly variables: readonly NamedTrainingVariable[]
}

/**
 * Stores the graph with the gradients of the sum of `ys` by each of `xs`. Refuses unknown names
 * (INVALID_ARGUMENT, `gradient/unknown-tensor`), lists that do not fit, and what `addGradients` refuses.
 */
export async function putGradients(
  graphs: Graphs,
  id: string,
  { ys, xs, gradYs, stopGradients = [] }: GradientsRequest,
): Promise<GraphWithGradients> {
  const { def, builder } = await open(graphs, id)
  if (gradYs !== undefined && gradYs.length !== ys.length) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'gradient/grad-ys',
      `There are ${ys.length} ys and ${gradYs.length} grad_ys; one for each y is wanted, or none at all.`,
    )
  }
  const found = addGradients(builder, {
    ys: ys.map((name) => tensorNamed(builder, name)),
    xs: xs.map((name) => tensorNamed(builder, name)),
    gradYs: gradYs?.map((name) => (name === null ? undefined : tensorNamed(builder, name))),
    stopGradients: stopGradients.map((name) => tensorNamed(builder, name)),
  })
  const gradients = found.map((one) => (one === undefined ? undefined : named(builder, one)))
  return { graph: await put(graphs, builder, def), gradients }
}

/** Stores the graph with a train op. Refuses unknown names, and what `addMinimize` refuses. */
export async function putMinimize(
  graphs: Graphs,
  id: string,
  request: MinimizeRequest,
): Promise<TrainingGraph> {
  const { def, builder } = await open(graphs, id)
  const made = addMinimize(builder, {
    loss: tensorNamed(builder, request.loss),
    optimizer: request.optimizer,
    variables: request.variables,
    globalStep: request.globalStep,
  })
  const gradients = made.trained.map(({ variable, gradient }) => ({
    variable: variable.name,
    ...named(builder, gradient),
  }))
  return {
    graph: await put(graphs, builder, def),
    train: made.train.name,
    initialize: made.initialize.name,
    globalStep: made.globalStep?.name,
    gradients,
    variables: made.made.map(namedVariable),
  }
}

async function open(
  graphs: Graphs,
  id: string,
): Promise<{ readonly def: GraphDef; readonly builder: GraphBuilder }> {
  const def = decodeGraphDef(await graphs.bytes(id))
  return { def, builder: GraphBuilder.ofGraph(def, argumentsOfOp) }
}

function put(graphs: Graphs, builder: GraphBuilder, def: GraphDef): Promise<Made> {
  const made: Draft<'GraphDef'> = builder.graphDef(def)
  return graphs.put({ form: 'binary', bytes: encodeGraphDef(made) })
}

function tensorNamed(builder: GraphBuilder, text: string): Output {
  const { node: name, index } = parseTensorName(text)
  const node = builder.node(name)
  const output = node?.outputs[index]
  if (output !== undefined) return output
  const problem =
    node === undefined
      ? `The graph has no node "${name}"`
      : `The node "${name}" (op ${node.op}) has ${node.outputs.length} outputs`
  throw new Refusal(
    'INVALID_ARGUMENT',
    'gradient/unknown-tensor',
    `${problem}; "${text}" is no tensor of the graph.`,
    { names: { tensor: text } },
  )
}

function named(builder: GraphBuilder, gradient: Gradient): NamedGradient {
  const e = new Expressions(builder)
  const whole = nameOfOutput(builder.within('gradients/', () => dense(e, gradient)))
  if (!isSparse(gradient)) return { gradient: whole, slices: undefined }
  const { values, indices, denseShape } = gradient
  const slices = {
    values: nameOfOutput(values),
    indices: nameOfOutput(indices),
    denseShape: nameOfOutput(denseShape),
  }
  return { gradient: whole, slices }
}

function namedVariable({ node, slot, of, initializer, initial, dtype, shape }: TrainingVariable) {
  return {
    name: node.name,
    slot,
    of: of?.name,
    initializer: initializer.name,
    initialValue: initial,
    dtype,
    shape,
  }
}
