// Runs a parser on broken inputs for a time: whatever is not read must end in a Refusal, soon, and
// without taking memory for what the input only claims.
import { WireError } from '../../proto/index.ts'
import { Refusal } from '../../tensor/index.ts'
import type { FuzzTarget } from '../formats/fuzz-targets.ts'
import { chanceFrom } from './chance.ts'
import { mutated } from './mutate.ts'

/** What a run found. */
export interface FuzzReport {
  readonly inputs: number
  /** Inputs that were read all the same. */
  readonly read: number
  /** How often each reason was given. */
  readonly reasons: ReadonlyMap<string, number>
  /** What should not be, with what it takes to see it again. */
  readonly problems: readonly string[]
}

const mostProblems = 5
const slowMs = 2000
const mostMemory = 128 * 2 ** 20

/** Fuzzes for `ms`; input number n of a seed is always the same. */
export async function fuzz(target: FuzzTarget, seed: number, ms: number): Promise<FuzzReport> {
  const reasons = new Map<string, number>()
  const problems: string[] = []
  let read = 0
  let inputs = 0
  const end = performance.now() + ms
  for (; performance.now() < end && problems.length < mostProblems; inputs++) {
    const bytes = inputOf(target, seed, inputs)
    const problem = (what: string): void => {
      problems.push(
        `${target.name}, seed ${seed}, input ${inputs}: ${what} (${Buffer.from(bytes).toString('base64').slice(0, 2000)})`,
      )
    }
    const before = process.memoryUsage().arrayBuffers
    const start = performance.now()
    try {
      await target.read(bytes)
      read++
    } catch (error) {
      if (error instanceof Refusal) {
        reasons.set(error.reason, (reasons.get(error.reason) ?? 0) + 1)
        if (!/^[a-z0-9-]+\/[a-z0-9-]+$/.test(error.reason)) problem(`the reason ${error.reason}`)
      } else problem(error instanceof WireError ? `a bare ${error}` : String(error))
    }
    const took = performance.now() - start
    if (took > slowMs) problem(`it took ${Math.round(took)} ms`)
    const grown = process.memoryUsage().arrayBuffers - before
    if (grown > mostMemory) problem(`it took ${grown} bytes of memory`)
  }
  return { inputs, read, reasons, problems }
}

/** That input of that seed. */
export function inputOf({ corpus }: FuzzTarget, seed: number, number: number): Uint8Array {
  const chance = chanceFrom(seed * 1_000_003 + number)
  return mutated(chance.one(corpus), chance, chance.one(corpus))
}
