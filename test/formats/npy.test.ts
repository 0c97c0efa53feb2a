import fc from 'fast-check'
import t from 'tap'
import { byteSourceOf, openNpy, writeNpy } from '../../formats/index.ts'
import {
  byteLengthOf,
  type DType,
  elementsOf,
  type NumericDType,
  numericTensor,
  type TensorStream,
} from '../../tensor/index.ts'
import { bytesOfChunks, refusalOf } from '../helper/tools.ts'

/** An .npy file with that dictionary and body. */
function fileOf(header: string, body: Uint8Array = new Uint8Array(), version = [1, 0]): Uint8Array {
  const text = new TextEncoder().encode(`${header}\n`)
  const wide = version[0] > 1
  const length = wide ? Uint32Array.of(text.byteLength) : Uint16Array.of(text.byteLength)
  const start = [0x93, ...new TextEncoder().encode('NUMPY'), ...version]
  return Uint8Array.from([...start, ...new Uint8Array(length.buffer), ...text, ...body])
}

function headerOf(descr: string, shape: string, isFortran = 'False'): string {
  return `{'descr': '${descr}', 'fortran_order': ${isFortran}, 'shape': ${shape}, }`
}

async function elements(file: Uint8Array): Promise<unknown[]> {
  const { dtype, shape, chunks, byteLength } = await openNpy(byteSourceOf(file), 'x')
  const bytes = await bytesOfChunks(chunks())
  if (bytes.byteLength !== byteLength) throw new Error('another length')
  return elementsOf(numericTensor(dtype as NumericDType, shape, bytes))
}

async function reasonOf(file: Uint8Array): Promise<string> {
  const { code, reason } = await refusalOf(() => openNpy(byteSourceOf(file), 'x'))
  return code === 'DATA_LOSS' ? reason : code
}

t.test('33: orders, scalars and empty arrays are read as numpy does', async (t) => {
  const numbers = Uint8Array.from({ length: 6 }, (_, index) => index)
  t.strictSame(await elements(fileOf(headerOf('|u1', '(2, 3)'), numbers)), [0, 1, 2, 3, 4, 5])
  const fortran = fileOf(headerOf('|u1', '(2, 3)', 'True'), numbers)
  t.strictSame(await elements(fortran), [0, 2, 4, 1, 3, 5])
  const cube = Uint8Array.from({ length: 8 }, (_, index) => index)
  const cubeFile = fileOf(headerOf('|u1', '(2, 2, 2)', 'True'), cube)
  t.strictSame(await elements(cubeFile), [0, 4, 2, 6, 1, 5, 3, 7])
  t.strictSame(
    await elements(fileOf(headerOf('>i2', '(2,)'), Uint8Array.of(1, 2, 255, 255))),
    [258, -1],
  )
  const bigFortran = fileOf(headerOf('>i2', '(1, 2)', 'True'), Uint8Array.of(0, 1, 0, 2))
  t.strictSame(await elements(bigFortran), [1, 2])
  const complex = Uint8Array.of(0x3f, 0x80, 0, 0, 0x40, 0, 0, 0)
  t.strictSame(await elements(fileOf(headerOf('>c8', '()'), complex)), [[1, 2]])
  t.strictSame(await elements(fileOf(headerOf('<f2', '()'), Uint8Array.of(0, 0x3c))), [1])
  t.strictSame(await elements(fileOf(headerOf('|b1', '(2,)'), Uint8Array.of(1, 0))), [true, false])
  t.strictSame(await elements(fileOf(headerOf('<f4', '(0, 5)'))), [])
  for (const version of [
    [2, 0],
    [3, 0],
  ]) {
    t.strictSame(await elements(fileOf(headerOf('|u1', '(1,)'), Uint8Array.of(9), version)), [9])
  }
  const spaced = `{"shape":(1L,),"fortran_order":False,"descr":"|u1"}`
  t.strictSame(await elements(fileOf(spaced, Uint8Array.of(9))), [9])
})

t.test('32: what is no array of numbers is refused, and nothing is evaluated', async (t) => {
  const good = headerOf('<f4', '(1,)')
  const body = new Uint8Array(4)
  const magic = fileOf(good, body)
  magic[1] = 0x6e
  t.equal(await reasonOf(magic), 'npy/bad-magic')
  t.equal(await reasonOf(fileOf(good, body, [9, 0])), 'npy/bad-version')
  t.equal(await reasonOf(fileOf(good, body, [1, 1])), 'npy/bad-version')
  for (const descr of ['|O', '<M8[s]', '|S5', '<U5', '<V2', '<f16', 'f4', '<f4junk']) {
    t.equal(await reasonOf(fileOf(headerOf(descr, '(1,)'), body)), 'npy/unsupported-dtype', descr)
  }
  const fields = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"
  t.equal(await reasonOf(fileOf(fields, body)), 'npy/unsupported-dtype')
  const bad = [
    "{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os').system('x'), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1+1,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': [1], }",
    "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }",
    "{'descr': '<f4', 'fortran_order': False, }",
    "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1, }",
    "{'descr': '<f4' 'fortran_order': False, 'shape': (1,), }",
    `${good}; import os`,
    '',
    '{',
  ]
  for (const header of bad) t.equal(await reasonOf(fileOf(header, body)), 'npy/bad-header', header)
  t.equal(await reasonOf(fileOf(headerOf('<f4', '(99999999, 999999999)'))), 'npy/bad-header')
  t.equal(await reasonOf(fileOf(good, new Uint8Array(5))), 'npy/size-mismatch')
  const { fix } = await refusalOf(() =>
    openNpy(byteSourceOf(fileOf(headerOf('<V2', '(2,)'), body)), 'x'),
  )
  t.match(fix, /safetensors/)
  const reordered = byteSourceOf(fileOf(headerOf('<f4', '(1, 1)', 'True'), body))
  const limited = await refusalOf(() => openNpy(reordered, 'x', { maxReorderedBytes: 3 }))
  t.equal(limited.code, 'RESOURCE_EXHAUSTED')
})

t.test('an array cut at any byte is refused', async (t) => {
  const file = fileOf(headerOf('<f4', '(1,)'), new Uint8Array(4))
  const codes = new Set<string>()
  for (let length = 0; length < file.byteLength; length++) {
    codes.add((await refusalOf(() => openNpy(byteSourceOf(file.subarray(0, length)), 'x'))).code)
  }
  t.strictSame([...codes], ['DATA_LOSS'])
})

function streamOf(dtype: DType, shape: readonly number[], bytes: Uint8Array): TensorStream {
  return {
    name: 'x',
    dtype,
    shape,
    byteLength: bytes.byteLength,
    async *chunks() {
      yield bytes
    },
  }
}

t.test('what is written is read back, its data aligned to 64 bytes', async (t) => {
  const types = ['bool', 'int8', 'uint16', 'float16', 'int64', 'uint64', 'complex128'] as const
  const shapes = fc.array(fc.nat(4), { maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...types), shapes, async (dtype, shape) => {
      const count = shape.reduce((product, size) => product * size, 1)
      const body = Uint8Array.from({ length: count * byteLengthOf(dtype) }, (_, index) => index % 2)
      const file = writeNpy(streamOf(dtype, shape, body))
      const bytes = await bytesOfChunks(file.chunks())
      t.equal(bytes.byteLength, file.byteLength)
      t.equal((bytes.byteLength - body.byteLength) % 64, 0)
      const read = await openNpy(byteSourceOf(bytes), 'x')
      t.strictSame([read.dtype, read.shape], [dtype, shape])
      t.strictSame(await bytesOfChunks(read.chunks()), body)
    }),
    { numRuns: 60 },
  )
  for (const dtype of ['bfloat16', 'string', 'qint8', 'float8_e5m2', 'int4'] as const) {
    const { reason } = await refusalOf(() => writeNpy(streamOf(dtype, [0], new Uint8Array())))
    t.equal(reason, 'npy/unsupported-dtype')
  }
})
