// Batches: a list of reads and writes of many variables, done in order and committed as one. Later
// operations see what earlier ones wrote; each variable written gets one new version at the end.
import assert from 'node:assert/strict'
import { jsonText, tensorToJson } from '../formats/index.ts'
import type { Committed, Idempotency } from '../store/index.ts'
import { elementCountOf, Refusal, type Tensor } from '../tensor/index.ts'
import { type BatchValues, checkBatchBytes, createBatchValues } from './batch-values.ts'
import { withWholes } from './batch-wholes.ts'
import { commitAssigned } from './commit-assigned.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import type { Limits } from './limits.ts'
import {
  findManyNamed,
  isPartitioned,
  type NamedVariable,
  variablesOf,
  versionOf,
} from './partitioned.ts'
import { tensorOfReadable } from './readable.ts'
import { sliceReadable } from './slices.ts'
import type { Declaration } from './tensor-input.ts'
import type { UpdateVerbName } from './update-verbs.ts'
import type { UpdateInput } from './variable-update.ts'
import { variableKey } from './write-order.ts'
import { checkVersion, nothingDone } from './written.ts'

/** One operation of a batch. */
export type BatchOperation = {
  readonly name: string
  /** The version that the variable must have before the batch. */
  readonly ifVersion?: number | undefined
} & (
  | {
      readonly op: 'assign'
      readonly input: (variable: Declaration) => Tensor
      readonly validateShape: boolean
    }
  | { readonly op: 'read_value'; readonly slice?: string | undefined }
  | { readonly op: 'initialize' }
  | { readonly op: UpdateVerbName; readonly input: UpdateInput }
)

export interface BatchRequest {
  readonly container: string
  readonly operations: readonly BatchOperation[]
  /** Bytes of the values that the operations bring. */
  readonly byteLength: number
  /** How values are shown. */
  readonly encoding?: 'b64' | undefined
  readonly idempotencyKey?: string | undefined
  /** What is asked, in full, for telling requests apart. */
  readonly described: () => readonly unknown[]
}

/** What one operation did. */
export interface BatchResult {
  readonly op: BatchOperation['op']
  readonly name: string
  /**
   * Of a write: the version that the variable has after the batch. Of a read: the version that the value
   * is of; undefined where a later operation replaced it, so that it never had one.
   */
  readonly version: number | undefined
  /** A tensor as JSON text: what was read, or the output of the op. */
  readonly tensor: string | undefined
}

export interface BatchReply {
  /** In the order of the operations. */
  readonly results: readonly BatchResult[]
  /** Whether anything was written. */
  readonly isWritten: boolean
}

/**
 * Which version a result shows: that of its variable, or the sum of those of its parts, each with the
 * version from before the batch, which counts where the batch writes no other; or one from before; or none.
 */
type Shown = readonly (readonly [name: string, before: number])[] | number | null

/** Kept of each operation, also for a repeated request. */
type Note = readonly [Shown, string | null]

/**
 * Does the operations, all or none, in the variables' turn; operations that only read take one snapshot
 * and no turn. A refusal names the operation that it is for.
 */
export async function runBatch(context: Context, request: BatchRequest): Promise<BatchReply> {
  const { container, operations, idempotencyKey, described } = request
  checkSize(request, context.limits)
  const isWriting = operations.some(isWrite)
  const committed = await once(context, idempotencyKey, described, async (idempotency) => {
    const named = await namedBy(context, request)
    if (!isWriting) return runInOrder(context, request, named, idempotency)
    const keys = [...new Set(named.flatMap((one) => [one.name, ...variableNames(one)]))].map(
      (name) => variableKey(container, name),
    )
    return context.writes.turn(keys, 'exclusive', async () => {
      const present = await namedBy(context, request)
      checkSame(named, present)
      return runInOrder(context, request, present, idempotency)
    })
  })
  return { results: resultsOf(operations, committed), isWritten: isWriting }
}

function checkSize({ operations, byteLength }: BatchRequest, limits: Limits): void {
  const { batchOperations, batchBytes } = limits
  checkBatchBytes(byteLength, batchBytes)
  if (operations.length > 0 && operations.length <= batchOperations) return
  throw new Refusal(
    operations.length === 0 ? 'INVALID_ARGUMENT' : 'RESOURCE_EXHAUSTED',
    operations.length === 0 ? 'batch/empty' : 'tensor/batch-too-large',
    `A batch has 1 to ${batchOperations} operations; ${operations.length} were given.`,
    operations.length === 0 ? {} : { fix: 'Send several batches; each is all or nothing.' },
  )
}

async function runInOrder(
  context: Context,
  request: BatchRequest,
  named: readonly NamedVariable[],
  idempotency: Idempotency | undefined,
): Promise<Committed> {
  const { operations } = request
  const { limits } = context
  const byName = new Map(named.map((one) => [one.name, one]))
  const records = new Map(named.flatMap(variablesOf).map((record) => [record.name, record]))
  const values = withWholes(
    context,
    createBatchValues(context, [...records.values()], limits.batchBytes),
    named.filter(isPartitioned),
  )
  const show = createShow(limits, request.encoding)
  const endsAt = context.clock() + limits.runTimeoutMs
  try {
    const note: Note[] = []
    for (const [place, operation] of operations.entries()) {
      await naming(place, operation, async () => {
        const { ifVersion, name } = operation
        const one = byName.get(name)
        assert(one !== undefined, 'every variable is there')
        const version = versionOf(one)
        if (ifVersion !== undefined) checkVersion({ name, version }, [ifVersion], 'if_version')
        const tensor = await runOne(values, operation, limits, endsAt - context.clock())
        const text = tensor === undefined ? null : show(tensor)
        note.push([versionShown(operations, place, byName), text])
      })
    }
    const destinations = values.take()
    if (destinations.length === 0) return { ...nothingDone, note }
    const noted = idempotency && { ...idempotency, note }
    return { ...(await commitAssigned(context, destinations, noted)), note }
  } finally {
    await values.release()
  }
}

/** What the operations' names stand for, from one snapshot. Refuses names that stand for nothing. */
async function namedBy(
  context: Context,
  { container, operations }: BatchRequest,
): Promise<readonly NamedVariable[]> {
  const names = [...new Set(operations.map(({ name }) => name))]
  try {
    return await findManyNamed(context, container, names)
  } catch (error) {
    const missing = error instanceof Refusal ? error.names.variable : undefined
    const place = operations.findIndex(({ name }) => name === missing)
    if (place === -1) throw error
    return naming(place, operations[place], () => Promise.reject(error))
  }
}

function variableNames(named: NamedVariable): readonly string[] {
  return variablesOf(named).map(({ name }) => name)
}

/** Refuses variables that were parted otherwise while the batch waited for its turn. */
function checkSame(before: readonly NamedVariable[], now: readonly NamedVariable[]): void {
  const place = now.findIndex(
    (one, at) => `${variableNames(one)}` !== `${variableNames(before[at])}`,
  )
  if (place === -1) return
  const { name } = now[place]
  throw new Refusal(
    'ABORTED',
    'partition/made-anew',
    `${name} was deleted and made with other parts while the batch waited for its turn.`,
    { fix: 'Send the batch again.', names: { variable: name } },
  )
}

/** Does one operation and answers with what it shows. */
async function runOne(
  values: BatchValues,
  operation: BatchOperation,
  limits: Limits,
  timeLeftMs: number,
): Promise<Tensor | undefined> {
  const { op, name } = operation
  if (timeLeftMs <= 0) throw tooLate(limits.runTimeoutMs)
  switch (op) {
    case 'assign': {
      const { input, validateShape } = operation
      await values.assign(name, input(values.declaration(name)), validateShape)
      return undefined
    }
    case 'initialize':
      await values.initialize(name)
      return undefined
    case 'read_value': {
      const { slice } = operation
      const whole = await values.read(name)
      const value =
        slice === undefined ? whole : await sliceReadable(whole, slice, limits.batchBytes)
      checkShown(elementCountOf(value.shape), limits)
      return tensorOfReadable(value)
    }
    default: {
      const given = await operation.input(values.declaration(name))
      return values.update(name, op, given, timeLeftMs)
    }
  }
}

function tooLate(runTimeoutMs: number): Refusal {
  return new Refusal(
    'DEADLINE_EXCEEDED',
    'run/deadline',
    `The batch took longer than the ${runTimeoutMs} ms that a run may take; nothing was written.`,
    { fix: 'Send several smaller batches.' },
  )
}

/** Writes tensors as JSON text, as many elements in all as one value may have. */
function createShow(limits: Limits, encoding: 'b64' | undefined): (tensor: Tensor) => string {
  let elements = 0
  return (tensor) => {
    elements += elementCountOf(tensor.shape)
    checkShown(elements, limits)
    return jsonText(tensorToJson(tensor, { encoding }))
  }
}

function checkShown(elements: number, { jsonElements }: Limits): void {
  if (elements <= jsonElements) return
  throw new Refusal(
    'RESOURCE_EXHAUSTED',
    'json/too-large',
    `The values that the batch reads have ${elements} elements; JSON carries at most ${jsonElements}.`,
    { fix: 'Read a slice, or read large values with :read_value in a binary form.' },
  )
}

function isWrite({ op }: BatchOperation): boolean {
  return op !== 'read_value'
}

function versionShown(
  operations: readonly BatchOperation[],
  place: number,
  byName: ReadonlyMap<string, NamedVariable>,
): Shown {
  const variables = variablesOf(byName.get(operations[place].name) as NamedVariable)
  const names = new Set(variables.map(({ name }) => name))
  const meets = (one: BatchOperation): boolean =>
    isWrite(one) &&
    variableNames(byName.get(one.name) as NamedVariable).some((name) => names.has(name))
  const before = variables.map(({ name, version }) => [name, version] as const)
  if (isWrite(operations[place])) return before
  if (operations.slice(0, place).some(meets))
    return operations.slice(place).some(meets) ? null : before
  return before.reduce((sum, [, version]) => sum + version, 0)
}

function resultsOf(
  operations: readonly BatchOperation[],
  { variables, note }: Committed,
): readonly BatchResult[] {
  const versions = new Map(variables.map(({ name, version }) => [name, version]))
  const notes = note as unknown as readonly Note[]
  return operations.map(({ op, name }, place) => {
    const [shown, text] = notes[place]
    const version =
      typeof shown === 'number'
        ? shown
        : shown?.reduce((sum, [part, before]) => sum + (versions.get(part) ?? before), 0)
    return { op, name, version, tensor: text ?? undefined }
  })
}

/** Does `work`; a refusal in it says which operation it is for. */
async function naming<T>(
  place: number,
  { op, name }: BatchOperation,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { code, reason, message, fix } = error
    const names = { ...error.names, operation: place, op, variable: name }
    const extras = { names, cause: error, ...(fix === undefined ? {} : { fix }) }
    throw new Refusal(code, reason, `Operation ${place} (${op} of ${name}): ${message}`, extras)
  }
}
