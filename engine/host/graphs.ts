// The graphs that are loaded, and what runs of them would read and write. It runs nothing.
import { type Graph, graphOf } from '../../graph/index.ts'
import { Refusal } from '../../tensor/index.ts'
import type { GraphSummary, RunEffects, RunRequest } from '../engine.ts'
import { effectsOf, summaryOf } from '../plan/index.ts'
import { decodeGraph, keyOf, targetsOf, tensorOf } from './request.ts'

/** A run as its effects depend on it. */
export type AskedRun = Pick<RunRequest, 'graph' | 'fetches' | 'targets' | 'container'> & {
  /** Names of the tensors that are fed. */
  readonly feeds: readonly string[]
}

/** A graph that can be run. */
export interface LoadedGraph {
  readonly graph: Graph
  readonly summary: GraphSummary
  /** By request; so that a run asked again and again is looked through once. */
  readonly effects: Map<string, RunEffects>
}

/** Effects kept of one graph. */
const maxEffects = 256

/** A serialized GraphDef as a graph that can be loaded. Refuses what is none. */
export function readGraph(graphDef: Uint8Array): LoadedGraph {
  // A copy: constants are views into it, for as long as the graph lives.
  const graph = graphOf(decodeGraph(Uint8Array.from(graphDef)))
  return { graph, summary: summaryOf(graph), effects: new Map() }
}

/** Loaded graphs by their ids. */
export class Graphs {
  readonly #graphs = new Map<string, LoadedGraph>()

  set(id: string, loaded: LoadedGraph): void {
    this.#graphs.set(id, loaded)
  }

  /** Whether there was one. */
  delete(id: string): boolean {
    return this.#graphs.delete(id)
  }

  /** The graph of that id. Refuses NOT_FOUND `graph/unknown`. */
  of(id: string): LoadedGraph {
    const loaded = this.#graphs.get(id)
    if (loaded !== undefined) return loaded
    throw new Refusal('NOT_FOUND', 'graph/unknown', `There is no graph "${id}".`, {
      names: { graph: id },
    })
  }

  /** What a run would read and write. Refuses tensors and targets that the graph has not. */
  effects(run: AskedRun): RunEffects {
    const { graph, effects } = this.of(run.graph)
    const key = JSON.stringify([run.fetches, run.targets, run.feeds, run.container])
    const known = effects.get(key)
    if (known !== undefined) return known
    const feeds = new Set(run.feeds.map((name) => keyOf(tensorOf(graph, name, 'feed'))))
    const found = effectsOf(
      graph,
      run.fetches.map((name) => tensorOf(graph, name, 'fetch')),
      targetsOf(graph, run.targets),
      feeds,
      run.container,
    )
    if (effects.size >= maxEffects) effects.delete(effects.keys().next().value as string)
    effects.set(key, found)
    return found
  }
}
