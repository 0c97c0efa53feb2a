// The thread that compares values: two pieces at a time, each answered with its figures.
import { parentPort } from 'node:worker_threads'
import type { NumericDType } from '../tensor/index.ts'
import { type DifferenceFigures, differenceOf } from './difference-figures.ts'

/** Two pieces of the same type and length. */
export interface DifferenceOrder {
  readonly id: number
  readonly dtype: NumericDType
  readonly before: Uint8Array
  readonly after: Uint8Array
}

/** Their figures. */
export interface DifferenceReply {
  readonly id: number
  readonly figures: DifferenceFigures
}

/** Frees what was taken now, and not when memory is next collected. */
function release({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}

function serve(port: NonNullable<typeof parentPort>): void {
  port.on('message', ({ id, dtype, before, after }: DifferenceOrder) => {
    const figures = differenceOf(dtype, before, after)
    release(before)
    release(after)
    port.postMessage({ id, figures } satisfies DifferenceReply)
  })
}

if (parentPort !== null) serve(parentPort)
