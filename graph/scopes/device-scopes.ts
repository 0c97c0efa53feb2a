// Where operations are asked to go while a graph is built: nested device scopes, and the setter that
// spreads variables over parameter servers in turn.
// Source: tensorflow/python/framework/ops.py (_apply_device_functions), training/device_setter.py.
import { Refusal } from '../../tensor/index.ts'
import {
  type DeviceSpec,
  formatDevice,
  mergeDevices,
  mergeDeviceTexts,
  parseDevice,
} from './device-spec.ts'

/** What a device function sees of a new operation: `device` is what inner scopes have asked for. */
export interface PlacedOperation {
  readonly type: string
  readonly name: string
  readonly device: string
}

/** Chooses the device of an operation; the answer replaces what inner scopes asked for. */
export type DeviceFunction = (operation: PlacedOperation) => string

/** What a device scope may be given: a device, a function, or null to forget all outer scopes. */
export type DeviceScope = string | DeviceFunction | null

/**
 * The device of a new operation under nested scopes, outermost first: fields that inner ones leave
 * open are filled by outer ones. Refuses what {@link parseDevice} refuses.
 */
export function deviceOfOperation(
  scopes: readonly DeviceScope[],
  operation: PlacedOperation,
): string {
  let { device } = operation
  for (let place = scopes.length - 1; place >= 0; place--) {
    const scope = scopes[place]
    if (scope === null) break
    if (typeof scope === 'string') {
      if (scope !== '') device = mergeDeviceTexts(device, scope)
    } else device = scope({ ...operation, device })
  }
  return device
}

/** Operations that hold state and so live on parameter servers. */
export const parameterServerOps: ReadonlySet<string> = new Set([
  'Variable',
  'VariableV2',
  'AutoReloadVariable',
  'MutableHashTable',
  'MutableHashTableV2',
  'MutableHashTableOfTensors',
  'MutableHashTableOfTensorsV2',
  'MutableDenseHashTable',
  'MutableDenseHashTableV2',
  'VarHandleOp',
  'BoostedTreesEnsembleResourceHandleOp',
  'BoostedTreesQuantileStreamResourceHandleOp',
  'ResourceConditionalAccumulator',
])

/** Tasks of each job: addresses in order, or by task number. */
export type Cluster = Readonly<
  Record<string, readonly string[] | Readonly<Record<string, string>> | null>
>

export interface ReplicaDevices {
  /** Number of parameter servers; not looked at where `cluster` is given. */
  readonly psTasks?: number | undefined
  readonly psDevice?: string | undefined
  readonly workerDevice?: string | undefined
  /** False: an operation with any device keeps it. */
  readonly mergeDevices?: boolean | undefined
  readonly cluster?: Cluster | undefined
  readonly psOps?: ReadonlySet<string> | undefined
  /** Chooses the task of an operation on parameter servers; in turn from 0 where absent. */
  readonly psStrategy?: ((operation: PlacedOperation) => number) | undefined
}

/**
 * TensorFlow's replica_device_setter: operations with state go to the parameter servers in turn, the
 * others to the worker. Null (which, as a scope, forgets outer ones) where there is no parameter
 * server. Refuses (INVALID_ARGUMENT) devices that cannot be parsed and a count that is no whole number.
 */
export function replicaDeviceSetter(options: ReplicaDevices): DeviceFunction | null {
  const psDevice = parseDevice(options.psDevice ?? '/job:ps')
  const workerDevice = parseDevice(options.workerDevice ?? '/job:worker')
  const tasks = parameterServers(options, psDevice)
  if (tasks === 0) return null
  const psOps = options.psOps ?? parameterServerOps
  const strategy = options.psStrategy ?? inTurn(tasks)
  const hasPsDevice = (options.psDevice ?? '/job:ps') !== ''
  return (operation) => {
    if (options.mergeDevices === false && operation.device !== '') return operation.device
    const current = parseDevice(operation.device)
    if (!hasPsDevice || !psOps.has(operation.type)) {
      return formatDevice(mergeDevices(current, workerDevice))
    }
    // An operation that names another job keeps it, and then no server's task is chosen for it.
    const { job } = psDevice
    const chooses = job !== undefined && job !== '' && (!current.job || current.job === job)
    const server = chooses ? { ...psDevice, task: strategy(operation) } : psDevice
    return formatDevice(mergeDevices(current, server))
  }
}

function parameterServers({ cluster, psTasks = 0 }: ReplicaDevices, psDevice: DeviceSpec): number {
  if (cluster === undefined) {
    if (Number.isSafeInteger(psTasks) && psTasks >= 0) return psTasks
    throw new Refusal(
      'INVALID_ARGUMENT',
      'device/ps-tasks',
      `The number of parameter servers is a whole number of 0 or more; ${psTasks} was given.`,
    )
  }
  const job = psDevice.job
  const servers = job !== undefined && Object.hasOwn(cluster, job) ? cluster[job] : null
  return servers === null ? 0 : Object.keys(servers).length
}

/** Tasks 0, 1, .. `tasks` - 1 and again from 0. */
function inTurn(tasks: number): () => number {
  let next = 0
  return () => {
    const task = next
    next = (next + 1) % tasks
    return task
  }
}
