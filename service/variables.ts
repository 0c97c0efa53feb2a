// Variables without their values: making, finding, listing, changing and deleting them, and giving
// them their initial values.
import { mergeDeviceTexts } from '../graph/index.ts'
import type {
  Change,
  Page,
  PageRequest,
  PartitionedRecord,
  VariableFilter,
  VariableRecord,
} from '../store/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { initialWrites } from './initialize.ts'
import { checkCollectionName, checkContainerName, collectionKey } from './names.ts'
import { everyItem, everyPage } from './pages.ts'
import {
  findNamed,
  isPartitioned,
  type NamedVariable,
  variablesOf,
  versionOf,
} from './partitioned.ts'
import { unknownVariable } from './unknown-variable.ts'
import { type CreateReply, type CreateRequest, createVariable } from './variable-create.ts'
import { variableKey } from './write-order.ts'
import { checkVersion, type WriteOptions, type Written } from './written.ts'

interface VariableChanges {
  readonly trainable?: boolean | undefined
  readonly collections?: readonly string[] | undefined
  readonly device?: string | undefined
}

/** Which variables to initialize; all of the container where nothing narrows it. */
interface InitializeSelection {
  readonly container: string
  readonly names?: readonly string[] | undefined
  readonly collection?: string | undefined
  readonly onlyUninitialized: boolean
}

export interface Variables {
  create(request: CreateRequest): Promise<CreateReply>
  get(container: string, name: string): Promise<NamedVariable>
  /** Variables; the parts of partitioned ones, not the names over them. */
  list(filter: VariableFilter, page: PageRequest): Promise<Page<VariableRecord>>
  /** The names over parts. */
  listPartitioned(container: string, page: PageRequest): Promise<Page<PartitionedRecord>>
  /** Changes a variable, or all parts of one. */
  update(
    container: string,
    name: string,
    changes: VariableChanges,
    options: WriteOptions,
  ): Promise<NamedVariable>
  remove(container: string, name: string, options: WriteOptions): Promise<void>
  /**
   * Gives initial values, all or none, in one commit. A partitioned variable that was asked for by its
   * name is told of as one.
   */
  initialize(selection: InitializeSelection, options: WriteOptions): Promise<readonly Written[]>
  /** Names of the uninitialized global variables, then of the local ones, in order of joining. */
  uninitialized(container: string): Promise<readonly string[]>
}

/** The variables of a store. */
export function createVariables(context: Context): Variables {
  const { catalogue } = context.store

  /** Commits changes of what the name stands for, alone among its writers, once for a key. */
  async function changeOnce(
    { container, name, options }: Addressed,
    described: readonly unknown[],
    changesOf: (named: NamedVariable) => readonly Change[],
  ): Promise<void> {
    const [whole] = await catalogue.partitioned(container, [name])
    const keys = [name, ...(whole?.parts ?? []).map((part) => part.name)].map((one) =>
      variableKey(container, one),
    )
    await context.writes.turn(keys, 'exclusive', () =>
      once(context, options.idempotencyKey, described, async (idempotency) => {
        const named = await findNamed(context, container, name)
        checkVersion({ name, version: versionOf(named) }, options.ifVersion)
        return catalogue.commit(changesOf(named), idempotency)
      }),
    )
  }

  return {
    create: (request) => createVariable(context, request),
    get: (container, name) => findNamed(context, container, name),
    list: (filter, page) => catalogue.listVariables(withKey(filter), page),
    listPartitioned: (container, page) => catalogue.listPartitioned(container, page),
    async update(container, name, changes, options) {
      const described = ['update_variable', container, name, changes]
      await changeOnce({ container, name, options }, described, (named) =>
        variablesOf(named).map((record) => updateOf(context, record, changes)),
      )
      return findNamed(context, container, name)
    },
    async remove(container, name, options) {
      const described = ['delete_variable', container, name]
      await changeOnce({ container, name, options }, described, (named) => {
        const kind = isPartitioned(named) ? 'delete_partitioned' : 'delete_variable'
        return [{ kind, container, name }]
      })
    },
    initialize: (selection, options) => initialize(context, selection, options),
    async uninitialized(container) {
      const found = new Set<string>()
      for (const collection of ['variables', 'local_variables']) {
        for await (const record of membersOf(context, container, collection)) {
          if (record.value === undefined) found.add(record.name)
        }
      }
      return [...found]
    },
  }
}

/** A name in a request that changes it. */
interface Addressed {
  readonly container: string
  readonly name: string
  readonly options: WriteOptions
}

/** Every variable that the filter lets through, page by page. */
export function everyVariable(
  context: Context,
  filter: VariableFilter,
): AsyncIterable<VariableRecord> {
  const { catalogue } = context.store
  return everyItem(context, (page) => catalogue.listVariables(withKey(filter), page))
}

/** The filter with the collection's key for its name. */
function withKey(filter: VariableFilter): VariableFilter {
  const { collection } = filter
  return collection === undefined ? filter : { ...filter, collection: collectionKey(collection) }
}

/** The variables that are members of a collection, in order of joining. */
async function* membersOf(
  context: Context,
  container: string,
  collection: string,
): AsyncIterable<VariableRecord> {
  const { catalogue } = context.store
  const read = (page: PageRequest) => catalogue.collectionMembers(container, collection, page)
  for await (const members of everyPage(context, read)) {
    const names = members.flatMap((member) => ('variable' in member ? [member.variable] : []))
    yield* await catalogue.variables(container, names)
  }
}

function updateOf(context: Context, record: VariableRecord, changes: VariableChanges): Change {
  const { container, name } = record
  const trainable = changes.trainable ?? record.trainable
  const collections = new Set(changes.collections?.map(collectionKey) ?? record.collections)
  for (const collection of collections) checkCollectionName(collection, context.limits)
  if (changes.trainable === true) collections.add('trainable_variables')
  if (changes.trainable === false) collections.delete('trainable_variables')
  const { device } = changes
  return {
    kind: 'update_variable',
    container,
    name,
    trainable,
    collections: [...collections],
    ...(device === undefined ? {} : { device: device && mergeDeviceTexts(device, record.device) }),
  }
}

/** What is to be initialized. */
interface Selected {
  readonly records: readonly VariableRecord[]
  /** Those whose parts are among the records because they were asked for by name. */
  readonly wholes: readonly PartitionedRecord[]
}

async function selected(context: Context, selection: InitializeSelection): Promise<Selected> {
  const { container, names, collection } = selection
  checkContainerName(container, context.limits)
  let records: VariableRecord[] = []
  let wholes: readonly PartitionedRecord[] = []
  if (names === undefined) {
    const filter = { container, collection, initialized: undefined }
    for await (const record of everyVariable(context, filter)) records.push(record)
  } else {
    const found = await context.store.catalogue.variables(container, names)
    const byName = new Map<string, NamedVariable>(found.map((record) => [record.name, record]))
    const others = names.filter((name) => !byName.has(name))
    if (others.length > 0) {
      wholes = await context.store.catalogue.partitioned(container, others)
      for (const whole of wholes) byName.set(whole.name, whole)
    }
    const distinct = new Map<string, VariableRecord>()
    for (const name of names) {
      const named = byName.get(name)
      if (named === undefined) throw unknownVariable(container, name)
      for (const record of variablesOf(named)) distinct.set(record.name, record)
    }
    records = [...distinct.values()]
  }
  const wanted = records.filter((record) => {
    const isMember =
      collection === undefined || record.collections.includes(collectionKey(collection))
    return isMember && !(selection.onlyUninitialized && record.value !== undefined)
  })
  return { records: wanted, wholes }
}

async function initialize(
  context: Context,
  selection: InitializeSelection,
  options: WriteOptions,
): Promise<readonly Written[]> {
  const keys = (await selected(context, selection)).records.map((record) =>
    variableKey(record.container, record.name),
  )
  return context.writes.turn(keys, 'exclusive', async () => {
    const { records, wholes } = await selected(context, selection)
    const described = ['initialize', { ...selection }]
    const staging = context.store.values.stage()
    try {
      const committed = await once(
        context,
        options.idempotencyKey,
        described,
        async (idempotency) => {
          checkVersions(records, wholes, options)
          const changes = await initialWrites(context, selection.container, records, staging)
          return context.store.catalogue.commit(changes, idempotency)
        },
      )
      const written = committed.variables.map(({ container, name, version }) => ({
        container,
        name,
        version,
      }))
      return withWholes(written, wholes)
    } finally {
      await staging.discard()
    }
  })
}

/** Refuses where `If-Match` does not hold: of parts asked for as one, the whole has the version. */
function checkVersions(
  records: readonly VariableRecord[],
  wholes: readonly PartitionedRecord[],
  { ifVersion }: WriteOptions,
): void {
  const parts = new Set(wholes.flatMap((whole) => whole.parts.map((part) => part.name)))
  for (const whole of wholes) {
    checkVersion({ name: whole.name, version: versionOf(whole) }, ifVersion)
  }
  for (const record of records) if (!parts.has(record.name)) checkVersion(record, ifVersion)
}

/** What was written, with each whole in place of its parts. */
function withWholes(
  written: readonly Written[],
  wholes: readonly PartitionedRecord[],
): readonly Written[] {
  if (wholes.length === 0) return written
  const byName = new Map(written.map((one) => [one.name, one]))
  const told = new Map<string, Written>()
  for (const whole of wholes) {
    const { container, name, parts } = whole
    const versions = parts.map((part) => byName.get(part.name)?.version ?? part.version)
    const version = versions.reduce((sum, one) => sum + one, 0)
    const asOne = { container, name, version }
    for (const part of parts) told.set(part.name, asOne)
  }
  const found = written.map((one) => told.get(one.name) ?? one)
  return [...new Set(found)]
}
