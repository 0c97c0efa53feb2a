// Broadcasting on the host: where the element of a value is that stands at a place of a larger shape.
import { type Shape, stridesOf } from '../../tensor/index.ts'

/** Place in a value of shape `own` for the flat place in `space`, which it broadcasts to. */
export function placeIn(flat: number, space: Shape, own: Shape): number {
  const strides = stridesOf(own)
  let rest = flat
  let place = 0
  for (let axis = space.length - 1; axis >= 0; axis--) {
    const mine = axis - space.length + own.length
    if (mine >= 0 && own[mine] !== 1) place += (rest % space[axis]) * strides[mine]
    rest = Math.floor(rest / space[axis])
  }
  return place
}
