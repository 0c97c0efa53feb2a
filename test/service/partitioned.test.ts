// Wholes cut into parts as they stream in, and put together as they stream out, for shapes and ranges of
// any kind.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { slicesOf } from '../../graph/index.ts'
import type { Context } from '../../service/context.ts'
import { cutTensor, joinTensors } from '../../service/cut-tensor.ts'
import { cutOf } from '../../service/part-cut.ts'
import { stageParts } from '../../service/part-streams.ts'
import { joinedReadable } from '../../service/partitioned.ts'
import { gatherBytes } from '../../service/readable.ts'
import { openSpool } from '../../service/spool.ts'
import type { StagedValue, Staging, ValueRecord, Values } from '../../store/index.ts'
import { elementCountOf, numericTensor, type Shape } from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'
import { contentOf, temporaryFolder } from '../helper/store.ts'

const spool = await openSpool(join(temporaryFolder(t), 'spool'))
const context = { spool, limits: { feedBytes: 2 ** 20 } } as unknown as Context

/** A store that keeps values in memory, and hands them out in pieces of `pieceLength`. */
function memory(pieceLength: number) {
  const kept: Uint8Array[] = []
  const staging = {
    async add({ dtype, shape, byteLength, chunks }) {
      const bytes = await gatherBytes(chunks(), byteLength)
      const token = kept.push(bytes) - 1
      return { dtype, shape, byteLength, digest: String(token), token }
    },
  } as Pick<Staging, 'add'> as Staging
  const values = {
    async *read(valueId, { offset, length } = { offset: 0, length: kept[valueId].byteLength }) {
      const bytes = kept[valueId].slice(offset, offset + length)
      for (let at = 0; at < bytes.byteLength; at += pieceLength) {
        yield bytes.slice(at, at + pieceLength)
      }
    },
  } as Pick<Values, 'read'> as Values
  return { kept, staging, values }
}

function slicesFor(shape: Shape, axis: number, count: number) {
  const partitions = shape.map((_, place) => (place === axis ? count : 1))
  return slicesOf('w', shape, partitions).map(({ fullShape, offset, shape }) => ({
    fullShape,
    starts: offset,
    shape,
  }))
}

function contentFrom(shape: Shape, bytes: Uint8Array, pieceLength: number) {
  return {
    dtype: 'int16' as const,
    shape,
    byteLength: elementCountOf(shape) * 2,
    async *chunks() {
      for (let at = 0; at < bytes.byteLength; at += pieceLength) {
        yield bytes.subarray(at, at + pieceLength)
      }
    },
  }
}

function recordOf({ dtype, shape, byteLength, digest, token }: StagedValue): ValueRecord {
  return { valueId: token, dtype, shape, byteLength, digest }
}

/** Throws where they differ; quick for megabytes. */
function assertSame(found: Uint8Array | undefined, wanted: Uint8Array): void {
  assert(found !== undefined && Buffer.compare(found, wanted) === 0, 'other bytes came')
}

async function check(
  shape: Shape,
  axis: number,
  count: number,
  pieceLength: number,
  ranges: readonly (readonly [number, number])[],
): Promise<void> {
  const bytes = contentOf(elementCountOf(shape) * 2, shape.length)
  const slices = slicesFor(shape, axis, count)
  const { kept, staging, values } = memory(pieceLength)
  const content = contentFrom(shape, bytes, pieceLength)
  const staged = await stageParts(context, staging, content, slices)
  const tensor = numericTensor('int16', shape, bytes)
  const parts = slices.map((slice) => ({ slice, tensor: cutTensor(tensor, slice) }))
  for (const [place, { tensor: part }] of parts.entries()) {
    assertSame('bytes' in part ? part.bytes : undefined, kept[staged[place].token])
  }
  const joined = joinTensors({ dtype: 'int16', shape }, parts)
  assertSame('bytes' in joined ? joined.bytes : undefined, tensor.bytes)
  const valueParts = slices.map((slice, place) => ({ slice, value: recordOf(staged[place]) }))
  const whole = joinedReadable(values, { dtype: 'int16', shape }, valueParts, 0)
  assertSame(await whole.bytes(), bytes)
  for (const [offset, length] of ranges) {
    const read = await gatherBytes(whole.read({ offset, length }), length)
    assertSame(read, bytes.subarray(offset, offset + length))
  }
}

t.test('any cut of any shape streams in and out, in any range', async (t) => {
  const cases = fc
    .tuple(
      fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
      fc.nat(3),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 40 }),
      fc.array(fc.tuple(fc.nat(3000), fc.nat(3000)), { maxLength: 3 }),
    )
    .map(([shape, axis, count, pieceLength, wishes]) => {
      const place = axis % shape.length
      const byteLength = elementCountOf(shape) * 2
      const ranges = wishes.map(([a, b]) => {
        const offset = a % (byteLength + 1)
        return [offset, b % (byteLength - offset + 1)] as const
      })
      return { shape, place, count: Math.min(count, shape[place]), pieceLength, ranges }
    })
  await fc.assert(
    fc.asyncProperty(cases, async ({ shape, place, count, pieceLength, ranges }) => {
      await check(shape, place, count, pieceLength, ranges)
    }),
    { numRuns: 60 },
  )
  t.pass('60 cuts')
})

t.test('wide stretches, many parts and rows beyond a block go the same way', async (t) => {
  const ranges = [
    [0, 5],
    [131_070, 262_148],
    [700_001, 3],
  ] as const
  await check([2, 2, 131_072], 1, 2, 65_536, ranges)
  await check([3, 80, 5], 1, 80, 100, [[7, 1000]])
  await check([2, 4_200_000], 1, 3, 2 ** 20, [[8_400_000, 99]])
  t.pass('three cuts')
})

t.test('a body of more or fewer bytes than its shape takes is refused', async (t) => {
  for (const axis of [0, 1]) {
    for (const byteLength of [0, 7, 9, 23, 25, 100]) {
      const { staging } = memory(4)
      const content = contentFrom([3, 4], new Uint8Array(byteLength), 5)
      await t.rejects(
        stageParts(context, staging, content, slicesFor([3, 4], axis, 3)),
        refused({ code: 'INVALID_ARGUMENT', reason: 'tensor/size-mismatch' }),
      )
    }
  }
})

t.test('only slices that follow one another along one axis are a cut', async (t) => {
  const at = (starts: readonly number[], shape: Shape) => ({ fullShape: [2, 4], starts, shape })
  t.match(cutOf([2, 4], [at([0, 0], [2, 1]), at([0, 1], [2, 3])], 4), {
    rowCount: 2,
    rowLength: 16,
    widths: [4, 12],
    starts: [0, 4],
  })
  t.equal(cutOf([2, 4], [at([0, 0], [2, 1]), at([0, 2], [2, 2])], 4), undefined, 'a hole')
  t.equal(cutOf([2, 4], [at([0, 0], [2, 1])], 4), undefined, 'not to the end')
  t.equal(cutOf([2, 4], [at([0, 0], [1, 4]), at([1, 0], [1, 2])], 4), undefined, 'a corner')
  t.match(cutOf([2, 4], [at([0, 0], [2, 4])], 1), { rowCount: 1, widths: [8] })
})
