// What every driver of the store must do with variables and lists of them.
import type { Test } from 'tap'
import { bytesOfVariable, contentOf, create, scalar, stage, write } from '../helper/store.ts'
import type { Suite } from './store-suite.ts'

/** See the sentences of its tests. */
export function variableFacts(t: Test, { opened }: Suite): void {
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
      const many = Array.from({ length: 2_500 }, (_, index) => `n${index}`)
      const odd = ['\0', 'a\0b', '"', '\\', '😀', '__proto__']
      await store.catalogue.commit([...many, ...odd].map((name) => create(name, null)))
      const backwards = [...many].reverse()
      const all = await store.catalogue.variables('', [...backwards, ...odd, 'x', 'a'])
      t.same(
        all.map(({ name }) => name),
        [...backwards, ...odd, 'a'],
      )
      const few = await store.catalogue.variables('', odd.slice(2))
      t.same(
        few.map(({ name }) => name),
        odd.slice(2),
      )
    },
  )
}

/** See the sentences of its tests. */
export function listFacts(t: Test, { opened }: Suite): void {
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
