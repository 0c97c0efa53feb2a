import t from 'tap'
import type { BatchOperation } from '../../service/index.ts'
import { type Tensor, tensorOfElements } from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'
import { make, numbersOf, openWatched, vector } from './watched-service.ts'

t.test('batches on the engine', async (t) => {
  const { service, out, runs } = await openWatched(t)
  const described = () => ['batch']

  t.test(
    'handles of values in between are given back, also where the batch is refused',
    async (t) => {
      await make(service, 'a', vector(1, 2))
      await make(service, 'b', vector(1, 2))
      const add = (name: string, value: Tensor) =>
        ({
          op: 'assign_add',
          name,
          input: async () => ({ tensors: new Map([['value', value]]) }),
        }) as const
      const reply = await service.writes.batch({
        container: '',
        operations: [add('a', vector(1, 1)), add('a', vector(1, 1)), add('b', vector(2, 2))],
        byteLength: 0,
        described,
      })
      t.same(
        reply.results.map(({ version }) => version),
        [2, 2, 2],
      )
      t.equal(out.size, 0)
      const doomed = service.writes.batch({
        container: '',
        operations: [add('a', vector(1, 1)), add('b', vector(1, 1)), add('a', vector(1))],
        byteLength: 0,
        described,
      })
      await t.rejects(doomed, refused({ message: 'Operation 2 (assign_add of a)' }))
      t.equal(out.size, 0)
      t.same(await numbersOf(service, 'a'), [3, 4])
      t.same(await numbersOf(service, 'b'), [3, 4])
    },
  )

  t.test('a batch of reads and assignments alone does not trouble the engine', async (t) => {
    const before = runs.length
    await service.writes.batch({
      container: '',
      operations: [
        { op: 'assign', name: 'a', input: () => vector(7, 7), validateShape: true },
        { op: 'read_value', name: 'a' },
        { op: 'assign', name: 'b', input: () => vector(8, 8), validateShape: true },
      ],
      byteLength: 0,
      described,
    })
    t.equal(runs.length, before)
    t.same(await numbersOf(service, 'a'), [7, 7])
    t.same(await numbersOf(service, 'b'), [8, 8])
  })

  t.test('a batch takes no more bytes than its limit', async (t) => {
    const { service: small } = await openWatched(t, { batchBytes: 8 })
    const doomed = small.writes.batch({
      container: '',
      operations: [{ op: 'read_value', name: 'x' }],
      byteLength: 9,
      described,
    })
    await t.rejects(
      doomed,
      refused({ code: 'RESOURCE_EXHAUSTED', reason: 'tensor/batch-too-large' }),
    )
    await small.variables.create({
      container: '',
      name: 'x',
      shape: [3],
      initializer: { kind: 'zeros' },
      validateShape: true,
    })
    const initialize = small.writes.batch({
      container: '',
      operations: [{ op: 'initialize', name: 'x' }],
      byteLength: 0,
      described,
    })
    await t.rejects(
      initialize,
      refused({ reason: 'tensor/batch-too-large', message: 'Operation 0 (initialize of x)' }),
    )
  })

  t.test(
    'a value that the engine holds is brought back only where the batch may hold as much',
    async (t) => {
      const { service: small, out: left } = await openWatched(t, { batchBytes: 8 })
      await make(small, 'x', vector(1, 2, 3))
      const scatter = {
        op: 'scatter_add',
        name: 'x',
        input: async () => ({
          tensors: new Map<string, Tensor>([
            ['indices', tensorOfElements('int32', [1], [0])],
            ['updates', vector(5)],
          ]),
        }),
      } as const
      const batch = (operations: readonly BatchOperation[]) =>
        small.writes.batch({ container: '', operations, byteLength: 8, described })
      await t.rejects(
        batch([scatter, { op: 'read_value', name: 'x', slice: '0' }]),
        refused({ reason: 'tensor/batch-too-large', message: 'Operation 1 (read_value of x)' }),
      )
      t.equal(left.size, 0)
      await batch([scatter])
      t.same(await numbersOf(small, 'x'), [6, 2, 3])
    },
  )
})
