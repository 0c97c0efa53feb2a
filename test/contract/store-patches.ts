// What every driver of the store must do with values that differ from stored ones in places.
import type { Test } from 'tap'
import type { StagedValue, Store } from '../../store/index.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  stage,
  valueOfVariable,
  write,
} from '../helper/store.ts'
import type { Suite } from './store-suite.ts'

const mebibyte = 1024 * 1024

type Stretch = readonly [offset: number, bytes: Uint8Array]

async function* streamOfStretches(stretches: readonly Stretch[]) {
  for (const [offset, bytes] of stretches) yield { offset, bytes }
}

function patch(store: Store, valueId: number, stretches: readonly Stretch[]): Promise<StagedValue> {
  return store.values.stage().addPatched(valueId, streamOfStretches(stretches))
}

/** See the sentences of its tests. */
export function patchFacts(t: Test, { opened }: Suite): void {
  t.test('a patched value is the base with the stretches replaced', async (t) => {
    const store = await opened(t)
    const sizes = [0, 9, 65_536, 65_537, mebibyte, 2 * mebibyte + 5, 5 * mebibyte]
    for (const size of sizes) {
      const content = contentOf(size, size)
      const name = `v${size}`
      await store.catalogue.commit([create(name, await stage(store, content))])
      const { valueId } = await valueOfVariable(store, name)
      const ends = [0, 1, mebibyte - 3, mebibyte + 2, 3 * mebibyte, size - 2, size].filter(
        (offset) => offset >= 0 && offset <= size,
      )
      const begins = [...new Set(ends)].sort((a, b) => a - b)
      // Every second stretch between the places, and an empty one at the end.
      const stretches = begins
        .slice(0, -1)
        .map((begin, index): Stretch => [begin, contentOf(begins[index + 1] - begin, index + 7)])
        .filter((_, index) => index % 2 === 0)
      const wanted = new Uint8Array(content)
      for (const [offset, bytes] of stretches) wanted.set(bytes, offset)
      stretches.push([size, new Uint8Array()])
      const staged = await patch(store, valueId, stretches)
      const whole = await stage(store, wanted)
      t.same({ ...staged, token: 0 }, { ...whole, token: 0 }, `${size} bytes`)
      await store.catalogue.commit([write(name, staged)])
      t.ok(Buffer.from(await bytesOfVariable(store, name)).equals(wanted), `${size} bytes`)
      t.ok(Buffer.from(await store.values.bytes(valueId)).equals(content), 'the base stays')
    }
  })

  t.test('only the chunks that are touched are new', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', await stage(store, contentOf(8 * mebibyte, 1)))])
    const { valueId } = await valueOfVariable(store, 'v')
    const before = await store.values.chunks(valueId)
    const staged = await patch(store, valueId, [
      [3 * mebibyte + 1, contentOf(2, 2)],
      [3 * mebibyte + 9, contentOf(2, 3)],
      [6 * mebibyte - 1, contentOf(2, 4)],
    ])
    await store.catalogue.commit([write('v', staged)])
    const after = await store.values.chunks((await valueOfVariable(store, 'v')).valueId)
    const changed = after.flatMap(({ digest }, index) =>
      digest === before[index].digest ? [] : [index],
    )
    t.equal(changed.join(), '3,5,6')
  })

  t.test('without a stretch it is the value that was there', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', await stage(store, contentOf(2 * mebibyte, 1)))])
    const { valueId } = await valueOfVariable(store, 'v')
    await store.catalogue.commit([write('v', await patch(store, valueId, []))])
    t.match(await store.catalogue.variable('', 'v'), { version: 2, value: { valueId } })
  })

  t.test('stretches out of order, overlapping or outside are refused', async (t) => {
    const store = await opened(t)
    for (const size of [100, 2 * mebibyte]) {
      await store.catalogue.commit([create(`v${size}`, await stage(store, contentOf(size, 1)))])
      const { valueId } = await valueOfVariable(store, `v${size}`)
      const bytes = new Uint8Array(10)
      const order = { code: 'INVALID_ARGUMENT', reason: 'value/patch-order' }
      await t.rejects(
        patch(store, valueId, [
          [20, bytes],
          [5, bytes],
        ]),
        order,
      )
      await t.rejects(
        patch(store, valueId, [
          [20, bytes],
          [29, bytes],
        ]),
        order,
      )
      const range = { code: 'OUT_OF_RANGE', reason: 'value/range' }
      await t.rejects(patch(store, valueId, [[size - 9, bytes]]), range)
      await t.rejects(patch(store, valueId, [[-1, bytes]]), range)
      await t.rejects(patch(store, valueId, [[0.5, bytes]]), range)
    }
  })

  t.test('strings and values that are gone cannot be patched', async (t) => {
    const store = await opened(t)
    await t.rejects(patch(store, 12_345, []), { code: 'NOT_FOUND', reason: 'value/unknown' })
    const packed = await stage(store, contentOf(16, 1), { dtype: 'string', shape: [1] })
    await store.catalogue.commit([create('s', packed, { dtype: 'string' })])
    const { valueId } = await valueOfVariable(store, 's')
    await t.rejects(patch(store, valueId, []), {
      code: 'INVALID_ARGUMENT',
      reason: 'value/not-patchable',
    })
  })

  t.test('the base survives the sweep until the patched value is committed', async (t) => {
    const store = await opened(t)
    const content = contentOf(4 * mebibyte, 1)
    await store.catalogue.commit([create('v', await stage(store, content))])
    const { valueId } = await valueOfVariable(store, 'v')
    const staged = await patch(store, valueId, [[0, contentOf(4, 9)]])
    await store.catalogue.commit([write('v', null)])
    await store.sweep()
    await store.catalogue.commit([write('v', staged)])
    await store.sweep()
    content.set(contentOf(4, 9))
    t.ok(Buffer.from(await bytesOfVariable(store, 'v')).equals(content))
    t.equal(await store.values.record(valueId), undefined, 'and not longer')
  })

  t.test('a discarded patch lets go of its base', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', await stage(store, contentOf(2 * mebibyte, 1)))])
    const { valueId } = await valueOfVariable(store, 'v')
    const staging = store.values.stage()
    await staging.addPatched(valueId, streamOfStretches([]))
    await staging.addPatched(valueId, streamOfStretches([[0, contentOf(4, 9)]]))
    await store.catalogue.commit([write('v', null)])
    await staging.discard()
    await store.sweep()
    t.equal(await store.values.record(valueId), undefined)
    await t.rejects(staging.addPatched(valueId, streamOfStretches([])), {
      code: 'FAILED_PRECONDITION',
      reason: 'staging/closed',
    })
  })
}
