// The form of an op's gradient, and what it has at hand: one function from the gradients of a node's
// outputs to those of its inputs, written as nodes.
import { tensorOfProto } from '../../formats/index.ts'
import { decodeTensorProto, encodeTensorProto } from '../../proto/index.ts'
import { elementsOf, type Tensor } from '../../tensor/index.ts'
import type {
  AttributeDraft,
  AttributeDrafts,
  BuiltNode,
  Expressions,
  GraphBuilder,
  Output,
} from '../builder/index.ts'
import type { GradientLoop } from './loops.ts'

/** A gradient of a large tensor of which few slices count; a slice that is named twice counts twice. */
export interface IndexedSlices {
  readonly values: Output
  readonly indices: Output
  readonly denseShape: Output
}

/** A gradient, whole or in slices. */
export type Gradient = Output | IndexedSlices

/** Whether the gradient is in slices. */
export function isSparse(gradient: Gradient): gradient is IndexedSlices {
  return 'indices' in gradient
}

/** The gradient as one tensor; slices of one place are added. */
export function dense(e: Expressions, gradient: Gradient): Output {
  if (!isSparse(gradient)) return gradient
  const rows = e.element(gradient.denseShape, 0)
  return e.unsortedSegmentSum(gradient.values, gradient.indices, rows)
}

/** The gradient of one op: from what flows into its outputs to what flows out of its inputs. */
export type GradientFunction = (at: Flow) => readonly (Gradient | undefined)[]

/** Gradients by op. */
export type GradientTable = Readonly<Record<string, GradientFunction>>

/** Gradients of several ops by one rule. */
export function sameFor(ops: readonly string[], rule: GradientFunction): GradientTable {
  return Object.fromEntries(ops.map((op) => [op, rule]))
}

const decoder = new TextDecoder()

/** What a gradient is told of the node and its surroundings. */
export interface FlowParts {
  readonly e: Expressions
  readonly node: BuiltNode
  /** By output, what flows in; undefined where nothing does. */
  readonly raw: readonly (Gradient | undefined)[]
  /** By output, whether what flows in is a gradient rather than zeros in its place. */
  readonly given: readonly boolean[]
  /** Name of the gradients' own scope: gradients of TensorArrays are kept apart by it. */
  readonly source: string
  /** The loop that runs backwards around the node's gradient. */
  readonly loop: GradientLoop | undefined
  /** Differentiates the body of a function. */
  readonly differentiate: Differentiate
}

/** Adds gradients to a builder, as `addGradients` does; handed in, for functions within functions. */
export type Differentiate = (
  builder: GraphBuilder,
  request: {
    readonly ys: readonly Output[]
    readonly xs: readonly Output[]
    readonly gradYs: readonly (Output | undefined)[]
  },
) => readonly (Gradient | undefined)[]

/** A node that is differentiated, and what flows into it. */
export class Flow implements FlowParts {
  readonly e: Expressions
  readonly node: BuiltNode
  readonly raw: readonly (Gradient | undefined)[]
  readonly given: readonly boolean[]
  readonly source: string
  readonly loop: GradientLoop | undefined
  readonly differentiate: Differentiate
  #flows: readonly (Output | undefined)[] | undefined

  constructor(parts: FlowParts) {
    this.e = parts.e
    this.node = parts.node
    this.raw = parts.raw
    this.given = parts.given
    this.source = parts.source
    this.loop = parts.loop
    this.differentiate = parts.differentiate
  }

  /** By output, what flows in, slices put together. */
  get flows(): readonly (Output | undefined)[] {
    this.#flows ??= this.raw.map((one) => (one === undefined ? undefined : dense(this.e, one)))
    return this.#flows
  }

  /** The first input, second input and first output. */
  get x(): Output {
    return this.node.inputs[0]
  }

  get y(): Output {
    return this.node.inputs[1]
  }

  get out(): Output {
    return this.node.outputs[0]
  }

  get inputs(): readonly Output[] {
    return this.node.inputs
  }

  get outputs(): readonly Output[] {
    return this.node.outputs
  }

  /** What flows into the first output. */
  get grad(): Output {
    return this.flowInto(0)
  }

  /** What flows into an output that cannot go without. */
  flowInto(output: number): Output {
    const flow = this.flows[output]
    if (flow === undefined) throw new Error(`nothing flows into ${this.node.name}:${output}`)
    return flow
  }

  bool(name: string, fallback = false): boolean {
    return this.node.attributes.get(name)?.b ?? fallback
  }

  int(name: string, fallback: number): number {
    return Number(this.node.attributes.get(name)?.i ?? fallback)
  }

  float(name: string, fallback: number): number {
    return this.node.attributes.get(name)?.f ?? fallback
  }

  text(name: string, fallback: string): string {
    const bytes = this.node.attributes.get(name)?.s
    return bytes === undefined ? fallback : decoder.decode(bytes)
  }

  /** The node's own attributes of these names, those that it has. */
  same(...names: readonly string[]): AttributeDrafts {
    return Object.fromEntries(
      names.flatMap((name): [string, AttributeDraft][] => {
        const value = this.node.attributes.get(name)
        return value === undefined ? [] : [[name, value]]
      }),
    )
  }

  /** Nothing flows out of any input. */
  get nothing(): readonly undefined[] {
    return this.inputs.map(() => undefined)
  }
}

/** The value of a constant; undefined for what is none. */
export function constantOf({ node }: Output): Tensor | undefined {
  const proto = node.op === 'Const' ? node.attributes.get('value')?.tensor : undefined
  if (proto === undefined) return undefined
  // As the wire has it: what a builder wrote leaves fields out.
  return tensorOfProto(decodeTensorProto(encodeTensorProto(proto)))
}

/** A constant's whole numbers; undefined for what is none. */
export function constantIntegers(output: Output): readonly number[] | undefined {
  const tensor = constantOf(output)
  if (tensor === undefined || tensor.dtype === 'string') return undefined
  return elementsOf(tensor).map(Number)
}
