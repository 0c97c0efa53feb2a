// Saving: which variables, under which names. The values are taken where they are committed, inside one
// transaction; nothing is copied. What becomes of checkpoints later is checkpoints.ts's.
// Source: tensorflow/python/training/saver.py (Saver: the global variables unless told otherwise).
import type { Change, CheckpointRecord, Json, SavedAmong } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import type { Limits } from './limits.ts'
import {
  checkCollectionName,
  checkContainerName,
  checkLabel,
  checkNameLength,
  collectionKey,
} from './names.ts'
import { checkGoing, type Watch } from './operations.ts'
import { findManyNamed, isPartitioned } from './partitioned.ts'
import { unknownCheckpoint } from './unknown-checkpoint.ts'

/**
 * What to save: `names`, or `rename`, or those that `collections`, `scope` and `all` choose together.
 * Nothing given: the global variables, as TensorFlow's Saver does.
 */
export interface SaveRequest {
  readonly container: string
  readonly names?: readonly string[] | undefined
  /** Variable by stored name. */
  readonly rename?: Readonly<Record<string, string>> | undefined
  /** Members of any of these; the global variables where absent. */
  readonly collections?: readonly string[] | undefined
  /** Only those below: `scope/..`. */
  readonly scope?: string | undefined
  /** Whatever their collections: local variables too. */
  readonly all?: boolean | undefined
  /** Leaves out what has no value, where variables are not named one by one. */
  readonly onlyInitialized?: boolean | undefined
  readonly step?: number | undefined
  readonly labels: readonly string[]
  readonly metadata: Readonly<Record<string, Json>>
  readonly idempotencyKey?: string | undefined
  /** Who turns the labels, as their histories are to say. */
  readonly actor?: string | undefined
}

/** Refuses what no variables could make right: names that are none, selections that contradict. */
export function checkSave({ limits }: Context, request: SaveRequest): void {
  const { container, labels, names, rename, collections, scope, all } = request
  checkContainerName(container, limits)
  for (const label of labels) checkLabel(label, limits)
  for (const collection of collections ?? []) checkCollectionName(collection, limits)
  const among = [collections !== undefined && 'collection', scope !== undefined && 'scope']
  const given = [
    names !== undefined && 'names',
    rename !== undefined && 'rename',
    ...among,
    all && 'all',
    request.onlyInitialized && 'only_initialized',
  ].filter((one) => one !== false && one !== undefined)
  const isNamed = names !== undefined || rename !== undefined
  if ((isNamed && given.length > 1) || (all && collections !== undefined)) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'checkpoint/ambiguous-selection',
      `What to save is said twice: ${given.join(' and ')}.`,
      {
        fix: 'Give names, or rename, or else collection or all, which scope and only_initialized may limit.',
      },
    )
  }
  const chosen = names ?? (rename && Object.keys(rename)) ?? collections
  if (chosen?.length === 0) throw nothingToSave(container)
  storedNames(request, limits)
}

/** Saves. Refuses (FAILED_PRECONDITION) nothing to save, and variables without a value by name. */
export async function saveCheckpoint(
  context: Context,
  request: SaveRequest,
  watch?: Watch,
): Promise<CheckpointRecord> {
  checkSave(context, request)
  const { container, step, labels, metadata, idempotencyKey, actor, ...selection } = request
  const { catalogue } = context.store
  const described = { container, step, labels, metadata, ...selection }
  const committed = await once(
    context,
    idempotencyKey,
    ['save', described],
    async (idempotency) => {
      const chosen = await selectionOf(context, request)
      const change: Change = {
        kind: 'save_checkpoint',
        container,
        ...chosen,
        step,
        metadata,
        labels,
        actor,
      }
      checkGoing(watch?.signal)
      return catalogue.commit([change], idempotency).catch((error: unknown) => {
        throw told(error, container)
      })
    },
  )
  const [id] = committed.checkpoints
  const record = await catalogue.checkpoint(id)
  if (record === undefined) throw unknownCheckpoint(id)
  watch?.report({ bytesDone: record.byteLength, bytesTotal: record.byteLength })
  return record
}

type Selection = Pick<
  Extract<Change, { readonly kind: 'save_checkpoint' }>,
  'names' | 'among' | 'rename'
>

/** The selection as the store takes it. What has been named must be there and have a value. */
async function selectionOf(context: Context, request: SaveRequest): Promise<Selection> {
  const { container, scope = '', all, onlyInitialized = false } = request
  const rename = storedNames(request, context.limits)
  const names = [...new Set(request.names ?? rename?.keys())]
  if (names.length === 0) {
    const collections = request.collections ?? [collectionKey('global_variables')]
    const among: SavedAmong = {
      collections: all ? undefined : [...new Set(collections.map(collectionKey))],
      prefix: scope === '' ? undefined : `${scope.replace(/\/$/, '')}/`,
      onlyInitialized,
    }
    return { among }
  }
  const empty: string[] = []
  for (const named of await findManyNamed(context, container, names)) {
    const records = isPartitioned(named) ? named.parts : [named]
    empty.push(...records.flatMap(({ name, value }) => (value === undefined ? [name] : [])))
  }
  if (empty.length > 0) throw uninitializedVariables(container, empty)
  return rename === undefined ? { names } : { names, rename: Object.fromEntries(rename) }
}

/** Stored name by variable: the map the other way round. */
function storedNames(
  { rename }: SaveRequest,
  limits: Limits,
): ReadonlyMap<string, string> | undefined {
  if (rename === undefined) return undefined
  const stored = new Map<string, string>()
  for (const [storedName, variable] of Object.entries(rename)) {
    if (storedName === '') {
      throw new Refusal('INVALID_ARGUMENT', 'name/invalid', 'A stored name cannot be empty.')
    }
    checkNameLength('stored tensor', storedName, limits)
    const other = stored.get(variable)
    if (other !== undefined) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'checkpoint/ambiguous-selection',
        `Variable ${variable} cannot be stored under two names, ${other} and ${storedName}.`,
        {
          fix: 'Save it under one; a restore may put one tensor into several variables.',
          names: { variable },
        },
      )
    }
    stored.set(variable, storedName)
  }
  return stored
}

function nothingToSave(container: string): Refusal {
  return new Refusal('FAILED_PRECONDITION', 'checkpoint/empty', 'No variables to save', {
    fix: 'Create and initialize a variable first. Without a choice the global variables are saved; "all": true takes those of every collection.',
    names: { container },
  })
}

/** What the store refuses of a choice that it made, with what can be done about it. */
function told(error: unknown, container: string): unknown {
  if (!(error instanceof Refusal)) return error
  const { variables } = error.names
  if (error.reason === 'checkpoint/empty') return nothingToSave(container)
  const isList = error.reason === 'variable/uninitialized' && Array.isArray(variables)
  return isList ? uninitializedVariables(container, variables) : error
}

/** Names that a refusal spells out. */
const mostNamed = 100

function uninitializedVariables(container: string, empty: readonly string[]): Refusal {
  const [variable, ...others] = empty.slice(0, mostNamed)
  const also = `${others.join(', ')}${empty.length > mostNamed ? ', ..' : ''}`
  return new Refusal(
    'FAILED_PRECONDITION',
    'variable/uninitialized',
    `Attempting to use uninitialized value ${variable}${also === '' ? '' : `; also without a value: ${also}`}`,
    {
      fix: 'Initialize them with POST /v1/variables:initialize, or save what has a value with "only_initialized": true.',
      names: { variable, variables: [variable, ...others], container },
    },
  )
}
