// Waiting until variables have a version: woken by the bus, never by the clock, and without losing a
// wake-up, since a waiter is on the list before it looks. It knows variables, partitioned ones, and
// their versions; values are for others to read.
import type { StoreEvent } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { serverClosing, waiterGone } from './endings.ts'
import { versionOf } from './partitioned.ts'
import { unknownVariable } from './unknown-variable.ts'
import { variableKey } from './write-order.ts'

/** How a wait may end before its time. */
interface WaitOptions {
  /** Milliseconds; 0 looks once. The limit `waitDefaultMs` unless given, `waitMostMs` at most. */
  readonly timeoutMs?: number | undefined
  /** Ends the wait: whoever asked has gone. */
  readonly signal?: AbortSignal | undefined
}

export interface VersionWaits {
  /**
   * Resolves as soon as every variable of `names` has at least `minVersion`. The version of a
   * partitioned variable is the sum of its parts' versions. Refuses NOT_FOUND `variable/unknown` at
   * once for a name that is not there, and as soon as one is deleted; DEADLINE_EXCEEDED
   * `variable/version-not-reached` with the present version once the time is over; CANCELLED
   * `wait/cancelled` by the signal; RESOURCE_EXHAUSTED `wait/too-many` beyond the limit `waits`;
   * UNAVAILABLE `server/closing` at the end of the service; INVALID_ARGUMENT `wait/invalid` for a
   * version or a time that cannot be.
   */
  waitForVersions(
    container: string,
    names: readonly string[],
    minVersion: number,
    options?: WaitOptions,
  ): Promise<void>
  /** Ends every wait, and refuses later ones. */
  end(): void
  /** Waits under way. */
  readonly size: number
}

/** What a waiter is told of: a variable that it waits for, or a part of one. */
interface Watched {
  readonly waiter: Waiter
  readonly isPart: boolean
}

/** One call under way. */
interface Waiter {
  readonly container: string
  readonly minVersion: number
  readonly keys: Set<string>
  /** Lets it look again. */
  wake: () => void
  /** Why it ends, whatever it sees: a refusal, or that its time is over. */
  ending: Refusal | 'late' | undefined
}

/** The version of a name, and the parts that it is the sum of. */
interface Present {
  readonly name: string
  readonly version: number
  readonly parts: readonly string[]
}

/** Nobody waiting yet. */
export function createVersionWaits(context: Pick<Context, 'store' | 'limits'>): VersionWaits {
  const { store, limits } = context
  const watched = new Map<string, Set<Watched>>()
  const waiters = new Set<Waiter>()
  let hasEnded = false
  const unsubscribe = store.bus.subscribe((event) => tell(event))

  function tell(event: StoreEvent): void {
    if (event.kind === 'container') {
      for (const waiter of waiters) if (waiter.container === event.name) waiter.wake()
    }
    if (event.kind !== 'variable') return
    for (const { waiter, isPart } of watched.get(variableKey(event.container, event.name)) ?? []) {
      const isEarly = (event.version ?? waiter.minVersion) < waiter.minVersion
      if (isPart || event.action === 'deleted' || !isEarly) waiter.wake()
    }
  }

  function watch(waiter: Waiter, name: string, isPart: boolean): void {
    const key = variableKey(waiter.container, name)
    if (waiter.keys.has(key)) return
    waiter.keys.add(key)
    const entries = watched.get(key)
    if (entries === undefined) watched.set(key, new Set([{ waiter, isPart }]))
    else entries.add({ waiter, isPart })
  }

  function forget(waiter: Waiter): void {
    waiters.delete(waiter)
    for (const key of waiter.keys) {
      const entries = watched.get(key)
      for (const entry of entries ?? []) if (entry.waiter === waiter) entries?.delete(entry)
      if (entries?.size === 0) watched.delete(key)
    }
  }

  /** Looks, and sleeps until told to look again, until nothing is missing or the wait ends. */
  async function untilReached(
    waiter: Waiter,
    names: readonly string[],
    timeoutMs: number,
  ): Promise<void> {
    for (;;) {
      // Armed before the look: what happens meanwhile is not missed.
      const woken = Promise.withResolvers<void>()
      waiter.wake = woken.resolve
      if (waiter.ending instanceof Refusal) throw waiter.ending
      const present = await presentVersions(context, waiter.container, names)
      const known = waiter.keys.size
      for (const { parts } of present) for (const part of parts) watch(waiter, part, true)
      // A part may have been written between the look and now.
      if (waiter.keys.size > known) continue
      const missing = present.find(({ version }) => version < waiter.minVersion)
      if (missing === undefined) return
      if (waiter.ending === 'late') throw notReached(waiter, missing, timeoutMs)
      await woken.promise
    }
  }

  function end(waiter: Waiter, ending: Refusal | 'late'): void {
    waiter.ending ??= ending
    waiter.wake()
  }

  return {
    async waitForVersions(container, names, minVersion, { timeoutMs, signal } = {}) {
      const time = timeoutMs ?? Math.min(limits.waitDefaultMs, limits.waitMostMs)
      checkWait(minVersion, time, limits.waitMostMs)
      if (hasEnded) throw serverClosing()
      if (waiters.size >= limits.waits) throw tooMany(limits.waits)
      const distinct = [...new Set(names)]
      const waiter: Waiter = {
        container,
        minVersion,
        keys: new Set(),
        wake: () => undefined,
        ending: time === 0 ? 'late' : undefined,
      }
      const timer = setTimeout(() => end(waiter, 'late'), time)
      const cancel = () => end(waiter, waiterGone())
      signal?.addEventListener('abort', cancel)
      if (signal?.aborted === true) cancel()
      waiters.add(waiter)
      for (const name of distinct) watch(waiter, name, false)
      try {
        await untilReached(waiter, distinct, time)
      } finally {
        clearTimeout(timer)
        signal?.removeEventListener('abort', cancel)
        forget(waiter)
      }
    },
    end() {
      hasEnded = true
      unsubscribe()
      for (const waiter of waiters) end(waiter, serverClosing())
    },
    get size() {
      return waiters.size
    },
  }
}

/** Every name's version now. Refuses (`variable/unknown`) a name of nothing. */
async function presentVersions(
  { store: { catalogue } }: Pick<Context, 'store'>,
  container: string,
  names: readonly string[],
): Promise<readonly Present[]> {
  const [first] = names
  // The usual case asks the store's memory alone.
  const one = names.length === 1 ? await catalogue.variable(container, first) : undefined
  if (one !== undefined) return [{ name: first, version: one.version, parts: [] }]
  const present = new Map<string, Present>()
  for (const { name, version } of await catalogue.variables(container, names)) {
    present.set(name, { name, version, parts: [] })
  }
  const rest = names.filter((name) => !present.has(name))
  if (rest.length > 0) {
    for (const whole of await catalogue.partitioned(container, rest)) {
      const { name, parts } = whole
      const version = versionOf(whole)
      present.set(name, { name, version, parts: parts.map((part) => part.name) })
    }
  }
  return names.map((name) => {
    const found = present.get(name)
    if (found === undefined) throw unknownVariable(container, name)
    return found
  })
}

function checkWait(minVersion: number, timeoutMs: number, mostMs: number): void {
  if (!Number.isSafeInteger(minVersion) || minVersion < 0) {
    throw invalidWait(`A version is a whole number of 0 or more; ${minVersion} was given.`)
  }
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 0 || timeoutMs > mostMs) {
    throw invalidWait(
      `A wait takes a whole number of milliseconds from 0 to ${mostMs}; ${timeoutMs} was given.`,
    )
  }
}

function invalidWait(sentence: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'wait/invalid', sentence, {
    fix: 'wait_most_ms of GET /v1/limits is the longest wait; ask again for a longer one.',
  })
}

function notReached(
  { container, minVersion }: Waiter,
  { name, version }: Present,
  timeoutMs: number,
): Refusal {
  return new Refusal(
    'DEADLINE_EXCEEDED',
    'variable/version-not-reached',
    `Variable ${name} has version ${version}; version ${minVersion} did not come within ${timeoutMs} ms.`,
    {
      fix: 'Ask again to go on waiting, or with a longer timeout_ms.',
      names: { variable: name, container, version, min_version: minVersion },
    },
  )
}

function tooMany(most: number): Refusal {
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    'wait/too-many',
    `${most} requests wait for versions already; no more may at once.`,
    { fix: 'Try again later, or follow many variables with one GET /v1/events.' },
  )
}
