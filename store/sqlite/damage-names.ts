// Who is concerned when a read finds damage: the refusal of a chunk becomes one of the variable, or of the
// checkpoint's tensor, whose value it is.
import { Refusal } from '../../tensor/index.ts'
import type { ValueId } from '../port.ts'
import { type CheckHost, entriesOf, variablesOf } from './content-check.ts'

/** How long a value's names are remembered: many may read it at once. */
const rememberedMs = 5_000
const mostRemembered = 1_000

interface Names {
  readonly sentence: string
  readonly names: Refusal['names']
}

/** Finds names on bulk workers; asks them once for all who read the same value. */
export class DamageNames {
  readonly #host: Pick<CheckHost, 'bulk'>
  readonly #known = new Map<ValueId, { readonly atMs: number; readonly names: Promise<Names> }>()

  constructor(host: Pick<CheckHost, 'bulk'>) {
    this.#host = host
  }

  /** The refusal with names, where it is of a damaged chunk; any other error as it is. */
  async named(valueId: ValueId, error: unknown): Promise<unknown> {
    if (!(error instanceof Refusal) || error.reason !== 'store/chunk-damaged') return error
    try {
      const { sentence, names } = await this.#namesOf(valueId)
      const { chunk, digest, problem } = error.names
      return new Refusal(
        error.code,
        error.reason,
        `${sentence} is damaged: chunk ${chunk} (SHA-256 ${digest}): ${problem}.`,
        {
          names: { ...names, ...error.names },
          fix: 'Write or upload the same content again, restore another checkpoint, or take it from a backup. GET /v1/scrub names what is damaged.',
          cause: error,
        },
      )
    } catch {
      // The damage is what matters; that nobody can be named for it is less.
      return error
    }
  }

  #namesOf(valueId: ValueId): Promise<Names> {
    const nowMs = performance.now()
    const known = this.#known.get(valueId)
    if (known !== undefined && nowMs - known.atMs < rememberedMs) return known.names
    const names = this.#find(valueId)
    if (this.#known.size >= mostRemembered) this.#known.clear()
    this.#known.set(valueId, { atMs: nowMs, names })
    names.catch(() => this.#known.delete(valueId))
    return names
  }

  async #find(valueId: ValueId): Promise<Names> {
    const variables = await variablesOf(this.#host, [valueId])
    if (variables.length > 0) {
      const [{ name, container }] = variables
      const others = variables.length > 1 ? ` (and of ${variables.length - 1} more)` : ''
      const names = { variable: name, ...(container === '' ? {} : { container }) }
      return { sentence: `The value of variable ${name}${others}`, names }
    }
    const [entry] = await entriesOf(this.#host, [valueId], 1)
    if (entry === undefined) return { sentence: 'The value', names: {} }
    const { checkpoint, tensor } = entry
    return {
      sentence: `The tensor ${tensor} of checkpoint ${checkpoint}`,
      names: { tensor, checkpoint },
    }
  }
}
