// Reading chunks back and checking them: where each lies is looked up in the catalogue by a
// read-only connection, its bytes come from there or from a pack.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { freeMemory, Refusal } from '../../tensor/index.ts'
import type { ValueId } from '../port.ts'
import { Connection } from './connection.ts'
import { errorCodeOf, isDamage, refusalOfFailure } from './errors.ts'
import type { BulkCalls, ChunkIdentity, DamagedChunk } from './messages.ts'
import { PackReaders } from './pack.ts'

interface LocatedChunk {
  readonly chunk_id: number
  readonly digest: Uint8Array
  readonly byte_length: number
  readonly crc32c: number
  readonly pack_ordinal: number | null
  readonly pack_name: string | null
}

/** A chunk as it was found; `problem` says why its bytes cannot be trusted. */
export interface FoundChunk {
  readonly chunk: ChunkIdentity
  readonly bytes: Uint8Array
  readonly problem: string | undefined
}

const located = `SELECT chunk.chunk_id, digest, chunk.byte_length, crc32c, pack_ordinal,
  pack.name AS pack_name FROM chunk LEFT JOIN pack USING (pack_id)`

/** Reads chunks of one data directory; lives until `close`. */
export class ChunkReader {
  readonly #directory: string
  readonly #packs: PackReaders
  #catalogue: Connection | undefined

  constructor(directory: string, openPackCount: number) {
    this.#directory = directory
    this.#packs = new PackReaders(directory, openPackCount)
  }

  /** Bytes of a value's chunk. Refuses damage (DATA_LOSS) and a value that is gone (NOT_FOUND). */
  read(valueId: ValueId, ordinal: number): Uint8Array {
    const found = this.#find(() => this.#locate(valueId, ordinal))
    if (found === undefined) {
      throw new Refusal('NOT_FOUND', 'value/unknown', 'The value is no longer in the store.')
    }
    if (found.problem !== undefined) throw damagedChunk(ordinal, found.chunk.digest, found.problem)
    return found.bytes
  }

  /** Bytes of an inline value, checked. Refuses damage (DATA_LOSS) and a value that is gone (NOT_FOUND). */
  readInline(valueId: ValueId): Uint8Array {
    const row = fromCatalogue(() =>
      this.#opened().get<{ digest: Uint8Array; crc32c: number; bytes: Uint8Array }>(
        `SELECT digest, crc32c, bytes FROM inline_content JOIN value USING (value_id)
         WHERE value_id = ?`,
        valueId,
      ),
    )
    if (row === undefined) {
      throw new Refusal('NOT_FOUND', 'value/unknown', 'The value is no longer in the store.')
    }
    if (crc32c(row.bytes) === row.crc32c) return row.bytes
    throw damagedChunk(0, row.digest, 'its crc32c differs')
  }

  /** A chunk by its row, or undefined where it is gone. */
  readById(chunkId: number): FoundChunk | undefined {
    return this.#find(() =>
      this.#opened().get<LocatedChunk>(`${located} WHERE chunk.chunk_id = ?`, chunkId),
    )
  }

  /** Checks chunks of a value against their SHA-256. */
  verify(request: BulkCalls['verify']['request']): BulkCalls['verify']['reply'] {
    const damaged: DamagedChunk[] = []
    for (let index = 0; index < request.count; index++) {
      const ordinal = request.ordinal + index
      const found = this.#find(() => this.#locate(request.valueId, ordinal))
      if (found === undefined) break
      const { chunk, bytes } = found
      const digest = createHash('sha256').update(bytes).digest()
      const problem =
        found.problem ?? (digest.equals(chunk.digest) ? undefined : 'its SHA-256 differs')
      if (problem !== undefined) damaged.push({ ordinal, digest: chunk.digest, problem })
      freeMemory(bytes)
    }
    return { damaged }
  }

  /** Closes a pack that is gone. */
  forget(packName: string): void {
    this.#packs.forget(packName)
  }

  close(): void {
    this.#packs.close()
    this.#catalogue?.close()
    this.#catalogue = undefined
  }

  #opened(): Connection {
    this.#catalogue ??= new Connection(join(this.#directory, 'catalog.db'), { readonly: true })
    return this.#catalogue
  }

  #locate(valueId: ValueId, ordinal: number): LocatedChunk | undefined {
    return this.#opened().get<LocatedChunk>(
      `${located} JOIN value_chunk ON value_chunk.chunk_id = chunk.chunk_id
       WHERE value_chunk.value_id = ? AND value_chunk.ordinal = ?`,
      valueId,
      ordinal,
    )
  }

  /** A chunk may move to another pack between looking it up and reading it: then look again. */
  #find(locate: () => LocatedChunk | undefined): FoundChunk | undefined {
    let problem = 'its pack is missing'
    for (let attempt = 0; attempt < 3; attempt++) {
      const row = fromCatalogue(locate)
      if (row === undefined) return undefined
      const chunk = { digest: row.digest, crc32c: row.crc32c, byteLength: row.byte_length }
      try {
        const bytes = this.#bytesOf(row)
        if (bytes !== undefined) return { chunk, bytes, problem: problemOf(chunk, bytes) }
        problem = 'its bytes are missing'
      } catch (error) {
        if (row.pack_name !== null) this.#packs.forget(row.pack_name)
        if (isDamage(error)) problem = 'the file that holds it is damaged'
        else if (errorCodeOf(error) !== 'SQLITE_CANTOPEN') {
          throw refusalOfFailure(error, 'reading a chunk')
        }
      }
      if (attempt === 2) return { chunk, bytes: new Uint8Array(), problem }
    }
    return undefined
  }

  #bytesOf(row: LocatedChunk): Uint8Array | undefined {
    if (row.pack_name !== null && row.pack_ordinal !== null) {
      return this.#packs.read(row.pack_name, row.pack_ordinal)
    }
    const loose = this.#opened().get<{ bytes: Uint8Array }>(
      'SELECT bytes FROM loose_chunk WHERE chunk_id = ?',
      row.chunk_id,
    )
    return loose?.bytes
  }
}

function fromCatalogue<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw refusalOfFailure(error, 'reading the catalogue')
  }
}

function problemOf(chunk: ChunkIdentity, bytes: Uint8Array): string | undefined {
  if (bytes.byteLength !== chunk.byteLength) {
    return `it holds ${bytes.byteLength} bytes instead of ${chunk.byteLength}`
  }
  return crc32c(bytes) === chunk.crc32c ? undefined : 'its crc32c differs'
}

/** What a reader of a damaged chunk is told. */
export function damagedChunk(ordinal: number, digest: Uint8Array, problem: string): Refusal {
  const hex = Buffer.from(digest).toString('hex')
  return new Refusal(
    'DATA_LOSS',
    'store/chunk-damaged',
    `Chunk ${ordinal} (SHA-256 ${hex}) of the value is damaged: ${problem}.`,
    {
      names: { chunk: ordinal, digest: hex, problem },
      fix: 'Write or upload the same content again, or restore another checkpoint.',
    },
  )
}
