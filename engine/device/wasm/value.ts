// What the writers of values share: where a value is, and what each may ask of the others.
import type { Expression, Scalar } from '../../ir/index.ts'
import type { Address, AddressWriter, Place } from './address.ts'
import type { WordEmitter } from './narrow.ts'
import type { IterationSpace, Position } from './space.ts'
import type { FunctionWriter } from './writer.ts'

/** A value at a position: where it is. */
export type Value =
  | { readonly kind: 'constant'; readonly value: Scalar }
  | { readonly kind: 'scalar'; readonly local: number }
  | { readonly kind: 'vector'; readonly local: number }
  | { readonly kind: 'lanes'; readonly locals: readonly number[] }

/** Values of a function in the making. */
export interface Values {
  readonly writer: FunctionWriter
  readonly space: IterationSpace
  readonly addresses: AddressWriter
  /** The value at a position, written where it is not known yet. */
  value(expression: Expression, position: Position): Value
  /** A local with the value in all lanes. */
  vector(expression: Expression, position: Position): number
  /**
   * Leaves the value of one lane on the stack of the scope at `depth`. What has to be computed first is
   * written there too, above whatever the stack holds.
   */
  push(depth: number, expression: Expression, position: Position, lane?: number): void
  /** Instructions into the scope at `depth`, on words or on lanes. */
  emitter(depth: number, lanes: boolean): WordEmitter
  /** Address of an element at a place; rests are evaluated at the position and lane. */
  address(
    buffer: number,
    dtype: Expression['dtype'],
    place: Place,
    position: Position,
    lane: number,
  ): Address
  /** How far neighbouring lanes lie apart in memory, in elements; undefined where it depends on data. */
  laneStride(place: Place): number | undefined
}
