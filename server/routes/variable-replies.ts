// Variables as replies show them. The text of one variable's metadata is kept with its record, since
// the store hands out the same record until the variable changes.
import type { Residence, VariableRecord } from '../../service/index.ts'
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

/** A variable as replies show it; where it is only where that was asked. */
export function variableReply(variable: VariableRecord, residence?: Residence) {
  const { name, container, dtype, shape, trainable, initializer, version, value, device } = variable
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
    ...(residence === undefined
      ? {}
      : { actual_device: residence.actualDevice, resident_on: [...residence.residentOn] }),
    created_at: timeText(variable.createdAt),
    updated_at: timeText(variable.updatedAt),
  }
}
