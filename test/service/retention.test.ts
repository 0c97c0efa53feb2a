// What stays of checkpoints: the rules against a plain run of TensorFlow's Saver, save by save.
import fc from 'fast-check'
import t from 'tap'
import {
  type Judged,
  judge,
  type RetentionRules,
  rulesOfJson,
  rulesToJson,
} from '../../service/retention-rules.ts'

const hourMs = 3_600_000
const none: RetentionRules = { maxToKeep: null, everyHours: null, best: null }

function made(id: number, more: Partial<Judged> = {}): Judged {
  return {
    id: String(id),
    step: undefined,
    pinned: false,
    labels: [],
    metadata: {},
    createdAt: 0,
    ...more,
  }
}

/** Reasons by id. */
function reasons(
  rules: Partial<RetentionRules>,
  checkpoints: readonly Judged[],
  since = { at: 0, through: 0 },
): Record<string, readonly string[]> {
  const judgements = judge({ ...none, ...rules }, since, checkpoints)
  return Object.fromEntries(judgements.map((one) => [one.checkpoint.id, one.because]))
}

t.test('without a number to keep everything stays', async (t) => {
  const three = [made(1), made(2), made(3)]
  for (const maxToKeep of [null, 0]) {
    t.same(reasons({ maxToKeep, everyHours: 1 }, three), {
      1: ['unlimited'],
      2: ['unlimited'],
      3: ['unlimited'],
    })
  }
})

t.test('the newest by id stay, whatever their clocks said', async (t) => {
  const jumping = [made(1, { createdAt: 9e12 }), made(2, { createdAt: -5 }), made(10)]
  t.same(reasons({ maxToKeep: 2 }, jumping), { 1: [], 2: ['newest'], 10: ['newest'] })
})

t.test('pins, labels and the best stay beside the newest', async (t) => {
  const accuracy = (number: unknown) => ({ metadata: { accuracy: number } }) as Partial<Judged>
  const found = reasons({ maxToKeep: 1, best: { metadata: 'accuracy', mode: 'max', count: 2 } }, [
    made(1, { pinned: true }),
    made(2, { labels: ['x'], ...accuracy(0.5) }),
    made(3, accuracy(0.9)),
    made(4, accuracy('0.99')),
    made(5, accuracy(0.5)),
    made(6, { metadata: { loss: 7 } }),
    made(7, accuracy(0.1)),
  ])
  t.same(found, {
    1: ['pinned'],
    2: ['labelled'],
    3: ['best'],
    4: [],
    5: ['best'],
    6: [],
    7: ['newest'],
  })
  const least = reasons({ maxToKeep: 1, best: { metadata: 'accuracy', mode: 'min', count: 1 } }, [
    made(1, accuracy(-1)),
    made(2, accuracy(-2)),
    made(3, accuracy(0)),
  ])
  t.same(least, { 1: [], 2: ['best'], 3: ['newest'] })
})

t.test('every n hours one stays, on the grid that began with the rule', async (t) => {
  const at = (id: number, hours: number) => made(id, { createdAt: hours * hourMs })
  const checkpoints = [at(1, 0.5), at(2, 1), at(3, 1.1), at(4, 1.2), at(5, 2.1), at(6, 9), at(7, 9)]
  const found = reasons({ maxToKeep: 1, everyHours: 1 }, checkpoints)
  const stay = Object.entries(found).flatMap(([id, because]) =>
    because.includes('every_n_hours') ? [id] : [],
  )
  t.same(stay, ['3', '5', '6', '7'], 'exactly n hours are not over them; missed hours are made up')
})

t.test('of what was there before the rule those n hours apart stay', async (t) => {
  const at = (id: number, hours: number) => made(id, { createdAt: hours * hourMs })
  const checkpoints = [at(1, 3), at(2, 3.9), at(3, 4), at(4, 1), at(5, 5), at(6, 10.5), at(7, 12)]
  const since = { at: 10 * hourMs, through: 5 }
  const found = reasons({ maxToKeep: 1, everyHours: 1 }, checkpoints, since)
  t.same(found, {
    1: ['every_n_hours'],
    2: [],
    3: ['every_n_hours'],
    4: [],
    5: ['every_n_hours'],
    6: [],
    7: ['newest', 'every_n_hours'],
  })
})

t.test('rules come back from JSON as they were', async (t) => {
  const rules = { maxToKeep: 3, everyHours: 0.5, best: { metadata: 'a', mode: 'min', count: 2 } }
  const since = { at: 5, through: 7 }
  t.same(rulesOfJson(rulesToJson(rules as RetentionRules, since)), { ...rules, since })
})

/** A Saver of TensorFlow 1, and who of those that left its list would be deleted. */
class PlainSaver {
  readonly #maxToKeep: number
  readonly #stepMs: number
  #next: number
  readonly #list: Judged[] = []
  readonly #left: { readonly checkpoint: Judged; readonly isPreserved: boolean }[] = []

  constructor(maxToKeep: number, hours: number | null, builtAt: number) {
    this.#maxToKeep = maxToKeep
    this.#stepMs = hours === null ? Number.POSITIVE_INFINITY : hours * hourMs
    this.#next = builtAt + this.#stepMs
  }

  save(checkpoint: Judged): void {
    this.#list.push(checkpoint)
    if (this.#list.length <= this.#maxToKeep) return
    const oldest = this.#list.shift() as Judged
    const isPreserved = oldest.createdAt > this.#next
    if (isPreserved) this.#next += this.#stepMs
    this.#left.push({ checkpoint: oldest, isPreserved })
  }

  /** Ids that a Saver leaves, together with those that `isKept` keeps for other reasons. */
  left(isKept: (id: string) => boolean): Set<string> {
    const kept = this.#left.filter(
      ({ checkpoint, isPreserved }) => isPreserved || isKept(checkpoint.id),
    )
    return new Set([...this.#list, ...kept.map(({ checkpoint }) => checkpoint)].map(({ id }) => id))
  }
}

t.test('save by save the same stays as with a Saver, pins, labels and scores beside', async (t) => {
  const event = fc.record({
    afterMs: fc.integer({ min: -hourMs, max: 2 * hourMs }),
    score: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
    turn: fc.constantFrom('none', 'pin', 'unpin', 'label', 'unlabel'),
    which: fc.nat(20),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.option(fc.double({ min: 0.1, max: 3, noNaN: true }), { nil: null }),
      fc.option(fc.integer({ min: 1, max: 3 }), { nil: null }),
      fc.array(event, { maxLength: 40 }),
      (maxToKeep, everyHours, bestCount, events) => {
        const best =
          bestCount === null ? null : ({ metadata: 's', mode: 'max', count: bestCount } as const)
        const saver = new PlainSaver(maxToKeep, everyHours, 0)
        let present: Judged[] = []
        let now = 0
        for (const [index, { afterMs, score, turn, which }] of events.entries()) {
          now += afterMs
          if (present.length > 0) {
            const place = which % present.length
            const one = present[place]
            const pinned = turn === 'pin' || (turn !== 'unpin' && one.pinned)
            const isLabelled = turn === 'label' || (turn !== 'unlabel' && one.labels.length > 0)
            present[place] = { ...one, pinned, labels: isLabelled ? ['l'] : [] }
          }
          const metadata: Judged['metadata'] = score === undefined ? {} : { s: score }
          const saved = made(index + 1, { createdAt: now, metadata })
          present.push(saved)
          saver.save(saved)
          const ranked = present
            .filter(({ metadata }) => metadata.s !== undefined)
            .sort(
              (a, b) => Number(b.metadata.s) - Number(a.metadata.s) || Number(b.id) - Number(a.id),
            )
            .slice(0, bestCount ?? 0)
          const isKept = (id: string): boolean => {
            const one = present.find((other) => other.id === id)
            if (one === undefined) return false
            return one.pinned || one.labels.length > 0 || ranked.includes(one)
          }
          const wanted = saver.left(isKept)
          const judgements = judge({ maxToKeep, everyHours, best }, { at: 0, through: 0 }, present)
          present = judgements
            .filter(({ because }) => because.length > 0)
            .map(({ checkpoint }) => checkpoint)
          const found = new Set(present.map(({ id }) => id))
          if (found.symmetricDifference(wanted).size === 0) continue
          throw new Error(`${[...found]} stay; ${[...wanted]} were to stay`)
        }
      },
    ),
    { numRuns: 300 },
  )
  t.pass('in 300 histories')
})
