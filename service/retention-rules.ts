// What may go of a container's checkpoints, as a function of the rules and of the checkpoints. The order is
// that of their ids, so of no clock; only "every n hours" asks when they were made. The rules of age are
// those of TensorFlow's Saver (python/training/saver.py): the newest stay, and one that leaves them stays for good
// where its time has come, which is n hours after the rule was set, and n hours later after each that stayed.
import type { CheckpointRecord, Json } from '../store/index.ts'

/** Which of them is best. */
export interface BestRule {
  /** Key of the metadata that holds the number. */
  readonly metadata: string
  readonly mode: 'max' | 'min'
  /** So many of the best stay. */
  readonly count: number
}

/** Rules as a caller gives them. */
export interface RetentionRules {
  /** So many of the newest stay; null and 0: all of them. */
  readonly maxToKeep: number | null
  /** Null: no checkpoint stays for that. */
  readonly everyHours: number | null
  readonly best: BestRule | null
}

/** When "every n hours" was set: what it counts from. */
export interface RetentionSince {
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Number of the newest checkpoint that was there then; 0: none. */
  readonly through: number
}

/** No rule: everything stays. */
export const noRules: RetentionRules = { maxToKeep: null, everyHours: null, best: null }

/** What is asked of a checkpoint. */
export type Judged = Pick<
  CheckpointRecord,
  'id' | 'pinned' | 'labels' | 'metadata' | 'createdAt' | 'step'
>

/** Why a checkpoint stays. */
export type KeepReason = 'unlimited' | 'newest' | 'every_n_hours' | 'best' | 'pinned' | 'labelled'

/** A checkpoint and why it stays; without a reason it goes. */
export interface Judgement {
  readonly checkpoint: Judged
  readonly because: readonly KeepReason[]
}

const hourMs = 3_600_000

/** Judges all checkpoints of a container, which come oldest first. */
export function judge(
  rules: RetentionRules,
  since: RetentionSince,
  checkpoints: readonly Judged[],
): readonly Judgement[] {
  const { maxToKeep, everyHours, best } = rules
  const isUnlimited = maxToKeep === null || maxToKeep === 0
  const firstNew = checkpoints.length - (maxToKeep ?? 0)
  const hourly = everyHours === null ? new Set() : keptByHours(everyHours, since, checkpoints)
  const bests = best === null ? new Set() : bestOf(best, checkpoints)
  return checkpoints.map((checkpoint, place) => {
    const { id, pinned, labels } = checkpoint
    const because: KeepReason[] = []
    if (isUnlimited) because.push('unlimited')
    else if (place >= firstNew) because.push('newest')
    if (hourly.has(id)) because.push('every_n_hours')
    if (bests.has(id)) because.push('best')
    if (pinned) because.push('pinned')
    if (labels.length > 0) because.push('labelled')
    return { checkpoint, because }
  })
}

/**
 * Those that stay for their time. Of what was there before the rule, which a Saver would know nothing of,
 * the first stays and each that was made n hours or more after the one before it that stays. A checkpoint
 * that does not stay changes nothing for the later ones, so that deleting it does not either.
 */
function keptByHours(
  hours: number,
  since: RetentionSince,
  checkpoints: readonly Judged[],
): ReadonlySet<string> {
  const kept = new Set<string>()
  const stepMs = hours * hourMs
  let last = Number.NEGATIVE_INFINITY
  let next = since.at + stepMs
  for (const { id, createdAt } of checkpoints) {
    if (Number(id) <= since.through) {
      if (createdAt < last + stepMs) continue
      last = createdAt
    } else {
      if (createdAt <= next) continue
      next += stepMs
    }
    kept.add(id)
  }
  return kept
}

/** The best by a number in their metadata; of equals the newer. Others than numbers do not count. */
function bestOf(
  { metadata: key, mode, count }: BestRule,
  checkpoints: readonly Judged[],
): ReadonlySet<string> {
  const sign = mode === 'max' ? -1 : 1
  const scored = checkpoints.flatMap(({ id, metadata }) => {
    const score = Object.hasOwn(metadata, key) ? metadata[key] : undefined
    return typeof score === 'number' ? [{ id, score: sign * score }] : []
  })
  scored.sort((a, b) => a.score - b.score || Number(b.id) - Number(a.id))
  return new Set(scored.slice(0, count).map(({ id }) => id))
}

/** Rules as the store keeps them. */
export function rulesToJson(rules: RetentionRules, since: RetentionSince): Json {
  const { maxToKeep, everyHours, best } = rules
  return { maxToKeep, everyHours, best: best && { ...best }, since: { ...since } }
}

/** What {@link rulesToJson} made. */
export function rulesOfJson(json: Json): RetentionRules & { readonly since: RetentionSince } {
  return json as unknown as RetentionRules & { readonly since: RetentionSince }
}
