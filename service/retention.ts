// Retention: rules for each container, applied after every checkpoint that is made in it, when they are set,
// and now and then besides, since labels, pins and metadata change what may go. What goes is decided by
// retention-rules.ts; here it is read and deleted, a bounded number in a commit.
import type { CheckpointRecord } from '../store/index.ts'
import type { Context } from './context.ts'
import { checkContainerName } from './names.ts'
import { everyItem } from './pages.ts'
import {
  type Judgement,
  judge,
  noRules,
  type RetentionRules,
  type RetentionSince,
  rulesOfJson,
  rulesToJson,
} from './retention-rules.ts'

/** Rules and since when they count hours; undefined: none were set. */
export interface RetentionView extends RetentionRules {
  readonly container: string
  readonly since: RetentionSince | undefined
}

/** What went, or would go, and why the rest stays; newest first. */
export interface RetentionReport {
  readonly goes: readonly Judgement[]
  readonly stays: readonly Judgement[]
}

export interface Retention {
  get(container: string): Promise<RetentionView>
  /** What the rules would do now; the container's own where none are given. */
  preview(container: string, rules?: RetentionRules): Promise<RetentionReport>
  /** Sets rules in place of those before, and applies them. */
  set(container: string, rules: RetentionRules): Promise<RetentionReport>
  /** Applies the rules of every container, as the timer does. */
  applyAll(): Promise<void>
  /** Resolves once what the last checkpoint of the container called for is done, well or not. */
  settled(container: string): Promise<void>
  /** Ends the timer, and waits for what is under way. */
  close(): Promise<void>
}

/** Checkpoints that one commit deletes at most. */
const deletedPerCommit = 100
/** Labels, pins and metadata may have let go of something since. */
const intervalMs = 10 * 60_000

/** Retention in a store. `log` hears of what could not be deleted. */
export function createRetention(
  context: Context,
  log: (message: string, error: unknown) => void,
): Retention {
  const { catalogue, bus } = context.store
  /** The last application to each container. */
  const turns = new Map<string, Promise<unknown>>()
  /** Containers of which an application waits that has not begun. */
  const waiting = new Set<string>()

  function inTurn<T>(container: string, work: () => Promise<T>): Promise<T> {
    const done = (turns.get(container) ?? Promise.resolve()).then(work)
    const settled = done.catch(() => undefined)
    turns.set(container, settled)
    void settled.then(() => {
      if (turns.get(container) === settled) turns.delete(container)
    })
    return done
  }

  /** One application for all checkpoints that come before it begins. */
  function applySoon(container: string): void {
    if (waiting.has(container)) return
    waiting.add(container)
    inTurn(container, async () => {
      waiting.delete(container)
      await applyRules(context, container)
    }).catch((error: unknown) => log(`retention of the container "${container}" failed`, error))
  }

  async function applyAll(): Promise<void> {
    for await (const { container } of everyItem(context, (page) => catalogue.listRetention(page))) {
      applySoon(container)
      await turns.get(container)
    }
  }

  const unsubscribe = bus.subscribe(({ kind, action, container }) => {
    if (kind === 'checkpoint' && action === 'created') applySoon(container)
  })
  const timer = setInterval(() => {
    applyAll().catch((error: unknown) => log('retention failed', error))
  }, intervalMs)
  timer.unref()

  return {
    get: (container) => viewOf(context, container),
    async preview(container, rules) {
      const now = await viewOf(context, container)
      if (rules === undefined) return reportOf(context, now)
      return reportOf(context, { ...rules, container, since: await sinceOf(context, now, rules) })
    },
    set: (container, rules) =>
      inTurn(container, async () => {
        const since = await sinceOf(context, await viewOf(context, container), rules)
        const isNone = rules.maxToKeep === null && rules.everyHours === null && rules.best === null
        await catalogue.commit([
          {
            kind: 'put_retention',
            container,
            rules: isNone ? null : rulesToJson(rules, since),
          },
        ])
        const report = await reportOf(context, { ...rules, container, since })
        await deleteGoing(context, report)
        return report
      }),
    applyAll,
    async settled(container) {
      await turns.get(container)
    },
    async close() {
      clearInterval(timer)
      unsubscribe()
      await Promise.all(turns.values())
    },
  }
}

/** The same, but that what `made` makes is there only once the rules were applied after it. */
export function withRetention<
  Name extends string,
  Parts extends Readonly<Record<Name, (...given: never[]) => Promise<CheckpointRecord>>>,
>(retention: Retention, parts: Parts, made: Name): Parts {
  return {
    ...parts,
    async [made](...given: Parameters<Parts[Name]>) {
      const record = await parts[made](...given)
      await retention.settled(record.container)
      return record
    },
  }
}

async function viewOf(context: Context, container: string): Promise<RetentionView> {
  checkContainerName(container, context.limits)
  const record = await context.store.catalogue.retention(container)
  if (record === undefined) return { ...noRules, container, since: undefined }
  return { ...rulesOfJson(record.rules), container }
}

/** Hours are counted from now where the rule is another one than before. */
async function sinceOf(
  { clock, store: { catalogue } }: Context,
  { container, since, everyHours }: RetentionView,
  rules: RetentionRules,
): Promise<RetentionSince> {
  if (since !== undefined && everyHours === rules.everyHours) return since
  const newest = await catalogue.checkpoint('latest', container)
  return { at: clock(), through: newest === undefined ? 0 : Number(newest.id) }
}

async function reportOf(context: Context, view: RetentionView): Promise<RetentionReport> {
  const { container, since = { at: 0, through: 0 } } = view
  const found: CheckpointRecord[] = []
  const all = everyItem(context, (page) =>
    context.store.catalogue.listCheckpoints({ container }, page),
  )
  for await (const record of all) found.push(record)
  const judgements = judge(view, since, found.reverse()).toReversed()
  return {
    goes: judgements.filter(({ because }) => because.length === 0),
    stays: judgements.filter(({ because }) => because.length > 0),
  }
}

/** Whether all checkpoints of the container are among the newest that stay. */
async function isBelowLimit(
  { store: { catalogue }, limits }: Context,
  { container, maxToKeep }: RetentionView,
): Promise<boolean> {
  if (maxToKeep === null || maxToKeep >= limits.pageEntries) return false
  const page = await catalogue.listCheckpoints({ container }, { limit: Math.max(1, maxToKeep) })
  return page.cursor === undefined
}

/** Deletes what goes by the container's own rules. */
async function applyRules(context: Context, container: string): Promise<void> {
  const view = await viewOf(context, container)
  if (view.maxToKeep === null || view.maxToKeep === 0) return
  if (!(await isBelowLimit(context, view)))
    await deleteGoing(context, await reportOf(context, view))
}

/** Deletes what goes, oldest first; what was pinned or labelled meanwhile stays. */
async function deleteGoing({ store }: Context, { goes }: RetentionReport): Promise<void> {
  const oldestFirst = goes.toReversed()
  for (let begin = 0; begin < oldestFirst.length; begin += deletedPerCommit) {
    await store.catalogue.commit(
      oldestFirst.slice(begin, begin + deletedPerCommit).map(({ checkpoint: { id } }) => ({
        kind: 'delete_checkpoint' as const,
        id,
        unlessKept: true,
      })),
    )
  }
}
