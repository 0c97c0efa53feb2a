// One TensorFlow op on one variable: a graph of the variable, a placeholder for each tensor that the
// op takes, and the op, run by the engine. No arithmetic happens here; nothing is committed here.
import assert from 'node:assert/strict'
import type { Assigned, ValueBinding } from '../engine/index.ts'
import type { StridedSliceSpec } from '../formats/index.ts'
import { type Draft, encodeGraphDef } from '../proto/index.ts'
import {
  type DType,
  elementsOf,
  type NumericTensor,
  numberOfDType,
  Refusal,
  type Tensor,
  tensorOfElements,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { deviceFor } from './runs.ts'
import { type UpdateVerb, type UpdateVerbName, updateVerb } from './update-verbs.ts'

/** What an op is given beside the variable. */
export interface UpdateArguments {
  /** By the names of the verb's inputs. */
  readonly tensors: ReadonlyMap<string, Tensor>
  /** A scalar of the variable's type. */
  readonly limit?: NumericTensor | undefined
  readonly slice?: StridedSliceSpec | undefined
}

/** A variable's value, and where the op is to run. */
export interface UpdateTarget {
  /** The variable's own name, for refusals. */
  readonly name: string
  /** Device string as requested. */
  readonly device: string
  /** Null: no value yet, which only `Assign` minds not. */
  readonly binding: ValueBinding | null
  readonly dtype: DType
}

/** What an op left: the new value, which is the caller's to commit or release, and its output. */
export interface Updated {
  readonly assigned: Assigned
  readonly output: Tensor | undefined
}

/** Milliseconds that a run may take; absent: as the limits say. */
interface UpdateOptions {
  readonly deadlineMs?: number | undefined
}

/**
 * Runs the verb's op on a value. Refuses types that TensorFlow has no such op for
 * (`dtype/not-allowed`), a variable without a value, and whatever the engine refuses.
 */
export async function runUpdate(
  context: Context,
  verb: UpdateVerbName,
  target: UpdateTarget,
  given: UpdateArguments,
  options: UpdateOptions = {},
): Promise<Updated> {
  const row = updateVerb(verb)
  checkType(verb, row, target)
  checkArguments(verb, row, target, given)
  if (target.binding === null) throw uninitialized(row, target.name)
  const fetches = row.output === undefined ? [] : [`${verb}:0`]
  return runOp(context, { node: verb, row, fetches }, target, given, options)
}

/** A value as one of the engine's, so that ops can go on from it: TensorFlow's `Assign`. */
export async function holdValue(
  context: Context,
  target: UpdateTarget,
  value: Tensor,
): Promise<Updated> {
  const row = { op: 'Assign', inputs: [{ name: 'value', type: 'variable' }] } as const
  const given = { tensors: new Map([['value', value]]) }
  return runOp(context, { node: 'assign', row, fetches: [] }, target, given, {})
}

/** Refuses a variable of a type that TensorFlow's op does not take. */
export function checkType(
  verb: UpdateVerbName,
  { op, dtypes }: UpdateVerb,
  { name, dtype }: { readonly name: string; readonly dtype: DType },
): void {
  if (dtypes.includes(dtype)) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'dtype/not-allowed',
    `Value for attr 'T' of ${dtype} is not in the list of allowed values: ${dtypes.join(', ')} (${op}). Variable ${name} cannot take ${verb}.`,
    { names: { variable: name, dtype } },
  )
}

/** Refuses tensors of other types than the op takes with this variable; shapes are the engine's to judge. */
function checkArguments(
  verb: UpdateVerbName,
  { inputs }: UpdateVerb,
  { name, dtype }: UpdateTarget,
  { tensors }: UpdateArguments,
): void {
  for (const input of inputs) {
    const given = tensors.get(input.name)?.dtype
    assert(given !== undefined, `${verb} is given ${input.name}`)
    const wanted: readonly DType[] = input.type === 'index' ? ['int32', 'int64'] : [dtype]
    if (wanted.includes(given)) continue
    const expected = wanted.join(' or ')
    const owner = input.type === 'index' ? 'Indices are' : `Variable ${name} is`
    throw new Refusal(
      'INVALID_ARGUMENT',
      'dtype/mismatch',
      `${owner} ${expected}; "${input.name}" is ${given}, and nothing is cast silently.`,
      { names: { variable: name, expected, given } },
    )
  }
}

const masks = [
  'begin_mask',
  'end_mask',
  'ellipsis_mask',
  'new_axis_mask',
  'shrink_axis_mask',
] as const

/** The op to run, under the name that its node gets. */
interface Op {
  readonly node: string
  readonly row: Pick<UpdateVerb, 'op' | 'argument'> & {
    readonly inputs: readonly Pick<UpdateVerb['inputs'][number], 'name' | 'type'>[]
  }
  readonly fetches: readonly string[]
}

async function runOp(
  context: Context,
  { node, row, fetches }: Op,
  { name, device, binding, dtype }: UpdateTarget,
  { tensors, limit, slice }: UpdateArguments,
  { deadlineMs }: UpdateOptions,
): Promise<Updated> {
  const placeholders = new Map<string, Tensor>(tensors)
  const attributes = new Map<string, bigint>()
  if (limit !== undefined) attributes.set('limit', BigInt(elementsOf(limit)[0] as number | bigint))
  if (slice !== undefined) {
    for (const part of ['begin', 'end', 'strides'] as const) {
      placeholders.set(
        part,
        tensorOfElements('int64', [slice[part].length], slice[part].map(BigInt)),
      )
    }
    for (const mask of masks) if (slice[mask] !== 0) attributes.set(mask, BigInt(slice[mask]))
  }
  const inputs = [...placeholders].map(([input, tensor]) => ({ name: input, dtype: tensor.dtype }))
  const index = inputs.find((input) => input.name === 'indices' || input.name === 'begin')?.dtype
  const described = [...attributes].map(([key, value]) => `${key}=${value}`)
  const id = ['update', node, dtype, index, ...described].join('/')
  const make = () => updateGraph({ node, op: row.op, dtype, inputs, index, attributes })
  try {
    const reply = await context.updateGraphs.use(id, make, async () =>
      context.engine.run({
        graph: id,
        feeds: Object.fromEntries([...placeholders].map(([key, tensor]) => [`${key}:0`, tensor])),
        fetches,
        targets: [node],
        container: '',
        variables: [{ container: '', name: 'variable', binding }],
        device: await deviceFor(context, device),
        deadlineMs: deadlineMs ?? context.limits.runTimeoutMs,
      }),
    )
    return { assigned: reply.assigned[0], output: reply.fetches[0] }
  } catch (error) {
    throw naming(name, error)
  }
}

interface OneOpGraph {
  readonly node: string
  readonly op: string
  readonly dtype: DType
  readonly inputs: readonly { readonly name: string; readonly dtype: DType }[]
  readonly index: DType | undefined
  readonly attributes: ReadonlyMap<string, bigint>
}

// Inputs of StridedSliceAssign are begin, end, strides and then the value; else as the row has them.
const inputOrder = ['begin', 'end', 'strides', 'indices', 'updates', 'value']

/** The serialized GraphDef: `variable`, a placeholder for each input, and the op. */
function updateGraph({ node, op, dtype, inputs, index, attributes }: OneOpGraph): Uint8Array {
  const type = (of: DType): Draft<'AttrValue'> => ({ type: numberOfDType(of) })
  const tensor = (of: DType) =>
    new Map<string, Draft<'AttrValue'>>([
      ['dtype', type(of)],
      ['shape', { shape: { unknown_rank: true } }],
    ])
  const ordered = [...inputs].sort(
    (a, b) => inputOrder.indexOf(a.name) - inputOrder.indexOf(b.name),
  )
  const attr = new Map<string, Draft<'AttrValue'>>([['T', type(dtype)]])
  if (index !== undefined) attr.set(op === 'StridedSliceAssign' ? 'Index' : 'Tindices', type(index))
  if (op === 'Assign') attr.set('validate_shape', { b: false })
  for (const [key, value] of attributes) attr.set(key, { i: value })
  return encodeGraphDef({
    node: [
      { name: 'variable', op: 'VariableV2', attr: tensor(dtype) },
      ...ordered.map((input) => ({
        name: input.name,
        op: 'Placeholder',
        attr: tensor(input.dtype),
      })),
      { name: node, op, input: ['variable', ...ordered.map((input) => input.name)], attr },
    ],
    versions: { producer: 27 },
  })
}

/** The refusal about the variable by its own name, not about the node that a graph of ours has for it. */
function naming(variable: string, error: unknown): unknown {
  if (!(error instanceof Refusal)) return error
  const { code, reason, fix } = error
  const { node, op, ...names } = error.names
  const message = error.message.replace(` [node "${node}", op ${op}]`, '')
  const extras = { names: { ...names, variable }, cause: error }
  return new Refusal(code, reason, message, fix === undefined ? extras : { ...extras, fix })
}

function uninitialized({ uninitialized: words }: UpdateVerb, name: string): Refusal {
  return new Refusal('FAILED_PRECONDITION', 'variable/uninitialized', `${words}${name}`, {
    fix: 'Initialize it with :initialize, or give it a value with :assign.',
    names: { variable: name },
  })
}
