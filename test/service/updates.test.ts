import t from 'tap'
import { definitionOf } from '../../engine/ops/index.ts'
import { updateVerbs } from '../../service/index.ts'
import { createUpdateGraphs } from '../../service/update-graphs.ts'
import { type Tensor, tensorOfElements } from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'
import { make, numbersOf, openWatched, vector } from './watched-service.ts'

t.test('updates by one op each', async (t) => {
  const { service, store, out, hooks } = await openWatched(t)

  function scatterAdd(name: string, places: readonly number[], updates: Tensor) {
    const indices = tensorOfElements('int32', [places.length], places)
    const tensors = new Map<string, Tensor>([
      ['indices', indices],
      ['updates', updates],
    ])
    const input = async () => ({ tensors })
    return service.writes.update({ verb: 'scatter_add', container: '', name, input, options: {} })
  }

  t.test(
    'every verb is an op that the engine has, with the inputs that its row says',
    async (t) => {
      for (const [verb, { op, inputs }] of Object.entries(updateVerbs)) {
        const definition = definitionOf(op)
        const names = definition?.inputs.map(({ name }) => name) ?? []
        for (const { name } of inputs) t.ok(names.includes(name), `${verb}: ${op} takes ${name}`)
        t.ok(definition, op)
      }
    },
  )

  t.test('no handle stays with the engine, whether an update is done or refused', async (t) => {
    await make(service, 'w', vector(1, 2))
    await scatterAdd('w', [1], vector(5))
    await t.rejects(scatterAdd('w', [2], vector(5)), refused({ reason: 'run/index' }))
    t.same(await numbersOf(service, 'w'), [1, 7])
    t.equal(out.size, 0)
  })

  t.test('where the commit is refused the handle is released', async (t) => {
    await make(service, 'gone', vector(1, 2))
    hooks.afterRun = async () => {
      hooks.afterRun = undefined
      // Past the order of writes, as another process would.
      await store.catalogue.commit([{ kind: 'delete_variable', container: '', name: 'gone' }])
    }
    await t.rejects(scatterAdd('gone', [1], vector(5)), refused({ code: 'NOT_FOUND' }))
    t.equal(hooks.afterRun, undefined, 'the op had run')
    t.equal(out.size, 0)
  })
})

t.test('graphs that are loaded as long as they are used', async (t) => {
  const events: string[] = []
  const graphs = createUpdateGraphs({
    load: async (id) => {
      events.push(`load ${id}`)
      if (id === 'bad') throw new Error('bad')
      return undefined as never
    },
    unload: async (id) => {
      events.push(`unload ${id}`)
    },
  })
  const none = () => new Uint8Array()

  t.test('one that is asked for by two at once is loaded once', async (t) => {
    await Promise.all([0, 1].map(() => graphs.use('x', none, async () => undefined)))
    t.same(events.splice(0), ['load x'])
  })

  t.test('one that could not be loaded is tried again', async (t) => {
    const use = () => graphs.use('bad', none, async () => undefined)
    await t.rejects(use())
    await t.rejects(use())
    t.same(events.splice(0), ['load bad', 'load bad'])
  })

  t.test('beyond 256 those used longest ago go, but none that is in use', async (t) => {
    await graphs.use('x', none, async () => {
      for (let number = 0; number < 258; number++) {
        await graphs.use(`n${number}`, none, async () => undefined)
      }
    })
    const unloaded = events.splice(0).filter((event) => event.startsWith('unload'))
    t.same(unloaded, ['unload n0', 'unload n1', 'unload n2'])
  })
})
