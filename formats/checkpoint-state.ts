// The `checkpoint` state file: its text, and the newest checkpoint that one names.
// Source: tensorflow/python/training/checkpoint_management.py
import { formatText, parseText, WireError } from '../proto/index.ts'
import type { FileSet } from '../tensor/index.ts'

/** The name of the state file. */
export const stateFileName = 'checkpoint'
const maxStateLength = 16 * 1024 * 1024

/** The text of a state file: paths oldest first, the last one being the newest. */
export function formatCheckpointState(paths: readonly string[]): string {
  return formatText('CheckpointState', {
    model_checkpoint_path: paths.at(-1) ?? '',
    all_model_checkpoint_paths: paths,
  })
}

/** What a state file lists. Paths are as written: by a machine that is not this one. */
export interface CheckpointList {
  readonly newest: string
  readonly all: readonly string[]
}

/** The contents of a state file; undefined where it is no such text, which TensorFlow ignores too. */
export function parseCheckpointState(text: string): CheckpointList | undefined {
  try {
    const state = parseText('CheckpointState', text)
    return { newest: state.model_checkpoint_path, all: state.all_model_checkpoint_paths }
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

/**
 * The path of the newest checkpoint by the state file of a folder (`a/`, or empty), within the set of
 * files. Only the last part of what the file says counts: it may have been written anywhere. Undefined
 * where there is no such file, or it names none.
 */
export async function newestInFolder(files: FileSet, folder: string): Promise<string | undefined> {
  const name = `${folder}${stateFileName}`
  if (!files.names.includes(name)) return undefined
  const source = files.open(name)
  if (source.byteLength > maxStateLength) return undefined
  const text = new TextDecoder().decode(await source.read(0, source.byteLength))
  const newest = parseCheckpointState(text)?.newest
  if (newest === undefined || newest === '') return undefined
  return `${folder}${newest.slice(newest.lastIndexOf('/') + 1)}`
}
