// A kernel: one pass over an iteration space that reads buffers and writes buffers. The planner makes
// them, verify.ts checks them, tile/ decides how they run, devices compile them.
import type { Expression, ScalarType } from './expression.ts'

/** Elements of one type in a row; shapes are gone at this level. */
export interface KernelBuffer {
  readonly dtype: ScalarType
  readonly elementCount: number
}

export interface KernelOutput extends KernelBuffer {
  /**
   * Input that is the same buffer: the kernel updates in place. Each element is read only by the
   * iteration that writes it, before any of its stores. Such an input is not bound a second time.
   */
  readonly inPlaceOf?: number | undefined
}

/** How a reduction combines; argmax and argmin give the flat int32 position of the first best. */
export type Combine = 'sum' | 'product' | 'max' | 'min' | 'all' | 'any' | 'argmax' | 'argmin'

/**
 * One value accumulated over all reduction loops, in their order. `dtype` is the accumulator's and
 * the body's type (argmax and argmin: the body's; their result is int32). Max and min propagate NaN.
 * A device may reorder sums and fuse a product of the body into the addition.
 */
export interface Reduction {
  readonly combine: Combine
  readonly dtype: ScalarType
  readonly body: Expression
}

export interface Store {
  readonly output: number
  /**
   * Flat position; every element of an output that is not in place is stored exactly once. One that is
   * loaded from memory and lies outside of an output in place stores nothing.
   */
  readonly index: Expression
  readonly value: Expression
}

/** What must hold in every iteration; the first iteration (in loop order) where it does not is reported. */
export interface Check {
  readonly ok: Expression
  /** Ends in the report; the planner knows which node and message it stands for. */
  readonly code: number
}

export interface Kernel {
  readonly inputs: readonly KernelBuffer[]
  readonly outputs: readonly KernelOutput[]
  /** Extents of the parallel loops, outermost first: axes 0 .. loops.length - 1. Empty: one iteration. */
  readonly loops: readonly number[]
  /** Extents of the reduction loops, outermost first: the axes that follow. */
  readonly reduced: readonly number[]
  readonly reductions: readonly Reduction[]
  readonly stores: readonly Store[]
  readonly checks: readonly Check[]
}
