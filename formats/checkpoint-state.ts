// The `checkpoint` state file, and which of the bundles in a set of files is meant.
// Source: tensorflow/python/training/checkpoint_management.py
import { formatText, parseText, WireError } from '../proto/index.ts'
import { type FileSet, Refusal } from '../tensor/index.ts'

/** The name of the state file. */
export const stateFileName = 'checkpoint'
const maxStateLength = 16 * 1024 * 1024
const indexSuffix = '.index'

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

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1)
}

function depthOf(path: string): number {
  return path.split('/').length - 1
}

/** The prefixes of all bundles in the set, shallowest first, in the set's order within a depth. */
function listPrefixes(files: FileSet): string[] {
  return files.names
    .filter((name) => /[^/]\.index$/.test(name))
    .map((name) => name.slice(0, -indexSuffix.length))
    .sort((a, b) => depthOf(a) - depthOf(b))
}

/**
 * The prefix of the bundle that is meant: `wanted` (a whole prefix or its last part) if given; else,
 * in the shallowest folder that holds a bundle, the newest by the state file, else the only one.
 * Only the last part of a path in a state file counts; it may have been written anywhere.
 * Refuses NOT_FOUND (`checkpoint/not-found`) and INVALID_ARGUMENT (`checkpoint/ambiguous-prefix`).
 */
export async function findPrefix(files: FileSet, wanted?: string): Promise<string> {
  const prefixes = listPrefixes(files)
  if (wanted !== undefined) {
    const matches = prefixes.filter((one) => one === wanted || one.endsWith(`/${wanted}`))
    const exact = matches.find((one) => one === wanted)
    if (exact !== undefined) return exact
    return onlyOne(matches, `No checkpoint is named "${wanted}".`, prefixes)
  }
  const shallowest = prefixes.filter((one) => depthOf(one) === depthOf(prefixes[0]))
  const folders = new Set(shallowest.map(folderOf))
  if (folders.size === 1) {
    const newest = await newestOf(files, [...folders][0])
    if (newest !== undefined && shallowest.includes(newest)) return newest
  }
  return onlyOne(shallowest, 'The files hold no checkpoint: no name ends in .index.', prefixes)
}

async function newestOf(files: FileSet, folder: string): Promise<string | undefined> {
  const name = `${folder}${stateFileName}`
  if (!files.names.includes(name)) return undefined
  const source = files.open(name)
  if (source.byteLength > maxStateLength) return undefined
  const text = new TextDecoder().decode(await source.read(0, source.byteLength))
  const newest = parseCheckpointState(text)?.newest
  if (newest === undefined || newest === '') return undefined
  return `${folder}${newest.slice(newest.lastIndexOf('/') + 1)}`
}

function onlyOne(matches: readonly string[], none: string, all: readonly string[]): string {
  if (matches.length === 1) return matches[0]
  const listed = all.slice(0, 100)
  if (matches.length === 0) {
    throw new Refusal('NOT_FOUND', 'checkpoint/not-found', none, { names: { prefixes: listed } })
  }
  throw new Refusal(
    'INVALID_ARGUMENT',
    'checkpoint/ambiguous-prefix',
    `The files hold ${matches.length} checkpoints, and no state file names the newest: ${matches.slice(0, 20).join(', ')}.`,
    { fix: 'Name one of them as the prefix.', names: { prefixes: listed } },
  )
}
