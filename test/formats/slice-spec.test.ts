import fc from 'fast-check'
import t from 'tap'
import { parseSliceSpec, sliceTensor } from '../../formats/index.ts'
import { stridesOf, type TensorStream } from '../../tensor/index.ts'
import { bytesOfChunks, refusalOf } from '../helper/tools.ts'

/** A tensor of uint16 that count up from zero, streamed `step` bytes at a time. */
function counting(shape: readonly number[], step: number): TensorStream {
  const count = shape.reduce((product, size) => product * size, 1)
  const bytes = new Uint8Array(Uint16Array.from({ length: count }, (_, index) => index).buffer)
  return {
    name: 'w',
    dtype: 'uint16',
    shape,
    byteLength: bytes.byteLength,
    async *chunks() {
      for (let at = 0; at < bytes.byteLength; at += step) yield bytes.subarray(at, at + step)
    },
  }
}

async function numbers(tensor: TensorStream): Promise<number[]> {
  return [...new Uint16Array((await bytesOfChunks(tensor.chunks())).buffer)]
}

t.test('a text of shape and slice is read', async (t) => {
  t.equal(parseSliceSpec(''), undefined)
  const wanted = { fullShape: [4, 2], starts: [1, 0], shape: [2, 2] }
  t.strictSame(parseSliceSpec('4 2 1,2:-'), wanted)
  for (const text of [
    '4',
    '4 2 -',
    '4 2 0,5:-',
    '4 2 x:-',
    '4  2 -:-',
    '-1 -',
    '4 -,2',
    '4 0,1:-',
  ]) {
    t.equal((await refusalOf(() => parseSliceSpec(text))).reason, 'tensor/bad-slice', text)
  }
})

t.test('a part of a tensor is picked out of its stream', async (t) => {
  const whole = counting([3, 4], 5)
  t.equal(sliceTensor(whole, ''), whole)
  t.strictSame(await numbers(sliceTensor(whole, '3 4 1,2:-')), [4, 5, 6, 7, 8, 9, 10, 11])
  const columns = sliceTensor(whole, '3 4 -:1,2')
  t.strictSame(columns.shape, [3, 2])
  t.equal(columns.byteLength, 12)
  t.strictSame(await numbers(columns), [1, 2, 5, 6, 9, 10])
  t.strictSame(await numbers(sliceTensor(whole, '3 4 -:4,0')), [])
  t.equal((await refusalOf(() => sliceTensor(whole, '4 3 -:-'))).reason, 'tensor/bad-slice')
  const strings = { ...whole, dtype: 'string' } as const
  t.equal((await refusalOf(() => sliceTensor(strings, '3 4 -:-'))).reason, 'tensor/bad-slice')
})

t.test('any part equals the elements taken one by one', async (t) => {
  const axis = fc
    .integer({ min: 1, max: 4 })
    .chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)))
    .chain(([size, start]) =>
      fc.tuple(fc.constant(size), fc.constant(start), fc.integer({ min: 1, max: size - start })),
    )
  const axes = fc.array(axis, { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(axes, fc.integer({ min: 1, max: 9 }), async (parts, step) => {
      const shape = parts.map(([size]) => size)
      const strides = stridesOf(shape)
      const wanted = parts.reduce<number[]>(
        (found, [, start, length], at) =>
          found.flatMap((base) =>
            Array.from({ length }, (_, index) => base + (start + index) * strides[at]),
          ),
        [0],
      )
      const text = `${shape.join(' ')} ${parts.map(([, start, length]) => `${start},${length}`).join(':')}`
      t.strictSame(await numbers(sliceTensor(counting(shape, step), text)), wanted, text)
    }),
    { numRuns: 200 },
  )
})
