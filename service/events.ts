// What changed, as a list without end: from the store's log as far back as it goes, then live, without
// a gap or a repetition between the two. A listener that is slow is served from the log again, so what
// waits for it in memory is bounded. It knows events and their places, and nothing of HTTP.
import type { Bus, EventPlace, StoreEvent } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { serverClosing } from './endings.ts'
import { createVersionWaits, type VersionWaits } from './version-waits.ts'

/** Which events a listener wants: those that every given list lets through. */
export interface EventFilter {
  readonly kinds?: readonly StoreEvent['kind'][] | undefined
  readonly actions?: readonly StoreEvent['action'][] | undefined
  /** What belongs to no container counts as of the empty one. */
  readonly containers?: readonly string[] | undefined
  /** The name of a partitioned variable stands for its parts as well. */
  readonly names?: readonly string[] | undefined
  /** Beginnings of names. */
  readonly prefixes?: readonly string[] | undefined
}

/** One thing that a listener is told. */
export type Told =
  | { readonly kind: 'event'; readonly event: StoreEvent }
  | {
      /** Events between these places cannot be had (any more); whatever comes after the second can. */
      readonly kind: 'gap'
      readonly after: EventPlace
      readonly resumesAfter: EventPlace
    }
  | {
      /** Nothing more to tell now: everything that the filter lets through, up to `place`, was told. */
      readonly kind: 'quiet'
      readonly place: EventPlace
    }

export interface Events extends Pick<VersionWaits, 'waitForVersions'> {
  /**
   * Tells in order what the filter lets through: after the place `after`, or from now on. Once nothing
   * is left to tell it says so, and again after every `eventHeartbeatMs` of silence. Ends by `signal`
   * and by {@link Events.end}. Refuses RESOURCE_EXHAUSTED `events/too-many-streams` beyond the limit
   * `eventStreams`, and UNAVAILABLE `server/closing` after the end.
   */
  follow(
    filter: EventFilter,
    after: EventPlace | undefined,
    signal: AbortSignal,
  ): AsyncIterable<readonly Told[]>
  /** How much of the log of events is kept at most: the newest commits, in so many bytes. */
  readonly logKept: Bus['logKept']
  /** Listeners and waits under way. */
  size(): { readonly streams: number; readonly waits: number }
  /** Ends every listener's list and every wait, and refuses later ones. */
  end(): void
}

/** Events of a store. */
export function createEvents(context: Pick<Context, 'store' | 'limits'>): Events {
  const { limits } = context
  const waits = createVersionWaits(context)
  const listeners = new Set<Listener>()
  let hasEnded = false
  return {
    waitForVersions: waits.waitForVersions,
    follow(filter, after, signal) {
      if (hasEnded) throw serverClosing()
      if (listeners.size >= limits.eventStreams) throw tooManyStreams(limits.eventStreams)
      const listener = new Listener(context, letThrough(filter))
      listeners.add(listener)
      listener.ended.then(() => listeners.delete(listener))
      if (signal.aborted) listener.end()
      else signal.addEventListener('abort', () => listener.end(), { once: true })
      return listener.follow(after)
    },
    logKept: context.store.bus.logKept,
    size: () => ({ streams: listeners.size, waits: waits.size }),
    end() {
      hasEnded = true
      waits.end()
      for (const listener of listeners) listener.end()
    },
  }
}

/** Events read from the log at a time. */
const eventsPerRead = 500

/** One list being told. It holds what came since it was last asked, until that is too much. */
class Listener {
  readonly ended: Promise<void>
  readonly #context: Pick<Context, 'store' | 'limits'>
  readonly #wants: (event: StoreEvent) => boolean
  readonly #unsubscribe: () => void
  readonly #resolveEnded: () => void
  #queue: StoreEvent[] = []
  /** Where the last event of the bus stood. */
  #heard: EventPlace | undefined
  /** What came is in the log only. */
  #isLagging = false
  #hasEnded = false
  #wake: () => void = () => undefined

  constructor(context: Pick<Context, 'store' | 'limits'>, wants: (event: StoreEvent) => boolean) {
    this.#context = context
    this.#wants = wants
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    this.#resolveEnded = resolve
    this.#unsubscribe = context.store.bus.subscribe((event) => this.#hear(event))
  }

  end(): void {
    this.#hasEnded = true
    this.#unsubscribe()
    this.#queue = []
    this.#resolveEnded()
    this.#wake()
  }

  async *follow(after: EventPlace | undefined): AsyncGenerator<readonly Told[]> {
    try {
      // It listens already: what is committed from here on is in the log, in the queue, or in both.
      let place = after ?? (await this.#context.store.catalogue.eventsKept()).last
      if (after !== undefined) this.#isLagging = true
      let isQuiet = true
      while (!this.#hasEnded) {
        if (this.#isLagging) place = yield* this.#fromLog(place)
        const told = this.#fromQueue(place)
        place = told.place
        if (told.events.length > 0) yield told.events
        else if (isQuiet) yield [{ kind: 'quiet', place }]
        isQuiet = await this.#silence()
      }
    } finally {
      this.end()
    }
  }

  #hear(event: StoreEvent): void {
    this.#heard = event
    if (this.#isLagging || !this.#wants(event)) return
    if (this.#queue.length >= this.#context.limits.eventsQueued) {
      this.#queue = []
      this.#isLagging = true
    } else {
      this.#queue.push(event)
    }
    this.#wake()
  }

  /** Tells what the log holds after `place`, to its end; answers with the place of that. */
  async *#fromLog(after: EventPlace): AsyncGenerator<readonly Told[], EventPlace> {
    const { catalogue } = this.#context.store
    let place = after
    while (!this.#hasEnded) {
      // What comes from now on is queued, and in the log: one of the two is dropped by its place.
      this.#queue = []
      this.#isLagging = false
      const events = await catalogue.eventsAfter(place, eventsPerRead)
      const kept = await catalogue.eventsKept()
      const told: Told[] = []
      if (isLost(place, kept)) {
        const { first, last } = kept
        const resumesAfter = isBefore(last, place) ? last : { ...first, ordinal: first.ordinal - 1 }
        told.push({ kind: 'gap', after: place, resumesAfter })
        place = resumesAfter
      }
      for (const event of events) if (this.#wants(event)) told.push({ kind: 'event', event })
      place = events.at(-1) ?? place
      if (told.length > 0) yield told
      if (events.length < eventsPerRead && !this.#isLagging) return place
      // Long logs are read in turns that let others have the thread.
      await new Promise((resolve) => setImmediate(resolve))
    }
    return place
  }

  /** What came live after `place`, and how far that is. */
  #fromQueue(place: EventPlace): { readonly events: readonly Told[]; readonly place: EventPlace } {
    if (this.#isLagging) return { events: [], place }
    const events = this.#queue
      .filter((event) => isBefore(place, event))
      .map((event) => ({ kind: 'event' as const, event }))
    this.#queue = []
    const heard = this.#heard
    return { events, place: heard !== undefined && isBefore(place, heard) ? heard : place }
  }

  /** Waits until something came (false), or for so long that it is time to say that nothing did. */
  async #silence(): Promise<boolean> {
    if (this.#hasEnded || this.#isLagging || this.#queue.length > 0) return false
    const woken = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => woken.resolve(true), this.#context.limits.eventHeartbeatMs)
    this.#wake = () => woken.resolve(false)
    const isQuiet = await woken.promise
    clearTimeout(timer)
    return isQuiet
  }
}

/** Whether something between `place` and the events that are kept may be missing. */
function isLost(
  place: EventPlace,
  { first, last }: { readonly first: EventPlace; readonly last: EventPlace },
): boolean {
  // A place of another store, or of this one before it was put back to an older copy.
  if (isBefore(last, place)) return true
  if (!isBefore(place, first)) return false
  return !(first.ordinal === 1 && first.sequence === place.sequence + 1)
}

/** The text of a place: `sequence-ordinal`. */
export function textOfPlace({ sequence, ordinal }: EventPlace): string {
  return `${sequence}-${ordinal}`
}

/** The place that {@link textOfPlace} wrote. Refuses (INVALID_ARGUMENT `events/invalid-id`) other texts. */
export function placeOfText(text: string): EventPlace {
  const found = /^(\d{1,15})-(\d{1,15})$/.exec(text)
  if (found !== null) return { sequence: Number(found[1]), ordinal: Number(found[2]) }
  throw new Refusal(
    'INVALID_ARGUMENT',
    'events/invalid-id',
    `The id of an event is two numbers such as 12-1; ${JSON.stringify(shorten(text))} was given.`,
    { fix: 'Give the id of the last event that came, or 0-0 for everything that is kept.' },
  )
}

function shorten(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 40)}..`
}

function isBefore(a: EventPlace, b: EventPlace): boolean {
  return a.sequence < b.sequence || (a.sequence === b.sequence && a.ordinal < b.ordinal)
}

// As TensorFlow names the parts of a partitioned variable.
const partName = /^(.+)\/part_\d+$/

function letThrough(filter: EventFilter): (event: StoreEvent) => boolean {
  const { kinds, actions, containers, names, prefixes } = filter
  const wantedNames = names && new Set(names)
  return ({ kind, action, container, name }) => {
    if (kinds !== undefined && !kinds.includes(kind)) return false
    if (actions !== undefined && !actions.includes(action)) return false
    if (containers !== undefined && !containers.includes(container)) return false
    if (wantedNames === undefined && prefixes === undefined) return true
    if (wantedNames?.has(name) === true) return true
    const whole = kind === 'variable' ? partName.exec(name)?.[1] : undefined
    if (whole !== undefined && wantedNames?.has(whole) === true) return true
    return prefixes?.some((prefix) => name.startsWith(prefix)) === true
  }
}

function tooManyStreams(most: number): Refusal {
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    'events/too-many-streams',
    `${most} streams of events are open already; no more may be at once.`,
    { fix: 'Close one, or follow more with one stream: every filter takes a list.' },
  )
}
