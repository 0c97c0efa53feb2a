// What outlives a run without being a variable: random streams and lookup tables, by key. A run sees it
// through an overlay that counts only where the run succeeds.
import type { StepState } from '../ops/index.ts'
import { Draws } from '../random/index.ts'

/** State of an engine. Keys are container, graph (empty where shared by name) and more, apart by NUL. */
export class EngineState {
  readonly #values = new Map<string, unknown>()
  readonly #randomSeed: () => bigint
  readonly #draws: Draws

  /** `threads`: those that long draws may use. */
  constructor(randomSeed: () => bigint, threads: number) {
    this.#randomSeed = randomSeed
    this.#draws = new Draws(threads)
  }

  close(): Promise<void> {
    return this.#draws.close()
  }

  overlay(): StateOverlay {
    return new StateOverlay(this.#values, this.#randomSeed, this.#draws)
  }

  /** Drops the state of a graph's own nodes, in every container. */
  dropGraph(id: string): void {
    for (const key of [...this.#values.keys()]) {
      if (key.split('\u0000', 2)[1] === id) this.#values.delete(key)
    }
  }

  /** Drops the state whose keys begin with `prefix`. */
  drop(prefix: string): void {
    for (const key of [...this.#values.keys()]) if (key.startsWith(prefix)) this.#values.delete(key)
  }
}

/** State as one run sees it. */
export class StateOverlay implements StepState {
  readonly randomSeed: () => bigint
  readonly draws: Draws
  readonly #values: Map<string, unknown>
  readonly #changed = new Map<string, unknown>()

  constructor(values: Map<string, unknown>, randomSeed: () => bigint, draws: Draws) {
    this.#values = values
    this.randomSeed = randomSeed
    this.draws = draws
  }

  get(key: string): unknown {
    return this.#changed.has(key) ? this.#changed.get(key) : this.#values.get(key)
  }

  set(key: string, value: unknown): void {
    this.#changed.set(key, value)
  }

  /** Makes what the run set count. */
  commit(): void {
    for (const [key, value] of this.#changed) this.#values.set(key, value)
  }
}
