// Attributes of nodes as a builder writes them. It knows the wire form, and no op.
import { protoOfTensor } from '../../formats/index.ts'
import type { Draft } from '../../proto/index.ts'
import { type DType, numberOfDType, type Tensor } from '../../tensor/index.ts'

/** An attribute to write. */
export type AttributeDraft = Draft<'AttrValue'>

/** Attributes by name. */
export type AttributeDrafts = Readonly<Record<string, AttributeDraft>>

const encoder = new TextEncoder()

/** Writers of attributes, one for each kind of value. */
export const attribute = {
  type: (dtype: DType): AttributeDraft => ({ type: numberOfDType(dtype) }),
  types: (dtypes: readonly DType[]): AttributeDraft => ({
    list: { type: dtypes.map(numberOfDType) },
  }),
  bool: (b: boolean): AttributeDraft => ({ b }),
  int: (value: number): AttributeDraft => ({ i: BigInt(value) }),
  float: (f: number): AttributeDraft => ({ f }),
  text: (text: string): AttributeDraft => ({ s: encoder.encode(text) }),
  texts: (texts: readonly string[]): AttributeDraft => ({
    list: { s: texts.map((text) => encoder.encode(text)) },
  }),
  tensor: (tensor: Tensor): AttributeDraft => ({ tensor: protoOfTensor(tensor) }),
  function: (name: string): AttributeDraft => ({ func: { name } }),
  shape: (shape: readonly number[]): AttributeDraft => ({
    shape: { dim: shape.map((size) => ({ size })) },
  }),
  unknownShape: { shape: { unknown_rank: true } } as AttributeDraft,
}
