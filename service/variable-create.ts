// get_variable against the store: what a request and its scope come to, TensorFlow's rules say
// (graph/scopes); here are the variables that are there, the limits, and the commit.
import assert from 'node:assert/strict'
import {
  type ExistingVariable,
  type GetVariable,
  type NewVariable,
  namesLookedUp,
  type Partitions,
  type Resolution,
  type Reuse,
  resolveGetVariable,
  type VariableScope,
} from '../graph/index.ts'
import type { Change, Committed, Idempotency, Json, VariableRecord } from '../store/index.ts'
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  formatShape,
  Refusal,
  type Shape,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { initializerOf } from './given-initializer.ts'
import { once } from './idempotency.ts'
import type { Limits } from './limits.ts'
import { checkCollectionName, checkContainerName, checkNameLength, collectionKey } from './names.ts'
import { findNamed, type NamedVariable } from './partitioned.ts'
import { scopeKeys, scopeOfRequest } from './scopes.ts'
import { type GivenInitializer, keptInitializer } from './stored-initializer.ts'
import { variableKey } from './write-order.ts'
import { nothingDone } from './written.ts'

/** The arguments of get_variable. Those absent come from the scope, or are TensorFlow's defaults. */
export interface CreateRequest {
  readonly container: string
  /** The scope that it is made in; absent: the root. */
  readonly scope?: string | undefined
  /** Below the scope; its own slashes select none. */
  readonly name: string
  /** -1 is an unknown size, allowed where `validateShape` is false. */
  readonly shape?: Shape | undefined
  readonly dtype?: DType | undefined
  readonly initializer?: GivenInitializer | undefined
  readonly trainable?: boolean | undefined
  readonly collections?: readonly string[] | undefined
  readonly device?: string | undefined
  /** `false` creates only, `true` finds only, `auto` does either; absent: as the scope says. */
  readonly reuse?: Reuse | undefined
  readonly partitions?: Partitions | undefined
  readonly validateShape: boolean
  readonly idempotencyKey?: string | undefined
}

export interface CreateReply {
  readonly created: boolean
  readonly variable: NamedVariable
}

/**
 * Creates the variable (uninitialized) or finds it. Refuses as {@link resolveGetVariable} does, and
 * names, sizes and initializers that cannot be.
 */
export async function createVariable(
  context: Context,
  request: CreateRequest,
): Promise<CreateReply> {
  const { container, scope: path = '' } = request
  checkContainerName(container, context.limits)
  // Others make variables in the scope meanwhile; its defaults stay as they are.
  return context.writes.turn(scopeKeys(container, path), 'overlapping', async () => {
    const brings = request.initializer !== undefined
    const scope = await scopeOfRequest(context, container, path, !brings)
    const asked = await askedOf(context, request, scope.dtype)
    const names = namesLookedUp(asked, scope)
    checkNameLength('variable', names[0], context.limits)
    const keys = names.map((name) => variableKey(container, name))
    return context.writes.turn(keys, 'exclusive', () =>
      makeOrFind(context, request, { asked, scope, names }),
    )
  })
}

/** A request with the scope that it is made in. */
interface Asked {
  readonly asked: GetVariable<GivenInitializer>
  readonly scope: VariableScope<GivenInitializer>
  /** The variable's full name, and those of the parts that it could have. */
  readonly names: readonly string[]
}

async function makeOrFind(
  context: Context,
  request: CreateRequest,
  { asked, scope, names }: Asked,
): Promise<CreateReply> {
  const { idempotencyKey, ...described } = request
  const { container } = request
  const make = async (idempotency: Idempotency | undefined): Promise<Committed> => {
    const resolution = await resolve(context, container, { asked, scope, names })
    const changes = changesOf(container, resolution, context.limits)
    if (changes.length === 0) return nothingDone
    const note = changes as unknown as Json
    return context.store.catalogue.commit(changes, idempotency && { ...idempotency, note })
  }
  const committed = await once(context, idempotencyKey, ['create_variable', described], make)
  const created = committed !== nothingDone
  // What was made may have been changed or deleted since; the reply is the first one again.
  const variable = committed.replayed ? asMade(committed) : undefined
  return { created, variable: variable ?? (await findNamed(context, container, names[0])) }
}

/** What an earlier commit made, as it then was; undefined where it kept no note. */
function asMade({ at, note }: Committed): NamedVariable | undefined {
  if (note === undefined) return undefined
  const made = { version: 0, value: undefined, createdAt: at, updatedAt: at }
  const changes = note as unknown as readonly Change[]
  const records = changes.flatMap((change): readonly VariableRecord[] => {
    if (change.kind !== 'create_variable') return []
    const { kind: _, ...record } = change
    return [{ ...record, ...made }]
  })
  const whole = changes.find((change) => change.kind === 'create_partitioned')
  if (whole === undefined) return records[0]
  // Parts that were there before are not among what was made.
  return records.length < whole.parts.length ? undefined : { ...whole, parts: records }
}

async function resolve(
  context: Context,
  container: string,
  { asked, scope, names }: Asked,
): Promise<Resolution<GivenInitializer>> {
  const { catalogue } = context.store
  const [name, firstPart] = names
  const found = new Map(
    (await catalogue.variables(container, names)).map((record) => [record.name, record]),
  )
  // A whole is never there without its first part.
  const wholes = found.has(firstPart) ? await catalogue.partitioned(container, [name]) : []
  return resolveGetVariable(asked, scope, {
    variable: (wanted) => existing(found.get(wanted)),
    partitioned: (wanted) => (wanted === name ? wholes[0] : undefined),
  })
}

function existing(record: VariableRecord | undefined): ExistingVariable | undefined {
  return record && { dtype: record.dtype, shape: record.shape }
}

async function askedOf(
  context: Context,
  request: CreateRequest,
  scopeType: DType,
): Promise<GetVariable<GivenInitializer>> {
  const { container, initializer: given, dtype } = request
  const { name, shape, trainable, device, reuse, partitions } = request
  const collections = request.collections?.map(collectionKey)
  const initializer = given && (await initializerOf(context, container, given, dtype ?? scopeType))
  const withoutInitializer = !request.validateShape
  const asked = { name, shape, dtype, trainable, collections, device, reuse, partitions }
  return { ...asked, initializer, withoutInitializer }
}

function changesOf(
  container: string,
  resolution: Resolution<GivenInitializer>,
  limits: Limits,
): readonly Change[] {
  switch (resolution.action) {
    case 'reuse':
    case 'reuse-partitioned':
      return []
    case 'create':
      return [creation(container, resolution.variable, limits)]
    case 'create-partitioned': {
      const { name, dtype, shape, partitions, parts } = resolution
      const made = parts.flatMap((part) =>
        part.action === 'create' ? [creation(container, part.variable, limits)] : [],
      )
      const names = parts.map((part) => (part.action === 'create' ? part.variable.name : part.name))
      const whole: Change = {
        kind: 'create_partitioned',
        container,
        name,
        dtype,
        shape,
        partitions,
        parts: names,
      }
      return [...made, whole]
    }
    default:
      throw new Error(`unknown resolution ${JSON.stringify(resolution satisfies never)}`)
  }
}

function creation(
  container: string,
  variable: NewVariable<GivenInitializer>,
  limits: Limits,
): Change {
  const { name, dtype, shape, trainable, collections, device, slice } = variable
  if (shape !== undefined && !shape.includes(-1)) checkSize(name, dtype, shape, limits)
  for (const collection of collections) checkCollectionName(collection, limits)
  checkNameLength('variable', name, limits)
  const initializer = keptInitializer(variable, limits)
  if (initializer !== null) assert(shape !== undefined, 'an initializer gives a shape')
  return {
    kind: 'create_variable',
    container,
    name,
    dtype,
    shape,
    trainable,
    collections: [...collections],
    device,
    initializer: initializer as Json,
    ...(slice === undefined
      ? {}
      : {
          slice: { fullName: slice.fullName, fullShape: slice.fullShape, offset: slice.offset },
        }),
    value: null,
  }
}

function checkSize(name: string, dtype: DType, shape: Shape, limits: Limits): void {
  const byteLength = elementCountOf(shape) * (byteLengthOf(dtype) || 1)
  if (byteLength <= limits.tensorBytes) return
  throw new Refusal(
    'RESOURCE_EXHAUSTED',
    'tensor/too-large',
    `A ${dtype} variable of shape ${formatShape(shape)} takes ${byteLength} bytes; at most ${limits.tensorBytes} are allowed.`,
    { fix: 'See GET /v1/limits.', names: { variable: name } },
  )
}
