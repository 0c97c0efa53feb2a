// The refusal that a checkpoint is not there.
import { Refusal } from '../tensor/index.ts'

/** NOT_FOUND `checkpoint/unknown`. */
export function unknownCheckpoint(ref: string): Refusal {
  const sentence =
    ref === 'latest' ? 'There is no checkpoint yet.' : `There is no checkpoint "${ref}".`
  return new Refusal('NOT_FOUND', 'checkpoint/unknown', sentence, {
    fix: 'List what is there with GET /v1/checkpoints, or save one with POST /v1/checkpoints.',
    names: { checkpoint: ref },
  })
}
