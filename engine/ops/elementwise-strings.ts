// Elementwise ops on strings: joining and comparing, on the host.
import {
  elementCountOf,
  type Shape,
  type StringTensor,
  stridesOf,
  stringTensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import type { Lowering } from './definition.ts'
import { broadcastShape } from './shapes.ts'
import type { TensorValue } from './value.ts'

export function joinStrings(at: Lowering): TensorValue {
  const operands = [at.input('x'), at.input('y')]
  const shape = broadcastShape(operands[0].shape, operands[1].shape)
  const [output] = at.step({
    inputs: operands,
    outputs: [{ dtype: 'string', shape }],
    run: (tensors) => {
      const [x, y] = tensors.map((tensor) => broadcastStrings(tensor as StringTensor, shape))
      return [
        stringTensor(
          shape,
          x.map((bytes, place) => concatBytes(bytes, y[place])),
        ),
      ]
    },
  })
  return output
}

export function compareStrings(at: Lowering, wantsEqual: boolean): TensorValue {
  const operands = [at.input('x'), at.input('y')]
  const shape = broadcastShape(operands[0].shape, operands[1].shape)
  const [output] = at.step({
    inputs: operands,
    outputs: [{ dtype: 'bool', shape }],
    run: (tensors) => {
      const [x, y] = tensors.map((tensor) => broadcastStrings(tensor as StringTensor, shape))
      const same = x.map((bytes, place) => sameBytes(bytes, y[place]) === wantsEqual)
      return [tensorOfElements('bool', shape, same)]
    },
  })
  return output
}

function broadcastStrings({ shape, strings }: StringTensor, to: Shape): readonly Uint8Array[] {
  const strides = stridesOf(shape)
  const skipped = to.length - shape.length
  return Array.from({ length: elementCountOf(to) }, (_, flat) => {
    let rest = flat
    let place = 0
    for (let axis = to.length - 1; axis >= 0; axis--) {
      const own = axis - skipped
      if (own >= 0 && shape[own] !== 1) place += (rest % to[axis]) * strides[own]
      rest = Math.floor(rest / to[axis])
    }
    return strings[place]
  })
}

function concatBytes(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.byteLength + b.byteLength)
  joined.set(a)
  joined.set(b, a.byteLength)
  return joined
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, place) => byte === b[place])
}
