// The order of writes: requests whose write sets meet run in the order in which they came. It knows
// keys and turns, and nothing of variables.

/** `overlapping` turns on one key may run side by side; an `exclusive` one runs alone. */
type TurnKind = 'overlapping' | 'exclusive'

interface Queue {
  /** Turns running or waiting. */
  count: number
  /** The end of the last exclusive turn. */
  exclusive: Promise<void>
  /** The ends of the overlapping turns since then. */
  readonly overlapping: Set<Promise<void>>
}

/** Hands out turns on keys, first come first served. */
export interface WriteOrder {
  /**
   * Runs `work` once every earlier turn that meets `keys` has ended. Places in all queues are taken
   * at the call, so two requests can never wait for one another.
   */
  turn<T>(keys: readonly string[], kind: TurnKind, work: () => Promise<T>): Promise<T>
  /** Keys with a turn running or waiting. */
  readonly size: number
}

/** A write order with nobody waiting. */
export function createWriteOrder(): WriteOrder {
  const queues = new Map<string, Queue>()

  /** Takes a place and answers with the ends that it must wait for. */
  function enter(key: string, kind: TurnKind, ended: Promise<void>): Promise<void>[] {
    const queue = queues.get(key) ?? {
      count: 0,
      exclusive: Promise.resolve(),
      overlapping: new Set<Promise<void>>(),
    }
    queues.set(key, queue)
    queue.count += 1
    if (kind === 'overlapping') {
      queue.overlapping.add(ended)
      return [queue.exclusive]
    }
    const before = [queue.exclusive, ...queue.overlapping]
    queue.exclusive = ended
    queue.overlapping.clear()
    return before
  }

  function leave(key: string, ended: Promise<void>): void {
    const queue = queues.get(key)
    if (queue === undefined) return
    queue.overlapping.delete(ended)
    queue.count -= 1
    if (queue.count === 0) queues.delete(key)
  }

  return {
    async turn(keys, kind, work) {
      const distinct = [...new Set(keys)]
      const { promise: ended, resolve: end } = Promise.withResolvers<void>()
      const before = distinct.flatMap((key) => enter(key, kind, ended))
      try {
        await Promise.all(before)
        return await work()
      } finally {
        end()
        for (const key of distinct) leave(key, ended)
      }
    },
    get size() {
      return queues.size
    },
  }
}

/** The key of a variable in a write order. Containers cannot hold a NUL, so no two variables share one. */
export function variableKey(container: string, name: string): string {
  return `${container}\0${name}`
}

/** The key of a scope in a write order; no variable's, as none has a NUL in its name. */
export function scopeKey(container: string, path: string): string {
  return `${container}\0\0${path}`
}
