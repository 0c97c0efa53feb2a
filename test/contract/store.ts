// What every driver of the store must do, as one suite of facts. A driver's own test calls it.
import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import type { Change, Store, StoreEvent } from '../../store/index.ts'
import { packStrings, stringTensor } from '../../tensor/index.ts'
import {
  bytesOfVariable,
  contentOf,
  create,
  gather,
  save,
  scalar,
  stage,
  streamOf,
  valueOfVariable,
  write,
} from '../helper/store.ts'

/** What the suite must be told to open stores of one driver. */
export interface StoreDriver {
  /** A new, empty place for a store. */
  place(t: Test): string
  /** Opens the store of a place; what was committed there before is there again. */
  open(place: string, clock: () => number): Promise<Store>
  /** Frees what nothing names, at once. */
  sweep(store: Store): Promise<unknown>
}

const mebibyte = 1024 * 1024

/** Runs the suite. */
export function storeContract(t: Test, driver: StoreDriver): void {
  const opened = async (t: Test, clock: () => number = () => 1_000): Promise<Store> => {
    const store = await driver.open(driver.place(t), clock)
    t.teardown(() => store.close())
    return store
  }
  const suite: Suite = { driver, opened }
  t.test('variables', async (t) => variableFacts(t, suite))
  t.test('lists of variables', async (t) => listFacts(t, suite))
  t.test('values', async (t) => valueFacts(t, suite))
  t.test('stagings', async (t) => stagingFacts(t, suite))
  t.test('checkpoints', async (t) => checkpointFacts(t, suite))
  t.test('labels', async (t) => labelFacts(t, suite))
  t.test('graphs and models', async (t) => graphFacts(t, suite))
  t.test('commits', async (t) => commitFacts(t, suite))
  t.test('the sweep', async (t) => sweepFacts(t, suite))
  t.test('closing', async (t) => closeFacts(t, suite))
}

interface Suite {
  readonly driver: StoreDriver
  opened(t: Test, clock?: () => number): Promise<Store>
}

function variableFacts(t: Test, { opened }: Suite): void {
  t.test('a variable is read back as it was made', async (t) => {
    const store = await opened(t, () => 77)
    const value = await stage(store, scalar(2.5), { dtype: 'float32', shape: [] })
    const committed = await store.catalogue.commit([
      create('layer/w', value, {
        dtype: 'float32',
        shape: [],
        trainable: false,
        collections: ['b', 'a', 'b'],
        device: '/device:GPU:0',
        initializer: { kind: 'zeros' },
      }),
    ])
    t.same(
      committed.variables.map(({ name, version }) => [name, version]),
      [['layer/w', 1]],
    )
    const variable = await store.catalogue.variable('', 'layer/w')
    t.match(variable, {
      container: '',
      name: 'layer/w',
      dtype: 'float32',
      shape: [],
      trainable: false,
      collections: ['b', 'a'],
      device: '/device:GPU:0',
      initializer: { kind: 'zeros' },
      version: 1,
      createdAt: 77,
      updatedAt: 77,
      value: { dtype: 'float32', shape: [], byteLength: 4 },
    })
    t.equal(variable?.value?.valueId, committed.variables[0].valueId)
    t.same(await bytesOfVariable(store, 'layer/w'), scalar(2.5))
    t.equal(await store.catalogue.variable('other', 'layer/w'), undefined)
  })

  t.test('versions grow with every write, also across delete and re-creation', async (t) => {
    const store = await opened(t)
    const version = async (): Promise<number | undefined> =>
      (await store.catalogue.variable('', 'v'))?.version
    await store.catalogue.commit([create('v', null)])
    t.equal(await version(), 0)
    await store.catalogue.commit([write('v', await stage(store, contentOf(1, 1)))])
    await store.catalogue.commit([write('v', await stage(store, contentOf(1, 2)))])
    t.equal(await version(), 2)
    await store.catalogue.commit([{ kind: 'delete_variable', container: '', name: 'v' }])
    t.equal(await version(), undefined)
    await store.catalogue.commit([create('v', null)])
    t.equal(await version(), 0)
    await store.catalogue.commit([write('v', await stage(store, contentOf(1, 1)))])
    t.equal(await version(), 3)
    await store.catalogue.commit([{ kind: 'delete_container', container: '' }])
    await store.catalogue.commit([create('v', await stage(store, contentOf(1, 1)))])
    t.equal(await version(), 4)
  })

  t.test('writing no value leaves the variable uninitialized and takes a version', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', await stage(store, contentOf(1, 1)))])
    const { variables } = await store.catalogue.commit([write('v', null)])
    t.same(variables, [{ container: '', name: 'v', version: 2, valueId: undefined }])
    t.match(await store.catalogue.variable('', 'v'), { version: 2, value: undefined })
    await store.catalogue.commit([
      write('v', await stage(store, contentOf(1, 1)), { expect: { version: 0 } }),
    ])
    t.match(await store.catalogue.variable('', 'v'), { version: 3, value: { byteLength: 1 } })
  })

  t.test('what is unknown or there already is refused and named', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', null)])
    await t.rejects(store.catalogue.commit([create('v', null)]), {
      code: 'ALREADY_EXISTS',
      reason: 'variable/exists',
      names: { variable: 'v' },
    })
    await t.rejects(store.catalogue.commit([write('w', null)]), {
      code: 'NOT_FOUND',
      reason: 'variable/unknown',
      names: { variable: 'w' },
    })
    for (const kind of ['delete_variable', 'update_variable'] as const) {
      await t.rejects(store.catalogue.commit([{ kind, container: '', name: 'w' }]), {
        code: 'NOT_FOUND',
      })
    }
  })

  t.test('an expected version that is not there refuses the change', async (t) => {
    const store = await opened(t)
    const value = await stage(store, contentOf(1, 1))
    await store.catalogue.commit([create('v', value)])
    const attempt = (version: number): Promise<unknown> =>
      store.catalogue.commit([write('v', null, { expect: { version } })])
    const mismatch = { code: 'FAILED_PRECONDITION', reason: 'variable/version-mismatch' }
    await t.rejects(attempt(2), mismatch)
    await t.rejects(attempt(0), mismatch)
    t.match(await store.catalogue.variable('', 'v'), { version: 1 })
    await attempt(1)
    t.match(await store.catalogue.variable('', 'v'), { version: 2, value: undefined })
  })

  t.test('two writers that expect one version: exactly one succeeds', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', null)])
    const values = await Promise.all([1, 2, 3, 4].map((seed) => stage(store, contentOf(8, seed))))
    const results = await Promise.allSettled(
      values.map((value) =>
        store.catalogue.commit([write('v', value, { expect: { version: 0 } })]),
      ),
    )
    t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    t.match(await store.catalogue.variable('', 'v'), { version: 1 })
  })

  t.test(
    'a value of another type or shape is refused unless the shape is redeclared',
    async (t) => {
      const store = await opened(t)
      await store.catalogue.commit([create('v', null, { shape: [2, -1] })])
      const floats = { dtype: 'float32', shape: [2] } as const
      await t.rejects(
        store.catalogue.commit([write('v', await stage(store, contentOf(8, 1), floats))]),
        {
          code: 'INVALID_ARGUMENT',
          reason: 'variable/dtype-mismatch',
        },
      )
      const three = { shape: [3, 1] }
      await t.rejects(
        store.catalogue.commit([write('v', await stage(store, contentOf(3, 1), three))]),
        {
          code: 'INVALID_ARGUMENT',
          reason: 'variable/shape-mismatch',
        },
      )
      await store.catalogue.commit([
        write('v', await stage(store, contentOf(6, 1), { shape: [2, 3] })),
      ])
      t.same((await store.catalogue.variable('', 'v'))?.shape, [2, -1])
      await store.catalogue.commit([
        write('v', await stage(store, contentOf(3, 1), three), { redeclareShape: true }),
      ])
      t.same((await store.catalogue.variable('', 'v'))?.shape, [3, 1])
    },
  )

  t.test('trainable, collections and device can be changed without a new version', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([
      create('v', await stage(store, contentOf(1, 1)), { collections: ['a'] }),
    ])
    await store.catalogue.commit([
      { kind: 'update_variable', container: '', name: 'v', trainable: false, collections: ['b'] },
      { kind: 'update_variable', container: '', name: 'v', device: '/cpu:0' },
    ])
    t.match(await store.catalogue.variable('', 'v'), {
      version: 1,
      trainable: false,
      collections: ['b'],
      device: '/cpu:0',
    })
    const inCollection = async (collection: string): Promise<number> =>
      (await store.catalogue.listVariables({ container: '', collection }, { limit: 9 })).items
        .length
    t.equal(await inCollection('a'), 0)
    t.equal(await inCollection('b'), 1)
  })

  t.test(
    'several variables are read in the order asked, without those that are not there',
    async (t) => {
      const store = await opened(t)
      await store.catalogue.commit([create('a', null), create('b', null), create('c', null)])
      const found = await store.catalogue.variables('', ['c', 'x', 'a'])
      t.same(
        found.map(({ name }) => name),
        ['c', 'a'],
      )
    },
  )
}

function listFacts(t: Test, { opened }: Suite): void {
  const names = [
    '',
    '%',
    '..',
    '\0',
    '__proto__',
    'a',
    'a%',
    'a/b',
    'aa',
    'a\uffff',
    'é',
    '\ud7ff',
    '\ue000',
    '\uffff',
    '😀',
    '😀b',
    '\u{10ffff}',
    '\u{10ffff}x',
  ]
  const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

  t.test('names are opaque and sorted by their UTF-8 bytes', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit(names.map((name) => create(name, null)))
    const { items } = await store.catalogue.listVariables({ container: '' }, { limit: 100 })
    t.same(
      items.map(({ name }) => name),
      [...names].sort(byBytes),
    )
    for (const prefix of names) {
      const page = await store.catalogue.listVariables({ container: '', prefix }, { limit: 100 })
      const wanted = names.filter((name) => name.startsWith(prefix)).sort(byBytes)
      t.same(
        page.items.map(({ name }) => name),
        wanted,
        `prefix ${JSON.stringify(prefix)}`,
      )
    }
  })

  t.test('half of a surrogate pair is no name', async (t) => {
    const store = await opened(t)
    const refused = { code: 'INVALID_ARGUMENT', reason: 'name/not-well-formed' }
    await t.rejects(store.catalogue.commit([create('x\ud800', null)]), refused)
    await t.rejects(store.catalogue.commit([create('x', null, { container: '\udc00' })]), refused)
  })

  t.test('pages of any size continue where the last ended, with every filter', async (t) => {
    const store = await opened(t)
    const changes = Array.from({ length: 30 }, (_, index) =>
      create(`v${String(index).padStart(2, '0')}`, null, {
        trainable: index % 2 === 0,
        dtype: index % 3 === 0 ? 'float32' : 'uint8',
        collections: index % 5 === 0 ? ['five', 'all'] : ['all'],
      }),
    )
    const value = await stage(store, scalar(1), { dtype: 'float32', shape: [] })
    await store.catalogue.commit([...changes, write('v06', value), write('v09', value)])
    const filters = [
      [{}, 30],
      [{ prefix: 'v1' }, 10],
      [{ trainable: false }, 15],
      [{ dtype: 'float32' }, 10],
      [{ initialized: true }, 2],
      [{ initialized: false, collection: 'all' }, 28],
      [{ collection: 'five' }, 6],
      [{ collection: 'five', trainable: true, prefix: 'v0' }, 1],
      [{ collection: 'none' }, 0],
    ] as const
    for (const [filter, count] of filters) {
      for (const limit of [1, 7, 1000]) {
        const seen: string[] = []
        let cursor: string | undefined
        do {
          const page = await store.catalogue.listVariables(
            { container: '', ...filter },
            { limit, cursor },
          )
          t.ok(page.items.length <= limit)
          seen.push(...page.items.map(({ name }) => name))
          cursor = page.cursor
        } while (cursor !== undefined)
        t.equal(seen.length, count, `${JSON.stringify(filter)} in pages of ${limit}`)
        t.same(seen, [...new Set(seen)].sort())
      }
    }
  })

  t.test('a limit out of bounds and a cursor from elsewhere are refused', async (t) => {
    const store = await opened(t)
    for (const limit of [0, -1, 1001, 1.5, Number.NaN]) {
      await t.rejects(store.catalogue.listVariables({ container: '' }, { limit }), {
        code: 'INVALID_ARGUMENT',
        reason: 'page/limit',
      })
    }
    for (const cursor of ['', '!', 'YWJj', 'a', ' ']) {
      await t.rejects(store.catalogue.listVariables({ container: '' }, { limit: 1, cursor }), {
        code: 'INVALID_ARGUMENT',
        reason: 'page/bad-cursor',
      })
    }
  })

  t.test(
    'containers keep variables of one name apart and vanish with their last one',
    async (t) => {
      const store = await opened(t)
      await store.catalogue.commit([
        create('v', await stage(store, contentOf(1, 1))),
        create('v', await stage(store, contentOf(1, 2)), { container: 'b' }),
        create('w', null, { container: 'b' }),
        create('v', null, { container: 'a/c' }),
      ])
      t.same(await store.catalogue.containers(), ['', 'a/c', 'b'])
      await store.catalogue.commit([{ kind: 'delete_container', container: 'b' }])
      t.same(await store.catalogue.containers(), ['', 'a/c'])
      t.equal(await store.catalogue.variable('b', 'v'), undefined)
      t.same(await bytesOfVariable(store, 'v'), contentOf(1, 1))
      await t.resolves(store.catalogue.commit([{ kind: 'delete_container', container: 'b' }]))
    },
  )
}

function valueFacts(t: Test, { opened }: Suite): void {
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

function stagingFacts(t: Test, { opened }: Suite): void {
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
}

function checkpointFacts(t: Test, { opened }: Suite): void {
  t.test('a checkpoint keeps values while variables go on', async (t) => {
    const store = await opened(t, () => 5)
    await store.catalogue.commit([
      create('w', await stage(store, contentOf(3, 1))),
      create('b', await stage(store, contentOf(2, 2))),
      create('empty', null),
      create('w', await stage(store, contentOf(9, 9)), { container: 'other' }),
    ])
    const { checkpoints } = await store.catalogue.commit([
      save({ step: 7, metadata: { loss: 0.5 } }),
    ])
    t.match(await store.catalogue.checkpoint(checkpoints[0]), {
      id: checkpoints[0],
      container: '',
      step: 7,
      metadata: { loss: 0.5 },
      labels: [],
      pinned: false,
      tensorCount: 2,
      byteLength: 5,
      createdAt: 5,
    })
    await store.catalogue.commit([
      write('w', await stage(store, contentOf(3, 3))),
      { kind: 'delete_variable', container: '', name: 'b' },
    ])
    const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
    t.same(
      items.map(({ name }) => name),
      ['b', 'w'],
    )
    t.same(await store.values.bytes(items[0].value.valueId), contentOf(2, 2))
    t.same(await store.values.bytes(items[1].value.valueId), contentOf(3, 1))
  })

  t.test('restoring is pointing: the value is the same and the version grows', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('w', await stage(store, contentOf(3, 1)))])
    const before = await valueOfVariable(store, 'w')
    const { checkpoints } = await store.catalogue.commit([save()])
    await store.catalogue.commit([write('w', await stage(store, contentOf(3, 2)))])
    const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
    await store.catalogue.commit([write('w', { valueId: items[0].value.valueId })])
    t.match(await store.catalogue.variable('', 'w'), { version: 3, value: before })
  })

  t.test('a save sees the changes before it in its commit and no others', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('w', await stage(store, contentOf(3, 1)))])
    const { checkpoints } = await store.catalogue.commit([
      write('w', await stage(store, contentOf(3, 2))),
      save(),
      write('w', await stage(store, contentOf(3, 3))),
    ])
    const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
    t.same(await store.values.bytes(items[0].value.valueId), contentOf(3, 2))
  })

  t.test('names choose and rename what is saved', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit(
      await Promise.all(
        [1, 2, 3].map(async (seed) => create(`v${seed}`, await stage(store, contentOf(1, seed)))),
      ),
    )
    await store.catalogue.commit([create('none', null)])
    const saved = async (more: Parameters<typeof save>[0]): Promise<string[]> => {
      const { checkpoints } = await store.catalogue.commit([save(more)])
      return (await store.catalogue.checkpointEntries(checkpoints[0])).items.map(({ name }) => name)
    }
    t.same(await saved({ names: ['v3', 'v1'] }), ['v1', 'v3'])
    t.same(await saved({ names: ['v3', 'v1'], rename: { v3: 'a' } }), ['a', 'v1'])
    t.same(await saved({ rename: { v1: 'v2', v2: 'v1' } }), ['v1', 'v2', 'v3'])
    await t.rejects(saved({ names: ['nope'] }), { code: 'NOT_FOUND', names: { variable: 'nope' } })
    await t.rejects(saved({ names: ['none'] }), {
      code: 'FAILED_PRECONDITION',
      message: 'Attempting to use uninitialized value none',
    })
    await t.rejects(saved({ rename: { v1: 'v2' } }), {
      code: 'INVALID_ARGUMENT',
      reason: 'checkpoint/duplicate-name',
    })
    await t.rejects(saved({ names: ['v1'], rename: { v2: 'x' } }), {
      code: 'INVALID_ARGUMENT',
      reason: 'checkpoint/rename-unused',
    })
    t.equal((await store.catalogue.listCheckpoints({}, { limit: 10 })).items.length, 3)
  })

  t.test('an imported checkpoint holds values from outside under any names', async (t) => {
    const store = await opened(t)
    const staging = store.values.stage()
    const entries = await Promise.all(
      ['z', '', '__proto__', '../..'].map(async (name, seed) => ({
        name,
        value: await staging.add(streamOf(contentOf(100_000, seed))),
      })),
    )
    const { checkpoints } = await store.catalogue.commit([
      { kind: 'import_checkpoint', container: 'c', entries, metadata: {}, labels: [] },
    ])
    const { items } = await store.catalogue.checkpointEntries(checkpoints[0])
    t.same(
      items.map(({ name }) => name),
      ['', '../..', '__proto__', 'z'],
    )
    t.ok(
      Buffer.from(await store.values.bytes(items[3].value.valueId)).equals(contentOf(100_000, 0)),
    )
    const twice = [entries[0], entries[0]].map(({ name }) => ({ name, value: items[0].value }))
    await t.rejects(
      store.catalogue.commit([
        { kind: 'import_checkpoint', container: '', entries: twice, metadata: {}, labels: [] },
      ]),
      { code: 'INVALID_ARGUMENT', reason: 'checkpoint/duplicate-name' },
    )
  })

  t.test('lists are newest first, by container, in pages; latest is the newest', async (t) => {
    const store = await opened(t)
    const ids: string[] = []
    for (let index = 0; index < 7; index++) {
      const container = index % 3 === 0 ? 'c' : ''
      ids.unshift(...(await store.catalogue.commit([save({ container })])).checkpoints)
    }
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await store.catalogue.listCheckpoints({}, { limit: 3, cursor })
      seen.push(...page.items.map(({ id }) => id))
      cursor = page.cursor
    } while (cursor !== undefined)
    t.same(seen, ids)
    const inC = await store.catalogue.listCheckpoints({ container: 'c' }, { limit: 10 })
    t.same(
      inC.items.map(({ id }) => id),
      [ids[0], ids[3], ids[6]],
    )
    t.equal((await store.catalogue.checkpoint('latest', ''))?.id, ids[1])
    t.equal((await store.catalogue.checkpoint('latest', 'c'))?.id, ids[0])
    t.equal(await store.catalogue.checkpoint('latest', 'none'), undefined)
    for (const ref of ['0', '99', '01', '-1', '1e3', '99999999999999999999', '']) {
      t.equal(await store.catalogue.checkpoint(ref), undefined, ref)
    }
  })

  t.test(
    'entries come in pages, sorted by bytes; those of no checkpoint are refused',
    async (t) => {
      const store = await opened(t)
      const value = await stage(store, contentOf(1, 1))
      const names = ['b', 'a', '😀', '\uffff', 'a/b', 'a.b']
      await store.catalogue.commit(names.map((name) => create(name, value)))
      const { checkpoints } = await store.catalogue.commit([save()])
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.catalogue.checkpointEntries(checkpoints[0], { limit: 2, cursor })
        seen.push(...page.items.map(({ name }) => name))
        cursor = page.cursor
      } while (cursor !== undefined)
      t.same(seen, ['a', 'a.b', 'a/b', 'b', '\uffff', '😀'])
      await t.rejects(store.catalogue.checkpointEntries('12345'), { code: 'NOT_FOUND' })
      await t.rejects(store.catalogue.checkpointEntries('x', { limit: 1 }), { code: 'NOT_FOUND' })
    },
  )

  t.test('a deleted checkpoint is gone for good; a pinned one cannot be deleted', async (t) => {
    const store = await opened(t)
    const id = (await store.catalogue.commit([save()])).checkpoints[0]
    await store.catalogue.commit([
      { kind: 'update_checkpoint', id, pinned: true, metadata: { a: [1] } },
    ])
    t.match(await store.catalogue.checkpoint(id), { pinned: true, metadata: { a: [1] } })
    const remove: Change = { kind: 'delete_checkpoint', id }
    await t.rejects(store.catalogue.commit([remove]), {
      code: 'FAILED_PRECONDITION',
      reason: 'checkpoint/pinned',
    })
    await store.catalogue.commit([{ kind: 'update_checkpoint', id, pinned: false }])
    t.match(await store.catalogue.checkpoint(id), { pinned: false, metadata: { a: [1] } })
    await store.catalogue.commit([remove])
    t.equal(await store.catalogue.checkpoint(id), undefined)
    await t.rejects(store.catalogue.commit([remove]), {
      code: 'NOT_FOUND',
      reason: 'checkpoint/unknown',
    })
    t.not((await store.catalogue.commit([save()])).checkpoints[0], id)
  })
}

function labelFacts(t: Test, { opened }: Suite): void {
  t.test('a label points to one checkpoint and moves', async (t) => {
    const store = await opened(t)
    const [a] = (await store.catalogue.commit([save({ labels: ['best', 'a', 'best'] })]))
      .checkpoints
    t.same((await store.catalogue.checkpoint('best'))?.labels, ['a', 'best'])
    const [b] = (await store.catalogue.commit([save({ labels: ['best'] })])).checkpoints
    t.equal((await store.catalogue.checkpoint('best'))?.id, b)
    t.same((await store.catalogue.checkpoint(a))?.labels, ['a'])
    const move = (expect: string | null | undefined): Change => ({
      kind: 'set_label',
      label: 'best',
      checkpoint: a,
      ...(expect === undefined ? {} : { expect }),
    })
    const mismatch = { code: 'FAILED_PRECONDITION', reason: 'label/mismatch' }
    await t.rejects(store.catalogue.commit([move(a)]), mismatch)
    await t.rejects(store.catalogue.commit([move(null)]), mismatch)
    await store.catalogue.commit([move(b)])
    t.equal((await store.catalogue.checkpoint('best'))?.id, a)
    t.same(
      (await store.catalogue.listCheckpoints({ label: 'best' }, { limit: 5 })).items.map(
        ({ id }) => id,
      ),
      [a],
    )
    await store.catalogue.commit([{ kind: 'set_label', label: 'best', checkpoint: null }])
    t.equal(await store.catalogue.checkpoint('best'), undefined)
    await t.rejects(
      store.catalogue.commit([{ kind: 'set_label', label: 'best', checkpoint: null }]),
      { code: 'NOT_FOUND' },
    )
    await t.rejects(store.catalogue.commit([{ kind: 'set_label', label: 'x', checkpoint: '99' }]), {
      code: 'NOT_FOUND',
    })
    await store.catalogue.commit([{ kind: 'delete_checkpoint', id: a }])
    t.equal(await store.catalogue.checkpoint('a'), undefined)
  })

  t.test('what means something else is no label', async (t) => {
    const store = await opened(t)
    for (const label of ['', 'latest', '17']) {
      await t.rejects(store.catalogue.commit([save({ labels: [label] })]), {
        code: 'INVALID_ARGUMENT',
        reason: 'label/reserved',
      })
    }
    t.equal((await store.catalogue.listCheckpoints({}, { limit: 1 })).items.length, 0)
  })
}

function graphFacts(t: Test, { opened }: Suite): void {
  t.test('graphs are kept by their id, with what is known of them', async (t) => {
    const store = await opened(t)
    const put = async (id: string, seed: number, summary: string): Promise<unknown> =>
      store.catalogue.commit([
        { kind: 'put_graph', id, value: await stage(store, contentOf(9, seed)), summary },
      ])
    await put('b', 1, 'one')
    await put('a', 2, 'two')
    await put('b', 1, 'three')
    t.match(await store.catalogue.graph('b'), {
      id: 'b',
      summary: 'three',
      value: { byteLength: 9 },
    })
    const first = await store.catalogue.listGraphs({ limit: 1 })
    t.same(
      first.items.map(({ id }) => id),
      ['a'],
    )
    const second = await store.catalogue.listGraphs({ limit: 1, cursor: first.cursor })
    t.same(
      second.items.map(({ id }) => id),
      ['b'],
    )
    t.equal(second.cursor, undefined)
    await store.catalogue.commit([{ kind: 'delete_graph', id: 'b' }])
    t.equal(await store.catalogue.graph('b'), undefined)
    await t.rejects(store.catalogue.commit([{ kind: 'delete_graph', id: 'b' }]), {
      code: 'NOT_FOUND',
      reason: 'graph/unknown',
    })
  })

  t.test('model versions keep their files by path', async (t) => {
    const store = await opened(t)
    const value = await stage(store, contentOf(9, 1))
    const put = (model: string, version: number, paths: readonly string[]): Change => ({
      kind: 'put_model_version',
      model,
      version,
      files: paths.map((path) => ({ path, value })),
      description: { version },
    })
    await store.catalogue.commit([put('m', 10, ['b', 'a']), put('m', 9, []), put('k', 1, ['x'])])
    t.match(await store.catalogue.modelVersion('m', 10), {
      model: 'm',
      version: 10,
      description: { version: 10 },
    })
    t.same(
      (await store.catalogue.modelVersion('m', 10))?.files.map(({ path }) => path),
      ['a', 'b'],
    )
    t.same(
      (await store.catalogue.modelVersions('m')).map(({ version }) => version),
      [9, 10],
    )
    t.same(
      (await store.catalogue.modelVersions()).map(({ model }) => model),
      ['k', 'm', 'm'],
    )
    await t.rejects(store.catalogue.commit([{ ...put('m', 10, []) }]), { code: 'ALREADY_EXISTS' })
    await t.rejects(store.catalogue.commit([put('n', 1.5, [])]), {
      code: 'INVALID_ARGUMENT',
      reason: 'store/number',
    })
    await store.catalogue.commit([
      { kind: 'update_model_version', model: 'm', version: 9, description: 'new' },
      { kind: 'delete_model_version', model: 'm', version: 10 },
    ])
    t.equal(await store.catalogue.modelVersion('m', 10), undefined)
    t.match(await store.catalogue.modelVersion('m', 9), { description: 'new' })
    await t.rejects(
      store.catalogue.commit([{ kind: 'delete_model_version', model: 'm', version: 10 }]),
      { code: 'NOT_FOUND' },
    )
  })
}

function commitFacts(t: Test, { driver, opened }: Suite): void {
  t.test('a commit is all or nothing', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', await stage(store, contentOf(1, 1)))])
    const before = await store.catalogue.variable('', 'v')
    await t.rejects(
      store.catalogue.commit([
        write('v', await stage(store, contentOf(1, 2))),
        create('w', await stage(store, contentOf(3_000_000, 2))),
        save({ labels: ['x'] }),
        { kind: 'delete_checkpoint', id: '999' },
      ]),
      { code: 'NOT_FOUND' },
    )
    t.same(await store.catalogue.variable('', 'v'), before)
    t.equal(await store.catalogue.variable('', 'w'), undefined)
    t.equal(await store.catalogue.checkpoint('x'), undefined)
    t.equal((await store.status()).sequence, 1)
  })

  t.test('a refused commit leaves its neighbours alone', async (t) => {
    const store = await opened(t)
    const values = await Promise.all(
      Array.from({ length: 20 }, (_, index) => stage(store, contentOf(8, index))),
    )
    const results = await Promise.allSettled(
      values.map((value, index) =>
        store.catalogue.commit([
          index % 4 === 3 ? write(`v${index}`, value) : create(`v${index}`, value),
        ]),
      ),
    )
    for (const [index, { status }] of results.entries()) {
      t.equal(status, index % 4 === 3 ? 'rejected' : 'fulfilled')
      const variable = await store.catalogue.variable('', `v${index}`)
      t.equal(variable === undefined, index % 4 === 3)
    }
  })

  t.test('commits of one variable keep the order in which they were asked for', async (t) => {
    const store = await opened(t)
    await store.catalogue.commit([create('v', null)])
    const sizes = [4_000_000, 8, 200_000, 8, 3_000_000, 8]
    const values = await Promise.all(sizes.map((size, seed) => stage(store, contentOf(size, seed))))
    const committed = await Promise.all(
      values.map((value) => store.catalogue.commit([write('v', value)])),
    )
    t.same(
      committed.map(({ variables }) => variables[0].version),
      [1, 2, 3, 4, 5, 6],
    )
    t.same(await bytesOfVariable(store, 'v'), contentOf(8, 5))
  })

  t.test('what was committed is there after closing and opening again', async (t) => {
    const place = driver.place(t)
    const store = await driver.open(place, () => 1)
    const content = contentOf(3_000_000, 1)
    await store.catalogue.commit([
      create('v', await stage(store, content)),
      save({ labels: ['x'] }),
    ])
    const before = [await store.catalogue.variable('', 'v'), await store.catalogue.checkpoint('x')]
    await store.close()
    const again = await driver.open(place, () => 2)
    t.teardown(() => again.close())
    t.same([await again.catalogue.variable('', 'v'), await again.catalogue.checkpoint('x')], before)
    t.ok(Buffer.from(await bytesOfVariable(again, 'v')).equals(content))
    t.ok((await again.catalogue.commit([write('v', null)])).sequence > 1)
  })

  t.test('an idempotency key applies its commit once', async (t) => {
    let now = 1_000
    const store = await opened(t, () => now)
    const once = (digest = 'd'): Promise<{ sequence: number; replayed: boolean }> =>
      store.catalogue.commit([save()], { key: 'k', digest, keepMs: 100 })
    t.equal(await store.catalogue.idempotent('k'), undefined)
    const [first, second] = await Promise.all([once(), once()])
    t.same([first.replayed, second.replayed], [false, true])
    t.same({ ...second, replayed: false }, first)
    t.match(await store.catalogue.idempotent('k'), {
      digest: 'd',
      committed: { sequence: first.sequence },
    })
    await t.rejects(once('other'), { code: 'INVALID_ARGUMENT', reason: 'idempotency/key-reused' })
    t.equal((await store.catalogue.listCheckpoints({}, { limit: 9 })).items.length, 1)
    now += 100
    t.equal(await store.catalogue.idempotent('k'), undefined)
    t.equal((await once('other')).replayed, false)
  })

  t.test('a refused commit does not use its idempotency key up', async (t) => {
    const store = await opened(t)
    const idempotency = { key: 'k', digest: 'd', keepMs: 100 }
    await t.rejects(store.catalogue.commit([write('v', null)], idempotency))
    const { replayed } = await store.catalogue.commit([create('v', null)], idempotency)
    t.equal(replayed, false)
  })

  t.test('the bus tells every change once, in commit order, after it can be read', async (t) => {
    const store = await opened(t)
    const seen: StoreEvent[] = []
    const readable: Promise<unknown>[] = []
    const end = store.bus.subscribe((event) => {
      seen.push(event)
      if (event.kind === 'variable') readable.push(store.catalogue.variable('', event.name))
    })
    store.bus.subscribe(() => {
      throw new Error('a listener of others')
    })
    await Promise.all([1, 2, 3].map((seed) => store.catalogue.commit([create(`v${seed}`, null)])))
    await store.catalogue.commit([
      write('v1', await stage(store, contentOf(1, 1))),
      save({ labels: ['x'] }),
    ])
    t.same(
      seen.map(({ kind, action, name }) => `${kind} ${action} ${name}`),
      [
        'variable created v1',
        'variable created v2',
        'variable created v3',
        'variable written v1',
        'checkpoint created 1',
        'label created x',
      ],
    )
    t.same(
      seen.map(({ sequence }) => sequence),
      [1, 2, 3, 4, 4, 4],
    )
    t.equal(seen[3].version, 1)
    t.ok((await Promise.all(readable)).every((variable) => variable !== undefined))
    end()
    await store.catalogue.commit([create('v4', null)])
    t.equal(seen.length, 6)
  })
}

function sweepFacts(t: Test, { driver, opened }: Suite): void {
  t.test('what nothing names is freed, and only that', async (t) => {
    const store = await opened(t)
    const shared = contentOf(3 * mebibyte, 1)
    const own = contentOf(3 * mebibyte, 2)
    await store.catalogue.commit([
      create('a', await stage(store, shared)),
      create('b', await stage(store, own)),
      create('c', await stage(store, contentOf(5, 3))),
    ])
    await store.catalogue.commit([save({ names: ['a'] })])
    const ids = await Promise.all(
      ['a', 'b', 'c'].map(async (name) => (await valueOfVariable(store, name)).valueId),
    )
    await store.catalogue.commit([{ kind: 'delete_container', container: '' }])
    await driver.sweep(store)
    t.ok(await store.values.record(ids[0]))
    t.equal(await store.values.record(ids[1]), undefined)
    t.equal(await store.values.record(ids[2]), undefined)
    t.ok(Buffer.from(await store.values.bytes(ids[0])).equals(shared))
    await store.catalogue.commit([create('b', await stage(store, own))])
    t.not((await valueOfVariable(store, 'b')).valueId, ids[1], 'a number is never used again')
    await store.catalogue.commit([
      { kind: 'delete_container', container: '' },
      { kind: 'delete_checkpoint', id: '1' },
    ])
    await driver.sweep(store)
    t.match(await store.status(), { packCount: 0, packBytes: 0, looseBytes: 0 })
  })

  t.test(
    'staged content that was in the store already survives the sweep until it is committed',
    async (t) => {
      const store = await opened(t)
      for (const byteLength of [5, 100_000, 3 * mebibyte]) {
        const content = contentOf(byteLength, byteLength)
        const name = `v${byteLength}`
        await store.catalogue.commit([create(name, await stage(store, content))])
        const again = await stage(store, content)
        await store.catalogue.commit([{ kind: 'delete_variable', container: '', name }])
        await driver.sweep(store)
        await store.catalogue.commit([create(name, again)])
        await driver.sweep(store)
        t.ok(Buffer.from(await bytesOfVariable(store, name)).equals(content), `${byteLength} bytes`)
      }
    },
  )

  t.test('a value that is being read survives the sweep until the reader is done', async (t) => {
    const store = await opened(t)
    const content = contentOf(12 * mebibyte, 1)
    await store.catalogue.commit([create('v', await stage(store, content))])
    const { valueId } = await valueOfVariable(store, 'v')
    const pieces: Uint8Array[] = []
    for await (const piece of store.values.read(valueId)) {
      if (pieces.length === 0) {
        await store.catalogue.commit([{ kind: 'delete_variable', container: '', name: 'v' }])
        await driver.sweep(store)
      }
      pieces.push(piece)
    }
    t.ok(Buffer.concat(pieces).equals(content))
    await driver.sweep(store)
    t.equal(await store.values.record(valueId), undefined)
  })
}

function closeFacts(t: Test, { driver }: Suite): void {
  t.test('close finishes what is queued and ends every call after it', async (t) => {
    const place = driver.place(t)
    const store = await driver.open(place, () => 1)
    const value = await stage(store, contentOf(3_000_000, 1))
    const queued = [
      store.catalogue.commit([create('v', value)]),
      store.catalogue.commit([create('w', null)]),
    ]
    await store.close()
    await store.close()
    const done = await Promise.allSettled(queued)
    t.same(
      done.map(({ status }) => status),
      ['fulfilled', 'fulfilled'],
    )
    await t.rejects(store.catalogue.commit([save()]), { code: 'UNAVAILABLE' })
    await t.rejects(store.catalogue.variable('', 'v'), { code: 'UNAVAILABLE' })
    const again = await driver.open(place, () => 1)
    t.same((await again.catalogue.variables('', ['v', 'w'])).length, 2)
    await again.close()
  })
}
