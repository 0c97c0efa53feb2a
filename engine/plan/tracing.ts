// What a trace knows while it walks: the variables, contents seen, lists, and what must run. It can be
// copied. How the walk goes is trace.ts.
import type { Graph, TensorName } from '../../graph/index.ts'
import { elementCountOf, Refusal, type Tensor, type TensorType } from '../../tensor/index.ts'
import type { ScalarType } from '../ir/index.ts'
import type {
  Compute,
  HostStep,
  ListValue,
  Source,
  TensorValue,
  Value,
  Variable,
} from '../ops/index.ts'
import { emptyTensor } from './empty.ts'
import type { Splats } from './kernel.ts'

/** What is traced: one signature of calls. */
export interface TraceRequest {
  readonly graph: Graph
  /** Text that tells this graph's state from that of others. */
  readonly stateScope: string
  readonly fetches: readonly TensorName[]
  /** Places of nodes to run without fetching. */
  readonly targets: readonly number[]
  /** Types of the feeds by tensor name (`w:0`). */
  readonly feeds: ReadonlyMap<string, TensorType>
  readonly container: string
  /** Types that the preferred device computes. */
  readonly types: ReadonlySet<ScalarType>
  /** Elements from which on a variable is patched rather than made anew. */
  readonly patchFrom: number
  /** Types of the variables' values by {@link variableKey}; undefined: uninitialized. */
  readonly variables: ReadonlyMap<string, TensorType | undefined>
}

/** What is shared by all traces of an engine. */
export interface TraceTools {
  readonly splats: Splats
  /** Constants of graphs, decoded once. */
  readonly constants: WeakMap<object, Tensor>
}

/** A variable's state at some point of the walk. */
export interface VariableState {
  readonly variable: Variable
  readonly value: TensorValue | undefined
  readonly assigned: boolean
}

/** Key of a variable in {@link TraceRequest.variables}. */
export function variableKey(container: string, name: string): string {
  return `${container}\u0000${name}`
}

/** What a trace knows at one point of its walk. */
export class TraceState {
  readonly request: TraceRequest
  readonly tools: TraceTools
  readonly variables: Map<string, VariableState>
  /** Contents seen by answered needs. */
  readonly contents: Map<Source, Tensor>
  /** Content of TensorArrays and Stacks, by their number. */
  readonly lists: Map<number, ListValue>
  /** Steps that run whether or not anything needs them. */
  readonly steps: HostStep[]
  /** Computes that can fail and whose checks count whether or not anything needs them. */
  readonly checked: Compute[]
  readonly #feeds: Map<string, TensorValue>
  #nextId: number

  constructor(request: TraceRequest, tools: TraceTools, from?: TraceState) {
    this.request = request
    this.tools = tools
    this.variables = new Map(from?.variables)
    this.contents = new Map(from?.contents)
    this.lists = new Map(from?.lists)
    this.steps = [...(from?.steps ?? [])]
    this.checked = [...(from?.checked ?? [])]
    this.#feeds = new Map(from === undefined ? undefined : from.#feeds)
    this.#nextId = from === undefined ? 0 : from.#nextId
  }

  copy(): TraceState {
    return new TraceState(this.request, this.tools, this)
  }

  nextId(): number {
    return this.#nextId++
  }

  /** Values of variables and lists, which later nodes may read. */
  liveValues(): Value[] {
    const live: Value[] = [...this.lists.values()]
    for (const { value } of this.variables.values()) if (value !== undefined) live.push(value)
    return live
  }

  /** The value of a fed tensor. */
  fed(name: string, { dtype, shape }: TensorType): TensorValue {
    let value = this.#feeds.get(name)
    if (value === undefined) {
      value = arrayOf({ kind: 'feed', name, dtype, shape })
      this.#feeds.set(name, value)
    }
    return value
  }

  /** The value, known if its content was seen. */
  resolved(value: TensorValue): TensorValue {
    if (value.kind === 'known') return value
    const tensor = this.contents.get(value.source)
    if (tensor === undefined) return value
    return {
      kind: 'known',
      dtype: value.dtype,
      shape: value.shape,
      tensor: { ...tensor, shape: value.shape },
    }
  }

  /** State of a variable, made from the run's bindings where it is new here. */
  stateOf(variable: Variable): VariableState {
    const key = variableKey(variable.container, variable.name)
    let state = this.variables.get(key)
    if (state === undefined) {
      const type = this.request.variables.get(key)
      state = { variable, value: this.#initialValue(variable, type), assigned: false }
      this.variables.set(key, state)
    }
    return state
  }

  #initialValue(variable: Variable, type: TensorType | undefined): TensorValue | undefined {
    if (type === undefined) return undefined
    if (type.dtype !== variable.dtype) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'variable/type',
        `Variable "${variable.name}" holds ${type.dtype}; node "${variable.node}" declares ${variable.dtype}.`,
        { names: { variable: variable.name, node: variable.node } },
      )
    }
    return arrayOf({ kind: 'variable', variable, dtype: type.dtype, shape: type.shape })
  }

  setState(state: VariableState): void {
    const { container, name } = state.variable
    this.variables.set(variableKey(container, name), state)
  }

  /** Current value of a variable; refuses one that has none, in TensorFlow's words. */
  readVariable(variable: Variable): TensorValue {
    const { value } = this.stateOf(variable)
    if (value !== undefined) return this.resolved(value)
    const { name, container } = variable
    const message = variable.reference
      ? `Attempting to use uninitialized value ${name}`
      : `Error while reading resource variable ${name} from Container: ${container === '' ? 'localhost' : container}. This could mean that the variable was uninitialized. Not found: Resource ${container === '' ? 'localhost' : container}/${name}/N10tensorflow3VarE does not exist.`
    throw new Refusal('FAILED_PRECONDITION', 'variable/uninitialized', message, {
      names: { variable: name },
      fix: 'Run its initializer, assign it a value, or restore a checkpoint.',
    })
  }
}

/** The whole of a source; known where it has no elements. */
function arrayOf(source: Source): TensorValue {
  const { dtype, shape } = source
  if (elementCountOf(shape) > 0) return { kind: 'array', dtype, shape, source }
  return { kind: 'known', dtype, shape, tensor: emptyTensor(dtype, shape) }
}
