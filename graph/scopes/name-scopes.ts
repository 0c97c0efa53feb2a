// The names of operations in a graph under construction: which are valid, which are taken, and the
// name scopes that stand before them. It knows nothing of variables.
// Source: tensorflow/python/framework/ops.py (Graph.name_scope, Graph.unique_name).
import { Refusal } from '../../tensor/index.ts'
import { shorten } from '../name.ts'

// As Python's `re` is given them: a class may hold a slash as it is, and a backslash twice.
const operationPattern = '^[A-Za-z0-9.][A-Za-z0-9_.\\\\/>-]*$'
const scopePattern = '^[A-Za-z0-9_.\\\\/>-]*$'
const operationName = new RegExp(operationPattern)
const scopeName = new RegExp(scopePattern)

/**
 * Refuses (INVALID_ARGUMENT, `name/invalid`) what cannot be the name of a name scope. At the root it
 * must be able to begin the name of an operation; elsewhere it may also begin with `_ - / \ >`.
 */
export function checkScopeName(name: string, place: 'root' | 'nested'): void {
  const sentence =
    place === 'root'
      ? `is not a valid root scope name. A root scope name has to match the following pattern: ${operationPattern}`
      : `is not a valid scope name. A scope name has to match the following pattern: ${scopePattern}`
  if ((place === 'root' ? operationName : scopeName).test(name)) return
  throw invalid(name, sentence)
}

/** Refuses (INVALID_ARGUMENT, `name/invalid`) what cannot be the name of an operation. */
export function checkOperationName(name: string): void {
  if (!operationName.test(name)) throw invalid(name, 'is not a valid node name')
}

function invalid(name: string, sentence: string): Refusal {
  const shown = shorten(name)
  return new Refusal('INVALID_ARGUMENT', 'name/invalid', `'${shown}' ${sentence}`, {
    names: { name: shown },
  })
}

/** `a/b` for the scope `a/b/`: a scope as an operation may be called. */
export function nameOfScope(scope: string): string {
  return scope.endsWith('/') ? scope.slice(0, -1) : scope
}

/** Names in use and the current name scope of one graph. */
export class NameScopes {
  /** Lower-case name to the number of times that it was asked for: names differ by more than case. */
  readonly #used = new Map<string, number>()
  readonly #operations = new Set<string>()
  #current = ''

  /** The current name scope without a slash at its end; empty at the root. */
  get current(): string {
    return this.#current
  }

  /** The name below the current scope that no other has, marked as used: `v`, `v_1`, `v_2`, .. */
  uniqueName(name: string): string {
    const full = this.#current === '' ? name : `${this.#current}/${name}`
    const key = full.toLowerCase()
    const asked = this.#used.get(key) ?? 0
    this.#used.set(key, asked + 1)
    if (asked === 0) return full
    let suffix = asked
    while (this.#used.has(`${key}_${suffix}`)) suffix++
    this.#used.set(`${key}_${suffix}`, 1)
    return `${full}_${suffix}`
  }

  /**
   * Runs `body` in the name scope `name` and gives it the scope's text (`a/b/`, empty at the root).
   * A name is made unique below the current scope; one that ends with a slash is a whole scope to
   * go back to; null or '' is the root. Refuses what {@link checkScopeName} refuses.
   */
  within<T>(name: string | null, body: (scope: string) => T): T {
    const former = this.#current
    this.#current = this.#opened(name)
    try {
      return body(this.#current === '' ? '' : `${this.#current}/`)
    } finally {
      this.#current = former
    }
  }

  #opened(name: string | null): string {
    if (name === null || name === '') return ''
    checkScopeName(name, this.#current === '' ? 'root' : 'nested')
    return name.endsWith('/') ? nameOfScope(name) : this.uniqueName(name)
  }

  /**
   * The name of a new operation: made unique below the current scope, or taken as it is where it ends
   * with a slash. Refuses an invalid name, and (ALREADY_EXISTS, `graph/duplicate-node`) one given as
   * it is that an operation has.
   */
  operation(name: string): string {
    if (name !== '') checkScopeName(name, this.#current === '' ? 'root' : 'nested')
    const chosen = name.endsWith('/') ? nameOfScope(name) : this.uniqueName(name)
    checkOperationName(chosen)
    if (this.#operations.has(chosen)) {
      throw new Refusal(
        'ALREADY_EXISTS',
        'graph/duplicate-node',
        `Duplicate node name in graph: '${shorten(chosen)}'`,
        { names: { node: shorten(chosen) } },
      )
    }
    this.#operations.add(chosen)
    return chosen
  }
}
