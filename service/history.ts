// One name along all checkpoints that hold it, newest first.
import type { CheckpointRecord, Page, PageRequest } from '../store/index.ts'
import type { Context } from './context.ts'
import { plainTensor, type StoredTensor, wholesOf } from './stored-tensors.ts'

/** What one checkpoint holds under the name. */
export interface HeldTensor {
  readonly checkpoint: CheckpointRecord
  readonly tensor: StoredTensor
}

/**
 * The history of a stored name; of the parts of a partitioned variable together under the name of the
 * whole. Parts that do not make up a whole are left out, so a page may hold fewer than were asked for.
 */
export async function historyOf(
  { store }: Context,
  filter: { readonly name: string; readonly container?: string | undefined },
  page: PageRequest,
): Promise<Page<HeldTensor>> {
  const { items, cursor } = await store.catalogue.entryHistory(filter, page)
  const held = items.flatMap(({ checkpoint, entries }): HeldTensor[] => {
    const [first] = entries
    if (first.name === filter.name) return [{ checkpoint, tensor: plainTensor(first) }]
    const whole = wholesOf(entries).find(({ name }) => name === filter.name)
    return whole === undefined ? [] : [{ checkpoint, tensor: whole }]
  })
  return { items: held, cursor }
}
