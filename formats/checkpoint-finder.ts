// Which of the checkpoints in a set of files is meant, and of which of TensorFlow's two formats it is.
import { type FileSet, Refusal } from '../tensor/index.ts'
import { newestInFolder, stateFileName } from './checkpoint-state.ts'
import { looksLikeTable } from './table-reader.ts'
import { patternOfCheckpointV1, prefixOfCheckpointV1 } from './v1-name.ts'

/** A checkpoint in a set of files. */
export interface FoundCheckpoint {
  readonly format: 'v1' | 'v2'
  /** What its files' names have in common; of V1 shards the pattern that they match. */
  readonly prefix: string
}

/** Not those of macOS beside the real ones (`._model.index`). */
const indexName = /(?:^|\/)(?!\._)[^/]+\.index$/
/** Names that no file of a V1 checkpoint has. */
const otherName = /(?:^|\/)\._[^/]*$|\.(?:index|meta|pb|pbtxt|json|data-[0-9]{5}-of-[0-9]{5})$/

/** What the name of a bundle's file has after the prefix. */
const partSuffix = /\.(?:index|meta|data-[0-9]{5}-of-[0-9]{5})$/
/** Files that stand for what is in their folder. */
const folderFiles = new Set([stateFileName, 'saved_model.pb', 'saved_model.pbtxt'])

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1)
}

function depthOf(path: string): number {
  return path.split('/').length - 1
}

/** The bundles in the set, shallowest first, in the set's order within a depth. */
function listBundles(files: FileSet): FoundCheckpoint[] {
  return files.names
    .filter((name) => indexName.test(name))
    .map((name) => ({ format: 'v2', prefix: name.slice(0, -'.index'.length) }) as const)
    .sort((a, b) => depthOf(a.prefix) - depthOf(b.prefix))
}

/** A file of each thing that may be a V1 checkpoint by its name, by the pattern of its shards. */
function namedLikeV1(files: FileSet): Map<string, string> {
  const found = new Map<string, string>()
  for (const name of files.names) {
    if (otherName.test(name) || name === `${folderOf(name)}${stateFileName}`) continue
    const pattern = patternOfCheckpointV1(name)
    if (!found.has(pattern)) found.set(pattern, name)
  }
  return found
}

/**
 * The V1 checkpoints in the set, shallowest first. Their names have nothing of their own: those that a
 * state file calls the newest are taken at its word, of others the ends of the files are looked at.
 */
async function listV1(files: FileSet): Promise<FoundCheckpoint[]> {
  const named = namedLikeV1(files)
  const stated = new Set<string>()
  for (const folder of new Set(files.names.map(folderOf))) {
    const newest = await newestInFolder(files, folder)
    if (newest !== undefined) stated.add(patternOfCheckpointV1(newest))
  }
  const found: FoundCheckpoint[] = []
  for (const [prefix, name] of named) {
    if (stated.has(prefix) || (await looksLikeTable(files.open(name)))) {
      found.push({ format: 'v1', prefix })
    }
  }
  return found.sort((a, b) => depthOf(a.prefix) - depthOf(b.prefix))
}

/**
 * The checkpoint that is meant: `wanted` if given (a whole prefix or its last part, the name of any file
 * of the checkpoint, TensorFlow's pattern of V1 shards, a folder, or a state file or saved_model.pb, which
 * stand for theirs); else, in the shallowest folder that holds one, the newest by the
 * state file, else the only one. Files of the first format are looked for where there is no bundle, or
 * one is named. Refuses NOT_FOUND (`checkpoint/not-found`) and INVALID_ARGUMENT
 * (`checkpoint/ambiguous-prefix`).
 */
export async function findCheckpoint(files: FileSet, wanted?: string): Promise<FoundCheckpoint> {
  const bundles = listBundles(files)
  if (wanted !== undefined) return findNamed(files, bundles, wanted)
  const all = bundles.length > 0 ? bundles : await listV1(files)
  const shallowest = all.filter(({ prefix }) => depthOf(prefix) === depthOf(all[0].prefix))
  const folders = new Set(shallowest.map(({ prefix }) => folderOf(prefix)))
  if (folders.size === 1) {
    const newest = await newestInFolder(files, [...folders][0])
    const found = newest === undefined ? undefined : statedAs(files, shallowest, newest)
    if (found !== undefined) return found
  }
  return onlyOne(shallowest, 'The files hold no checkpoint of TensorFlow.', all)
}

/** What a state file's path names: one of `found`, or a V1 checkpoint beside the bundles there. */
function statedAs(
  files: FileSet,
  found: readonly FoundCheckpoint[],
  path: string,
): FoundCheckpoint | undefined {
  const bundle = found.find(({ format, prefix }) => format === 'v2' && prefix === path)
  if (bundle !== undefined) return bundle
  const prefix = patternOfCheckpointV1(path)
  return namedLikeV1(files).has(prefix) ? { format: 'v1', prefix } : undefined
}

async function findNamed(
  files: FileSet,
  bundles: readonly FoundCheckpoint[],
  wanted: string,
): Promise<FoundCheckpoint> {
  const bare = wanted.replace(partSuffix, '')
  const forms = [wanted, bare, patternOfCheckpointV1(wanted), patternOfCheckpointV1(bare)]
  const others = [...namedLikeV1(files).keys()].map((prefix): FoundCheckpoint => {
    return { format: 'v1', prefix }
  })
  for (const found of [bundles, others]) {
    const exact = found.filter((one) => namesOf(one).some((name) => forms.includes(name)))
    const ending = found.filter((one) =>
      namesOf(one).some((name) => forms.some((form) => name.endsWith(`/${form}`))),
    )
    const matches = exact.length > 0 ? exact : ending
    if (matches.length > 0) return onlyOne(matches, '', [])
  }
  const folder = folderMeant(files, wanted)
  if (folder !== undefined) {
    const names = files.names.filter((name) => name.startsWith(folder))
    if (names.length > 0) return findCheckpoint({ names, open: (name) => files.open(name) })
  }
  const all = bundles.length > 0 ? bundles : await listV1(files)
  return onlyOne([], `No checkpoint is named "${wanted}".`, all)
}

/** The folder that is named by itself, or by a file that says what is in it; with its slash. */
function folderMeant(files: FileSet, wanted: string): string | undefined {
  const isFolderFile = folderFiles.has(wanted.slice(wanted.lastIndexOf('/') + 1))
  const named = files.names.filter((name) => name === wanted || name.endsWith(`/${wanted}`))
  if (isFolderFile && named.length === 1) return folderOf(named[0])
  const folder = wanted.replace(/\/*$/, '/')
  return folder !== '/' && files.names.some((name) => name.startsWith(folder)) ? folder : undefined
}

/** The whole names that mean a checkpoint. */
function namesOf({ format, prefix }: FoundCheckpoint): readonly string[] {
  return format === 'v2' ? [prefix] : [prefix, prefixOfCheckpointV1(prefix)]
}

function onlyOne(
  matches: readonly FoundCheckpoint[],
  none: string,
  all: readonly FoundCheckpoint[],
): FoundCheckpoint {
  if (matches.length === 1) return matches[0]
  const listed = (matches.length > 0 ? matches : all).slice(0, 100).map(({ prefix }) => prefix)
  if (matches.length === 0) {
    throw new Refusal('NOT_FOUND', 'checkpoint/not-found', none, { names: { prefixes: listed } })
  }
  throw new Refusal(
    'INVALID_ARGUMENT',
    'checkpoint/ambiguous-prefix',
    `The files hold ${matches.length} checkpoints that may be meant, and none is named the newest: ${listed.slice(0, 20).join(', ')}.`,
    { fix: 'Name one of them as the prefix.', names: { prefixes: listed } },
  )
}
