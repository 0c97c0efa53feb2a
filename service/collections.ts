// Collections as resources: named lists of variables and JSON values in order of joining. Which of
// them a new variable joins, and how a scope filters them, graph/scopes says; it is asked here.
// Source: tensorflow/python/framework/ops.py (add_to_collection, get_collection, clear_collection).
import { scopeFilter } from '../graph/index.ts'
import type { CollectionMember, CollectionRecord, Json, Page, PageRequest } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { fixedLimits } from './limits.ts'
import { checkCollectionName, checkContainerName, collectionKey } from './names.ts'
import { unknownVariable } from './unknown-variable.ts'

/** How one asks for the members of a collection. */
interface MembersRequest {
  readonly container: string
  readonly collection: string
  /** A regular expression that names begin with, as get_collection takes it. */
  readonly scope?: string | undefined
}

export interface Collections {
  /** Collections that have members, by name. */
  list(container: string, page: PageRequest): Promise<Page<CollectionRecord>>
  /**
   * Members in order of joining; of an unknown collection none. With a scope, those whose name begins
   * with a match: a variable is named `v:0` as in TensorFlow, a JSON object by its string `name`, and
   * what has no name is left out; a page may then hold fewer than asked, although more follow.
   * Refuses `collection/scope` what is no pattern.
   */
  members(request: MembersRequest, page: PageRequest): Promise<Page<CollectionMember>>
  /**
   * Appends in order, all or none. A partitioned variable joins as its parts. Refuses NOT_FOUND
   * `variable/unknown`, and members beyond the limits (RESOURCE_EXHAUSTED `collection/too-large`).
   */
  add(
    container: string,
    collection: string,
    members: readonly CollectionMember[],
    idempotencyKey: string | undefined,
  ): Promise<void>
  /** Removes every member; nothing happens where there is none. */
  clear(container: string, collection: string, idempotencyKey: string | undefined): Promise<void>
}

/** The collections of a store. */
export function createCollections(context: Context): Collections {
  const { limits, store } = context
  const { catalogue } = store
  const keyOf = (container: string, collection: string): string => {
    checkContainerName(container, limits)
    checkCollectionName(collection, limits)
    return collectionKey(collection)
  }
  return {
    async list(container, page) {
      checkContainerName(container, limits)
      return catalogue.collections(container, page)
    },
    async members({ container, collection, scope }, page) {
      const key = keyOf(container, collection)
      if (scope === undefined) return catalogue.collectionMembers(container, key, page)
      return filtered(context, { container, collection: key, scope }, page)
    },
    async add(container, collection, members, idempotencyKey) {
      const key = keyOf(container, collection)
      checkMembers(context, members)
      const described = ['add_to_collection', container, key, members]
      await once(context, idempotencyKey, described, async (idempotency) => {
        const joining = await withParts(context, container, members)
        const change = { kind: 'add_to_collection', container, collection: key } as const
        return catalogue.commit([{ ...change, members: joining }], idempotency)
      })
    },
    async clear(container, collection, idempotencyKey) {
      const key = keyOf(container, collection)
      const described = ['clear_collection', container, key]
      await once(context, idempotencyKey, described, (idempotency) =>
        catalogue.commit([{ kind: 'clear_collection', container, collection: key }], idempotency),
      )
    },
  }
}

/** The name by which TensorFlow would filter a member; undefined where it has none. */
function nameOf(member: CollectionMember, longest: number): string | undefined {
  if ('variable' in member) return `${member.variable}:0`
  const { value } = member
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const { name } = value as { readonly [key: string]: Json }
  return typeof name === 'string' && name.length <= longest ? name : undefined
}

/** Members read at a time while filtering. */
const membersPerRead = 100
/** How long a filter may hold the thread in one go, and how long a page of a filtered list may take. */
const turnMs = 5
const filterMs = 500

/** Reads on until the page is full, the list ends, or the time for one page is over. */
async function filtered(
  { limits, store }: Context,
  { container, collection, scope }: MembersRequest & { readonly scope: string },
  page: PageRequest,
): Promise<Page<CollectionMember>> {
  const matches = scopeFilter(scope)
  const items: CollectionMember[] = []
  const begun = performance.now()
  let turn = begun
  let { cursor } = page
  do {
    const limit = Math.min(membersPerRead, page.limit - items.length)
    const read = await store.catalogue.collectionMembers(container, collection, { limit, cursor })
    for (const member of read.items) {
      const name = nameOf(member, limits.nameLength)
      if (name !== undefined && matches(name)) items.push(member)
      if (performance.now() - turn < turnMs) continue
      await new Promise((resolve) => setImmediate(resolve))
      turn = performance.now()
    }
    cursor = read.cursor
  } while (
    cursor !== undefined &&
    items.length < page.limit &&
    performance.now() - begun < filterMs
  )
  return { items, cursor }
}

/** The members to commit: those given, with the parts of a partitioned variable in its place. */
async function withParts(
  { store: { catalogue } }: Context,
  container: string,
  members: readonly CollectionMember[],
): Promise<readonly CollectionMember[]> {
  const names = [...new Set(members.flatMap((one) => ('variable' in one ? [one.variable] : [])))]
  if (names.length === 0) return members
  const single = new Set((await catalogue.variables(container, names)).map(({ name }) => name))
  const rest = names.filter((name) => !single.has(name))
  if (rest.length === 0) return members
  const wholes = await catalogue.partitioned(container, rest)
  const partsOf = new Map(wholes.map(({ name, parts }) => [name, parts]))
  return members.flatMap((member) => {
    if (!('variable' in member) || single.has(member.variable)) return [member]
    const parts = partsOf.get(member.variable)
    if (parts === undefined) throw unknownVariable(container, member.variable)
    return parts.map(({ name }) => ({ variable: name }))
  })
}

const { collectionMemberDepth: deepestMember } = fixedLimits

function checkMembers({ limits }: Context, members: readonly CollectionMember[]): void {
  const most = limits.collectionMembersPerRequest
  if (members.length > most) {
    throw tooLarge(`One request adds at most ${most} members; ${members.length} were given.`)
  }
  for (const [index, member] of members.entries()) {
    if ('variable' in member) continue
    const place = `Member ${index}`
    checkValue(member.value, place)
    const byteLength = Buffer.byteLength(JSON.stringify(member.value))
    if (byteLength <= limits.collectionMemberBytes) continue
    throw tooLarge(
      `${place} has ${byteLength} bytes as JSON; at most ${limits.collectionMemberBytes} are taken.`,
    )
  }
}

/** Refuses what would not come back as it was given. */
function checkValue(value: Json, place: string): void {
  const waiting: [value: Json, depth: number][] = [[value, 0]]
  for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
    const [inner, depth] = one
    if (typeof inner === 'number' && !Number.isFinite(inner)) {
      throw invalid(`${place} holds a number that no double can hold.`)
    }
    if (typeof inner !== 'object' || inner === null) continue
    if (depth === deepestMember) {
      throw invalid(`${place} is nested deeper than ${deepestMember} levels.`)
    }
    for (const next of Object.values(inner)) waiting.push([next, depth + 1])
  }
}

function invalid(sentence: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'collection/invalid-member', sentence, {
    fix: 'Give any JSON value of a moderate size, or the name of a variable.',
  })
}

function tooLarge(sentence: string): Refusal {
  return new Refusal('RESOURCE_EXHAUSTED', 'collection/too-large', sentence, {
    fix: 'Send several requests. The limits are at GET /v1/limits.',
  })
}
