// Frames and bodies come out as they went in, however the pipe cuts them.
import t from 'tap'
import type { Command } from '../../../../engine/device/device.ts'
import { type Frame, FrameReader, headerOf } from '../../../../engine/device/webgpu/frame.ts'
import {
  decodeSubmit,
  decodeSubmitAnswer,
  encodeSubmit,
  encodeSubmitAnswer,
  partByteLength,
} from '../../../../engine/device/webgpu/protocol.ts'

const joined = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

t.test('frames are found in chunks of every size', async (t) => {
  const bodies = [Uint8Array.of(1, 2, 3), new Uint8Array(), Uint8Array.of(4)]
  const stream = joined(
    bodies.flatMap((body, place) => [headerOf(place + 5, place + 9, body.byteLength), body]),
  )
  for (let size = 1; size <= stream.byteLength; size++) {
    const found: Frame[] = []
    const reader = new FrameReader((frame) => found.push(frame))
    for (let start = 0; start < stream.byteLength; start += size) {
      reader.push(stream.subarray(start, start + size))
    }
    t.same(
      found,
      bodies.map((body, place) => ({ kind: place + 5, sequence: place + 9, body })),
      `chunks of ${size}`,
    )
  }
})

t.test('a length that cannot be is not believed', async (t) => {
  for (const length of [-1, 0.5, Number.NaN, 2 ** 60]) {
    const reader = new FrameReader(() => t.fail('no frame was sent'))
    t.throws(() => reader.push(headerOf(1, 1, length)), { message: /a frame claims a body of/ })
  }
})

t.test('commands cross with their bytes', async (t) => {
  const commands: readonly Command[] = [
    { kind: 'allocate', buffer: 2 ** 40, dtype: 'int8', elementCount: 3 },
    { kind: 'write', buffer: 7, offset: 1, bytes: Uint8Array.of(1, 2) },
    { kind: 'write', buffer: 8, offset: 0, bytes: Uint8Array.of(3) },
    { kind: 'dispatch', kernel: 4, buffers: [7, 8, 9] },
    { kind: 'dispatch', kernel: 5, buffers: [] },
    { kind: 'copy', from: 1, to: 2 },
    { kind: 'read', buffer: 7, offset: 1, elementCount: 2 },
    { kind: 'release', buffer: 7 },
  ]
  const places: number[] = []
  const parts = encodeSubmit(commands, (kernel, command) => {
    places.push(command)
    return kernel * 10
  })
  t.same(places, [3, 4])
  t.same(decodeSubmit(joined(parts)), [
    { kind: 'allocate', buffer: 2 ** 40, storage: 'signed8', elementCount: 3 },
    { kind: 'write', buffer: 7, offset: 1, bytes: Uint8Array.of(1, 2) },
    { kind: 'write', buffer: 8, offset: 0, bytes: Uint8Array.of(3) },
    { kind: 'dispatch', program: 40, buffers: [7, 8, 9] },
    { kind: 'dispatch', program: 50, buffers: [] },
    { kind: 'copy', from: 1, to: 2 },
    { kind: 'read', buffer: 7, offset: 1, elementCount: 2 },
    { kind: 'release', buffer: 7 },
  ])
})

t.test('each read of an answer has memory of its own, and large ones are parts', async (t) => {
  const answer = {
    status: Uint32Array.of(0, 5, 0xffffffff),
    reads: [
      Uint8Array.of(1, 2, 3),
      new Uint8Array(partByteLength).fill(4),
      new Uint8Array(),
      Uint8Array.of(9),
    ],
  }
  const { parts, body } = encodeSubmitAnswer(answer)
  t.equal(parts.length, 1)
  t.equal(parts[0], answer.reads[1])
  const back = decodeSubmitAnswer(joined(body), parts)
  t.same(back, answer)
  t.equal(back.reads[0].buffer.byteLength, 3)
})
