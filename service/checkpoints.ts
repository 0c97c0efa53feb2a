// Checkpoints as rows: finding, looking into, pinning, deleting. What is saved is checkpoint-save.ts's, labels
// are labels.ts's, files are checkpoint-files.ts's, putting them back is restore.ts's.
import type {
  CheckpointEntry,
  CheckpointFilter,
  CheckpointRecord,
  CheckpointUse,
  Json,
  Page,
  PageRequest,
} from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import { checkSave, type SaveRequest, saveCheckpoint } from './checkpoint-save.ts'
import type { Context } from './context.ts'
import type { Watch } from './operations.ts'
import { plainTensor, type SlicedTensor, type StoredTensor, wholesOf } from './stored-tensors.ts'
import { unknownCheckpoint } from './unknown-checkpoint.ts'

export { unknownCheckpoint } from './unknown-checkpoint.ts'

export interface Checkpoints {
  /** Refuses what {@link Checkpoints.save} would refuse whatever the variables are. */
  checkSave(request: SaveRequest): void
  /** Saves the present values as one commit: rows only. A watch is heeded until then. */
  save(request: SaveRequest, watch?: Watch): Promise<CheckpointRecord>
  /** Newest first. */
  list(filter: CheckpointFilter, page: PageRequest): Promise<Page<CheckpointRecord>>
  /** By id, label or `latest`. */
  get(ref: string, container?: string): Promise<CheckpointRecord>
  /** What deleting it would free. */
  use(id: string): Promise<CheckpointUse>
  /** The tensors, by the names of their entries; the parts of a partitioned variable are one tensor. */
  tensors(id: string, page: PageRequest): Promise<Page<StoredTensor>>
  update(
    ref: string,
    changes: {
      readonly pinned?: boolean | undefined
      readonly metadata?: Readonly<Record<string, Json>> | undefined
    },
  ): Promise<CheckpointRecord>
  /** Labels that point to it go with it: `actor` is who took them off. */
  remove(ref: string, actor?: string): Promise<void>
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
    checkSave: (request) => checkSave(context, request),
    save: (request, watch) => saveCheckpoint(context, request, watch),
    list: (filter, page) => catalogue.listCheckpoints(filter, page),
    get,
    use: (id) => catalogue.checkpointUse(id),
    tensors: (id, page) => tensorsPage(context, wholes, id, page),
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
    async remove(ref, actor) {
      const record = await get(ref)
      if (record.pinned) {
        throw new Refusal(
          'FAILED_PRECONDITION',
          'checkpoint/pinned',
          `Checkpoint ${record.id} is pinned.`,
          { fix: 'Unpin it with PATCH {"pinned": false} first.', names: { checkpoint: record.id } },
        )
      }
      await catalogue.commit([{ kind: 'delete_checkpoint', id: record.id, actor }])
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
