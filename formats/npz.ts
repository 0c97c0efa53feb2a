// NumPy's .npz: a zip archive of .npy files, named after their arrays.
// Source: https://numpy.org/doc/stable/reference/generated/numpy.savez.html
import { type ByteSource, type FileSet, Refusal, type TensorStream } from '../tensor/index.ts'
import { type ArchiveLimits, isMemberName } from './archive.ts'
import { type NpyLimits, openNpy, writeNpy } from './npy.ts'
import type { OutputBytes } from './safetensors-writer.ts'
import type { ArchiveTools } from './tools.ts'
import { openZip } from './zip-reader.ts'
import { writeZip } from './zip-writer.ts'

const suffix = '.npy'

/** The arrays of an .npz file, in its order, under their names. */
export interface Npz {
  readonly tensors: readonly TensorStream[]
}

/**
 * Opens an .npz file, compressed or not. Every array is unpacked and its checksum checked. Refuses
 * what {@link openZip} and {@link openNpy} do, the latter naming the array, and a member that is no
 * array (`npz/bad-member`).
 */
export async function openNpz(
  source: ByteSource,
  tools: ArchiveTools,
  limits: ArchiveLimits & NpyLimits = {},
): Promise<Npz> {
  return tensorsOfNpz(await openZip(source, tools, limits), limits)
}

/** The arrays of an .npz file whose members are at hand. Refuses as {@link openNpz} does. */
export async function tensorsOfNpz(files: FileSet, limits: NpyLimits = {}): Promise<Npz> {
  const tensors: TensorStream[] = []
  for (const member of files.names) {
    if (!member.endsWith(suffix) || member.length === suffix.length) {
      const message = `The .npz file holds "${member.slice(0, 200)}", which is no .npy file.`
      throw new Refusal('DATA_LOSS', 'npz/bad-member', message, { names: { file: member } })
    }
    const name = member.slice(0, -suffix.length)
    tensors.push(await namingArray(name, () => openNpy(files.open(member), name, limits)))
  }
  return { tensors }
}

/** What `open` gives; a refusal in it names the array. */
async function namingArray<Result>(name: string, open: () => Promise<Result>): Promise<Result> {
  try {
    return await open()
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { code, reason, message, fix } = error
    const names = { ...error.names, tensor: name }
    throw new Refusal(code, reason, `In "${name.slice(0, 200)}": ${message}`, {
      ...(fix === undefined ? { names } : { fix, names }),
      cause: error,
    })
  }
}

/**
 * An .npz file of `tensors`, by name, stored without compression, as `numpy.savez` does. Refuses
 * INVALID_ARGUMENT element types that NumPy does not have (`npy/unsupported-dtype`), and names given
 * twice or that no archive should hold, such as `../a` (`npz/bad-name`).
 */
export function writeNpz(
  tensors: readonly TensorStream[],
  tools: Pick<ArchiveTools, 'crc32'>,
): OutputBytes {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1))
  const files = sorted.map((tensor, index) => {
    checkName(tensor.name, sorted[index - 1]?.name)
    return { name: `${tensor.name}${suffix}`, ...writeNpy(tensor) }
  })
  return writeZip(files, tools)
}

function checkName(name: string, before: string | undefined): void {
  const canBe = name !== '' && name.isWellFormed() && isMemberName(`${name}${suffix}`)
  if (canBe && name !== before) return
  const problem = canBe ? 'is given twice' : 'cannot name an array'
  const message = `"${name.slice(0, 200)}" ${problem} in an .npz file.`
  throw new Refusal('INVALID_ARGUMENT', 'npz/bad-name', message, { names: { tensor: name } })
}
