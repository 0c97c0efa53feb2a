// The frame of every measurement: warm-up, interleaved samples, medians, and a ratio to a rival or a
// physical limit taken in the same run. Machines are noisy; a ratio in one run is less so.

/** One side of a comparison: does the work once and answers with its rate (higher is better). */
export type Sample = () => Promise<number>

export interface Row {
  readonly name: string
  /** Unit of both rates, such as `requests/s` or `MB/s`. */
  readonly unit: string
  readonly ours: Sample
  /** What ours is measured against, and how it is called. */
  readonly against: { readonly name: string; readonly sample: Sample }
  /** The ratio that an issue asks for, for the reader; never asserted. */
  readonly wanted?: number
  readonly warmups?: number
  readonly samples?: number
}

export interface Measured {
  readonly name: string
  readonly unit: string
  readonly ours: number
  readonly against: string
  readonly theirs: number
  readonly ratio: number
  readonly wanted: number | undefined
  /** Half the spread between the quartiles of our samples, as a part of the median. */
  readonly noise: number
}

/** The middle of the sorted samples. */
export function medianOf(samples: readonly number[]): number {
  return quantileOf(samples, 0.5)
}

function quantileOf(samples: readonly number[], part: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const place = (sorted.length - 1) * part
  const low = Math.floor(place)
  const high = Math.ceil(place)
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low)
}

/** Measures one row: both sides in turn, so that a slow minute of the machine hits both. */
export async function measure(row: Row): Promise<Measured> {
  for (let round = 0; round < (row.warmups ?? 1); round++) {
    await row.ours()
    await row.against.sample()
  }
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < (row.samples ?? 5); round++) {
    ours.push(await row.ours())
    theirs.push(await row.against.sample())
  }
  const median = medianOf(ours)
  return {
    name: row.name,
    unit: row.unit,
    ours: median,
    against: row.against.name,
    theirs: medianOf(theirs),
    ratio: median / medianOf(theirs),
    wanted: row.wanted,
    noise: (quantileOf(ours, 0.75) - quantileOf(ours, 0.25)) / 2 / median,
  }
}

/** Calls a second that `work` manages in about `ms` milliseconds, after one call to warm up. */
export async function rateOf(work: () => Promise<unknown>, ms = 500): Promise<number> {
  await work()
  const start = performance.now()
  let calls = 0
  while (performance.now() - start < ms) {
    await work()
    calls++
  }
  return (calls * 1000) / (performance.now() - start)
}

/** The results as a table for people. */
export function tableOf(results: readonly Measured[]): string {
  const lines = [
    '| what | ours | against | theirs | ratio | wanted | noise |',
    '|---|--:|---|--:|--:|--:|--:|',
    ...results.map(
      (one) =>
        `| ${one.name} | ${figure(one.ours)} ${one.unit} | ${one.against} | ${figure(one.theirs)} ${one.unit} ` +
        `| ${one.ratio.toFixed(2)} | ${one.wanted === undefined ? '' : `≥ ${one.wanted}`} | ±${(one.noise * 100).toFixed(0)} % |`,
    ),
  ]
  return `${lines.join('\n')}\n`
}

function figure(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}
