// Between a commit and the moment when the engine knows its copy of the committed value by its number: who
// reads the variable in that time would have the engine load what it already has. Such readers wait.
import type { VariableRecord } from '../store/index.ts'
import { variableKey } from './write-order.ts'

/** Commits under way of values that devices hold. */
export interface Adoptions {
  /** Calls `work`, which commits variables and has their copies adopted; `before`: as they were. */
  during<Result>(before: readonly VariableRecord[], work: () => Promise<Result>): Promise<Result>
  /** Waits for the copies of what was read, where it was committed only just now. */
  settled(records: Iterable<VariableRecord>): Promise<void>
}

/** Nothing under way. */
export function createAdoptions(): Adoptions {
  const underWay = new Map<string, { readonly version: number; readonly ended: Promise<void> }>()
  return {
    async during(before, work) {
      const { promise: ended, resolve: end } = Promise.withResolvers<void>()
      const keys = before.map(({ container, name }) => variableKey(container, name))
      for (const [place, { version }] of before.entries()) {
        underWay.set(keys[place], { version, ended })
      }
      try {
        return await work()
      } finally {
        for (const key of keys) if (underWay.get(key)?.ended === ended) underWay.delete(key)
        end()
      }
    },
    async settled(records) {
      if (underWay.size === 0) return
      for (const { container, name, version } of records) {
        const commit = underWay.get(variableKey(container, name))
        if (commit !== undefined && version > commit.version) await commit.ended
      }
    },
  }
}
