// Checkpoints that TensorFlow's savers wrote: read, compared with the recorded hashes, written again as
// a bundle, and read back.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { collect, openCheckpoint, writeBundle } from '../formats/index.ts'
import { dtypeOfName, type FileSet, type TensorStream, unpackStrings } from '../tensor/index.ts'
import type { RecordedTensor } from './case.ts'
import { checksumTools, folderFiles, sha256Of } from './folder.ts'
import {
  type CaseResult,
  type FileResult,
  failed,
  type Outcome,
  outcomeOfError,
  passed,
} from './outcome.ts'

interface Expected {
  readonly prefix: string
  readonly tensors: Readonly<Record<string, RecordedTensor & { readonly sha256?: string }>>
}

/** Runs every wanted folder below `path`; formats need no device. */
export async function runCheckpoints(
  path: string,
  place: string,
  wanted: (name: string) => boolean,
): Promise<FileResult> {
  const cases: CaseResult[] = []
  for (const name of readdirSync(path).filter(wanted).sort()) {
    cases.push({ name, outcome: await runCheckpoint(join(path, name)) })
  }
  return { file: place, device: '-', cases }
}

async function runCheckpoint(path: string): Promise<Outcome> {
  try {
    const expected = JSON.parse(readFileSync(join(path, 'expected.json'), 'utf8')) as Expected
    const files = folderFiles(path)
    const { tensors } = await openCheckpoint(files, expected.prefix, checksumTools)
    const problem = await problemOf(tensors, expected)
    if (problem !== undefined) return failed(problem)
    const written = await writtenFiles('again', tensors)
    const again = await openCheckpoint(written, 'again', checksumTools)
    const problemAgain = await problemOf(again.tensors, expected)
    return problemAgain === undefined ? passed : failed(`written and read back: ${problemAgain}`)
  } catch (error) {
    return outcomeOfError(error)
  }
}

async function problemOf(
  tensors: readonly TensorStream[],
  expected: Expected,
): Promise<string | undefined> {
  const names = tensors.map(({ name }) => name)
  const wantedNames = Object.keys(expected.tensors)
  const absent = wantedNames.filter((name) => !names.includes(name))
  if (absent.length > 0 || names.length !== wantedNames.length) {
    return `names differ: ${absent.join(', ')} absent of ${wantedNames.length}, ${names.length} read`
  }
  for (const tensor of tensors) {
    const want = expected.tensors[tensor.name]
    if (tensor.dtype !== dtypeOfName(want.dtype)) return `${tensor.name}: dtype ${tensor.dtype}`
    if (JSON.stringify(tensor.shape) !== JSON.stringify(want.shape)) {
      return `${tensor.name}: shape ${tensor.shape}`
    }
    if (want.strings !== undefined) {
      const bytes = await collect(tensor.chunks(), tensor.byteLength)
      const strings = unpackStrings(tensor.shape, bytes).strings
      const encoded = strings.map((one) => Buffer.from(one).toString('base64'))
      if (JSON.stringify(encoded) !== JSON.stringify(want.strings)) return `${tensor.name}: strings`
    } else if ((await sha256Of(tensor.chunks())) !== want.sha256) return `${tensor.name}: bytes`
  }
  return undefined
}

async function writtenFiles(prefix: string, tensors: readonly TensorStream[]): Promise<FileSet> {
  const files = new Map<string, Uint8Array>()
  for (const file of await writeBundle(prefix, tensors, checksumTools)) {
    files.set(file.name, await collect(file.chunks(), file.byteLength))
  }
  return {
    names: [...files.keys()],
    open: (name) => {
      const bytes = files.get(name)
      if (bytes === undefined) throw new Error(`no file ${name}`)
      return {
        byteLength: bytes.byteLength,
        read: async (offset, length) => bytes.subarray(offset, offset + length),
      }
    },
  }
}
