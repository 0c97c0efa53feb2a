// Whether what is stored is still what was saved: a checkpoint's tensors against their checksums, everything
// against its own, and what is known to be damaged, with the names of all that it concerns.
import type { CheckpointRecord, DamagedContent, ScrubStatus, ValueId } from '../store/index.ts'
import { everyEntry } from './checkpoints.ts'
import type { Context } from './context.ts'
import { checkGoing, type Watch } from './operations.ts'

/** A damaged chunk, and who holds the value that it is a part of. */
export interface Damage {
  /** Which chunk of the value; 0 where it has none of its own. */
  readonly chunk: number
  /** Lower-case hex SHA-256 that it should have. */
  readonly digest: string
  readonly problem: string | undefined
  readonly tensors: readonly { readonly checkpoint: string; readonly tensor: string }[]
  /** Variables whose present value it is. */
  readonly variables: readonly { readonly container: string; readonly name: string }[]
}

/** What checking a checkpoint found. */
export interface CheckpointVerification {
  readonly checkpoint: string
  readonly tensors: number
  /** Chunks that were read, each once; an inline value counts as one. */
  readonly chunks: number
  readonly byteLength: number
  /** Of the checkpoint's tensors. */
  readonly damaged: readonly (Damage & { readonly tensor: string })[]
}

/** What a pass over everything found. */
export interface ScrubReport {
  readonly chunks: number
  readonly byteLength: number
  readonly damaged: readonly Damage[]
}

/** How the scrub is doing, and what is known to be damaged. */
export interface ScrubView extends ScrubStatus {
  /** Chunks and inline values that are damaged. */
  readonly damagedChunks: number
  /** Those, or the first of them where they are many. */
  readonly damaged: readonly Damage[]
}

export interface Verification {
  /** Re-reads every chunk of a checkpoint against its SHA-256. */
  checkpoint(checkpoint: CheckpointRecord, watch?: Watch): Promise<CheckpointVerification>
  /** Re-reads everything, as fast as readers let it. */
  scrub(watch: Watch): Promise<ScrubReport>
  view(): Promise<ScrubView>
}

/** Damaged chunks that are told of with their holders at once. */
const mostTold = 100

/** Verification of a store. */
export function createVerification(context: Context): Verification {
  const { trust } = context.store
  return {
    checkpoint: (checkpoint, watch) => verify(context, checkpoint, watch),
    async scrub({ report, signal }) {
      const { damaged, ...sums } = await trust.scrub(
        (bytesDone, bytesTotal) => report({ bytesDone, bytesTotal }),
        signal,
      )
      return { ...sums, damaged: await withHolders(context, damaged) }
    },
    async view() {
      const [status, { damaged: damagedChunks }] = await Promise.all([
        trust.scrubStatus(),
        context.store.status(),
      ])
      const damaged = damagedChunks === 0 ? [] : await trust.damage(mostTold)
      return { ...status, damagedChunks, damaged: await withHolders(context, damaged) }
    },
  }
}

async function verify(
  context: Context,
  checkpoint: CheckpointRecord,
  watch?: Watch,
): Promise<CheckpointVerification> {
  const tensors = new Map<ValueId, string[]>()
  let count = 0
  for await (const { name, value } of everyEntry(context, checkpoint.id)) {
    checkGoing(watch?.signal)
    count += 1
    const names = tensors.get(value.valueId)
    if (names === undefined) tensors.set(value.valueId, [name])
    else names.push(name)
  }
  const found = await context.store.trust.verify(
    [...tensors.keys()],
    (bytesDone, bytesTotal) => watch?.report({ bytesDone, bytesTotal }),
    watch?.signal,
  )
  const held = await holdersOf(context, found.damaged)
  const damaged = found.damaged.flatMap((content) =>
    (tensors.get(content.valueId) ?? []).map((tensor) => ({
      tensor,
      ...damageOf([content], held),
    })),
  )
  const { id } = checkpoint
  const { chunks, byteLength } = found
  return { checkpoint: id, tensors: count, chunks, byteLength, damaged }
}

type Holders = Awaited<ReturnType<typeof holdersOf>>

async function holdersOf({ store }: Context, contents: readonly DamagedContent[]) {
  const ids = [...new Set(contents.map(({ valueId }) => valueId))]
  const holders = await store.trust.holders(ids)
  return new Map(ids.map((id, place) => [id, holders[place]]))
}

/** One chunk, which may stand in several values. */
function damageOf(contents: readonly DamagedContent[], held: Holders): Damage {
  const [{ ordinal, digest, problem }] = contents
  const holders = contents.flatMap(({ valueId }) => held.get(valueId) ?? [])
  return {
    chunk: ordinal,
    digest,
    problem,
    tensors: holders.flatMap((one) => one.tensors),
    variables: holders.flatMap((one) => one.variables),
  }
}

/** Contents that are the same chunk at the same place are one. */
async function withHolders(
  context: Context,
  contents: readonly DamagedContent[],
): Promise<readonly Damage[]> {
  const held = await holdersOf(context, contents)
  const groups = Map.groupBy(contents, ({ digest, ordinal }) => `${digest}/${ordinal}`)
  return [...groups.values()].map((group) => damageOf(group, held))
}
