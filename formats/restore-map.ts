// What a graph's own restore operation does: which entry of a checkpoint it puts into which variable.
// Found by following values backwards, into the bodies of the functions that are called.
import type { FunctionDef, GraphDef, NodeDef } from '../proto/index.ts'
import { Refusal } from '../tensor/index.ts'
import { tensorOfProto } from './tensor-proto.ts'

/** An entry of the checkpoint that is put into a variable. */
interface RestoredVariable {
  readonly checkpointKey: string
  /** The variable's shared name, or its node's name where it has none. */
  readonly variable: string
  /** Name of the variable's node in the graph. */
  readonly node: string
  /** TensorFlow's shape_and_slice text: empty for a whole tensor. */
  readonly sliceSpec: string
}

/** A lookup table that is filled from two entries of the checkpoint. */
interface RestoredTable {
  readonly keysKey: string
  readonly valuesKey: string
  /** Name of the table's node in the graph. */
  readonly node: string
}

/** What a restore operation does, in the order of the graph. */
export interface RestoreMap {
  readonly variables: readonly RestoredVariable[]
  readonly tables: readonly RestoredTable[]
  /** Nodes that assign or import something that is not plainly an entry of the checkpoint. */
  readonly unresolved: readonly string[]
}

/** A graph, or the body of a function at one place where it is called. */
interface Frame {
  readonly nodes: ReadonlyMap<string, NodeDef>
  readonly call?: { readonly node: NodeDef; readonly frame: Frame; readonly body: FunctionDef }
  readonly depth: number
}

interface Output {
  readonly frame: Frame
  readonly node: NodeDef
  readonly index: number
}

const maxFrames = 1000
const maxFrameDepth = 32
const maxSteps = 10_000
const maxNamesByteLength = 64 * 1024 * 1024

const assignOps = new Set(['Assign', 'AssignVariableOp'])
const importOps = new Set(['LookupTableImport', 'LookupTableImportV2'])
const restoreOps = new Set(['RestoreV2', 'Restore', 'RestoreSlice'])
const passOps = new Set(['Identity', 'Reshape', 'Cast', 'Bitcast', 'StopGradient', 'Snapshot'])

/**
 * The map of the restore operation `restoreOpName` of a graph. Refuses INVALID_ARGUMENT
 * (`saved-model/bad-restore`) an operation that is not in the graph, or calls too deep to follow.
 */
export function restoreMapOf(graph: GraphDef, restoreOpName: string): RestoreMap {
  const functions = new Map(
    graph.library?.function.map((body) => [body.signature?.name ?? '', body] as const),
  )
  const root: Frame = { nodes: nodesByName(graph.node), depth: 0 }
  const start = splitInput(restoreOpName).name
  if (!root.nodes.has(start)) throw badRestore(`The graph has no restore operation "${start}"`)
  const map = { variables: [], tables: [], unresolved: [] } satisfies RestoreMap
  const context: Context = { functions, frames: new Map(), names: new Map(), map }
  const frames = [{ frame: root, nodes: reachable(root, start) }]
  for (let index = 0; index < frames.length; index++) {
    const { frame, nodes } = frames[index]
    for (const node of nodes) {
      collectNode(context, frame, node)
      const inner = enterCall(context, frame, node)
      if (inner !== undefined) frames.push({ frame: inner, nodes: [...inner.nodes.values()] })
      if (frames.length > maxFrames) throw badRestore('The restore operation makes too many calls')
    }
  }
  return map
}

interface Context {
  readonly functions: ReadonlyMap<string, FunctionDef>
  readonly frames: Map<Frame, Map<NodeDef, Frame>>
  readonly names: Map<NodeDef, readonly string[]>
  readonly map: {
    readonly variables: RestoredVariable[]
    readonly tables: RestoredTable[]
    readonly unresolved: string[]
  }
}

function badRestore(problem: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'saved-model/bad-restore', `${problem}.`)
}

function nodesByName(nodes: readonly NodeDef[]): ReadonlyMap<string, NodeDef> {
  return new Map(nodes.map((node) => [node.name, node]))
}

/** `^a` is a control input, `a` output 0, `a:2` output 2, `a:tensors:2` (in a body) output 2. */
function splitInput(input: string): { name: string; index: number; isControl: boolean } {
  const isControl = input.startsWith('^')
  const parts = (isControl ? input.slice(1) : input).split(':')
  const index = parts.length > 1 ? Number(parts[parts.length - 1]) : 0
  return { name: parts[0], index: Number.isInteger(index) ? index : 0, isControl }
}

/** The nodes that `start` needs, itself included, in the graph's order. */
function reachable(frame: Frame, start: string): NodeDef[] {
  const seen = new Set([start])
  const waiting = [start]
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    for (const input of frame.nodes.get(name)?.input ?? []) {
      const source = splitInput(input).name
      if (seen.has(source)) continue
      seen.add(source)
      waiting.push(source)
    }
  }
  return [...frame.nodes.values()].filter((node) => seen.has(node.name))
}

/** The frame of the function that `node` calls; undefined where it calls none. */
function enterCall(context: Context, frame: Frame, node: NodeDef): Frame | undefined {
  const name = node.attr.get('f')?.func?.name ?? node.op
  const body = context.functions.get(name)
  if (body === undefined) return undefined
  if (frame.depth >= maxFrameDepth) throw badRestore('The restore operation calls itself too deep')
  const known = context.frames.get(frame)?.get(node)
  if (known !== undefined) return known
  const call = { node, frame, body }
  const inner: Frame = { nodes: nodesByName(body.node_def), call, depth: frame.depth + 1 }
  const calls = context.frames.get(frame) ?? new Map<NodeDef, Frame>()
  context.frames.set(frame, calls.set(node, inner))
  return inner
}

/** The node that really makes a value: through arguments, results of calls and passing operations. */
function resolve(context: Context, frame: Frame, input: string): Output | undefined {
  let at = { frame, input }
  for (let step = 0; step < maxSteps; step++) {
    const { name, index } = splitInput(at.input)
    const node = at.frame.nodes.get(name)
    if (node === undefined) {
      const outer = argumentOf(at.frame, name)
      if (outer === undefined) return undefined
      at = outer
      continue
    }
    const inner = enterCall(context, at.frame, node)
    if (inner !== undefined) {
      const { signature, ret } = context.functions.get(
        node.attr.get('f')?.func?.name ?? node.op,
      ) as FunctionDef
      const returned = ret.get(signature?.output_arg[index]?.name ?? '')
      if (returned === undefined) return undefined
      at = { frame: inner, input: returned }
      continue
    }
    if (!passOps.has(node.op)) return { frame: at.frame, node, index }
    if (node.input.length === 0) return undefined
    at = { frame: at.frame, input: node.input[0] }
  }
  return undefined
}

function argumentOf(frame: Frame, name: string): { frame: Frame; input: string } | undefined {
  if (frame.call === undefined) return undefined
  const { node, frame: outer, body } = frame.call
  const index = body.signature?.input_arg.findIndex((argument) => argument.name === name) ?? -1
  const inputs = node.input.filter((input) => !input.startsWith('^'))
  return index === -1 || inputs[index] === undefined
    ? undefined
    : { frame: outer, input: inputs[index] }
}

function collectNode(context: Context, frame: Frame, node: NodeDef): void {
  const { map } = context
  if (assignOps.has(node.op)) {
    const variable = resolve(context, frame, node.input[0] ?? '')
    const entry = entryOf(context, frame, node.input[1])
    if (variable === undefined || entry === undefined) map.unresolved.push(node.name)
    else map.variables.push({ ...entry, ...namesOf(variable.node) })
  } else if (importOps.has(node.op)) {
    const table = resolve(context, frame, node.input[0] ?? '')
    const keys = entryOf(context, frame, node.input[1])
    const values = entryOf(context, frame, node.input[2])
    if (table === undefined || keys === undefined || values === undefined) {
      map.unresolved.push(node.name)
    } else {
      const [keysKey, valuesKey] = [keys.checkpointKey, values.checkpointKey]
      map.tables.push({ keysKey, valuesKey, node: table.node.name })
    }
  }
}

function namesOf(node: NodeDef): { variable: string; node: string } {
  const shared = node.attr.get('shared_name')?.s
  const variable = shared === undefined ? '' : new TextDecoder().decode(shared)
  return { variable: variable === '' ? node.name : variable, node: node.name }
}

/** The entry of the checkpoint that an input carries, where it is an output of a restore. */
function entryOf(
  context: Context,
  frame: Frame,
  input: string | undefined,
): { checkpointKey: string; sliceSpec: string } | undefined {
  const output = input === undefined ? undefined : resolve(context, frame, input)
  if (output === undefined || !restoreOps.has(output.node.op)) return undefined
  const checkpointKey = stringsOf(context, output.frame, output.node.input[1])?.[output.index]
  const specs = stringsOf(context, output.frame, output.node.input[2])
  return checkpointKey === undefined
    ? undefined
    : { checkpointKey, sliceSpec: specs?.[output.index] ?? '' }
}

/** The strings of a constant. */
function stringsOf(
  context: Context,
  frame: Frame,
  input: string | undefined,
): readonly string[] | undefined {
  const output = input === undefined ? undefined : resolve(context, frame, input)
  if (output === undefined || output.node.op !== 'Const') return undefined
  const known = context.names.get(output.node)
  if (known !== undefined) return known
  const proto = output.node.attr.get('value')?.tensor
  if (proto === undefined) return undefined
  const tensor = tensorOfProto(proto, maxNamesByteLength)
  if (tensor.dtype !== 'string') return undefined
  const strings = tensor.strings.map((bytes) => new TextDecoder().decode(bytes))
  context.names.set(output.node, strings)
  return strings
}
