// Random histories against a model of a few maps: whatever the order of writes, saves, restores,
// deletions, sweeps and reopenings, the store says what the model says.
import fc from 'fast-check'
import t from 'tap'
import { openStore, type Store, type StoreLimits } from '../../store/index.ts'
import { contentOf, create, save, stage, temporaryFolder, write } from '../helper/store.ts'

/** How many histories are tried. */
const histories = Number(process.env.HOLDFAST_MODEL_HISTORIES ?? 12)

/** Small enough that merging and rewriting of packs happen all the time. */
const limits: Partial<StoreLimits> = {
  looseByteLengthPerCommit: 300_000,
  mergeLooseByteLength: 600_000,
  mergePackCount: 2,
  smallPackByteLength: 2_000_000,
  packByteLength: 1_200_000,
  openPackCount: 2,
  sweepStepCount: 3,
  maintenanceIntervalMs: 15,
}

/** What a value is known by: its content comes from it. */
interface Content {
  readonly size: number
  readonly seed: number
}

interface Model {
  readonly variables: Map<string, { version: number; content: Content | undefined }>
  readonly lastVersions: Map<string, number>
  readonly checkpoints: Map<string, Map<string, Content>>
  steps: number
}

interface Real {
  store: Store
  reopen(): Promise<void>
}

type Command = fc.AsyncCommand<Model, Real>

function command(
  name: string,
  check: (model: Model) => boolean,
  run: (model: Model, real: Real) => Promise<void>,
): Command {
  return {
    check,
    run: (model, real) => {
      model.steps += 1
      return run(model, real)
    },
    toString: () => name,
  }
}

function bytesOf({ size, seed }: Content): Uint8Array {
  return contentOf(size, seed)
}

function writeCommand(name: string, content: Content): Command {
  return command(
    `write ${name} ${content.size}/${content.seed}`,
    () => true,
    async (model, { store }) => {
      const value = await stage(store, bytesOf(content))
      const isNew = !model.variables.has(name)
      const { variables } = await store.catalogue.commit([
        isNew ? create(name, value) : write(name, value),
      ])
      const version = (model.lastVersions.get(name) ?? 0) + 1
      if (variables[0].version !== version) {
        throw new Error(`${name} got version ${variables[0].version} instead of ${version}`)
      }
      model.lastVersions.set(name, version)
      model.variables.set(name, { version, content })
    },
  )
}

function deleteCommand(name: string): Command {
  return command(
    `delete ${name}`,
    (model) => model.variables.has(name),
    async (model, { store }) => {
      await store.catalogue.commit([{ kind: 'delete_variable', container: '', name }])
      model.variables.delete(name)
    },
  )
}

const saveCommand = command(
  'save',
  () => true,
  async (model, { store }) => {
    const { checkpoints } = await store.catalogue.commit([save()])
    const saved = new Map<string, Content>()
    for (const [name, { content }] of model.variables) {
      if (content !== undefined) saved.set(name, content)
    }
    model.checkpoints.set(checkpoints[0], saved)
  },
)

function nthCheckpoint(model: Model, index: number): string {
  const ids = [...model.checkpoints.keys()]
  return ids[index % ids.length]
}

function restoreCommand(index: number): Command {
  return command(
    `restore ${index}`,
    (model) => model.checkpoints.size > 0,
    async (model, { store }) => {
      const id = nthCheckpoint(model, index)
      const { items } = await store.catalogue.checkpointEntries(id)
      const changes = items.map(({ name, value: { valueId } }) =>
        model.variables.has(name) ? write(name, { valueId }) : create(name, { valueId }),
      )
      await store.catalogue.commit(changes)
      for (const [name, content] of model.checkpoints.get(id) ?? []) {
        const version = (model.lastVersions.get(name) ?? 0) + 1
        model.lastVersions.set(name, version)
        model.variables.set(name, { version, content })
      }
    },
  )
}

function dropCommand(index: number): Command {
  return command(
    `drop ${index}`,
    (model) => model.checkpoints.size > 0,
    async (model, { store }) => {
      const id = nthCheckpoint(model, index)
      await store.catalogue.commit([{ kind: 'delete_checkpoint', id }])
      model.checkpoints.delete(id)
    },
  )
}

/** Stages something, lets the sweep run, and thinks better of it or not. */
function hesitateCommand(name: string, content: Content, isCommitted: boolean): Command {
  return command(
    `hesitate ${name} ${content.size}/${content.seed} ${isCommitted}`,
    (model) => model.variables.has(name),
    async (model, { store }) => {
      const staging = store.values.stage()
      const bytes = bytesOf(content)
      const value = await staging.add({
        dtype: 'uint8',
        shape: [bytes.byteLength],
        byteLength: bytes.byteLength,
        async *chunks() {
          yield bytes
        },
      })
      await store.sweep()
      if (isCommitted) {
        await store.catalogue.commit([write(name, value)])
        const version = (model.lastVersions.get(name) ?? 0) + 1
        model.lastVersions.set(name, version)
        model.variables.set(name, { version, content })
      }
      await staging.discard()
    },
  )
}

const sweepCommand = command(
  'sweep',
  () => true,
  async (_, { store }) => {
    await store.sweep()
  },
)

const reopenCommand = command(
  'reopen',
  () => true,
  (_, real) => real.reopen(),
)

const lookCommand = command('look', () => true, look)

async function expectBytes(store: Store, valueId: number, content: Content): Promise<void> {
  const bytes = await store.values.bytes(valueId)
  if (Buffer.from(bytes).equals(bytesOf(content))) return
  throw new Error(`the content ${content.size}/${content.seed} came back as other bytes`)
}

async function look(model: Model, { store }: Real): Promise<void> {
  const { items } = await store.catalogue.listVariables({ container: '' }, { limit: 1000 })
  const expected = [...model.variables.keys()].sort()
  if (items.map(({ name }) => name).join() !== expected.join()) {
    throw new Error(`there are ${items.map(({ name }) => name)} instead of ${expected}`)
  }
  for (const { name, version, value } of items) {
    const known = model.variables.get(name)
    if (known?.version !== version) throw new Error(`${name} has version ${version}`)
    if (value === undefined || known.content === undefined) throw new Error(`${name} has no value`)
    await expectBytes(store, value.valueId, known.content)
  }
  const listed = await store.catalogue.listCheckpoints({}, { limit: 1000 })
  if (
    listed.items
      .map(({ id }) => id)
      .reverse()
      .join() !== [...model.checkpoints.keys()].join()
  ) {
    throw new Error('there are other checkpoints')
  }
  for (const [id, saved] of model.checkpoints) {
    const entries = (await store.catalogue.checkpointEntries(id)).items
    if (entries.length !== saved.size) throw new Error(`checkpoint ${id} has other entries`)
    for (const { name, value } of entries) {
      await expectBytes(store, value.valueId, saved.get(name) as Content)
    }
  }
}

/** Nothing is left when nothing is named. */
async function checkEmpty({ store }: Real, model: Model): Promise<void> {
  await store.catalogue.commit([
    { kind: 'delete_container', container: '' },
    ...[...model.checkpoints.keys()].map((id) => ({ kind: 'delete_checkpoint', id }) as const),
  ])
  await store.sweep()
  const { packCount, looseBytes } = await store.status()
  if (packCount !== 0 || looseBytes !== 0) {
    throw new Error(`${packCount} packs and ${looseBytes} loose bytes are left`)
  }
}

const names = fc.constantFrom('a', 'b', 'c', 'd')
const contents = fc.record({
  size: fc.constantFrom(0, 9, 70_000, 200_000, 1_100_000, 1_700_000),
  seed: fc.integer({ min: 1, max: 3 }),
})
const commands = fc.commands(
  [
    fc.tuple(names, contents).map(([name, content]) => writeCommand(name, content)),
    fc.tuple(names, contents).map(([name, content]) => writeCommand(name, content)),
    fc
      .tuple(names, contents, fc.boolean())
      .map(([name, content, isCommitted]) => hesitateCommand(name, content, isCommitted)),
    names.map(deleteCommand),
    fc.constant(saveCommand),
    fc.nat(9).map(restoreCommand),
    fc.nat(9).map(dropCommand),
    fc.constant(sweepCommand),
    fc.constant(lookCommand),
    fc.constant(reopenCommand),
  ],
  { maxCommands: 40, size: 'max' },
)

t.test(`the store does what its model does in ${histories} histories`, async (t) => {
  let steps = 0
  const property = fc.asyncProperty(commands, async (history) => {
    const directory = temporaryFolder(t)
    const open = (): Promise<Store> => openStore({ directory, clock: () => 1, limits })
    const real: Real = {
      store: await open(),
      reopen: async () => {
        await real.store.close()
        real.store = await open()
      },
    }
    const model: Model = {
      variables: new Map(),
      lastVersions: new Map(),
      checkpoints: new Map(),
      steps: 0,
    }
    try {
      await fc.asyncModelRun(() => ({ model, real }), history)
      steps += model.steps
      await look(model, real)
      await checkEmpty(real, model)
    } finally {
      await real.store.close()
    }
  })
  await fc.assert(property, {
    numRuns: histories,
    interruptAfterTimeLimit: 100_000,
    endOnFailure: true,
  })
  t.comment(`${steps} steps`)
  t.ok(steps > histories, `${steps} steps`)
})
