// What every driver of the store must do with content: values by their bytes, and their intake.
import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import { packStrings, stringTensor } from '../../tensor/index.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  gather,
  stage,
  streamOf,
  valueOfVariable,
  write,
} from '../helper/store.ts'
import type { Suite } from './store-suite.ts'

const mebibyte = 1024 * 1024

/** See the sentences of its tests. */
export function valueFacts(t: Test, { opened }: Suite): void {
  t.test('content of any size comes back bit by bit, also in ranges', async (t) => {
    const store = await opened(t)
    const sizes = [0, 1, 65_536, 65_537, mebibyte, mebibyte + 1, 3 * mebibyte + 17]
    for (const [index, byteLength] of sizes.entries()) {
      const content = contentOf(byteLength, index)
      const staged = await stage(store, content)
      await store.catalogue.commit([create(`v${index}`, staged)])
      const value = await valueOfVariable(store, `v${index}`)
      t.equal(value.byteLength, byteLength)
      t.equal(value.digest, staged.digest)
      t.ok(
        Buffer.from(await store.values.bytes(value.valueId)).equals(content),
        `${byteLength} bytes`,
      )
      t.ok(Buffer.from(await gather(store.values.read(value.valueId))).equals(content))
      const ranges = [
        [0, 0],
        [byteLength, 0],
        [0, Math.min(1, byteLength)],
        [Math.floor(byteLength / 3), Math.floor(byteLength / 2)],
        [Math.max(0, byteLength - 5), Math.min(5, byteLength)],
      ]
      for (const [offset, length] of ranges) {
        const part = await gather(store.values.read(value.valueId, { offset, length }))
        t.ok(
          Buffer.from(part).equals(content.subarray(offset, offset + length)),
          `${length} from ${offset}`,
        )
      }
    }
  })

  t.test(
    'a digest is SHA-256 of the content, or of its chunks where there are several',
    async (t) => {
      const store = await opened(t)
      const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()
      const small = contentOf(10, 1)
      t.equal((await stage(store, small)).digest, sha256(small).toString('hex'))
      const one = contentOf(mebibyte, 2)
      t.equal((await stage(store, one)).digest, sha256(one).toString('hex'))
      const two = contentOf(mebibyte + 3, 3)
      const digests = [two.subarray(0, mebibyte), two.subarray(mebibyte)].map(sha256)
      t.equal((await stage(store, two)).digest, sha256(Buffer.concat(digests)).toString('hex'))
    },
  )

  t.test('equal content of equal type has one value, of another type another', async (t) => {
    const store = await opened(t)
    for (const byteLength of [8, 2 * mebibyte + 8]) {
      const content = contentOf(byteLength, 5)
      const place = `${byteLength}`
      await store.catalogue.commit([create(`${place}a`, await stage(store, content))])
      await store.catalogue.commit([create(`${place}b`, await stage(store, content))])
      const typed = { dtype: 'uint8', shape: [2, byteLength / 2] } as const
      await store.catalogue.commit([create(`${place}c`, await stage(store, content, typed))])
      const [a, b, c] = await Promise.all(
        ['a', 'b', 'c'].map((letter) => valueOfVariable(store, place + letter)),
      )
      t.equal(a.valueId, b.valueId)
      t.not(a.valueId, c.valueId)
      t.equal(a.digest, c.digest)
      t.ok(Buffer.from(await store.values.bytes(c.valueId)).equals(content))
    }
  })

  t.test('verify reads every chunk, and chunks name what values share', async (t) => {
    const store = await opened(t)
    const content = contentOf(20 * mebibyte + 1, 5)
    const changed = content.slice()
    changed[7 * mebibyte] ^= 1
    await store.catalogue.commit([
      create('a', await stage(store, content)),
      create('b', await stage(store, changed)),
      create('c', await stage(store, contentOf(7, 1))),
    ])
    const [a, b, c] = await Promise.all(
      ['a', 'b', 'c'].map(async (name) => (await valueOfVariable(store, name)).valueId),
    )
    t.same(await store.values.verify(a), { chunks: 21, damaged: [] })
    t.same(await store.values.verify(c), { chunks: 1, damaged: [] })
    const [chunks, others] = await Promise.all([store.values.chunks(a), store.values.chunks(b)])
    t.equal(chunks.length, 21)
    t.same(
      chunks.flatMap(({ digest }, index) => (digest === others[index].digest ? [] : [index])),
      [7],
    )
    t.match(await store.values.chunks(c), [{ byteLength: 7 }])
    await t.rejects(store.values.verify(c + 99), { code: 'NOT_FOUND' })
  })

  t.test('strings are kept in their packed form', async (t) => {
    const store = await opened(t)
    const packed = packStrings(stringTensor([2], [new Uint8Array([255, 0]), new Uint8Array()]))
    const value = await stage(store, packed, { dtype: 'string', shape: [2] })
    await store.catalogue.commit([create('s', value, { dtype: 'string' })])
    t.same(await bytesOfVariable(store, 's'), packed)
  })

  t.test('a range past the end and a value that is not there are refused', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', await stage(store, contentOf(10, 1)))])
    const { valueId } = await valueOfVariable(store, 'v')
    for (const range of [
      { offset: 0, length: 11 },
      { offset: 11, length: 0 },
      { offset: -1, length: 2 },
      { offset: 0.5, length: 1 },
    ]) {
      await t.rejects(gather(store.values.read(valueId, range)), { code: 'OUT_OF_RANGE' })
    }
    t.equal(await store.values.record(valueId + 1), undefined)
    await t.rejects(store.values.bytes(valueId + 1), { code: 'NOT_FOUND', reason: 'value/unknown' })
    await t.rejects(gather(store.values.read(valueId + 1)), { code: 'NOT_FOUND' })
    await t.rejects(store.catalogue.commit([write('v', { valueId: valueId + 1 })]), {
      code: 'NOT_FOUND',
    })
  })

  t.test('a stream that is left early does not disturb the next', async (t) => {
    const store = await opened(t)
    const content = contentOf(6 * mebibyte, 9)
    await store.catalogue.commit([create('v', await stage(store, content))])
    const { valueId } = await valueOfVariable(store, 'v')
    for await (const piece of store.values.read(valueId)) {
      t.ok(Buffer.from(piece).equals(content.subarray(0, piece.byteLength)))
      break
    }
    t.ok(Buffer.from(await store.values.bytes(valueId)).equals(content))
  })
}

/** See the sentences of its tests. */
export function stagingFacts(t: Test, { opened }: Suite): void {
  t.test('a length that differs from the type or from the stream is refused', async (t) => {
    const store = await opened(t)
    const staging = store.values.stage()
    const mismatch = { code: 'INVALID_ARGUMENT', reason: 'tensor/size-mismatch' }
    const bytes = contentOf(2 * mebibyte, 1)
    await t.rejects(staging.add(streamOf(bytes, { shape: [3] })), mismatch)
    for (const byteLength of [4, 70_000, 2 * mebibyte + 5]) {
      const type = { shape: [byteLength], byteLength }
      await t.rejects(staging.add(streamOf(bytes.subarray(0, byteLength - 1), type)), mismatch)
      await t.rejects(staging.add(streamOf(contentOf(byteLength + 1, 1), type)), mismatch)
    }
    const value = await staging.add(streamOf(bytes))
    await store.catalogue.commit([create('v', value)])
    t.ok(Buffer.from(await bytesOfVariable(store, 'v')).equals(bytes), 'and the staging goes on')
  })

  t.test('an error of the stream comes through and leaves nothing', async (t) => {
    const store = await opened(t)
    const staging = store.values.stage()
    const broken = {
      ...streamOf(contentOf(3 * mebibyte, 1)),
      async *chunks() {
        yield contentOf(2 * mebibyte, 1)
        throw new Error('the client went away')
      },
    }
    await t.rejects(staging.add(broken), { message: 'the client went away' })
    await staging.discard()
    t.match(await store.status(), { packCount: 0, looseBytes: 0, sequence: 0 })
  })

  t.test('after a commit or a discard a staging takes nothing more', async (t) => {
    const store = await opened(t)
    const closed = { code: 'FAILED_PRECONDITION', reason: 'staging/closed' }
    const committed = store.values.stage()
    const one = await committed.add(streamOf(contentOf(4, 1)))
    const two = await committed.add(streamOf(contentOf(4, 2)))
    await store.catalogue.commit([create('v', one)])
    await t.rejects(committed.add(streamOf(contentOf(4, 3))), closed)
    await t.rejects(store.catalogue.commit([write('v', two)]), closed)
    await committed.discard()
    const discarded = store.values.stage()
    const three = await discarded.add(streamOf(contentOf(3 * mebibyte, 1)))
    await discarded.discard()
    await discarded.discard()
    await t.rejects(discarded.add(streamOf(contentOf(4, 3))), closed)
    await t.rejects(store.catalogue.commit([write('v', three)]), closed)
  })

  t.test('a refused commit may be repeated with the same staged values', async (t) => {
    const store = await opened(t)
    for (const byteLength of [10, 100_000, 3 * mebibyte]) {
      const name = `v${byteLength}`
      const staging = store.values.stage()
      const content = contentOf(byteLength, byteLength)
      const value = await staging.add(streamOf(content))
      await t.rejects(store.catalogue.commit([write(name, value)]), { code: 'NOT_FOUND' })
      await store.catalogue.commit([create(name, value)])
      t.ok(Buffer.from(await bytesOfVariable(store, name)).equals(content))
      await staging.discard()
      t.ok(Buffer.from(await bytesOfVariable(store, name)).equals(content))
    }
  })

  t.test('one commit takes values of many stagings, and one value many times', async (t) => {
    const store = await opened(t)
    const contents = [contentOf(3 * mebibyte, 1), contentOf(9, 2), contentOf(200_000, 3)]
    const values = await Promise.all(contents.map((content) => stage(store, content)))
    await store.catalogue.commit(
      values.flatMap((value, index) => [create(`a${index}`, value), create(`b${index}`, value)]),
    )
    for (const [index, content] of contents.entries()) {
      t.ok(Buffer.from(await bytesOfVariable(store, `a${index}`)).equals(content))
      t.ok(Buffer.from(await bytesOfVariable(store, `b${index}`)).equals(content))
    }
  })

  t.test('many values are added to one staging at the same time', async (t) => {
    const store = await opened(t)
    const staging = store.values.stage()
    const contents = Array.from({ length: 12 }, (_, index) => contentOf(300_000 + index, index))
    const values = await Promise.all(contents.map((content) => staging.add(streamOf(content))))
    await store.catalogue.commit(values.map((value, index) => create(`v${index}`, value)))
    for (const [index, content] of contents.entries()) {
      t.ok(Buffer.from(await bytesOfVariable(store, `v${index}`)).equals(content))
    }
  })

  t.test('the same new content in two stagings at once ends up once', async (t) => {
    const store = await opened(t)
    const content = contentOf(3 * mebibyte, 4)
    const [a, b] = await Promise.all([stage(store, content), stage(store, content)])
    await Promise.all([
      store.catalogue.commit([create('a', a)]),
      store.catalogue.commit([create('b', b)]),
    ])
    t.same(await valueOfVariable(store, 'a'), await valueOfVariable(store, 'b'))
    t.ok(Buffer.from(await bytesOfVariable(store, 'b')).equals(content))
  })

  t.test('what is at hand is what a read gives, before, during and after a write', async (t) => {
    const store = await opened(t)
    const { catalogue, values } = store
    t.equal(catalogue.variableAtHand('', 'w'), undefined)
    await catalogue.commit([create('w', await stage(store, contentOf(100, 0)))])
    for (let turn = 1; turn <= 4; turn++) {
      const record = await catalogue.variable('', 'w')
      const known = catalogue.variableAtHand('', 'w')
      if (known !== undefined) t.same(known, record)
      const { valueId } = await valueOfVariable(store, 'w')
      const read = await values.bytes(valueId)
      const atHand = values.atHand(valueId)
      if (atHand !== undefined) t.same(atHand, read)
      // What a reader does to its own bytes is not seen by others.
      read.fill(255)
      t.same(await values.bytes(valueId), contentOf(100, turn - 1))
      const committing = catalogue.commit([write('w', await stage(store, contentOf(100, turn)))])
      const before = catalogue.variableAtHand('', 'w')
      t.ok(before === undefined || before.version === turn)
      await committing
      const after = catalogue.variableAtHand('', 'w')
      t.ok(after === undefined || after.version === turn + 1)
    }
    await catalogue.commit([{ kind: 'delete_variable', container: '', name: 'w' }])
    t.equal(catalogue.variableAtHand('', 'w'), undefined)
  })
}
