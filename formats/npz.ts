// NumPy's .npz: a zip archive of .npy files, named after their arrays.
// Source: https://numpy.org/doc/stable/reference/generated/numpy.savez.html
import { type ByteSource, type FileSet, Refusal, type TensorStream } from '../tensor/index.ts'
import { type ArchiveLimits, isMemberName } from './archive.ts'
import { collect } from './byte-source.ts'
import { carriedAsNumbers, carriedKey, carriedText, restoreCarried } from './carried-types.ts'
import { isNpyType, type NpyLimits, openNpy, writeNpy } from './npy.ts'
import { type OutputBytes, type OutputTensor, outputOf } from './output.ts'
import type { ArchiveTools, ZipTools } from './tools.ts'
import { openZip } from './zip-reader.ts'
import { writeZip } from './zip-writer.ts'

const suffix = '.npy'
const maxCarriedLength = 100_000_000

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

/**
 * The arrays of an .npz file whose members are at hand, in the types that they had before NumPy's
 * stood for them. Refuses as {@link openNpz} does, and a text of such types that does not fit the arrays
 * (`npz/bad-carried-type`).
 */
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
  const carried = tensors.find(({ name }) => name === carriedKey)
  if (carried === undefined) return { tensors }
  const others = tensors.filter((tensor) => tensor !== carried)
  return { tensors: restoreCarried('npz', others, await textOf(carried)) }
}

async function textOf({ dtype, byteLength, chunks }: TensorStream): Promise<string> {
  if (dtype !== 'uint8' || byteLength > maxCarriedLength) {
    const message = `The array "${carriedKey}" is of ${dtype} and ${byteLength} bytes; it is a text of at most ${maxCarriedLength} bytes as uint8.`
    throw new Refusal('DATA_LOSS', 'npz/bad-carried-type', message)
  }
  return new TextDecoder().decode(await collect(chunks(), byteLength))
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
 * An .npz file of `tensors`, by name, stored without compression, as `numpy.savez` does. Element types
 * that NumPy does not have are written as unsigned numbers of their width (strings: as bytes), and one
 * more array says what they are. Refuses INVALID_ARGUMENT names given twice, reserved, or that no archive
 * should hold, such as `../a` (`npz/bad-name`).
 */
export function writeNpz(tensors: readonly OutputTensor[], tools: ZipTools): OutputBytes {
  const carried = tensors.filter(({ dtype }) => !isNpyType(dtype))
  const plain = tensors.map((one) => (isNpyType(one.dtype) ? one : carriedAsNumbers(one)))
  const text = new TextEncoder().encode(carriedText(carried))
  const shape = [text.byteLength]
  const texts = { name: carriedKey, dtype: 'uint8', shape, ...outputOf(text) } as const
  const reserved = tensors.find(({ name }) => name === carriedKey)
  if (reserved !== undefined) throw badName(carriedKey, 'is reserved')
  const sorted = [...plain, ...(carried.length > 0 ? [texts] : [])].sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )
  const files = sorted.map((tensor, index) => {
    checkName(tensor.name, sorted[index - 1]?.name)
    const { dtype, shape, content }: OutputTensor = tensor
    const named = content === undefined ? content : `npy ${dtype} [${shape}] ${content}`
    return { name: `${tensor.name}${suffix}`, content: named, ...writeNpy(tensor) }
  })
  return writeZip(files, tools)
}

function checkName(name: string, before: string | undefined): void {
  const canBe = name !== '' && name.isWellFormed() && isMemberName(`${name}${suffix}`)
  if (canBe && name !== before) return
  throw badName(name, canBe ? 'is given twice' : 'cannot name an array')
}

function badName(name: string, problem: string): Refusal {
  const message = `"${name.slice(0, 200)}" ${problem} in an .npz file.`
  return new Refusal('INVALID_ARGUMENT', 'npz/bad-name', message, { names: { tensor: name } })
}
