// What of the sources fits what is there: the report of a restore, and the steps that would do it.
import type { PartitionedRecord, VariableRecord } from '../store/index.ts'
import { fitsShape, formatShape, Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { collectionKey, isVariableName } from './names.ts'
import { everyPartitioned, isPartitioned, type NamedVariable } from './partitioned.ts'
import type { Mismatch, RestoreReport } from './restore-report.ts'
import type { RestoreSource, SourcePlan, Sources } from './restore-sources.ts'
import {
  byteLengthOfSource,
  creationOf,
  namesOfParts,
  type RestoreStep,
  writingOf,
} from './restore-writes.ts'
import { everyVariable } from './variables.ts'

/** What a restore would do. */
export interface RestorePlan {
  readonly report: RestoreReport
  readonly steps: readonly RestoreStep[]
  /** Bytes of what will be restored. */
  readonly byteLength: number
  /** Names of parts, by the partitioned variable that is restored as one. */
  readonly wholes: readonly (readonly [whole: string, parts: readonly string[]])[]
}

/** Where to restore, and what to do with variables that are not there. */
interface Into {
  /** Id of the checkpoint. */
  readonly checkpoint: string
  readonly container: string
  readonly create: boolean
}

/**
 * Holds the sources against the variables as they are now. Refuses (INVALID_ARGUMENT
 * `checkpoint/ambiguous-selection`) to write a whole and a part of it both.
 */
export async function planRestore(
  context: Context,
  { checkpoint, container, create }: Into,
  sourcePlan: SourcePlan,
  sources: Sources,
): Promise<RestorePlan> {
  const targets = await targetsOf(context, container, sourcePlan, sources)
  const planned = new Planned(context, container, create)
  for (const [name, source] of sources.byVariable) {
    planned.add(name, source, targets.wholes.get(name) ?? targets.variables.get(name))
  }
  const { steps, byteLength, wholes } = planned
  checkWrittenOnce(steps)
  const report = {
    checkpoint,
    container,
    ...planned.found(),
    missing: [...sources.absent.keys(), ...missingOf(targets, sources)],
    skipped: sources.skipped,
    sources: [...sources.byVariable].flatMap(([name, source]) => otherSource(name, source)),
    versions: {},
  }
  return { report, steps, byteLength, wholes }
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

  add(name: string, source: RestoreSource, target: NamedVariable | undefined): void {
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

/** Variables that restoring may write, and whether anything may have to be copied for it. */
export async function namesToWrite(
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
