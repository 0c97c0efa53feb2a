// Collections: named lists of variables and other things, in order of joining, and which of them a new
// variable joins. Source: tensorflow/python/framework/ops.py (GraphKeys, get_collection).
import { scopeFilter } from './scope-filter.ts'

/** TensorFlow's names of collections that variables join. */
export const variableCollections = {
  global: 'variables',
  trainable: 'trainable_variables',
  local: 'local_variables',
  model: 'model_variables',
  movingAverage: 'moving_average_variables',
  metric: 'metric_variables',
} as const

/**
 * The collections that a new variable joins, each once: those asked for, or the global variables; and
 * the trainable ones where it is trainable.
 */
export function collectionsOfVariable(
  asked: readonly string[] | undefined,
  trainable: boolean,
): readonly string[] {
  const collections = new Set(asked ?? [variableCollections.global])
  if (trainable) collections.add(variableCollections.trainable)
  return [...collections]
}

/**
 * Members whose name begins with a match of `scope`, a regular expression as Python's `re.match` takes
 * it (plain text so filters by prefix); all of them where `scope` is absent. With a scope, members
 * without a name are left out. Refuses what {@link scopeFilter} refuses.
 */
export function filterByScope<T>(
  members: readonly T[],
  scope: string | undefined,
  nameOf: (member: T) => string | undefined,
): readonly T[] {
  if (scope === undefined) return members
  const matches = scopeFilter(scope)
  return members.filter((member) => {
    const name = nameOf(member)
    return name !== undefined && matches(name)
  })
}

/** The collections of one graph. A member may be in a collection more than once. */
export class Collections<T> {
  readonly #members = new Map<string, T[]>()
  readonly #nameOf: (member: T) => string | undefined

  constructor(nameOf: (member: T) => string | undefined) {
    this.#nameOf = nameOf
  }

  /** Appends `member` to the collection `key`. */
  add(key: string, member: T): void {
    const members = this.#members.get(key)
    if (members === undefined) this.#members.set(key, [member])
    else members.push(member)
  }

  /** Members in order of joining; only those of `scope` where one is given, as {@link filterByScope}. */
  get(key: string, scope?: string): readonly T[] {
    return [...filterByScope(this.#members.get(key) ?? [], scope, this.#nameOf)]
  }

  /** Names of collections that have members, in order of their first. */
  keys(): readonly string[] {
    return [...this.#members.keys()]
  }

  /** Removes every member of the collection. */
  clear(key: string): void {
    this.#members.delete(key)
  }
}
