// Which resident copies of the store's values a run may change. Patched copies can show both values, so
// that nobody is kept waiting by them. One that is overwritten whole is gone: the store has the value,
// and whoever wants it still loads it again. That is dear where others read what one keeps writing, as a
// model that is served while it is trained; so a value that was wanted again is left alone for some writes.
import { elementCountOf, isNumeric } from '../../tensor/index.ts'
import type { RunEffects, ValueBinding, ValueKey } from '../engine.ts'
import { type Donors, noDonors, variableKey } from '../plan/index.ts'
import type { Residency } from './residency.ts'

/** The values of one variable, one made from the other. */
export interface Lineage {
  /** Writes that still leave the former value where it is. */
  patience: number
}

type Bindings = ReadonlyMap<string, ValueBinding>

/** Writes after which a value that was wanted again may be overwritten. */
const fullPatience = 16

/** Values whose lineage is remembered. */
const maxRemembered = 4096

export class Donations {
  readonly #residencies: readonly Residency[]
  /** Elements from which on values are overwritten. */
  readonly #from: number
  /** Of values that overwrote others, and of those that were overwritten. */
  readonly #lineages = new Map<ValueKey, Lineage>()

  constructor(residencies: readonly Residency[], from: number) {
    this.#residencies = residencies
    this.#from = from
  }

  /**
   * Variables that a run with such effects assigns, and whose copies it may change: those of values that
   * the store has, and that are nothing else's in this run.
   */
  of({ writes }: RunEffects, bindings: Bindings): Donors {
    if (writes.length === 0) return noDonors
    const counts = new Map<ValueKey, number>()
    for (const binding of bindings.values()) {
      if ('value' in binding) counts.set(binding.value, (counts.get(binding.value) ?? 0) + 1)
    }
    const patched = new Set<string>()
    const whole = new Set<string>()
    for (const { container, name } of writes) {
      const key = variableKey(container, name)
      const binding = bindings.get(key)
      if (binding === undefined || !('value' in binding) || !isNumeric(binding.dtype)) continue
      const { value, shape } = binding
      if (counts.get(value) !== 1 || this.#residencies.some((one) => one.isOlder(value))) continue
      patched.add(key)
      const patience = this.#lineages.get(value)?.patience ?? 0
      if (patience === 0 && elementCountOf(shape) >= this.#from) whole.add(key)
    }
    return { patched, whole }
  }

  /**
   * A run has gone well. Gives, for those of its variables that it assigned, the lineage of the new
   * value; `overwritten`: variables whose copies are gone. Values that it only read are wanted again.
   */
  ran(
    bindings: Bindings,
    assigned: ReadonlySet<string>,
    overwritten: ReadonlySet<string>,
  ): ReadonlyMap<string, Lineage> {
    const lineages = new Map<string, Lineage>()
    if (this.#lineages.size === 0 && overwritten.size === 0) return lineages
    for (const [key, binding] of bindings) {
      if (!('value' in binding)) continue
      const known = this.#lineages.get(binding.value)
      if (!assigned.has(key)) {
        if (known !== undefined) known.patience = fullPatience
        continue
      }
      const lineage = known ?? (overwritten.has(key) ? { patience: 0 } : undefined)
      if (lineage === undefined) continue
      lineage.patience = Math.max(lineage.patience - 1, 0)
      this.remember(binding.value, lineage)
      lineages.set(key, lineage)
    }
    return lineages
  }

  /** The value is of that lineage. */
  remember(value: ValueKey, lineage: Lineage): void {
    this.#lineages.delete(value)
    this.#lineages.set(value, lineage)
    if (this.#lineages.size > maxRemembered) {
      this.#lineages.delete(this.#lineages.keys().next().value as ValueKey)
    }
  }
}
