// Variables without their values: making, finding, listing, changing and deleting them, and giving
// them their initial values.
import { mergeDeviceTexts } from '../graph/index.ts'
import type { Change, Page, PageRequest, VariableFilter, VariableRecord } from '../store/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { initialWrites } from './initialize.ts'
import { checkCollectionName, checkContainerName } from './names.ts'
import {
  type CreateReply,
  type CreateRequest,
  createVariable,
  unknownVariable,
} from './variable-create.ts'
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
  get(container: string, name: string): Promise<VariableRecord>
  list(filter: VariableFilter, page: PageRequest): Promise<Page<VariableRecord>>
  update(
    container: string,
    name: string,
    changes: VariableChanges,
    options: WriteOptions,
  ): Promise<VariableRecord>
  remove(container: string, name: string, options: WriteOptions): Promise<void>
  /** Gives initial values, all or none, in one commit. */
  initialize(selection: InitializeSelection, options: WriteOptions): Promise<readonly Written[]>
  /** Names of the uninitialized global and local variables, in order of creation. */
  uninitialized(container: string): Promise<readonly string[]>
}

/** The variables of a store. */
export function createVariables(context: Context): Variables {
  const { catalogue } = context.store

  async function get(container: string, name: string): Promise<VariableRecord> {
    const record = await catalogue.variable(container, name)
    if (record === undefined) throw unknownVariable(container, name)
    return record
  }

  return {
    create: (request) => createVariable(context, request),
    get,
    list: (filter, page) => catalogue.listVariables(filter, page),
    async update(container, name, changes, options) {
      await context.writes.turn([variableKey(container, name)], 'exclusive', async () => {
        const record = await get(container, name)
        checkVersion(record, options.ifVersion)
        const change = updateOf(context, record, changes)
        await once(
          context,
          options.idempotencyKey,
          ['update_variable', container, name, changes],
          (idempotency) => catalogue.commit([change], idempotency),
        )
      })
      return get(container, name)
    },
    async remove(container, name, options) {
      await context.writes.turn([variableKey(container, name)], 'exclusive', async () => {
        checkVersion(await get(container, name), options.ifVersion)
        await once(
          context,
          options.idempotencyKey,
          ['delete_variable', container, name],
          (idempotency) =>
            catalogue.commit([{ kind: 'delete_variable', container, name }], idempotency),
        )
      })
    },
    initialize: (selection, options) => initialize(context, selection, options),
    async uninitialized(container) {
      const found: string[] = []
      for (const collection of ['variables', 'local_variables']) {
        for await (const record of everyVariable(context, {
          container,
          collection,
          initialized: false,
        })) {
          if (!found.includes(record.name)) found.push(record.name)
        }
      }
      return found
    },
  }
}

/** Every variable that the filter lets through, page by page. */
export async function* everyVariable(
  context: Context,
  filter: VariableFilter,
): AsyncIterable<VariableRecord> {
  let cursor: string | undefined
  do {
    const page: Page<VariableRecord> = await context.store.catalogue.listVariables(filter, {
      limit: context.limits.pageEntries,
      cursor,
    })
    yield* page.items
    cursor = page.cursor
  } while (cursor !== undefined)
}

function updateOf(context: Context, record: VariableRecord, changes: VariableChanges): Change {
  const trainable = changes.trainable ?? record.trainable
  const collections = new Set(changes.collections ?? record.collections)
  for (const collection of collections) checkCollectionName(collection, context.limits)
  if (changes.trainable === true) collections.add('trainable_variables')
  if (changes.trainable === false) collections.delete('trainable_variables')
  return {
    kind: 'update_variable',
    container: record.container,
    name: record.name,
    trainable,
    collections: [...collections],
    ...(changes.device === undefined ? {} : { device: mergeDeviceTexts(changes.device, '') }),
  }
}

async function selected(
  context: Context,
  selection: InitializeSelection,
): Promise<readonly VariableRecord[]> {
  const { container, names, collection } = selection
  checkContainerName(container, context.limits)
  const records: VariableRecord[] = []
  if (names !== undefined) {
    records.push(...(await context.store.catalogue.variables(container, names)))
    const found = new Set(records.map((record) => record.name))
    const missing = names.find((name) => !found.has(name))
    if (missing !== undefined) throw unknownVariable(container, missing)
  } else {
    const filter = { container, collection, initialized: undefined }
    for await (const record of everyVariable(context, filter)) records.push(record)
  }
  return records.filter((record) => {
    const inCollection = collection === undefined || record.collections.includes(collection)
    return inCollection && !(selection.onlyUninitialized && record.value !== undefined)
  })
}

async function initialize(
  context: Context,
  selection: InitializeSelection,
  options: WriteOptions,
): Promise<readonly Written[]> {
  const keys = (await selected(context, selection)).map((record) =>
    variableKey(record.container, record.name),
  )
  return context.writes.turn(keys, 'exclusive', async () => {
    const records = await selected(context, selection)
    for (const record of records) checkVersion(record, options.ifVersion)
    const described = ['initialize', { ...selection }]
    const staging = context.store.values.stage()
    try {
      const committed = await once(
        context,
        options.idempotencyKey,
        described,
        async (idempotency) => {
          const changes = await initialWrites(context, selection.container, records, staging)
          return context.store.catalogue.commit(changes, idempotency)
        },
      )
      return committed.variables.map(({ container, name, version }) => ({
        container,
        name,
        version,
      }))
    } finally {
      await staging.discard()
    }
  })
}
