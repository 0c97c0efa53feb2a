import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  numIncreasing,
  signedNumIncreasing,
  sliceKey,
  stringIncreasing,
} from '../../formats/ordered-code.ts'
import { sharedFolder } from '../helper/shared.ts'

interface Vectors {
  readonly write_num_increasing: Readonly<Record<string, string>>
  readonly write_string: Readonly<Record<string, string>>
  readonly write_signed_num_increasing: Readonly<Record<string, string>>
  readonly encode_tensor_name_slice: readonly {
    readonly name: string
    readonly slice: readonly (readonly [number, number])[]
    readonly key_hex: string
  }[]
}

t.test('every recorded vector is encoded as recorded', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const path = join(shared, 'fixtures/ordered_code_vectors.json')
  const vectors: Vectors = JSON.parse(readFileSync(path, 'utf8'))
  const hex = (bytes: readonly number[] | Uint8Array) => Buffer.from(bytes).toString('hex')
  for (const [value, wanted] of Object.entries(vectors.write_num_increasing)) {
    t.equal(hex(numIncreasing(BigInt(value))), wanted, value)
  }
  for (const [text, wanted] of Object.entries(vectors.write_string)) {
    t.equal(hex(stringIncreasing(Buffer.from(text, 'hex'))), wanted, text)
  }
  for (const [value, wanted] of Object.entries(vectors.write_signed_num_increasing)) {
    t.equal(hex(signedNumIncreasing(BigInt(value))), wanted, value)
  }
  for (const { name, slice, key_hex } of vectors.encode_tensor_name_slice) {
    const extents = slice.map(([start, length]) => ({ start, length }))
    t.equal(hex(sliceKey(name, extents)), key_hex, name)
  }
})
