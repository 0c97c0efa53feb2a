// Putting a checkpoint's values back into variables: first a report of what fits and what does not,
// then one commit that points the variables at the stored values. Nothing is cast or reshaped.
import type {
  Change,
  CheckpointEntry,
  CheckpointRecord,
  Committed,
  PartitionedRecord,
  VariableRecord,
} from '../store/index.ts'
import { fitsShape, formatShape, Refusal } from '../tensor/index.ts'
import { everyEntry } from './checkpoints.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { checkContainerName, checkVariableName, isVariableName } from './names.ts'
import { everyPartitioned, isPartitioned } from './partitioned.ts'
import { creationOf, namesOfParts, type RestoreStep, writesOf } from './restore-writes.ts'
import { plainTensor, type StoredTensor, storedTensors } from './stored-tensors.ts'
import { everyVariable } from './variables.ts'
import { variableKey } from './write-order.ts'

export interface RestoreRequest {
  /** Where to; the container that the checkpoint came from where absent. */
  readonly container?: string | undefined
  /** Stored names to restore; all where absent. */
  readonly names?: readonly string[] | undefined
  /** Variable by stored name. */
  readonly rename?: Readonly<Record<string, string>> | undefined
  /** Put before the variables' names: stored `w` goes to `scope/w`. */
  readonly scope?: string | undefined
  /** Refuse unless every stored tensor (of `names`, where given) goes into a variable. */
  readonly strict: boolean
  /** Report only. */
  readonly dryRun: boolean
  /** Make the variables that are not there. */
  readonly create: boolean
  readonly idempotencyKey?: string | undefined
}

/** A tensor that does not fit its variable. */
interface Mismatch {
  readonly name: string
  readonly expected: string
  readonly found: string
}

/** What a restore did, or would do. Names are variables', but `unexpected`: those are stored ones. */
export interface RestoreReport {
  readonly checkpoint: string
  readonly container: string
  readonly restored: readonly string[]
  /** Those of `restored` that the restore made. */
  readonly created: readonly string[]
  /** Names asked for, else variables, that the checkpoint does not have; the latter stay as they are. */
  readonly missing: readonly string[]
  /** Stored tensors without a variable. */
  readonly unexpected: readonly string[]
  readonly shapeMismatches: readonly Mismatch[]
  readonly dtypeMismatches: readonly Mismatch[]
  /** Version by variable; empty for a dry run. */
  readonly versions: Readonly<Record<string, number>>
}

interface Plan {
  readonly report: RestoreReport
  readonly steps: readonly RestoreStep[]
  /** Names of parts, by the partitioned variable that is restored as one. */
  readonly wholes: ReadonlyMap<string, readonly string[]>
}

/**
 * Restores. Strict (FAILED_PRECONDITION `checkpoint/restore-mismatch`) refuses unless every stored
 * tensor has its variable and fits, and every name asked for is stored; lenient restores what fits.
 * Variables that the checkpoint does not have are reported and left alone in either case. Partitioned
 * variables and tensors in slices go by the names of the wholes, cut alike or not.
 */
export async function restoreCheckpoint(
  context: Context,
  checkpoint: CheckpointRecord,
  request: RestoreRequest,
): Promise<RestoreReport> {
  const container = request.container ?? checkpoint.container
  checkContainerName(container, context.limits)
  const stored = await storedByVariable(context, checkpoint, request)
  const names = await namesToWrite(context, container, stored)
  const keys = names.map((name) => variableKey(container, name))
  return context.writes.turn(keys, 'exclusive', async () => {
    const plan = await planRestore(context, checkpoint, container, stored, request)
    if (request.dryRun) return plan.report
    if (request.strict) checkStrict(plan.report, request.names !== undefined)
    if (plan.steps.length === 0) return plan.report
    const { idempotencyKey, ...described } = request
    const staging = context.store.values.stage()
    try {
      const committed = await once(
        context,
        idempotencyKey,
        ['restore', checkpoint.id, described],
        async (idempotency) => {
          const changes: Change[] = []
          for (const step of plan.steps) changes.push(...(await step(staging)))
          return context.store.catalogue.commit(changes, idempotency)
        },
      )
      return { ...plan.report, versions: versionsOf(committed, plan.wholes) }
    } finally {
      await staging.discard()
    }
  })
}

/** Versions by variable; of parts that were restored as one, the sum under the name of the whole. */
function versionsOf(
  { variables }: Committed,
  wholes: ReadonlyMap<string, readonly string[]>,
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

/** Variables that restoring may write. */
async function namesToWrite(
  context: Context,
  container: string,
  stored: ReadonlyMap<string, StoredTensor>,
): Promise<readonly string[]> {
  const names = [...stored.keys()]
  const wholes = await context.store.catalogue.partitioned(container, names)
  const parts = wholes.flatMap((whole) => whole.parts.map(({ name }) => name))
  const made = [...stored].flatMap(([name, tensor]) =>
    tensor.form === 'sliced' ? tensor.parts.map((_, place) => `${name}/part_${place}`) : [],
  )
  return [...names, ...parts, ...made]
}

/** Stored tensors by the variable that each is for. */
async function storedByVariable(
  context: Context,
  checkpoint: CheckpointRecord,
  { names, rename = {}, scope }: RestoreRequest,
): Promise<Map<string, StoredTensor>> {
  const entries: CheckpointEntry[] = []
  for await (const entry of everyEntry(context, checkpoint.id)) entries.push(entry)
  const wanted = names && new Set(names)
  const isMeant = (name: string) => wanted?.has(name) ?? true
  const stored = new Map<string, StoredTensor>()
  for (const tensor of storedTensors(entries).flatMap((one) => asMeant(one, wanted, rename))) {
    if (!isMeant(tensor.name)) continue
    const isRenamed = Object.hasOwn(rename, tensor.name)
    const plain = isRenamed ? rename[tensor.name] : tensor.name
    const name =
      scope === undefined || scope === '' ? plain : `${scope.replace(/\/$/, '')}/${plain}`
    if (isRenamed) checkVariableName(name, context.limits)
    if (stored.has(name)) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'checkpoint/ambiguous-selection',
        `Two stored tensors would go to variable ${name}.`,
        { names: { variable: name } },
      )
    }
    stored.set(name, tensor)
  }
  return stored
}

/** A tensor, or its slices by themselves where the request speaks of them by their own names. */
function asMeant(
  tensor: StoredTensor,
  wanted: ReadonlySet<string> | undefined,
  rename: Readonly<Record<string, string>>,
): readonly StoredTensor[] {
  if (tensor.form === 'plain') return [tensor]
  const isNamed = (name: string) => Object.hasOwn(rename, name) || (wanted?.has(name) ?? false)
  const isApart = !isNamed(tensor.name) && tensor.parts.some(({ entry }) => isNamed(entry.name))
  return isApart ? tensor.parts.map(({ entry }) => plainTensor(entry)) : [tensor]
}

/** What there is to restore into. */
interface Targets {
  readonly variables: ReadonlyMap<string, VariableRecord>
  readonly wholes: ReadonlyMap<string, PartitionedRecord>
}

/** The variables that a restore concerns: of the names asked for, else of the scope, else all. */
async function targetsOf(
  context: Context,
  container: string,
  { names, scope }: RestoreRequest,
  stored: ReadonlyMap<string, StoredTensor>,
): Promise<Targets> {
  const { catalogue } = context.store
  const variables = new Map<string, VariableRecord>()
  const wholes = new Map<string, PartitionedRecord>()
  if (names !== undefined) {
    const wanted = [...stored.keys()]
    for (const record of await catalogue.variables(container, wanted)) {
      variables.set(record.name, record)
    }
    for (const whole of await catalogue.partitioned(container, wanted)) {
      wholes.set(whole.name, whole)
    }
    return { variables, wholes }
  }
  const prefix = scope === undefined || scope === '' ? undefined : `${scope.replace(/\/$/, '')}/`
  for await (const record of everyVariable(context, { container, prefix })) {
    variables.set(record.name, record)
  }
  for await (const whole of everyPartitioned(context, container)) {
    if (whole.name.startsWith(prefix ?? '')) wholes.set(whole.name, whole)
  }
  return { variables, wholes }
}

async function planRestore(
  context: Context,
  checkpoint: CheckpointRecord,
  container: string,
  stored: ReadonlyMap<string, StoredTensor>,
  request: RestoreRequest,
): Promise<Plan> {
  const targets = await targetsOf(context, container, request, stored)
  const storedNames = new Set([...stored.values()].map((tensor) => tensor.name))
  const missing =
    request.names?.filter((name) => !storedNames.has(name)) ?? missingOf(targets, stored)
  const restored: string[] = []
  const created: string[] = []
  const unexpected: string[] = []
  const shapeMismatches: Mismatch[] = []
  const dtypeMismatches: Mismatch[] = []
  const steps: RestoreStep[] = []
  const wholes = new Map<string, readonly string[]>()
  for (const [name, tensor] of stored) {
    const target = targets.wholes.get(name) ?? targets.variables.get(name)
    if (target === undefined) {
      if (!request.create || !isVariableName(name, context.limits)) {
        unexpected.push(tensor.name)
        continue
      }
      const creation = creationOf(context, container, name, tensor)
      steps.push(creation.step)
      if (creation.parts !== undefined) wholes.set(name, creation.parts)
      created.push(name)
    } else if (target.dtype !== tensor.dtype) {
      dtypeMismatches.push({ name, expected: target.dtype, found: tensor.dtype })
      continue
    } else if (!fitsShape(tensor.shape, target.shape)) {
      const expected = formatShape(target.shape)
      shapeMismatches.push({ name, expected, found: formatShape(tensor.shape) })
      continue
    } else {
      steps.push((staging) => writesOf(context, staging, target, tensor))
      if (isPartitioned(target)) wholes.set(name, namesOfParts(target))
    }
    restored.push(name)
  }
  const report = { checkpoint: checkpoint.id, container, restored, created, missing, unexpected }
  return { report: { ...report, shapeMismatches, dtypeMismatches, versions: {} }, steps, wholes }
}

/** Variables that nothing stored is for; parts are told of as one unless some of them are stored alone. */
function missingOf(
  { variables, wholes }: Targets,
  stored: ReadonlyMap<string, StoredTensor>,
): readonly string[] {
  const wholeOfPart = new Map<string, string>()
  for (const whole of wholes.values()) {
    const parts = namesOfParts(whole)
    if (!stored.has(whole.name) && parts.some((part) => stored.has(part))) continue
    for (const part of parts) wholeOfPart.set(part, whole.name)
  }
  const names = new Set([...variables.keys()].map((name) => wholeOfPart.get(name) ?? name))
  return [...names].filter((name) => !stored.has(name))
}

function checkStrict(report: RestoreReport, areAskedFor: boolean): void {
  const problems = [
    sentence('not in the checkpoint', areAskedFor ? report.missing : []),
    sentence('in the checkpoint without a variable', report.unexpected),
    sentence('of another shape', report.shapeMismatches.map(shown)),
    sentence('of another dtype', report.dtypeMismatches.map(shown)),
  ].filter((problem) => problem !== undefined)
  if (problems.length === 0) return
  throw new Refusal(
    'FAILED_PRECONDITION',
    'checkpoint/restore-mismatch',
    `Checkpoint ${report.checkpoint} does not fit the variables: ${problems.join('; ')}. Nothing was restored.`,
    {
      fix: 'Send "strict": false to restore what fits, "create": true to make what is not there, or "names" to choose.',
      names: {
        checkpoint: report.checkpoint,
        missing: report.missing,
        unexpected: report.unexpected,
        shape_mismatches: report.shapeMismatches.map(({ name }) => name),
        dtype_mismatches: report.dtypeMismatches.map(({ name }) => name),
      },
    },
  )
}

function shown({ name, expected, found }: Mismatch): string {
  return `${name} (expected ${expected}, found ${found})`
}

function sentence(problem: string, names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined
  const listed = names.slice(0, 8).join(', ')
  return `${problem}: ${listed}${names.length > 8 ? `, and ${names.length - 8} more` : ''}`
}
