// Putting a checkpoint's values back into variables: what has to be copied is copied, then one commit points
// the variables at the values. Nothing is cast or reshaped. What goes where is restore-sources.ts's, what fits
// restore-plan.ts's, what is changed restore-writes.ts's, how it is told restore-report.ts's.
import type { Change, CheckpointRecord, Committed, Idempotency, Json } from '../store/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { checkContainerName } from './names.ts'
import { checkGoing, type Watch } from './operations.ts'
import { namesToWrite, planRestore, type RestorePlan } from './restore-plan.ts'
import { checkStrict, type RestoreReport } from './restore-report.ts'
import {
  type SourcePlan,
  type SourceRequest,
  type Sources,
  sourcePlanOf,
  sourcesOf,
} from './restore-sources.ts'
import { type Copies, createCopies } from './restore-writes.ts'
import { variableKey } from './write-order.ts'
import { nothingDone } from './written.ts'

/** What to restore, into which container, and what to do where it does not fit. */
export interface RestoreRequest extends SourceRequest {
  /** Where to; the container that the checkpoint came from where absent. */
  readonly container?: string | undefined
  /** Refuse unless everything that is meant is stored, has its variable and fits. */
  readonly strict: boolean
  /** Whether strict lets global variables be that the checkpoint does not have; as if true where absent. */
  readonly allowMissing?: boolean | undefined
  /** Report only. */
  readonly dryRun: boolean
  /** Make the variables that are not there. */
  readonly create: boolean
  readonly idempotencyKey?: string | undefined
}

/** Refuses what no checkpoint could make right. */
export function checkRestore({ limits }: Context, request: RestoreRequest): void {
  if (request.container !== undefined) checkContainerName(request.container, limits)
  sourcePlanOf(request)
}

/**
 * Restores. Strict (FAILED_PRECONDITION `checkpoint/restore-mismatch`) refuses unless every stored
 * tensor that is meant has its variable and fits, and every name asked for is stored; lenient restores
 * what fits. Global variables that the checkpoint does not have are reported and left alone, unless they
 * are to be refused. Partitioned variables and tensors in slices go by the names of the wholes, cut
 * alike or not. What has to be copied is copied first; then all changes are one commit, in the turn of
 * the variables that it writes.
 */
export async function restoreCheckpoint(
  context: Context,
  checkpoint: CheckpointRecord,
  request: RestoreRequest,
  watch?: Watch,
): Promise<RestoreReport> {
  const container = request.container ?? checkpoint.container
  checkContainerName(container, context.limits)
  const restore = new Restore(context, checkpoint, container, request, sourcePlanOf(request))
  if (request.dryRun) return (await restore.plan(await restore.sources())).report
  const { idempotencyKey, ...described } = request
  const committed = await once(
    context,
    idempotencyKey,
    ['restore', checkpoint.id, described],
    (idempotency) => restore.commit(idempotency, watch),
  )
  return restore.reported(committed)
}

/** What a commit keeps beside itself, so that it can be told again. */
interface Outcome {
  readonly report: RestoreReport
  readonly wholes: RestorePlan['wholes']
}

/** One restore on its way. */
class Restore {
  readonly #context: Context
  readonly #checkpoint: CheckpointRecord
  readonly #container: string
  readonly #request: RestoreRequest
  readonly #plan: SourcePlan
  #outcome: Outcome | undefined

  constructor(
    context: Context,
    checkpoint: CheckpointRecord,
    container: string,
    request: RestoreRequest,
    plan: SourcePlan,
  ) {
    this.#context = context
    this.#checkpoint = checkpoint
    this.#container = container
    this.#request = request
    this.#plan = plan
  }

  sources(): Promise<Sources> {
    return sourcesOf(this.#context, this.#checkpoint, this.#plan)
  }

  async commit(idempotency: Idempotency | undefined, watch: Watch | undefined): Promise<Committed> {
    const context = this.#context
    const sources = await this.sources()
    const { names, mayCopy } = await namesToWrite(context, this.#container, sources)
    let bytesTotal: number | undefined
    let bytesDone = 0
    const copies = createCopies(context, watch, (byteLength) => {
      bytesDone += byteLength
      watch?.report({ bytesDone: Math.min(bytesDone, bytesTotal ?? bytesDone), bytesTotal })
    })
    try {
      if (mayCopy) {
        const plan = await this.#checked(sources)
        bytesTotal = plan.byteLength
        await changesOf(plan, copies)
      }
      const keys = names.map((name) => variableKey(this.#container, name))
      return await context.writes.turn(keys, 'exclusive', async () => {
        const plan = await this.#checked(sources)
        bytesTotal = plan.byteLength
        const changes = await changesOf(plan, copies)
        checkGoing(watch?.signal)
        const outcome = { report: plan.report, wholes: plan.wholes }
        this.#outcome = outcome
        if (changes.length === 0) return nothingDone
        const note = outcome as unknown as Json
        const committed = await context.store.catalogue.commit(
          changes,
          idempotency && { ...idempotency, note },
        )
        watch?.report({ bytesDone: bytesTotal, bytesTotal })
        return committed
      })
    } finally {
      await copies.discard()
    }
  }

  /** The report of a commit, made now or earlier. */
  reported(committed: Committed): RestoreReport {
    const kept = committed.note as unknown as Outcome | undefined
    const outcome = this.#outcome ?? kept
    if (outcome === undefined) throw new Error('a commit that was made before keeps its report')
    return { ...outcome.report, versions: versionsOf(committed, outcome.wholes) }
  }

  async #checked(sources: Sources): Promise<RestorePlan> {
    const plan = await this.plan(sources)
    if (this.#request.strict) checkStrict(plan.report, sources, this.#request)
    return plan
  }

  plan(sources: Sources): Promise<RestorePlan> {
    const { create } = this.#request
    const into = { checkpoint: this.#checkpoint.id, container: this.#container, create }
    return planRestore(this.#context, into, this.#plan, sources)
  }
}

async function changesOf({ steps }: RestorePlan, copies: Copies): Promise<readonly Change[]> {
  const changes: Change[] = []
  for (const step of steps) changes.push(...(await step.changes(copies)))
  return changes
}

/** Versions by variable; of parts that were restored as one, the sum under the name of the whole. */
function versionsOf(
  { variables }: Committed,
  wholes: RestorePlan['wholes'],
): Record<string, number> {
  const byName = new Map(variables.map(({ name, version }) => [name, version]))
  const versions: Record<string, number> = Object.create(null)
  for (const [whole, parts] of wholes) {
    versions[whole] = parts.reduce((sum, part) => sum + (byName.get(part) ?? 0), 0)
    for (const part of parts) byName.delete(part)
  }
  for (const [name, version] of byName) versions[name] = version
  return versions
}
