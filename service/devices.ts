// Devices as requests see them: what there is, what is resident where, and where a variable's graphs
// run. The engine is asked again only after it did something, or after a second.
import type { DeviceStatus } from '../engine/index.ts'
import { parseDevice } from '../graph/index.ts'
import type { VariableRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'

/** Where a variable is. */
export interface Residence {
  /** Where graphs that use it run it. */
  readonly actualDevice: string
  /** Devices that hold its present value. */
  readonly residentOn: readonly string[]
  /** Says where that is not what was requested: soft placement. */
  readonly note: string | undefined
}

/** A variable whose present value a device holds. */
export interface Resident {
  readonly container: string
  readonly name: string
  readonly version: number
  readonly byteLength: number
}

export interface Devices {
  list(): Promise<readonly DeviceStatus[]>
  /** By its name, or by a string that means it. */
  get(name: string): Promise<DeviceStatus>
  residence(variable: VariableRecord): Promise<Residence>
  /** Whose present values a device holds; what it holds of former values is not among them. */
  residents(device: DeviceStatus): Promise<readonly Resident[]>
  /** Brings variables' values to a device, or drops their copies there. */
  load(name: string, variables: readonly VariableRecord[]): Promise<void>
  evict(name: string, variables: readonly VariableRecord[]): Promise<void>
}

const freshMs = 1000

/** The devices of an engine. The first one listed is the default. */
export function createDevices(context: Context): Devices {
  let known:
    | {
        readonly at: number
        readonly use: number
        readonly devices: Promise<readonly DeviceStatus[]>
      }
    | undefined

  // The store hands out the same record until the variable changes.
  const residences = new WeakMap<
    VariableRecord,
    { readonly devices: readonly DeviceStatus[]; readonly residence: Residence }
  >()

  function recent(): Promise<readonly DeviceStatus[]> {
    const now = context.clock()
    const use = context.engineUse.count
    if (known === undefined || known.use !== use || Math.abs(now - known.at) > freshMs) {
      known = { at: now, use, devices: context.engine.devices() }
      known.devices.catch(() => {
        known = undefined
      })
    }
    return known.devices
  }

  async function get(name: string): Promise<DeviceStatus> {
    const devices = await context.engine.devices()
    const found = matchDevice(
      name.startsWith('/') ? name : `/${name}`,
      devices.map((device) => device.facts.name),
    )
    const device = devices.find((one) => one.facts.name === (found ?? name))
    if (device !== undefined) return device
    throw new Refusal('NOT_FOUND', 'device/unknown', `There is no device "${name}".`, {
      fix: `There are ${devices.map((one) => one.facts.name).join(', ')}.`,
      names: { device: name },
    })
  }

  return {
    list: () => context.engine.devices(),
    get,
    async residence(variable) {
      const devices = await recent()
      const before = residences.get(variable)
      if (before?.devices === devices) return before.residence
      const names = devices.map((device) => device.facts.name)
      const key = variable.value?.valueId
      const holders = devices.filter((device) => device.resident.some(({ value }) => value === key))
      const actualDevice = matchDevice(variable.device, names) ?? names[0] ?? ''
      const residence = {
        actualDevice,
        note: placementNote(variable.device, actualDevice),
        residentOn: key === undefined ? [] : holders.map((device) => device.facts.name),
      }
      residences.set(variable, { devices, residence })
      return residence
    },
    async residents({ resident }) {
      const sizes = new Map(resident.map(({ value, byteLength }) => [value, byteLength]))
      const found: Resident[] = []
      if (sizes.size === 0) return found
      for (const [container, names] of context.engineVariables.byContainer) {
        for (const record of await context.store.catalogue.variables(container, [...names])) {
          const byteLength = record.value && sizes.get(record.value.valueId)
          if (byteLength === undefined) continue
          found.push({ container, name: record.name, version: record.version, byteLength })
        }
      }
      return found
    },
    async load(name, variables) {
      const device = await get(name)
      const values = variables.flatMap(({ value }) =>
        value === undefined
          ? []
          : [{ value: value.valueId, dtype: value.dtype, shape: value.shape }],
      )
      for (const { container, name } of variables) context.engineVariables.note(container, name)
      await context.engine.prefetch(device.facts.name, values)
      context.engineUse.count++
    },
    async evict(name, variables) {
      const device = await get(name)
      const keys = variables.flatMap(({ value }) => (value === undefined ? [] : [value.valueId]))
      await context.engine.evict(device.facts.name, keys)
      context.engineUse.count++
    },
  }
}

/** A sentence where a variable's graphs run elsewhere than its device string says. */
function placementNote(requested: string, actual: string): string | undefined {
  const wanted = parseDevice(requested)
  if (wanted.type !== undefined && matchDevice(requested, [actual]) === undefined) {
    return `There is no ${requested} here; what uses the variable runs on ${actual} (soft placement).`
  }
  const { job = 'localhost', replica = 0, task = 0 } = wanted
  if (job === 'localhost' && replica === 0 && task === 0) return undefined
  return `${requested} is kept as requested; this server does the work of every job and task itself, on ${actual}.`
}

/**
 * The first of `names` (the engine's names of devices) that a device string of TensorFlow's means;
 * undefined where there is none, and where the string names no type. Refuses `device/invalid`.
 */
export function matchDevice(text: string, names: readonly string[]): string | undefined {
  const wanted = parseDevice(text)
  if (wanted.type === undefined) return undefined
  return names.find((name) => {
    const { type, index } = parseDevice(name)
    return type === wanted.type && (wanted.index === undefined || wanted.index === index)
  })
}
