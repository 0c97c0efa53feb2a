// Putting a checkpoint's values back into variables: first a report of what fits and what does not,
// then one commit that points the variables at the stored values. Nothing is cast or reshaped. What goes
// where is restore-sources.ts's, what is changed restore-writes.ts's, the report restore-report.ts's.
import type {
  Change,
  CheckpointRecord,
  Committed,
  Idempotency,
  Json,
  PartitionedRecord,
  VariableRecord,
} from '../store/index.ts'
import { fitsShape, formatShape, Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { checkContainerName, collectionKey, isVariableName } from './names.ts'
import { checkGoing, type Watch } from './operations.ts'
import { everyPartitioned, isPartitioned } from './partitioned.ts'
import { checkStrict, type Mismatch, type RestoreReport } from './restore-report.ts'
import {
  type RestoreSource,
  type SourcePlan,
  type SourceRequest,
  type Sources,
  sourcePlanOf,
  sourcesOf,
} from './restore-sources.ts'
import {
  byteLengthOfSource,
  type Copies,
  createCopies,
  creationOf,
  namesOfParts,
  type RestoreStep,
  writingOf,
} from './restore-writes.ts'
import { everyVariable } from './variables.ts'
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

interface Plan {
  readonly report: RestoreReport
  readonly steps: readonly RestoreStep[]
  /** Bytes of what will be restored. */
  readonly byteLength: number
  /** Names of parts, by the partitioned variable that is restored as one. */
  readonly wholes: readonly (readonly [whole: string, parts: readonly string[]])[]
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
  readonly wholes: Plan['wholes']
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

  async #checked(sources: Sources): Promise<Plan> {
    const plan = await this.plan(sources)
    if (this.#request.strict) checkStrict(plan.report, sources, this.#request)
    return plan
  }

  async plan(sources: Sources): Promise<Plan> {
    const container = this.#container
    const targets = await targetsOf(this.#context, container, this.#plan, sources)
    const planned = new Planned(this.#context, container, this.#request.create)
    for (const [name, source] of sources.byVariable) {
      planned.add(name, source, targets.wholes.get(name) ?? targets.variables.get(name))
    }
    checkWrittenOnce(planned.steps)
    const { steps, byteLength, wholes } = planned
    const report = {
      checkpoint: this.#checkpoint.id,
      container,
      ...planned.found(),
      missing: [...sources.absent.keys(), ...missingOf(targets, sources)],
      skipped: sources.skipped,
      sources: [...sources.byVariable].flatMap(([name, source]) => otherSource(name, source)),
      versions: {},
    }
    return { report, steps, byteLength, wholes }
  }
}

/** What is found out of sources, one by one. */
class Planned {
  readonly steps: RestoreStep[] = []
  readonly wholes: (readonly [string, readonly string[]])[] = []
  byteLength = 0
  readonly #restored: string[] = []
  readonly #created: string[] = []
  readonly #unexpected = new Set<string>()
  readonly #shapeMismatches: Mismatch[] = []
  readonly #dtypeMismatches: Mismatch[] = []
  readonly #context: Context
  readonly #container: string
  readonly #create: boolean

  constructor(context: Context, container: string, create: boolean) {
    this.#context = context
    this.#container = container
    this.#create = create
  }

  add(name: string, source: RestoreSource, target: Target | undefined): void {
    const both = { name, tensor: source.name }
    if (target === undefined) {
      if (!this.#create || !isVariableName(name, this.#context.limits)) {
        this.#unexpected.add(source.name)
        return
      }
      const { step, parts } = creationOf(this.#container, name, source)
      this.#created.push(name)
      this.#take(name, source, step, parts)
    } else if (target.dtype !== source.dtype) {
      this.#dtypeMismatches.push({ ...both, expected: target.dtype, found: source.dtype })
    } else if (!fitsShape(source.shape, target.shape)) {
      const [expected, found] = [formatShape(target.shape), formatShape(source.shape)]
      this.#shapeMismatches.push({ ...both, expected, found })
    } else {
      const step = writingOf(this.#context, target, source)
      this.#take(name, source, step, isPartitioned(target) ? step.writes : undefined)
    }
  }

  found() {
    return {
      restored: this.#restored,
      created: this.#created,
      unexpected: [...this.#unexpected],
      shapeMismatches: this.#shapeMismatches,
      dtypeMismatches: this.#dtypeMismatches,
    }
  }

  #take(
    name: string,
    source: RestoreSource,
    step: RestoreStep,
    parts: readonly string[] | undefined,
  ): void {
    this.#restored.push(name)
    this.steps.push(step)
    this.byteLength += byteLengthOfSource(source)
    if (parts !== undefined) this.wholes.push([name, parts])
  }
}

async function changesOf({ steps }: Plan, copies: Copies): Promise<readonly Change[]> {
  const changes: Change[] = []
  for (const step of steps) changes.push(...(await step.changes(copies)))
  return changes
}

/** Refuses (INVALID_ARGUMENT `checkpoint/ambiguous-selection`) a whole and a part of it both. */
function checkWrittenOnce(steps: readonly RestoreStep[]): void {
  const written = new Set<string>()
  for (const { writes } of steps) {
    for (const name of writes) {
      if (!written.has(name)) {
        written.add(name)
        continue
      }
      throw new Refusal(
        'INVALID_ARGUMENT',
        'checkpoint/ambiguous-selection',
        `Variable ${name} would be written twice: by itself and as a part.`,
        { fix: 'Restore the whole, or its parts.', names: { variable: name } },
      )
    }
  }
}

/** Where a variable's value comes from, unless that is the tensor of its own name. */
function otherSource(name: string, source: RestoreSource): RestoreReport['sources'] {
  if (source.form === 'cut') return [{ name, tensor: source.name, slice: source.slice }]
  return source.name === name ? [] : [{ name, tensor: source.name, slice: null }]
}

/** Versions by variable; of parts that were restored as one, the sum under the name of the whole. */
function versionsOf({ variables }: Committed, wholes: Plan['wholes']): Record<string, number> {
  const byName = new Map(variables.map(({ name, version }) => [name, version]))
  const versions: Record<string, number> = Object.create(null)
  for (const [whole, parts] of wholes) {
    versions[whole] = parts.reduce((sum, part) => sum + (byName.get(part) ?? 0), 0)
    for (const part of parts) byName.delete(part)
  }
  for (const [name, version] of byName) versions[name] = version
  return versions
}

/** Variables that restoring may write, and whether anything may have to be copied for it. */
async function namesToWrite(
  context: Context,
  container: string,
  { byVariable }: Sources,
): Promise<{ readonly names: readonly string[]; readonly mayCopy: boolean }> {
  const names = [...byVariable.keys()]
  const wholes = await context.store.catalogue.partitioned(container, names)
  const parts = wholes.flatMap(namesOfParts)
  const made = [...byVariable].flatMap(([name, source]) =>
    source.form === 'sliced' ? source.parts.map((_, place) => `${name}/part_${place}`) : [],
  )
  const isPlain = [...byVariable.values()].every(({ form }) => form === 'plain')
  return { names: [...names, ...parts, ...made], mayCopy: wholes.length > 0 || !isPlain }
}

type Target = VariableRecord | PartitionedRecord

/** What there is to restore into. */
interface Targets {
  readonly variables: ReadonlyMap<string, VariableRecord>
  readonly wholes: ReadonlyMap<string, PartitionedRecord>
  /** Whether all variables are among them that could miss a tensor. */
  readonly areAll: boolean
}

/** The variables that a restore concerns: those that it is to write where it says which, else all of the scope. */
async function targetsOf(
  context: Context,
  container: string,
  { request, prefix }: SourcePlan,
  { byVariable }: Sources,
): Promise<Targets> {
  const { catalogue } = context.store
  const variables = new Map<string, VariableRecord>()
  const wholes = new Map<string, PartitionedRecord>()
  const areAll = request.names === undefined && !request.onlyMapped
  if (!areAll) {
    const wanted = [...byVariable.keys()]
    for (const record of await catalogue.variables(container, wanted)) {
      variables.set(record.name, record)
    }
    for (const whole of await catalogue.partitioned(container, wanted)) {
      wholes.set(whole.name, whole)
    }
    return { variables, wholes, areAll }
  }
  const filter = { container, prefix: prefix === '' ? undefined : prefix }
  for await (const record of everyVariable(context, filter)) variables.set(record.name, record)
  for await (const whole of everyPartitioned(context, container)) {
    if (whole.name.startsWith(prefix)) wholes.set(whole.name, whole)
  }
  return { variables, wholes, areAll }
}

/**
 * Global variables that nothing stored is for; parts are told of as one unless some of them are stored
 * alone. Those that something was asked for that is not stored are told of by that.
 */
function missingOf(
  { variables, wholes, areAll }: Targets,
  { byVariable, absent }: Sources,
): readonly string[] {
  if (!areAll) return []
  const wholeOfPart = new Map<string, string>()
  for (const whole of wholes.values()) {
    const parts = namesOfParts(whole)
    if (!byVariable.has(whole.name) && parts.some((part) => byVariable.has(part))) continue
    for (const part of parts) wholeOfPart.set(part, whole.name)
  }
  const told = new Set([...absent.values()].flat())
  const global = collectionKey('global_variables')
  const names = new Set<string>()
  for (const { name, collections } of variables.values()) {
    if (collections.includes(global)) names.add(wholeOfPart.get(name) ?? name)
  }
  return [...names].filter((name) => !byVariable.has(name) && !told.has(name))
}
