// The thread that takes figures: one value at a time, in pieces that it is handed.
import { parentPort } from 'node:worker_threads'
import { freeMemory, type NumericDType } from '../tensor/index.ts'
import { type Figures, FigureTaker } from './statistics-figures.ts'

/** What the thread is told, in this order: begin, pieces, turn, the same pieces, end. */
export type StatisticsOrder =
  | { readonly kind: 'begin'; readonly dtype: NumericDType; readonly bins: number }
  | { readonly kind: 'piece'; readonly bytes: Uint8Array }
  | { readonly kind: 'turn' }
  | { readonly kind: 'end' }

/** What it answers: that it is done with a piece, and at the end the figures. */
export type StatisticsReply =
  | { readonly kind: 'taken' }
  | { readonly kind: 'figures'; readonly figures: Figures }

function serve(port: NonNullable<typeof parentPort>): void {
  let taker: FigureTaker | undefined
  const begun = (): FigureTaker => {
    if (taker === undefined) throw new Error('no value was begun')
    return taker
  }
  const answer = (reply: StatisticsReply): void => port.postMessage(reply)
  port.on('message', (order: StatisticsOrder) => {
    switch (order.kind) {
      case 'begin':
        taker = new FigureTaker(order.dtype, order.bins)
        return
      case 'piece':
        begun().take(order.bytes)
        freeMemory(order.bytes)
        answer({ kind: 'taken' })
        return
      case 'turn':
        begun().turn()
        return
      case 'end':
        answer({ kind: 'figures', figures: begun().figures() })
        taker = undefined
        return
      default:
        order satisfies never
    }
  })
}

if (parentPort !== null) serve(parentPort)
