// What planning needs from a run before it can go on: the content of a value, or the shapes that a
// host step gives. Thrown by lowerings, caught by the trace, answered by the runner.
import type { Shape, Tensor } from '../../tensor/index.ts'
import type { HostStep, TensorValue } from '../ops/index.ts'

/** Content of a value, or a step to run for the shapes of its outputs. */
export type Need =
  | { readonly kind: 'content'; readonly value: TensorValue; readonly node: string }
  | { readonly kind: 'step'; readonly step: HostStep; readonly node: string }

/** What was seen. */
export type Answer =
  | { readonly kind: 'content'; readonly tensor: Tensor }
  | { readonly kind: 'step'; readonly shapes: readonly Shape[] }

/** Thrown through a lowering to suspend the trace. */
export class Suspension extends Error {
  readonly need: Need

  constructor(need: Need) {
    super('planning needs what only a run can tell')
    this.need = need
  }
}
