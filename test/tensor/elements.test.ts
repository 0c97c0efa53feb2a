import t from 'tap'
import {
  bfloat16BitsOf,
  byteLengthOf,
  dtypeOfName,
  dtypeOfNumber,
  dtypes,
  elementsOf,
  numberOfBfloat16,
  numberOfDType,
  numericTensor,
  packStrings,
  Refusal,
  stringTensor,
  tensorflowNameOf,
  tensorOfElements,
  unpackStrings,
} from '../../tensor/index.ts'

t.test('bfloat16 rounds to nearest, ties to even, and keeps NaN and infinities', async (t) => {
  t.equal(bfloat16BitsOf(1), 0x3f80)
  t.equal(bfloat16BitsOf(1 + 2 ** -8), 0x3f80, 'a tie goes to the even mantissa below')
  t.equal(bfloat16BitsOf(1 + 3 * 2 ** -8), 0x3f82, 'a tie goes to the even mantissa above')
  t.equal(numberOfBfloat16(bfloat16BitsOf(-Infinity)), -Infinity)
  t.ok(Number.isNaN(numberOfBfloat16(bfloat16BitsOf(Number.NaN))))
  t.equal(bfloat16BitsOf(3.4e38), 0x7f80, 'what is too large becomes infinite')
})

t.test('every element type goes back and forth by number and by both names', async (t) => {
  for (const dtype of dtypes) {
    t.equal(dtypeOfNumber(numberOfDType(dtype)), dtype)
    t.equal(dtypeOfName(dtype), dtype)
    t.equal(dtypeOfName(tensorflowNameOf(dtype)), dtype)
  }
  t.equal(dtypeOfName('__proto__'), undefined)
  t.equal(dtypeOfNumber(101), undefined)
})

t.test('elements read back as they were written, at any alignment', async (t) => {
  const cases = [
    ['float32', [1.5, -0]],
    ['float16', [65504, -2]],
    ['bfloat16', [1, -256]],
    ['int64', [2n ** 63n - 1n, -1n]],
    ['uint64', [2n ** 64n - 1n, 0n]],
    ['bool', [true, false]],
    [
      'complex64',
      [
        [1, -2],
        [0.5, 0],
      ],
    ],
    ['int8', [-128, 127]],
  ] as const
  for (const [dtype, elements] of cases) {
    const tensor = tensorOfElements(dtype, [2], elements)
    t.same(elementsOf(tensor), elements, dtype)
    const shifted = new Uint8Array(tensor.bytes.byteLength + 1)
    shifted.set(tensor.bytes, 1)
    const unaligned = numericTensor(dtype, [2], shifted.subarray(1))
    t.same(elementsOf(unaligned), elements, `${dtype}, unaligned`)
    const buffer = Buffer.from(shifted.buffer).subarray(1)
    t.same(elementsOf(numericTensor(dtype, [2], buffer)), elements, `${dtype}, unaligned Buffer`)
    t.equal(tensor.bytes.byteLength, 2 * byteLengthOf(dtype))
  }
})

t.test('bytes that do not fit the shape are refused', async (t) => {
  t.throws(() => numericTensor('float32', [2], new Uint8Array(7)), Refusal)
})

t.test('packed strings come back, and damaged ones are refused at every length', async (t) => {
  const strings = ['', 'a', 'wörld'].map((text) => new TextEncoder().encode(text))
  const packed = packStrings(stringTensor([3], strings))
  t.same(unpackStrings([3], packed).strings, strings)
  for (let length = 0; length < packed.byteLength; length++) {
    t.throws(() => unpackStrings([3], packed.subarray(0, length)), Refusal)
  }
})
