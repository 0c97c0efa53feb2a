// Places in the streams of seeded ops, as the stateless ops take them, for callers that make a long draw in
// parts of their own.
import type { NumericDType } from '../../tensor/index.ts'
import { blocksPerElement, groupOf, type RandomDType } from './distributions.ts'

/** A place in a stream as `StatelessRandom…V2` ops take it: the inputs `key` and `counter`. */
export interface StreamPlace {
  readonly key: bigint
  readonly counter: readonly [low: bigint, high: bigint]
}

/** Elements to which parts of a draw have to keep: each begins at a multiple of it. */
const drawAlignment = 4

/**
 * Where a seeded op's first run draws element `start` (a multiple of 4), so that a
 * stateless op drawing from there goes on with the same numbers.
 */
export function streamPlace(
  seeds: readonly [seed: number, seed2: number],
  kind: 'uniform' | 'normal' | 'truncated_normal',
  dtype: NumericDType,
  start: number,
): StreamPlace {
  if (start % drawAlignment !== 0) throw new Error(`a part of a draw begins at ${start}`)
  const group = groupOf(dtype as RandomDType)
  const groups = BigInt(start / group)
  const stretch = kind === 'truncated_normal' ? (BigInt(group) * blocksPerElement) / 4n : 1n
  return { key: BigInt(seeds[0]), counter: [groups * stretch, BigInt(seeds[1])] }
}
