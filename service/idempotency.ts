// Requests that may be sent twice but must be done once. The store keeps the outcome with the commit;
// this file recognizes a repetition, and refuses one while the first is still under way.
import { createHash } from 'node:crypto'
import type { Committed, Idempotency } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { fixedLimits } from './limits.ts'

const { idempotencyKeyLength: longestKey } = fixedLimits

/** What a request asks, in full; a function where saying it takes work that only a key needs. */
export type Described = readonly unknown[] | (() => readonly unknown[])

/**
 * Does `work` once for a key. The same key with another description is refused (INVALID_ARGUMENT `idempotency/mismatch`), and a key whose first
 * request is under way with ABORTED `idempotency/in-flight`. Without a key, `work` is just done.
 */
export async function once(
  context: Context,
  key: string | undefined,
  described: Described,
  work: (idempotency: Idempotency | undefined) => Promise<Committed>,
): Promise<Committed> {
  if (key === undefined) return work(undefined)
  checkKey(key)
  if (context.keysInFlight.has(key)) {
    throw new Refusal(
      'ABORTED',
      'idempotency/in-flight',
      `The first request with the Idempotency-Key ${JSON.stringify(key)} is still under way.`,
      { fix: 'Wait, then send the request again with the same key.' },
    )
  }
  context.keysInFlight.add(key)
  try {
    const asked = typeof described === 'function' ? described() : described
    const digest = digestOfRequest(asked)
    const earlier = await context.store.catalogue.idempotent(key)
    if (earlier === undefined) {
      return await work({ key, digest, keepMs: context.limits.idempotencyKeepMs })
    }
    if (earlier.digest === digest) return { ...earlier.committed, replayed: true }
    throw keyOfAnotherRequest(key)
  } finally {
    context.keysInFlight.delete(key)
  }
}

/** Refuses (INVALID_ARGUMENT `idempotency/invalid-key`) a key that is empty or too long. */
export function checkKey(key: string): void {
  if (key.length > 0 && key.length <= longestKey) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'idempotency/invalid-key',
    `An Idempotency-Key has 1 to ${longestKey} characters; ${key.length} were given.`,
    { fix: 'Use a fresh random text, such as a UUID, for every new request.' },
  )
}

/** Names a request by what it asks. */
export function digestOfRequest(described: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(described)).digest('hex')
}

/** INVALID_ARGUMENT `idempotency/mismatch`. */
export function keyOfAnotherRequest(key: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'idempotency/mismatch',
    `The Idempotency-Key ${JSON.stringify(key)} was used for another request.`,
    { fix: 'Use a new key for every new request.' },
  )
}
