// How the files of a V1 checkpoint are named: one file, or shards with a number and their count.
// Source: tensorflow/core/util/{tensor_slice_reader,tensor_slice_set}.cc, kernels/save_restore_tensor.cc
import { type FileSet, Refusal } from '../tensor/index.ts'

const shardSuffix = /-(?:[0-9]{5}|\?{5})-of-([0-9]{5})$/

/** The name without what tells shards apart: `a` of `a-00000-of-00002` and of `a-?????-of-00002`. */
export function prefixOfCheckpointV1(name: string): string {
  return name.replace(shardSuffix, '')
}

/** The name as TensorFlow calls all shards together: `a-?????-of-00002`; of a single file, its own. */
export function patternOfCheckpointV1(name: string): string {
  return name.replace(shardSuffix, '-?????-of-$1')
}

function shardNames(prefix: string, count: number): string[] {
  const digits = (number: number) => String(number).padStart(5, '0')
  return Array.from(
    { length: count },
    (_, shard) => `${prefix}-${digits(shard)}-of-${digits(count)}`,
  )
}

/**
 * The files of the checkpoint that is meant by a file's name, a prefix or a pattern. Refuses
 * NOT_FOUND (`checkpoint/not-found`), DATA_LOSS (`bundle/missing-shard`), naming the first that is not
 * there, and INVALID_ARGUMENT (`checkpoint/ambiguous-prefix`) shards of several counts.
 */
export function filesOfCheckpointV1(files: FileSet, name: string): readonly string[] {
  const prefix = prefixOfCheckpointV1(name)
  if (prefix === name && files.names.includes(name)) return [name]
  const counts = new Set(
    files.names
      .filter((one) => one.startsWith(`${prefix}-`) && prefixOfCheckpointV1(one) === prefix)
      .map(shardCountOf),
  )
  const wanted = shardCountOf(name) ?? (counts.size === 1 ? [...counts][0] : undefined)
  if (counts.size === 0 || wanted === 0 || (wanted !== undefined && !counts.has(wanted))) {
    const message = `No file is named "${name}", and none is a shard of it.`
    throw new Refusal('NOT_FOUND', 'checkpoint/not-found', message, { names: { prefix: name } })
  }
  if (wanted === undefined) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'checkpoint/ambiguous-prefix',
      `The files hold "${prefix}" in shards of several counts: ${[...counts].join(', ')}.`,
      { fix: `Name one of them, such as "${prefix}-?????-of-00001".` },
    )
  }
  const there = new Set(files.names)
  const shards: string[] = []
  for (const shard of shardNames(prefix, wanted)) {
    if (!there.has(shard)) {
      const message = `The checkpoint "${prefix}" lacks its shard ${shard}.`
      throw new Refusal('DATA_LOSS', 'bundle/missing-shard', message, { names: { shard } })
    }
    shards.push(shard)
  }
  return shards
}

function shardCountOf(name: string): number | undefined {
  const digits = shardSuffix.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
