// One entry to TensorFlow's checkpoints, whatever their format: finds the one that is meant and opens it.
import type { FileSet } from '../tensor/index.ts'
import { openBundle } from './bundle-reader.ts'
import { findCheckpoint } from './checkpoint-finder.ts'
import type { CheckpointLimits, CheckpointTensor } from './checkpoint-tensor.ts'
import { openCheckpointV1 } from './checkpoint-v1.ts'
import type { ChecksumTools } from './tools.ts'

/** An opened checkpoint. `tensors` are in the order of their names' bytes, partitions joined. */
export interface Checkpoint {
  readonly format: 'v1' | 'v2'
  readonly prefix: string
  readonly tensors: readonly CheckpointTensor[]
}

/**
 * Opens the checkpoint that is meant, a bundle or one of the first format. `wantedPrefix` is its
 * prefix or the last part of it; undefined takes the newest in the shallowest folder by its state
 * file, else the only one. A SavedModel's variables are at `variables/variables` in its folder.
 * Refuses NOT_FOUND and INVALID_ARGUMENT (`checkpoint/…`) where none is meant, RESOURCE_EXHAUSTED
 * (`bundle/too-many-tensors`, `bundle/too-large`), and DATA_LOSS (`bundle/…`) whatever is damaged,
 * incomplete or contradictory.
 */
export async function openCheckpoint(
  files: FileSet,
  wantedPrefix: string | undefined,
  tools: ChecksumTools,
  limits: CheckpointLimits = {},
): Promise<Checkpoint> {
  const { format, prefix: found } = await findCheckpoint(files, wantedPrefix)
  const { prefix, tensors } =
    format === 'v2'
      ? await openBundle(files, found, tools, limits)
      : await openCheckpointV1(files, found, tools, limits)
  return { format, prefix, tensors }
}
