// Variable scopes as resources: the defaults that each was given, and what is in effect in it. How
// scopes inherit, TensorFlow's rules say (graph/scopes).
import {
  checkScopeName,
  type Partitions,
  parseDevice,
  partitionsOf,
  type Reuse,
  type ScopeArguments,
  scopeAt,
  scopePaths,
  type VariableScope,
} from '../graph/index.ts'
import type { Change, Json, Page, PageRequest, ScopeRecord } from '../store/index.ts'
import { type DType, Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { initializerOf } from './given-initializer.ts'
import { once } from './idempotency.ts'
import { checkContainerName, checkNameLength } from './names.ts'
import { checkGivenInitializer, type GivenInitializer } from './stored-initializer.ts'
import { scopeKey } from './write-order.ts'

/** Defaults of a scope; what is absent is inherited, and so is `reuse: false`. */
export interface GivenScope {
  readonly reuse?: Reuse | undefined
  readonly initializer?: GivenInitializer | undefined
  readonly dtype?: DType | undefined
  readonly device?: string | undefined
  readonly partitions?: Partitions | undefined
}

/** A scope: its own defaults as they were given, and what get_variable finds in it. */
export interface ScopeView {
  readonly container: string
  /** `a/b`; empty for the root. */
  readonly path: string
  readonly own: GivenScope
  readonly effective: {
    readonly reuse: Reuse
    readonly initializer: GivenInitializer | undefined
    readonly dtype: DType
    /** Canonical; empty where none was asked for. */
    readonly device: string
    readonly partitions: Partitions | undefined
  }
}

export interface Scopes {
  /** Replaces the scope's own defaults. Refuses those that no variable could have. */
  put(
    container: string,
    path: string,
    given: GivenScope,
    idempotencyKey?: string,
  ): Promise<{ readonly created: boolean; readonly scope: ScopeView }>
  /** The root is always there. */
  get(container: string, path: string): Promise<ScopeView>
  /** Those with defaults of their own, by path; only those at or below `below` where it is given. */
  list(container: string, below: string | undefined, page: PageRequest): Promise<Page<ScopeView>>
  /** Takes the scope's own defaults away. Its variables stay. */
  remove(container: string, path: string, idempotencyKey?: string): Promise<void>
  /** Sets reuse to true and leaves the other defaults as they are. */
  reuseVariables(container: string, path: string, idempotencyKey?: string): Promise<ScopeView>
}

/** The scopes of a store. */
export function createScopes(context: Context): Scopes {
  const { catalogue } = context.store

  async function get(container: string, path: string): Promise<ScopeView> {
    const records = await recordsOf(context, container, path)
    const view = viewOf(container, path, records)
    if (path !== '' && !records.has(path)) throw unknownScope(container, path)
    return view
  }

  /** Changes one scope while no variable is made in it or below it. */
  function change(container: string, path: string, work: () => Promise<void>): Promise<void> {
    return context.writes.turn([scopeKey(container, path)], 'exclusive', work)
  }

  async function commitPut(
    container: string,
    path: string,
    given: GivenScope,
    described: readonly unknown[],
    idempotencyKey: string | undefined,
  ): Promise<void> {
    const kept = JSON.parse(JSON.stringify(given)) as Json
    const put: Change = { kind: 'put_scope', container, path, arguments: kept }
    await once(context, idempotencyKey, described, (idempotency) =>
      catalogue.commit([put], idempotency),
    )
  }

  return {
    async put(container, path, given, idempotencyKey) {
      checkScopePath(container, path, context)
      await checkGiven(context, container, given)
      let created = false
      await change(container, path, async () => {
        created = (await catalogue.scopes(container, [path])).length === 0
        const described = ['put_scope', container, path, given]
        await commitPut(container, path, given, described, idempotencyKey)
      })
      return { created, scope: await get(container, path) }
    },
    get,
    async list(container, below, page) {
      checkContainerName(container, context.limits)
      const { items, cursor } = await catalogue.listScopes({ container, below }, page)
      const paths = new Set(items.flatMap(({ path }) => scopePaths(path)))
      const records = byPath(await catalogue.scopes(container, [...paths]))
      return { items: items.map(({ path }) => viewOf(container, path, records)), cursor }
    },
    async remove(container, path, idempotencyKey) {
      checkScopePath(container, path, context)
      await change(container, path, async () => {
        await once(
          context,
          idempotencyKey,
          ['delete_scope', container, path],
          async (idempotency) => {
            const found = await catalogue.scopes(container, [path])
            if (found.length === 0) throw unknownScope(container, path)
            return catalogue.commit([{ kind: 'delete_scope', container, path }], idempotency)
          },
        )
      })
    },
    async reuseVariables(container, path, idempotencyKey) {
      checkScopePath(container, path, context)
      await change(container, path, async () => {
        const [found] = await catalogue.scopes(container, [path])
        const given = { ...(found === undefined ? {} : givenOf(found)), reuse: true }
        const described = ['reuse_variables', container, path]
        await commitPut(container, path, given, described, idempotencyKey)
      })
      return get(container, path)
    },
  }
}

/**
 * The scope that a request is made in. `withInitializer` false leaves the scopes' initializers out,
 * for a request that brings its own. Call it within a turn on {@link scopeKeys}.
 */
export async function scopeOfRequest(
  context: Context,
  container: string,
  path: string,
  withInitializer: boolean,
): Promise<VariableScope<GivenInitializer>> {
  const records = await recordsOf(context, container, path)
  const open = (through: string, initializers: ArgumentsByPath) =>
    scopeAt<GivenInitializer>(through, (at) => {
      const record = records.get(at)
      return record && { ...argumentsOf(record), ...initializers.get(at) }
    })
  const last = scopePaths(path).findLast(
    (at) => givenOf(records.get(at))?.initializer !== undefined,
  )
  if (!withInitializer || last === undefined) return open(path, new Map())
  const given = givenOf(records.get(last)).initializer as GivenInitializer
  const { dtype } = open(last, new Map())
  const initializer = await initializerOf(context, container, given, dtype)
  return open(path, new Map([[last, { initializer }]]))
}

type ArgumentsByPath = ReadonlyMap<string, ScopeArguments<GivenInitializer>>

/** Keys of the scopes whose defaults reach into `path`: who makes a variable there holds them. */
export function scopeKeys(container: string, path: string): readonly string[] {
  return scopePaths(path).map((one) => scopeKey(container, one))
}

async function recordsOf(
  context: Context,
  container: string,
  path: string,
): Promise<ReadonlyMap<string, ScopeRecord>> {
  checkScopePath(container, path, context)
  return byPath(await context.store.catalogue.scopes(container, scopePaths(path)))
}

function byPath(records: readonly ScopeRecord[]): ReadonlyMap<string, ScopeRecord> {
  return new Map(records.map((record) => [record.path, record]))
}

/** What the catalogue keeps was checked when it was put there. */
function givenOf(record: ScopeRecord | undefined): GivenScope {
  return (record?.arguments ?? {}) as GivenScope
}

/** All but the initializer, whose form takes a look at what it is made of. */
function argumentsOf(record: ScopeRecord): ScopeArguments<GivenInitializer> {
  const { reuse, dtype, device, partitions } = givenOf(record)
  return { reuse, dtype, device, partitions }
}

function viewOf(
  container: string,
  path: string,
  records: ReadonlyMap<string, ScopeRecord>,
): ScopeView {
  const scope = scopeAt<GivenInitializer>(path, (at) => {
    const record = records.get(at)
    if (record === undefined) return undefined
    const { initializer } = givenOf(record)
    // Which form it has does not matter for what is handed down.
    const form = 'function' as const
    const shown = initializer === undefined ? {} : { initializer: { form, initializer } }
    return { ...argumentsOf(record), ...shown }
  })
  const { reuse, dtype, device, partitions } = scope
  const initializer = scope.initializer?.initializer
  const effective = { reuse, initializer, dtype, device, partitions }
  return { container, path, own: givenOf(records.get(path)), effective }
}

/** Refuses (INVALID_ARGUMENT, `name/invalid`) what cannot be a scope's path. Empty is the root. */
function checkScopePath(container: string, path: string, { limits }: Context): void {
  checkContainerName(container, limits)
  checkNameLength('scope', path, limits)
  if (path === '') return
  checkScopeName(path, 'root')
  if (!path.split('/').includes('')) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'name/invalid',
    `'${path}' is not the path of a scope: it has an empty part.`,
    { fix: 'Write the names of the scopes with one slash between them: a/b.', names: { path } },
  )
}

async function checkGiven(
  context: Context,
  container: string,
  { initializer, dtype, device, partitions }: GivenScope,
): Promise<void> {
  if (device !== undefined) parseDevice(device)
  if (partitions !== undefined) checkPartitions(partitions)
  if (initializer === undefined) return
  checkGivenInitializer(initializer)
  await initializerOf(context, container, initializer, dtype)
}

// Larger than any count of parts, so that only what no shape can have is refused here.
const anySize = 2 ** 31

/** Refuses (INVALID_ARGUMENT, `partition/..`) what can cut no shape at all. */
function checkPartitions(partitions: Partitions): void {
  if (Array.isArray(partitions)) {
    const counts: readonly number[] = partitions
    if (counts.filter((count) => count > 1).length > 1) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'partition/axes',
        `Can only slice a variable along one dimension: partitioning: [${counts.join(', ')}]`,
      )
    }
    partitionsOf(
      counts,
      counts.map(() => anySize),
    )
    return
  }
  const axis = (typeof partitions === 'object' && 'axis' in partitions && partitions.axis) || 0
  const rank = axis < 0 ? -axis : axis + 1
  partitionsOf(
    partitions,
    Array.from({ length: rank }, () => anySize),
  )
}

function unknownScope(container: string, path: string): Refusal {
  const place = container === '' ? '' : ` in container ${container}`
  const shown = path === '' ? 'The root scope' : `Scope ${path}`
  return new Refusal('NOT_FOUND', 'scope/unknown', `${shown} has no defaults of its own${place}.`, {
    fix: 'Give it some with PUT /v1/scopes/{path}, or list those that have with GET /v1/scopes.',
    names: { scope: path, container },
  })
}
