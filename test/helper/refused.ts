// What a refusal is expected to be, in the form that tap's `throws` and `rejects` compare with.
import type { Refusal } from '../../tensor/index.ts'

/** The wanted parts of a {@link Refusal}; parts that are left out may be anything. */
export function refused(wanted: Partial<Pick<Refusal, 'code' | 'reason' | 'message'>>): Error {
  return wanted as Error
}
