// Checkpoints as rows: saving, finding, labelling, deleting. Their files are checkpoint-files.ts's,
// putting them back is restore.ts's.
import type {
  Change,
  CheckpointEntry,
  CheckpointRecord,
  Json,
  Page,
  PageRequest,
} from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { initialized } from './find-variable.ts'
import { once } from './idempotency.ts'
import { checkContainerName, checkLabel } from './names.ts'
import { findManyNamed, isPartitioned } from './partitioned.ts'
import { plainTensor, type SlicedTensor, type StoredTensor, wholesOf } from './stored-tensors.ts'
import { everyVariable } from './variables.ts'

/** What to save. Nothing given: every initialized variable of the container. */
interface SaveRequest {
  readonly container: string
  readonly names?: readonly string[] | undefined
  readonly collection?: string | undefined
  /** Variable by stored name. */
  readonly rename?: Readonly<Record<string, string>> | undefined
  readonly step?: number | undefined
  readonly labels: readonly string[]
  readonly metadata: Readonly<Record<string, Json>>
  readonly idempotencyKey?: string | undefined
}

export interface Checkpoints {
  save(request: SaveRequest): Promise<CheckpointRecord>
  list(
    filter: { readonly container?: string | undefined; readonly label?: string | undefined },
    page: PageRequest,
  ): Promise<Page<CheckpointRecord>>
  /** By id, label or `latest`. */
  get(ref: string, container?: string): Promise<CheckpointRecord>
  /** The tensors, by the names of their entries; the parts of a partitioned variable are one tensor. */
  tensors(id: string, page: PageRequest): Promise<Page<StoredTensor>>
  setLabel(ref: string, label: string): Promise<CheckpointRecord>
  /** Refuses a label that points elsewhere. */
  removeLabel(ref: string, label: string): Promise<void>
  update(
    ref: string,
    changes: {
      readonly pinned?: boolean | undefined
      readonly metadata?: Readonly<Record<string, Json>> | undefined
    },
  ): Promise<CheckpointRecord>
  remove(ref: string): Promise<void>
}

/** The checkpoints of a store. */
export function createCheckpoints(context: Context): Checkpoints {
  const { catalogue } = context.store
  const wholes = createWholes(context)

  async function get(ref: string, container?: string): Promise<CheckpointRecord> {
    const record = await catalogue.checkpoint(ref, container)
    if (record === undefined) throw unknownCheckpoint(ref)
    return record
  }

  return {
    save: (request) => save(context, request),
    list: (filter, page) => catalogue.listCheckpoints(filter, page),
    get,
    tensors: (id, page) => tensorsPage(context, wholes, id, page),
    async setLabel(ref, label) {
      checkLabel(label, context.limits)
      const { id } = await get(ref)
      await catalogue.commit([{ kind: 'set_label', label, checkpoint: id }])
      return get(id)
    },
    async removeLabel(ref, label) {
      const record = await get(ref)
      if (!record.labels.includes(label)) {
        throw new Refusal(
          'NOT_FOUND',
          'checkpoint/unknown-label',
          `Checkpoint ${record.id} has no label "${label}".`,
          { names: { label, checkpoint: record.id } },
        )
      }
      await catalogue.commit([{ kind: 'set_label', label, checkpoint: null, expect: record.id }])
    },
    async update(ref, { pinned, metadata }) {
      const { id } = await get(ref)
      await catalogue.commit([
        {
          kind: 'update_checkpoint',
          id,
          ...(pinned === undefined ? {} : { pinned }),
          ...(metadata === undefined ? {} : { metadata }),
        },
      ])
      return get(id)
    },
    async remove(ref) {
      const record = await get(ref)
      if (record.pinned) {
        throw new Refusal(
          'FAILED_PRECONDITION',
          'checkpoint/pinned',
          `Checkpoint ${record.id} is pinned.`,
          { fix: 'Unpin it with PATCH {"pinned": false} first.', names: { checkpoint: record.id } },
        )
      }
      await catalogue.commit([{ kind: 'delete_checkpoint', id: record.id }])
    },
  }
}

/** The wholes of a checkpoint by the names of their first entries; null at their other entries. */
type WholesByEntry = ReadonlyMap<string, SlicedTensor | null>

// A checkpoint never changes; those looked at last are remembered.
const mostRemembered = 8

/** Finds the wholes of checkpoints. */
function createWholes(context: Context): (id: string) => Promise<WholesByEntry> {
  const known = new Map<string, Promise<WholesByEntry>>()
  async function find(id: string): Promise<WholesByEntry> {
    const sliced: CheckpointEntry[] = []
    for await (const entry of everyEntry(context, id)) {
      if (entry.slice !== undefined) sliced.push(entry)
    }
    const found = new Map<string, SlicedTensor | null>()
    for (const whole of wholesOf(sliced)) {
      const [first, ...others] = whole.parts.map(({ entry }) => entry.name).sort()
      found.set(first, whole)
      for (const other of others) found.set(other, null)
    }
    return found
  }
  return (id) => {
    const found = known.get(id) ?? find(id)
    known.delete(id)
    known.set(id, found)
    found.catch(() => known.delete(id))
    if (known.size > mostRemembered) known.delete(known.keys().next().value ?? '')
    return found
  }
}

/** A page of tensors: a whole stands where the first of its entries does. */
async function tensorsPage(
  { store: { catalogue } }: Context,
  wholes: (id: string) => Promise<WholesByEntry>,
  id: string,
  { limit, cursor: start }: PageRequest,
): Promise<Page<StoredTensor>> {
  const items: StoredTensor[] = []
  let cursor = start
  do {
    const page = await catalogue.checkpointEntries(id, { limit: limit - items.length, cursor })
    for (const entry of page.items) {
      const whole = entry.slice && (await wholes(id)).get(entry.name)
      if (whole === undefined) items.push(plainTensor(entry))
      else if (whole !== null) items.push(whole)
    }
    cursor = page.cursor
  } while (items.length < limit && cursor !== undefined)
  return { items, cursor }
}

/** Every tensor of a checkpoint, page by page, sorted by name. */
export async function* everyEntry(context: Context, id: string): AsyncIterable<CheckpointEntry> {
  let cursor: string | undefined
  do {
    const page: Page<CheckpointEntry> = await context.store.catalogue.checkpointEntries(id, {
      limit: context.limits.pageEntries,
      cursor,
    })
    yield* page.items
    cursor = page.cursor
  } while (cursor !== undefined)
}

/** NOT_FOUND `checkpoint/unknown`. */
export function unknownCheckpoint(ref: string): Refusal {
  const sentence =
    ref === 'latest' ? 'There is no checkpoint yet.' : `There is no checkpoint "${ref}".`
  return new Refusal('NOT_FOUND', 'checkpoint/unknown', sentence, {
    fix: 'List what is there with GET /v1/checkpoints, or save one with POST /v1/checkpoints.',
    names: { checkpoint: ref },
  })
}

async function save(context: Context, request: SaveRequest): Promise<CheckpointRecord> {
  const { container, step, labels, metadata } = request
  checkContainerName(container, context.limits)
  for (const label of labels) checkLabel(label, context.limits)
  const { idempotencyKey, ...described } = request
  const committed = await once(
    context,
    idempotencyKey,
    ['save', described],
    async (idempotency) => {
      const selection = await selectionOf(context, request)
      const change: Change = {
        kind: 'save_checkpoint',
        container,
        ...selection,
        step,
        metadata,
        labels,
      }
      return context.store.catalogue.commit([change], idempotency)
    },
  )
  const [id] = committed.checkpoints
  const record = await context.store.catalogue.checkpoint(id)
  if (record === undefined) throw unknownCheckpoint(id)
  return record
}

/** The variables to save and the names to store them under; refuses a selection of none. */
async function selectionOf(
  context: Context,
  request: SaveRequest,
): Promise<{ names: readonly string[]; rename?: Readonly<Record<string, string>> }> {
  const { container, collection } = request
  const given = [request.names, collection, request.rename].filter((one) => one !== undefined)
  if (given.length > 1) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'checkpoint/ambiguous-selection',
      'Give one of names, collection and rename, not several.',
    )
  }
  const rename = request.rename && storedNames(request.rename)
  const wanted = request.names ?? (rename && Object.keys(rename))
  if (wanted === undefined) {
    const names: string[] = []
    const filter = { container, collection, ...(collection ? {} : { initialized: true }) }
    for await (const record of everyVariable(context, filter)) names.push(initialized(record).name)
    if (names.length === 0) throw nothingToSave(container)
    return { names }
  }
  if (wanted.length === 0) throw nothingToSave(container)
  const names: string[] = []
  const storedAs: Record<string, string> = Object.create(null)
  for (const named of await findManyNamed(context, container, wanted)) {
    const stored = rename?.[named.name]
    const records = isPartitioned(named) ? named.parts : [named]
    for (const [place, record] of records.entries()) {
      names.push(initialized(record).name)
      if (stored === undefined) continue
      storedAs[record.name] = isPartitioned(named) ? `${stored}/part_${place}` : stored
    }
  }
  return rename === undefined ? { names } : { names, rename: storedAs }
}

/** Turns variable by stored name into stored name by variable. */
function storedNames(rename: Readonly<Record<string, string>>): Record<string, string> {
  const stored: Record<string, string> = Object.create(null)
  for (const [storedName, variable] of Object.entries(rename)) {
    if (storedName === '') {
      throw new Refusal('INVALID_ARGUMENT', 'name/invalid', 'A stored name cannot be empty.')
    }
    if (stored[variable] !== undefined) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'checkpoint/ambiguous-selection',
        `Variable ${variable} cannot be stored under two names.`,
        { names: { variable } },
      )
    }
    stored[variable] = storedName
  }
  return stored
}

function nothingToSave(container: string): Refusal {
  return new Refusal('FAILED_PRECONDITION', 'checkpoint/empty', 'No variables to save', {
    fix: 'Create and initialize a variable first.',
    names: { container },
  })
}
