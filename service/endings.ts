// Why something under way ends before its time.
import { Refusal } from '../tensor/index.ts'

/** UNAVAILABLE `server/closing`. */
export function serverClosing(): Refusal {
  return new Refusal('UNAVAILABLE', 'server/closing', 'The server is about to end.', {
    fix: 'Send the request again in a moment.',
  })
}

/** CANCELLED `wait/cancelled`: nobody is there to be told. */
export function waiterGone(): Refusal {
  return new Refusal('CANCELLED', 'wait/cancelled', 'Whoever waited has gone.')
}
