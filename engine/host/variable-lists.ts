// Lists of variables as they cross to the engine's thread: whole once, and by a number while they stay the same. Copying
// a few hundred bindings to another thread takes longer than many a run.
import type { RunRequest, ValueBinding } from '../engine.ts'

type Variables = RunRequest['variables']

/** A list by its number, with the list itself where the thread does not have it. */
export interface ToldVariables {
  readonly slot: number
  readonly list?: Variables
}

/** Lists that both sides remember. */
const maxLists = 16

/** The asking side: what one engine thread has been told. Messages must arrive in the order of `told`. */
export class ToldLists {
  readonly #lists: Variables[] = []
  #next = 0

  told(list: Variables): ToldVariables {
    const slot = this.#lists.findIndex((known) => isSame(known, list))
    if (slot >= 0) return { slot }
    const next = this.#next
    this.#next = (next + 1) % maxLists
    // A copy: what the caller changes in its own list later counts as another list.
    this.#lists[next] = list.map(({ container, name, binding }) => {
      return { container, name, binding: binding && { ...binding, shape: [...binding.shape] } }
    })
    return { slot: next, list }
  }
}

/** The engine's side. */
export class HeardLists {
  readonly #lists: Variables[] = []

  /** The list that was told. */
  heard({ slot, list }: ToldVariables): Variables {
    if (list !== undefined) this.#lists[slot] = list
    const known = this.#lists[slot]
    if (known === undefined) throw new Error(`no list of variables was told as ${slot}`)
    return known
  }
}

function isSame(a: Variables, b: Variables): boolean {
  return (
    a.length === b.length &&
    a.every(({ container, name, binding }, place) => {
      const other = b[place]
      return (
        name === other.name &&
        container === other.container &&
        isSameBinding(binding, other.binding)
      )
    })
  )
}

function isSameBinding(a: ValueBinding | null, b: ValueBinding | null): boolean {
  if (a === null || b === null) return a === b
  const isSameValue =
    'handle' in a ? 'handle' in b && a.handle === b.handle : !('handle' in b) && a.value === b.value
  return (
    isSameValue &&
    a.dtype === b.dtype &&
    a.shape.length === b.shape.length &&
    a.shape.every((size, axis) => size === b.shape[axis])
  )
}
