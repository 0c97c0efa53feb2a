// The service: every part of what the product does, put together on a store and an engine.
import type { Engine } from '../engine/index.ts'
import type {
  CheckpointRecord,
  MaintenanceReport,
  Page,
  PageRequest,
  Store,
  StoreStatus,
} from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import { createAdoptions } from './adoptions.ts'
import { type Backups, createBackups } from './backups.ts'
import { type CheckpointFiles, createCheckpointFiles } from './checkpoint-files.ts'
import { createCheckpointSqlite } from './checkpoint-sqlite.ts'
import { type Checkpoints, createCheckpoints } from './checkpoints.ts'
import { type Collections, createCollections } from './collections.ts'
import type { Context } from './context.ts'
import { createDevices, type Devices } from './devices.ts'
import { type CheckpointDiff, type DiffRequest, diffCheckpoints } from './diff.ts'
import { createDifferences } from './differences.ts'
import { EngineVariables } from './engine-variables.ts'
import { createEvents, type Events } from './events.ts'
import { createGraphs, type Graphs } from './graphs.ts'
import { type HeldTensor, historyOf } from './history.ts'
import { statisticsOfTensors } from './kept-statistics.ts'
import { createLabels, type Labels } from './labels.ts'
import { defaultLimits, type Limits } from './limits.ts'
import { createModels, type Models, modelContainer } from './models.ts'
import { checkContainerName } from './names.ts'
import { createOperations, type Operations, type Watch } from './operations.ts'
import { withPartitionedWrites } from './partitioned-writes.ts'
import { createPredictions, type Predictions } from './predict.ts'
import { checkRestore, type RestoreRequest, restoreCheckpoint } from './restore.ts'
import type { RestoreReport } from './restore-report.ts'
import { createRetention, type Retention, withRetention } from './retention.ts'
import { createRuns } from './runs.ts'
import { createScopes, type Scopes } from './scopes.ts'
import type { Spool } from './spool.ts'
import { createStatistics, type Statistics, type StatisticsTaker } from './statistics.ts'
import type { StoredTensor } from './stored-tensors.ts'
import { createStoredValues, type StoredValues } from './stored-values.ts'
import { createUpdateGraphs } from './update-graphs.ts'
import { createVariableReads, type VariableReads } from './variable-reads.ts'
import { createVariableWrites, type VariableWrites } from './variable-writes.ts'
import { createVariables, everyVariable, type Variables } from './variables.ts'
import { createVerification, type Verification } from './verification.ts'
import { createWriteOrder, variableKey } from './write-order.ts'

export interface Service {
  readonly limits: Limits
  readonly spool: Spool
  readonly scopes: Scopes
  readonly variables: Variables
  readonly reads: VariableReads
  readonly writes: VariableWrites
  readonly stored: StoredValues
  readonly statistics: StatisticsTaker
  readonly checkpoints: Checkpoints
  readonly files: CheckpointFiles
  readonly labels: Labels
  readonly retention: Retention
  readonly verification: Verification
  readonly backups: Backups
  readonly collections: Collections
  readonly devices: Devices
  readonly events: Events
  readonly operations: Operations
  readonly graphs: Graphs
  readonly models: Models
  readonly predictions: Predictions
  restore(ref: string, request: RestoreRequest, watch?: Watch): Promise<RestoreReport>
  /** The checkpoint to restore. Refuses what {@link Service.restore} refuses whatever the variables are. */
  checkRestore(ref: string, request: RestoreRequest): Promise<CheckpointRecord>
  /** What a checkpoint and another, or the present variables, differ in. */
  diff(ref: string, request: DiffRequest, page: PageRequest): Promise<CheckpointDiff>
  /** One stored name along all checkpoints that hold it, newest first. */
  history(
    filter: { readonly name: string; readonly container?: string | undefined },
    page: PageRequest,
  ): Promise<Page<HeldTensor>>
  /** Figures of tensors, in their order: taken once, and kept beside the values. */
  statisticsOfTensors(
    tensors: readonly StoredTensor[],
    signal?: AbortSignal,
  ): Promise<readonly Statistics[]>
  containers(): Promise<readonly string[]>
  /** Deletes a container: its variables, and the random streams and tables of its graphs. */
  removeContainer(container: string): Promise<void>
  storeStatus(): Promise<StoreStatus>
  /** Frees now what nothing names and nobody reads. */
  sweep(): Promise<MaintenanceReport>
  /** Finishes what is under way, then lets go of the engine and the data directory. */
  close(): Promise<void>
}

/** How long work goes on at the end before it is told to stop. */
const operationGraceMs = 2_000

/** What {@link createService} puts together. */
export interface ServiceParts {
  readonly store: Store
  readonly engine: Engine
  readonly spool: Spool
  /** Counted up by whoever opened the engine, as {@link Context.engineLosses} says. */
  readonly engineLosses: { count: number }
  readonly clock: () => number
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void
  readonly limits: Partial<Limits>
}

/** A service on parts that are open already. */
export function createService(parts: ServiceParts): Service {
  const { store, engine, spool, engineLosses, clock, log } = parts
  const limits: Limits = { ...defaultLimits, ...parts.limits }
  const context: Context = {
    store,
    engine,
    clock,
    limits,
    writes: createWriteOrder(),
    spool,
    keysInFlight: new Set(),
    engineVariables: new EngineVariables(),
    engineUse: { count: 0 },
    engineLosses,
    adoptions: createAdoptions(),
    graphNumbers: { next: 0 },
    updateGraphs: createUpdateGraphs(engine),
  }
  const retention = createRetention(context, (message, error) =>
    log('warn', `${message}: ${error}`),
  )
  const checkpoints = withRetention(retention, createCheckpoints(context), 'save')
  const sqliteFiles = createCheckpointSqlite(context)
  const devices = createDevices(context)
  const events = createEvents(context)
  const runs = createRuns(context)
  const statistics = createStatistics(limits)
  const differences = createDifferences()
  const models = createModels(context, runs)
  const operations = createOperations(clock, (message, error) =>
    log('error', `${message}: ${error}`),
  )
  return {
    limits,
    spool,
    scopes: createScopes(context),
    variables: createVariables(context),
    reads: createVariableReads(context, events),
    writes: withPartitionedWrites(context, createVariableWrites(context)),
    stored: createStoredValues(context),
    statistics,
    checkpoints,
    verification: createVerification(context),
    backups: createBackups(context),
    files: withRetention(retention, createCheckpointFiles(context, sqliteFiles), 'upload'),
    labels: createLabels(context),
    retention,
    collections: createCollections(context),
    devices,
    events,
    operations,
    graphs: createGraphs(context, runs),
    models,
    predictions: createPredictions(context, models, runs),
    async restore(ref, request, watch) {
      const checkpoint = await checkpoints.get(ref, request.container)
      return restoreCheckpoint(context, checkpoint, request, watch)
    },
    async checkRestore(ref, request) {
      checkRestore(context, request)
      return checkpoints.get(ref, request.container)
    },
    diff: (ref, request, page) => diffCheckpoints(context, differences, ref, request, page),
    history: (filter, page) => historyOf(context, filter, page),
    statisticsOfTensors: (tensors, signal) =>
      statisticsOfTensors(context, statistics, tensors, signal),
    containers: () => store.catalogue.containers(),
    removeContainer: (container) => removeContainer(context, container),
    storeStatus: () => store.status(),
    sweep: () => store.sweep(),
    async close() {
      events.end()
      await operations.idle(operationGraceMs)
      await retention.close()
      await statistics.close()
      await differences.close()
      await engine.close()
      await sqliteFiles.end()
      await store.close()
    },
  }
}

async function removeContainer(context: Context, container: string): Promise<void> {
  const { catalogue } = context.store
  checkContainerName(container, context.limits)
  const models = await catalogue.modelVersions()
  const owner = models.find(({ model, version }) => modelContainer(model, version) === container)
  if (owner !== undefined) {
    throw new Refusal(
      'FAILED_PRECONDITION',
      'container/in-use',
      `The container ${container} holds the variables of version ${owner.version} of model ${owner.model}.`,
      { fix: 'Delete the model version.', names: { container, model: owner.model } },
    )
  }
  const keys: string[] = []
  for await (const { name } of everyVariable(context, { container })) {
    keys.push(variableKey(container, name))
  }
  // A container may hold scopes and collections alone.
  if (keys.length === 0 && !(await catalogue.containers()).includes(container)) {
    throw new Refusal('NOT_FOUND', 'container/unknown', `There is no container "${container}".`, {
      names: { container },
    })
  }
  await context.writes.turn(keys, 'exclusive', () =>
    catalogue.commit([{ kind: 'delete_container', container }]),
  )
  await context.engine.dropState(container)
}
