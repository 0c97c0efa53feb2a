// Small graphs that the service makes itself and runs again and again: the engine keeps those used
// last. It knows when a graph may go, and not what is in it.
import type { Engine } from '../engine/index.ts'

/** Graphs that stay loaded although nothing uses them. */
const mostIdle = 256

interface Loaded {
  users: number
  readonly loading: Promise<unknown>
}

/** Graphs by the ids that the service gives them. */
export interface UpdateGraphs {
  /** Does `work` while the graph `id` is loaded. `make` gives the GraphDef where it is not. */
  use<T>(id: string, make: () => Uint8Array, work: () => Promise<T>): Promise<T>
}

/** No graphs yet. */
export function createUpdateGraphs(engine: Pick<Engine, 'load' | 'unload'>): UpdateGraphs {
  // Used longest ago first.
  const graphs = new Map<string, Loaded>()

  function loaded(id: string, make: () => Uint8Array): Loaded {
    const known = graphs.get(id)
    if (known !== undefined) {
      graphs.delete(id)
      graphs.set(id, known)
      return known
    }
    const fresh = { users: 0, loading: engine.load(id, make()) }
    fresh.loading.catch(() => graphs.delete(id))
    graphs.set(id, fresh)
    return fresh
  }

  async function unloadIdle(): Promise<void> {
    for (const [id, { users }] of graphs) {
      if (graphs.size <= mostIdle) return
      if (users > 0) continue
      graphs.delete(id)
      // An engine that cannot unload it has lost it.
      await engine.unload(id).catch(() => undefined)
    }
  }

  return {
    async use(id, make, work) {
      const graph = loaded(id, make)
      graph.users++
      try {
        await graph.loading
        return await work()
      } finally {
        graph.users--
        if (graphs.size > mostIdle) await unloadIdle()
      }
    },
  }
}
