// Random histories of requests against a model of a few maps: whatever is asked in whatever order, and
// however often the server is restarted, it answers what the model says.
import fc from 'fast-check'
import t from 'tap'
import { seedOf } from '../helper/chance.ts'
import { type ComposedServer, openComposed } from '../helper/composed-server.ts'
import { connectionTo } from '../helper/connection.ts'
import { temporaryFolder } from '../helper/store.ts'
import {
  batchCommand,
  createCommand,
  deleteCommand,
  dropCommand,
  emptyModel,
  look,
  lookCommand,
  type Real,
  resendCommand,
  restartCommand,
  restoreCommand,
  saveCommand,
  writeCommand,
} from '../helper/variable-model.ts'

const seed = seedOf(process.argv, Date.now() % 1_000_000)
const histories = 4
const steps = 60
const mostMs = 20_000

const name = fc.constantFrom('a', 'b/c', 'd')
const shape = fc.constantFrom([], [2], [2], [2], [2, 1])
const value = fc.integer({ min: -99, max: 99 })
const condition = fc.constantFrom(
  'none' as const,
  'none' as const,
  'any' as const,
  'present' as const,
  'stale' as const,
)
const creation = fc.record({
  name,
  dtype: fc.constantFrom('float32', 'float32', 'int64'),
  shape,
  initial: value,
  reuse: fc.constantFrom(false, 'auto' as const, 'auto' as const, true),
  collections: fc.constantFrom(['variables'], ['variables', 'mine'], ['mine']),
  isKeyed: fc.boolean(),
})
const verb = fc.constantFrom(
  'assign' as const,
  'assign' as const,
  'assign_add' as const,
  'assign_sub' as const,
  'initialize' as const,
)
const writing = fc.record({ name, verb, shape, value, condition, isKeyed: fc.boolean() })

const adds = fc.array(fc.record({ name, shape: fc.constant([2]), value }), {
  minLength: 1,
  maxLength: 4,
})

const commands = fc.commands(
  [
    creation.map(createCommand),
    creation.map(createCommand),
    writing.map(writeCommand),
    writing.map(writeCommand),
    writing.map(writeCommand),
    writing.map(writeCommand),
    fc.tuple(adds, fc.boolean()).map((given) => batchCommand(...given)),
    fc.tuple(adds, fc.boolean()).map((given) => batchCommand(...given)),
    fc.tuple(name, condition, fc.boolean()).map((given) => deleteCommand(...given)),
    fc.constant(resendCommand),
    fc.constant(saveCommand),
    fc.nat(9).map(restoreCommand),
    fc.nat(9).map(dropCommand),
    // Starting takes longer than all the rest.
    fc.nat(3).map((chance) => (chance === 0 ? restartCommand : lookCommand)),
  ],
  { maxCommands: steps, size: 'max' },
)

/** A server that can be restarted, and a connection to it. */
async function openReal(directory: string): Promise<Real & { close(): Promise<void> }> {
  let server: ComposedServer = await openComposed({ directory })
  const real = {
    connection: connectionTo(server.base),
    async close() {
      real.connection.close()
      await server.close()
    },
    async restart() {
      await real.close()
      server = await openComposed({ directory })
      real.connection = connectionTo(server.base)
    },
  }
  return real
}

t.test(`the server does what its model does (seed ${seed})`, async (t) => {
  let done = 0
  const property = fc.asyncProperty(commands, async (history) => {
    const real = await openReal(temporaryFolder(t))
    const model = emptyModel()
    try {
      await fc.asyncModelRun(() => ({ model, real }), history)
      await look(model, real)
      done += model.steps
    } finally {
      await real.close()
    }
  })
  await fc.assert(property, {
    seed,
    numRuns: histories,
    interruptAfterTimeLimit: mostMs,
    markInterruptAsFailure: false,
    endOnFailure: true,
  })
  t.ok(done > 40, `${done} steps`)
})
