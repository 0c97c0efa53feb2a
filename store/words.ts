// Words that all parts of the port share.
import type { Shape } from '../tensor/index.ts'

/** Any JSON value. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json }

/** Number of an immutable value. Equal content has one number, so it also keys resident copies. */
export type ValueId = number

/** Which part of a partitioned variable a variable is, as TensorFlow's SaveSliceInfo says it. */
export interface PartSlice {
  readonly fullName: string
  readonly fullShape: Shape
  /** Where the part begins, along each axis; its own shape says how far it goes. */
  readonly offset: readonly number[]
}
