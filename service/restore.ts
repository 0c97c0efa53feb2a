// Putting a checkpoint's values back into variables: first a report of what fits and what does not,
// then one commit that points the variables at the stored values. Nothing is cast or reshaped.
import type { Change, CheckpointEntry, CheckpointRecord, VariableRecord } from '../store/index.ts'
import { fitsShape, formatShape, Refusal } from '../tensor/index.ts'
import { everyEntry } from './checkpoints.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { checkContainerName, checkVariableName, isVariableName } from './names.ts'
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
  readonly changes: readonly Change[]
}

/**
 * Restores. Strict (FAILED_PRECONDITION `checkpoint/restore-mismatch`) refuses unless every stored
 * tensor has its variable and fits, and every name asked for is stored; lenient restores what fits.
 * Variables that the checkpoint does not have are reported and left alone in either case.
 */
export async function restoreCheckpoint(
  context: Context,
  checkpoint: CheckpointRecord,
  request: RestoreRequest,
): Promise<RestoreReport> {
  const container = request.container ?? checkpoint.container
  checkContainerName(container, context.limits)
  const stored = await storedByVariable(context, checkpoint, request)
  const keys = [...stored.keys()].map((name) => variableKey(container, name))
  return context.writes.turn(keys, 'exclusive', async () => {
    const plan = await planRestore(context, checkpoint, container, stored, request)
    if (request.dryRun) return plan.report
    if (request.strict) checkStrict(plan.report, request.names !== undefined)
    if (plan.changes.length === 0) return plan.report
    const { idempotencyKey, ...described } = request
    const committed = await once(
      context,
      idempotencyKey,
      ['restore', checkpoint.id, described],
      (idempotency) => context.store.catalogue.commit(plan.changes, idempotency),
    )
    const versions: Record<string, number> = Object.create(null)
    for (const { name, version } of committed.variables) versions[name] = version
    return { ...plan.report, versions }
  })
}

/** Stored tensors by the variable that each is for. */
async function storedByVariable(
  context: Context,
  checkpoint: CheckpointRecord,
  { names, rename = {}, scope }: RestoreRequest,
): Promise<Map<string, CheckpointEntry>> {
  const wanted = names && new Set(names)
  const stored = new Map<string, CheckpointEntry>()
  for await (const entry of everyEntry(context, checkpoint.id)) {
    if (wanted !== undefined && !wanted.has(entry.name)) continue
    const plain = Object.hasOwn(rename, entry.name) ? rename[entry.name] : entry.name
    const name =
      scope === undefined || scope === '' ? plain : `${scope.replace(/\/$/, '')}/${plain}`
    if (Object.hasOwn(rename, entry.name)) checkVariableName(name, context.limits)
    if (stored.has(name)) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'checkpoint/ambiguous-selection',
        `Two stored tensors would go to variable ${name}.`,
        { names: { variable: name } },
      )
    }
    stored.set(name, entry)
  }
  return stored
}

async function variablesOf(
  context: Context,
  container: string,
  { names, scope }: RestoreRequest,
  stored: ReadonlyMap<string, CheckpointEntry>,
): Promise<Map<string, VariableRecord>> {
  const found = new Map<string, VariableRecord>()
  if (names !== undefined) {
    for (const record of await context.store.catalogue.variables(container, [...stored.keys()])) {
      found.set(record.name, record)
    }
    return found
  }
  const prefix = scope === undefined || scope === '' ? undefined : `${scope.replace(/\/$/, '')}/`
  for await (const record of everyVariable(context, { container, prefix })) {
    found.set(record.name, record)
  }
  return found
}

async function planRestore(
  context: Context,
  checkpoint: CheckpointRecord,
  container: string,
  stored: ReadonlyMap<string, CheckpointEntry>,
  request: RestoreRequest,
): Promise<Plan> {
  const variables = await variablesOf(context, container, request, stored)
  const storedNames = new Set([...stored.values()].map((entry) => entry.name))
  const missing =
    request.names?.filter((name) => !storedNames.has(name)) ??
    [...variables.keys()].filter((name) => !stored.has(name))
  const restored: string[] = []
  const created: string[] = []
  const unexpected: string[] = []
  const shapeMismatches: Mismatch[] = []
  const dtypeMismatches: Mismatch[] = []
  const changes: Change[] = []
  for (const [name, { name: storedName, value }] of stored) {
    const record = variables.get(name)
    const source = { valueId: value.valueId }
    if (record === undefined) {
      if (!request.create || !isVariableName(name, context.limits)) {
        unexpected.push(storedName)
        continue
      }
      changes.push(creationOf(container, name, value, source))
      created.push(name)
    } else if (record.dtype !== value.dtype) {
      dtypeMismatches.push({ name, expected: record.dtype, found: value.dtype })
      continue
    } else if (!fitsShape(value.shape, record.shape)) {
      const expected = formatShape(record.shape)
      shapeMismatches.push({ name, expected, found: formatShape(value.shape) })
      continue
    } else {
      changes.push({ kind: 'write_value', container, name, value: source })
    }
    restored.push(name)
  }
  const report = { checkpoint: checkpoint.id, container, restored, created, missing, unexpected }
  return { report: { ...report, shapeMismatches, dtypeMismatches, versions: {} }, changes }
}

function creationOf(
  container: string,
  name: string,
  { dtype, shape }: CheckpointEntry['value'],
  value: { readonly valueId: number },
): Change {
  return {
    kind: 'create_variable',
    container,
    name,
    dtype,
    shape,
    trainable: false,
    collections: ['variables'],
    device: '',
    initializer: null,
    value,
  }
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
