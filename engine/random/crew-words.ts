// What the threads of a crew share: words, and how a job is told. Who does what with them is crew.ts's and
// worker.ts's.
import type { MessagePort } from 'node:worker_threads'
import type { PhiloxState } from './philox.ts'
import type { Draw } from './pieces.ts'

/** A stretch of a draw: blocks `first` up to `first + blocks`. */
export interface DrawJob {
  readonly draw: Draw
  readonly state: PhiloxState
  readonly first: number
  readonly blocks: number
}

/** What a worker starts with. */
export interface DrawWorkerStart {
  readonly control: Int32Array
  /** Where the bytes of jobs go. */
  readonly area: Uint8Array
  readonly module: WebAssembly.Module
  readonly port: MessagePort
}

/** A job as workers are told of it. */
export interface ToldJob extends DrawJob {
  readonly number: number
}

/** Indices of the shared words, a cache line apart where several threads write them. */
export const crewWords = {
  /** Counts up with every job; workers wait on it. */
  call: 0,
  /** Workers inside of the job, and {@link closedGate} when no more may enter. */
  gate: 16,
  /** Next piece to take. */
  next: 32,
  /** Set when the workers are to end. */
  stop: 48,
  /** Set when a worker failed. */
  fault: 49,
} as const

/** Bit of the gate. */
export const closedGate = 1 << 30
