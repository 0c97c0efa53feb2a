// Variables as replies show them. The text of one variable's metadata is kept with its record, since
// the store hands out the same record until the variable changes.
import {
  isPartitioned,
  type NamedVariable,
  type PartitionedRecord,
  partitionedView,
  type Residence,
  type Service,
  type VariableRecord,
} from '../../service/index.ts'
import { etagOf, timeText } from './schemas.ts'

/** The JSON text of a variable's metadata, with where it is. */
export type VariableText = (variable: VariableRecord, residence: Residence) => string

/** Texts that are made once for a record and the residence that it has. */
export function createVariableTexts(): VariableText {
  const texts = new WeakMap<VariableRecord, { residence: Residence; text: string }>()
  return (variable, residence) => {
    const known = texts.get(variable)
    if (known?.residence === residence) return known.text
    const text = JSON.stringify(variableReply(variable, residence))
    texts.set(variable, { residence, text })
    return text
  }
}

/** Where a variable is; parts are where all of them are. */
export async function residenceOf(service: Service, named: NamedVariable): Promise<Residence> {
  if (!isPartitioned(named)) return service.devices.residence(named)
  const all = await Promise.all(named.parts.map((part) => service.devices.residence(part)))
  const [first] = all
  const isEverywhere = (device: string) => all.every((one) => one.residentOn.includes(device))
  return { ...first, residentOn: first.residentOn.filter(isEverywhere) }
}

/** A variable, or a partitioned one as one, as replies show it; where it is only where that was asked. */
export function variableReply(named: NamedVariable, residence?: Residence) {
  return isPartitioned(named) ? partitionedReply(named, residence) : plainReply(named, residence)
}

function plainReply(variable: VariableRecord, residence: Residence | undefined) {
  const { name, container, dtype, shape, trainable, initializer, version, value, device } = variable
  const { slice } = variable
  return {
    name,
    container,
    dtype,
    shape: shape === undefined ? null : [...shape],
    trainable,
    collections: [...variable.collections],
    initializer: initializer as unknown,
    initialized: value !== undefined,
    version,
    etag: etagOf(version),
    nbytes: value?.byteLength ?? 0,
    sha256: value?.digest ?? null,
    device,
    ...residenceReply(residence),
    ...(slice === undefined
      ? {}
      : {
          part_of: {
            name: slice.fullName,
            shape: [...slice.fullShape],
            offset: [...slice.offset],
          },
        }),
    created_at: timeText(variable.createdAt),
    updated_at: timeText(variable.updatedAt),
  }
}

function partitionedReply(whole: PartitionedRecord, residence: Residence | undefined) {
  const { name, container, dtype, shape, partitions, parts } = whole
  const view = partitionedView(whole)
  return {
    name,
    container,
    dtype,
    shape: [...shape],
    trainable: view.trainable,
    collections: [...view.collections],
    initializer: view.initializer as unknown,
    initialized: view.isInitialized,
    version: view.version,
    etag: etagOf(view.version),
    nbytes: view.byteLength,
    sha256: null,
    device: view.device,
    ...residenceReply(residence),
    partitions: [...partitions],
    parts: parts.map((part) => part.name),
    created_at: timeText(view.createdAt),
    updated_at: timeText(view.updatedAt),
  }
}

function residenceReply(residence: Residence | undefined) {
  if (residence === undefined) return {}
  const { actualDevice, residentOn, note } = residence
  return {
    actual_device: actualDevice,
    resident_on: [...residentOn],
    ...(note === undefined ? {} : { device_note: note }),
  }
}
