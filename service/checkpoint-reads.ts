// The tensors of a checkpoint as readable values.
import type { CheckpointEntry, CheckpointRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import { everyEntry, unknownCheckpoint } from './checkpoints.ts'
import type { Context } from './context.ts'
import type { ReadableValue } from './readable.ts'
import { storedTensorReadable, wholesOf } from './stored-tensors.ts'
import { storedReadable } from './stored-values.ts'

/** The checkpoint of that id or label, or the latest of the container. Refuses `checkpoint/unknown`. */
export async function findCheckpoint(
  context: Context,
  ref: string,
  container: string | undefined,
): Promise<CheckpointRecord> {
  const record = await context.store.catalogue.checkpoint(ref, container)
  if (record === undefined) throw unknownCheckpoint(ref)
  return record
}

/** A tensor by its stored name. Refuses (NOT_FOUND `checkpoint/unknown-tensor`) one that is not there. */
export async function checkpointTensor(
  context: Context,
  checkpoint: CheckpointRecord,
  name: string,
): Promise<ReadableValue> {
  const entry = await context.store.catalogue.checkpointEntry(checkpoint.id, name)
  if (entry !== undefined) return storedReadable(context.store.values, entry.value)
  const slices: CheckpointEntry[] = []
  for await (const one of everyEntry(context, checkpoint.id)) {
    if (one.slice !== undefined) slices.push(one)
  }
  const whole = wholesOf(slices).find((one) => one.name === name)
  if (whole !== undefined) return storedTensorReadable(context, whole)
  throw new Refusal(
    'NOT_FOUND',
    'checkpoint/unknown-tensor',
    `Key ${name} not found in checkpoint ${checkpoint.id}`,
    {
      fix: `GET /v1/checkpoints/${checkpoint.id} lists the tensors that it holds.`,
      names: { tensor: name, checkpoint: checkpoint.id },
    },
  )
}
