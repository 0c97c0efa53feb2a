// Chance from a seed, so that what a test tried can be tried again.

/** Draws that follow from a seed. */
export interface Chance {
  /** 0 to `below` - 1. */
  whole(below: number): number
  /** One of the items. */
  one<T>(items: readonly T[]): T
  /** Whether an event of that probability happens. */
  happens(probability: number): boolean
}

/** Mulberry32: a 32-bit state, mixed. Source: Tommy Ettinger's generator of that name. */
export function chanceFrom(seed: number): Chance {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    whole: (below) => Math.floor(next() * below),
    one: (items) => items[Math.floor(next() * items.length)],
    happens: (probability) => next() < probability,
  }
}

/** The seed that a test was started with (`--seed=`), else one of this moment. */
export function seedOf(argv: readonly string[], otherwise: number): number {
  const given = argv.find((argument) => argument.startsWith('--seed='))
  return given === undefined ? otherwise : Number(given.slice('--seed='.length))
}
