// The values of a batch's variables while it runs: each as the store has it, as an operation gave it, or
// as the engine left it. Later operations see what earlier ones did; the store sees nothing of it.
import type { Assigned, Handle } from '../engine/index.ts'
import type { StagedValue, Staging, ValueRecord, VariableRecord } from '../store/index.ts'
import {
  byteLengthOf,
  elementCountOf,
  isNumeric,
  numericTensor,
  type PartialShape,
  Refusal,
  type Tensor,
  type TensorType,
  unpackStrings,
} from '../tensor/index.ts'
import type { Destination } from './commit-assigned.ts'
import type { Context } from './context.ts'
import { initialized } from './find-variable.ts'
import { isExpressionForm } from './initial-expression.ts'
import { initialWrites } from './initialize.ts'
import { holdValue, runUpdate, type UpdateArguments, type UpdateTarget } from './one-op.ts'
import { gatherBytes, type ReadableValue, readableOfTensor } from './readable.ts'
import { storedReadable } from './stored-values.ts'
import { contentOfTensor, type TensorContent } from './tensor-content.ts'
import { checkAssignable, type Declaration } from './tensor-input.ts'
import type { UpdateVerbName } from './update-verbs.ts'

type Present =
  | { readonly kind: 'none' }
  | { readonly kind: 'stored'; readonly value: ValueRecord }
  | { readonly kind: 'given'; readonly tensor: Tensor }
  | { readonly kind: 'held'; readonly assigned: Assigned }

interface State {
  readonly record: VariableRecord
  present: Present
  /** As declared, and declared anew in the batch. */
  shape: PartialShape
}

/** Values that operations read and write, by the names of their variables, which must be among the records. */
export interface BatchValues {
  /** What a value for the variable has to be, as things stand. */
  declaration(name: string): Declaration
  assign(name: string, tensor: Tensor, validateShape: boolean): Promise<void>
  /** Runs the verb's op and answers with its output. */
  update(
    name: string,
    verb: UpdateVerbName,
    given: UpdateArguments,
    deadlineMs: number,
  ): Promise<Tensor | undefined>
  initialize(name: string): Promise<void>
  isWritten(name: string): boolean
  /** The value as it stands. Refuses an uninitialized variable. */
  read(name: string): Promise<ReadableValue>
  /** The values that were written, for a commit; what the engine holds of them is the caller's from now on. */
  take(): readonly Destination[]
  /** Gives back what the engine still holds. */
  release(): Promise<void>
}

/** The values as the store has them; they may take `maxBytes` at most of what operations give them. */
export function createBatchValues(
  context: Context,
  records: readonly VariableRecord[],
  maxBytes: number,
): BatchValues {
  const { engine, store } = context
  const states = new Map<string, State>()
  // In the order of the first write.
  const written = new Set<string>()
  const held = new Set<Handle>()
  for (const record of records) {
    const { name, shape, value } = record
    const present: Present = value === undefined ? { kind: 'none' } : { kind: 'stored', value }
    states.set(name, { record, present, shape })
  }

  function stateOf(name: string): State {
    const state = states.get(name)
    if (state === undefined) throw new Error(`${name} is not among the batch's variables`)
    return state
  }

  async function replace(state: State, present: Present): Promise<void> {
    const { present: former } = state
    state.present = present
    if (present.kind === 'held') held.add(present.assigned.handle)
    written.add(state.record.name)
    if (former.kind === 'held') await letGo(former.assigned.handle)
  }

  async function letGo(handle: Handle): Promise<void> {
    if (held.delete(handle)) await engine.release(handle)
  }

  function targetOf({ record, present }: State): UpdateTarget {
    const { name, device, dtype } = record
    const target = { name, device, dtype }
    switch (present.kind) {
      case 'none':
        return { ...target, binding: null }
      case 'stored': {
        const { valueId, shape } = present.value
        return { ...target, binding: { value: valueId, dtype, shape } }
      }
      case 'held': {
        const { handle, shape } = present.assigned
        return { ...target, binding: { handle, dtype, shape } }
      }
      case 'given':
        throw new Error(`the value of ${name} is not with the engine`)
      default:
        return present satisfies never
    }
  }

  /** Brings a value that was given to the engine. */
  async function hold(state: State): Promise<void> {
    const { record, present } = state
    if (present.kind !== 'given') return
    const { name, device, dtype } = record
    const target = { name, device, dtype, binding: null }
    const { assigned } = await holdValue(context, target, present.tensor)
    await replace(state, { kind: 'held', assigned })
  }

  async function tensorOf(present: Present): Promise<Tensor | undefined> {
    if (present.kind === 'given') return present.tensor
    if (present.kind !== 'held') return undefined
    const { handle, dtype, shape } = present.assigned
    checkBatchBytes(elementCountOf(shape) * byteLengthOf(dtype), maxBytes)
    return engine.read(handle)
  }

  return {
    declaration(name) {
      const { record, present, shape } = stateOf(name)
      const { dtype } = record
      return { dtype, shape: typeOf(present)?.shape ?? shape }
    },
    async assign(name, tensor, validateShape) {
      const state = stateOf(name)
      const { record } = state
      // A part of a partitioned variable keeps its shape.
      const keepsShape = validateShape || record.slice !== undefined
      const { dtype } = record
      checkAssignable(name, { dtype, shape: keepsShape ? state.shape : undefined }, tensor)
      if (!keepsShape) state.shape = tensor.shape
      await replace(state, { kind: 'given', tensor })
    },
    async update(name, verb, given, deadlineMs) {
      const state = stateOf(name)
      await hold(state)
      const { assigned, output } = await runUpdate(context, verb, targetOf(state), given, {
        deadlineMs,
      })
      await replace(state, { kind: 'held', assigned })
      return output
    },
    async initialize(name) {
      const state = stateOf(name)
      const { record } = state
      // Of the others' values only an expression takes any.
      const known = new Map<string, Tensor>()
      for (const other of isExpressionForm(record.initializer) ? written : []) {
        const tensor = await tensorOf(stateOf(other).present)
        if (tensor !== undefined) known.set(other, tensor)
      }
      const staging = memoryStaging(maxBytes)
      await initialWrites(context, record.container, [record], staging, known)
      const [tensor] = staging.tensors
      await replace(state, { kind: 'given', tensor })
    },
    isWritten: (name) => written.has(name),
    async read(name) {
      const { record, present } = stateOf(name)
      if (present.kind === 'stored') return storedReadable(store.values, present.value)
      const tensor = await tensorOf(present)
      if (tensor !== undefined) return readableOfTensor(tensor)
      return storedReadable(store.values, initialized(record).value)
    },
    take() {
      return [...written].map((name) => {
        const { record, present } = stateOf(name)
        const { container, version } = record
        const where = { container, name, record, version }
        if (present.kind === 'held') {
          held.delete(present.assigned.handle)
          return { ...where, assigned: present.assigned }
        }
        if (present.kind !== 'given') throw new Error(`${name} was not written`)
        return { ...where, content: contentOfTensor(present.tensor) }
      })
    },
    async release() {
      await Promise.allSettled([...held].map((handle) => letGo(handle)))
    },
  }
}

function typeOf(present: Present): TensorType | undefined {
  switch (present.kind) {
    case 'none':
      return undefined
    case 'stored':
      return present.value
    case 'given':
      return present.tensor
    case 'held':
      return present.assigned
    default:
      return present satisfies never
  }
}

/** A staging that keeps what it is given as tensors, `maxBytes` of them at most. */
function memoryStaging(maxBytes: number): Staging & { readonly tensors: readonly Tensor[] } {
  const tensors: Tensor[] = []
  return {
    tensors,
    async add({ dtype, shape, byteLength, chunks }: TensorContent): Promise<StagedValue> {
      const wanted = isNumeric(dtype) ? elementCountOf(shape) * byteLengthOf(dtype) : byteLength
      checkBatchBytes(wanted, maxBytes)
      const bytes = await gatherBytes(chunks(), byteLength)
      const tensor = isNumeric(dtype)
        ? numericTensor(dtype, shape, bytes)
        : unpackStrings(shape, bytes)
      const token = tensors.push(tensor)
      return { dtype, shape, byteLength, digest: '', token }
    },
    addPatched() {
      throw new Error('an initial value is not a patch')
    },
    async discard() {
      tensors.length = 0
    },
  }
}

/** Refuses (RESOURCE_EXHAUSTED `tensor/batch-too-large`) values of more than `maxBytes`. */
export function checkBatchBytes(byteLength: number, maxBytes: number): void {
  if (byteLength <= maxBytes) return
  throw new Refusal(
    'RESOURCE_EXHAUSTED',
    'tensor/batch-too-large',
    `The values of a batch hold ${byteLength} bytes; at most ${maxBytes} are taken.`,
    { fix: 'Write large values one by one; see GET /v1/limits.' },
  )
}
