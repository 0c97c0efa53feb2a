// Figures of a checkpoint's tensors: taken once and kept in the store beside the value, as long as it is
// there. How they are taken is statistics.ts's.
import type { Change, Json, ValueId } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { checkGoing } from './operations.ts'
import type { Statistics, StatisticsTaker } from './statistics.ts'
import type { Extreme } from './statistics-figures.ts'
import { type StoredTensor, storedTensorReadable } from './stored-tensors.ts'

/** Bins of the histograms that are kept. */
export const keptBins = 10

/**
 * Figures of tensors, in their order. Those of a tensor in parts are not kept, but remembered for a time.
 * A signal ends it with its reason.
 */
export async function statisticsOfTensors(
  context: Context,
  taker: StatisticsTaker,
  tensors: readonly StoredTensor[],
  signal?: AbortSignal,
): Promise<readonly Statistics[]> {
  const { catalogue, values } = context.store
  const plain = tensors.flatMap((tensor) =>
    tensor.form === 'plain' ? [tensor.entry.value.valueId] : [],
  )
  const kept = await values.figures(plain)
  const fresh = new Map<ValueId, Statistics>()
  const found: Statistics[] = []
  for (const tensor of tensors) {
    checkGoing(signal)
    const valueId = tensor.form === 'plain' ? tensor.entry.value.valueId : undefined
    const json = valueId === undefined ? undefined : kept.get(valueId)
    if (json !== undefined) {
      found.push(statisticsOfJson(json))
      continue
    }
    const statistics = await taker.of(storedTensorReadable(context, tensor), keptBins, signal)
    found.push(statistics)
    if (valueId !== undefined) fresh.set(valueId, statistics)
  }
  const changes = Array.from(
    fresh,
    ([valueId, statistics]): Change => ({
      kind: 'keep_figures',
      valueId,
      figures: statisticsToJson(statistics),
    }),
  )
  if (changes.length > 0) {
    await catalogue.commit(changes).catch((error: unknown) => {
      // They are right also where a full disk does not take them.
      if (!(error instanceof Refusal)) throw error
    })
  }
  return found
}

/** Figures as JSON: extremes as text, which keeps 64-bit integers and the sign of 0. */
function statisticsToJson({ min, max, ...figures }: Statistics): Json {
  const { mean = null, std = null, histogram } = figures
  return {
    ...figures,
    min: textOf(min),
    max: textOf(max),
    mean,
    std,
    histogram: { counts: histogram.counts, edges: histogram.edges },
  }
}

/** What {@link statisticsToJson} made. */
function statisticsOfJson(json: Json): Statistics {
  const kept = json as unknown as Omit<Statistics, 'min' | 'max' | 'mean' | 'std'> & {
    readonly [name in 'min' | 'max']: string | null
  } & { readonly [name in 'mean' | 'std']: number | null }
  return {
    ...kept,
    min: extremeOf(kept.min),
    max: extremeOf(kept.max),
    mean: kept.mean ?? undefined,
    std: kept.std ?? undefined,
  }
}

function textOf(extreme: Extreme | undefined): string | null {
  if (extreme === undefined) return null
  if (typeof extreme === 'bigint') return `${extreme}n`
  return Object.is(extreme, -0) ? '-0' : String(extreme)
}

function extremeOf(text: string | null): Extreme | undefined {
  if (text === null) return undefined
  return text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text)
}
