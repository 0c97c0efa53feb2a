import fc from 'fast-check'
import t from 'tap'
import { protoOfTensor, tensorOfProto } from '../../formats/index.ts'
import {
  type Draft,
  decodeTensorProto,
  encodeTensorProto,
  type TensorProto,
} from '../../proto/index.ts'
import {
  byteLengthOf,
  dtypes,
  elementsOf,
  isNumeric,
  type NumericTensor,
  numberOfDType,
  numericTensor,
  stringTensor,
} from '../../tensor/index.ts'
import { refusalOf } from '../helper/tools.ts'

function proto(draft: Draft<'TensorProto'>): TensorProto {
  return decodeTensorProto(encodeTensorProto(draft))
}

function shape(...sizes: readonly number[]): Draft<'TensorShapeProto'> {
  return { dim: sizes.map((size) => ({ size })) }
}

function elements(draft: Draft<'TensorProto'>): unknown[] {
  return elementsOf(tensorOfProto(proto(draft)) as NumericTensor)
}

t.test('typed values are read for every element type', async (t) => {
  const vector = { tensor_shape: shape(2) }
  t.strictSame(elements({ ...vector, dtype: 1, float_val: [1.5, -2] }), [1.5, -2])
  t.strictSame(elements({ ...vector, dtype: 2, double_val: [Math.PI, 0] }), [Math.PI, 0])
  t.strictSame(elements({ ...vector, dtype: 3, int_val: [-1, 2 ** 31 - 1] }), [-1, 2 ** 31 - 1])
  t.strictSame(elements({ ...vector, dtype: 4, int_val: [0, 255] }), [0, 255])
  t.strictSame(elements({ ...vector, dtype: 6, int_val: [-128, 127] }), [-128, 127])
  t.strictSame(elements({ ...vector, dtype: 9, int64_val: [2n ** 62n, -1n] }), [2n ** 62n, -1n])
  t.strictSame(elements({ ...vector, dtype: 10, bool_val: [true, false] }), [true, false])
  t.strictSame(elements({ ...vector, dtype: 14, half_val: [0x3f80, 0xc000] }), [1, -2])
  t.strictSame(elements({ ...vector, dtype: 19, half_val: [0x3c00, 0x7c00] }), [1, Infinity])
  t.strictSame(elements({ ...vector, dtype: 22, uint32_val: [2 ** 32 - 1, 0] }), [2 ** 32 - 1, 0])
  t.strictSame(elements({ ...vector, dtype: 23, uint64_val: [2n ** 64n - 1n, 0n] }), [
    2n ** 64n - 1n,
    0n,
  ])
  const complex = { ...vector, dtype: 8, scomplex_val: [1, 2, 3, 4] }
  t.strictSame(elements(complex), [
    [1, 2],
    [3, 4],
  ])
  t.strictSame(elements({ ...vector, dtype: 18, dcomplex_val: [1, 2] }), [
    [1, 2],
    [1, 2],
  ])
})

t.test('a short list repeats its last value; no values are zeros', async (t) => {
  const matrix = { dtype: 1, tensor_shape: shape(2, 2) }
  t.strictSame(elements({ ...matrix, float_val: [1, 2] }), [1, 2, 2, 2])
  t.strictSame(elements({ ...matrix, float_val: [7] }), [7, 7, 7, 7])
  t.strictSame(elements(matrix), [0, 0, 0, 0])
  t.strictSame(elements({ dtype: 1, tensor_shape: shape(0), float_val: [7] }), [])
  const strings = { dtype: 7, tensor_shape: shape(3), string_val: [Uint8Array.of(1)] }
  const one = Uint8Array.of(1)
  t.strictSame(tensorOfProto(proto(strings)), stringTensor([3], [one, one, one]))
})

t.test('strings in raw content are read', async (t) => {
  const tensor_content = Uint8Array.of(2, 0, 0x61, 0x62)
  const read = tensorOfProto(proto({ dtype: 7, tensor_shape: shape(2), tensor_content }))
  t.strictSame(read, stringTensor([2], [Uint8Array.of(0x61, 0x62), new Uint8Array()]))
  for (const bad of [[2, 0, 0x61], [2, 0, 0x61, 0x62, 0x63], [0x80, 0x80], [2]]) {
    const broken = { dtype: 7, tensor_shape: shape(2), tensor_content: Uint8Array.from(bad) }
    t.equal((await refusalOf(() => tensorOfProto(proto(broken)))).code, 'INVALID_ARGUMENT')
  }
})

t.test('41: what does not add up, and what would take too much, is refused', async (t) => {
  const reason = async (draft: Draft<'TensorProto'>, maxByteLength?: number) =>
    (await refusalOf(() => tensorOfProto(proto(draft), maxByteLength))).reason
  const vector = { dtype: 1, tensor_shape: shape(2) }
  t.equal(
    await reason({ ...vector, tensor_content: new Uint8Array(7) }),
    'tensor-proto/size-mismatch',
  )
  t.equal(await reason({ ...vector, float_val: [1, 2, 3] }), 'tensor-proto/size-mismatch')
  const odd = { dtype: 8, tensor_shape: shape(2), scomplex_val: [1, 2, 3] }
  t.equal(await reason(odd), 'tensor-proto/size-mismatch')
  t.equal(await reason({ ...vector, tensor_shape: shape(-1) }), 'tensor-proto/bad-shape')
  t.equal(
    await reason({ dtype: 1, tensor_shape: { unknown_rank: true } }),
    'tensor-proto/bad-shape',
  )
  const bomb = { dtype: 1, tensor_shape: shape(10 ** 12), float_val: [1] }
  t.equal(await reason(bomb), 'tensor-proto/too-large')
  t.equal(await reason({ ...vector, float_val: [1] }, 7), 'tensor-proto/too-large')
  t.equal(await reason({ dtype: 1, tensor_shape: shape(2 ** 31, 2 ** 31) }), 'shape/invalid')
  for (const dtype of [0, 20, 21, 101, 999]) {
    t.equal(await reason({ dtype }), 'tensor-proto/unsupported-dtype')
  }
})

t.test('any tensor survives', async (t) => {
  const numeric = fc
    .record({ dtype: fc.constantFrom(...dtypes.filter(isNumeric)), rows: fc.nat(3) })
    .chain(({ dtype, rows }) => {
      const length = rows * 2 * byteLengthOf(dtype)
      return fc
        .uint8Array({ minLength: length, maxLength: length })
        .map((bytes) => numericTensor(dtype, [rows, 2], bytes))
    })
  fc.assert(
    fc.property(numeric, (tensor) => {
      t.strictSame(tensorOfProto(proto(protoOfTensor(tensor))), tensor)
    }),
    { numRuns: 200 },
  )
  fc.assert(
    fc.property(fc.array(fc.uint8Array()), (strings) => {
      const tensor = stringTensor([strings.length], strings)
      t.strictSame(tensorOfProto(proto(protoOfTensor(tensor))), tensor)
    }),
    { numRuns: 100 },
  )
  t.equal(
    proto(protoOfTensor(numericTensor('int8', [], Uint8Array.of(1)))).dtype,
    numberOfDType('int8'),
  )
})
