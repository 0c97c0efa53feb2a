// Turns what proto/ throws into a Refusal.
import { WireError } from '../proto/index.ts'
import { Refusal } from '../tensor/index.ts'

/**
 * What `read` returns; a `WireError` in it becomes a DATA_LOSS refusal with that reason, its
 * sentence beginning with `what`.
 */
export function refusingWireErrors<Result>(
  reason: string,
  what: string,
  read: () => Result,
): Result {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new Refusal('DATA_LOSS', reason, `${what} cannot be read: ${error.message}`, {
      cause: error,
    })
  }
}
