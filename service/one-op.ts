// The updates that are one TensorFlow op: a graph of one variable, one placeholder and that op, run
// by the engine on the variable's value. No arithmetic happens here.
import { type Draft, encodeGraphDef } from '../proto/index.ts'
import { type DType, isNumeric, numberOfDType, numericTensor, Refusal } from '../tensor/index.ts'
import { commitAssigned } from './commit-assigned.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import type { TensorContent } from './tensor-content.ts'
import { contentDigest, tensorBytes } from './tensor-input.ts'
import { findVariable } from './variable-reads.ts'
import { variableKey } from './write-order.ts'
import { checkVersion, type ValueWritten, valueWritten, type WriteOptions } from './written.ts'

/** REST verbs that are one op. */
export type UpdateOp = 'assign_add' | 'assign_sub'

const opOfVerb: Readonly<Record<UpdateOp, string>> = {
  assign_add: 'AssignAdd',
  assign_sub: 'AssignSub',
}

/** A verb's GraphDef: variable `v`, placeholder `value`, and the op, named `update`. */
function updateGraph(op: UpdateOp, dtype: DType): Uint8Array {
  const type = numberOfDType(dtype)
  const unknownShape = { shape: { unknown_rank: true } }
  const tensor = new Map<string, Draft<'AttrValue'>>([
    ['dtype', { type }],
    ['shape', unknownShape],
  ])
  return encodeGraphDef({
    node: [
      { name: 'v', op: 'VariableV2', attr: tensor },
      { name: 'value', op: 'Placeholder', attr: tensor },
      { name: 'update', op: opOfVerb[op], input: ['v', 'value'], attr: new Map([['T', { type }]]) },
    ],
    versions: { producer: 27 },
  })
}

export interface UpdateRequest {
  readonly container: string
  readonly name: string
  readonly content: TensorContent
  readonly options: WriteOptions
}

/** Runs the op on the variable and commits the result, in its turn among the variable's writers. */
export async function applyUpdate(
  context: Context,
  op: UpdateOp,
  { container, name, content, options }: UpdateRequest,
): Promise<ValueWritten> {
  const { dtype, shape } = content
  if (!isNumeric(dtype)) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'dtype/not-numeric',
      `${op} works on numbers; variable ${name} is ${dtype}.`,
      { names: { variable: name } },
    )
  }
  const bytes = await tensorBytes(content, context.limits.feedBytes)
  const value = numericTensor(dtype, shape, bytes)
  const described = [op, container, name, dtype, shape, contentDigest(bytes)]
  return context.writes.turn([variableKey(container, name)], 'exclusive', async () => {
    const committed = await once(
      context,
      options.idempotencyKey,
      described,
      async (idempotency) => {
        const record = await findVariable(context, container, name)
        checkVersion(record, options.ifVersion)
        if (record.value === undefined) throw uninitializedParameters(name)
        const graph = await loadUpdate(context, op, dtype)
        const reply = await context.engine.run({
          graph,
          feeds: { 'value:0': value },
          fetches: [],
          targets: ['update'],
          container: '',
          variables: [
            {
              container: '',
              name: 'v',
              binding: { value: record.value.valueId, dtype, shape: record.value.shape },
            },
          ],
          device: record.device,
          deadlineMs: context.limits.runTimeoutMs,
        })
        const [assigned] = reply.assigned
        const destination = { assigned, container, name, record, version: record.version }
        return commitAssigned(context, [destination], idempotency)
      },
    )
    return valueWritten(committed)
  })
}

/** Loads the verb's graph where it is not loaded yet, and answers with its id. */
async function loadUpdate(context: Context, op: UpdateOp, dtype: DType): Promise<string> {
  const id = `update/${op}/${dtype}`
  if (context.loadedUpdates.has(id)) return id
  await context.engine.load(id, updateGraph(op, dtype))
  context.loadedUpdates.add(id)
  return id
}

function uninitializedParameters(name: string): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'variable/uninitialized',
    `Attempting to use uninitialized parameters: ${name}`,
    {
      fix: 'Initialize it with :initialize, or give it a value with :assign.',
      names: { variable: name },
    },
  )
}
