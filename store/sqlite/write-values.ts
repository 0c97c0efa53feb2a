// Binding content to value rows: equal content gets the row that is there, new content a new row
// and rows for its chunks. Runs in the store worker only, inside a commit.
import assert from 'node:assert'
import type { DType, Shape } from '../../tensor/index.ts'
import { Refusal } from '../../tensor/index.ts'
import type { ValueId, ValueSource } from '../port.ts'
import type { Connection } from './connection.ts'
import type { ChunkIdentity, CommitRequest, LooseChunk, StagedContent } from './messages.ts'

/** A value that a row may name. */
export interface BoundValue {
  readonly valueId: ValueId
  readonly dtype: DType
  readonly shape: Shape
  readonly byteLength: number
}

/** Where the bytes of a chunk that a commit brings along are. */
type Placement =
  | {
      readonly kind: 'pack'
      readonly pack: number
      readonly ordinal: number
      readonly chunk: ChunkIdentity
    }
  | { readonly kind: 'loose'; readonly chunk: LooseChunk }

interface ChunkRow {
  readonly chunk_id: number
  readonly pack_id: number | null
  readonly damaged: number
}

/** What the store worker remembers beside the tables, as far as binding minds it. */
export interface BindingNotes {
  /** Whether a reader found the inline content of a value damaged. */
  isDamagedInline(valueId: ValueId): boolean
  /** A value that was there is named again. */
  bound(valueId: ValueId): void
}

/** Text that a digest is found by in a map. */
export function keyOf(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString('latin1')
}

/** Binds the sources of one commit. Chunk and pack rows appear when the first value needs them. */
export class ValueBinder {
  readonly #connection: Connection
  readonly #request: CommitRequest
  readonly #placements = new Map<string, Placement>()
  readonly #packIds: (number | undefined)[]
  readonly #notes: BindingNotes

  constructor(connection: Connection, request: CommitRequest, notes: BindingNotes) {
    this.#connection = connection
    this.#request = request
    this.#notes = notes
    this.#packIds = request.packs.map(() => undefined)
    for (const chunk of request.loose) {
      this.#placements.set(keyOf(chunk.digest), { kind: 'loose', chunk })
    }
    request.packs.forEach((pack, index) => {
      pack.chunks.forEach((chunk, ordinal) => {
        this.#placements.set(keyOf(chunk.digest), { kind: 'pack', pack: index, ordinal, chunk })
      })
    })
  }

  /** See `CommitContext.bind`. */
  bind(source: ValueSource): BoundValue | null {
    if (source === null) return null
    if ('valueId' in source) return this.#existing(source.valueId)
    const content = this.#request.staged.get(source.token)
    assert(content !== undefined, 'a commit carries every staged value that it names')
    return this.#staged(content)
  }

  /** Names of packs that came with the commit and that no value needed. */
  unusedPacks(): string[] {
    return this.#request.packs
      .filter((_, index) => this.#packIds[index] === undefined)
      .map(({ name }) => name)
  }

  #existing(valueId: ValueId): BoundValue {
    const row = this.#connection.get<{ dtype: DType; shape: string; byte_length: number }>(
      'SELECT dtype, shape, byte_length FROM value WHERE value_id = ?',
      valueId,
    )
    if (row === undefined) {
      throw new Refusal(
        'NOT_FOUND',
        'value/unknown',
        'A value to bind is no longer in the store.',
        {
          fix: 'Read again what named it, and send the change again.',
        },
      )
    }
    this.#notes.bound(valueId)
    const shape = JSON.parse(row.shape) as Shape
    return { valueId, dtype: row.dtype, shape, byteLength: row.byte_length }
  }

  #staged(staged: StagedContent): BoundValue {
    const { dtype, shape, byteLength, digest, content } = staged
    const shapeText = JSON.stringify(shape)
    const known = this.#connection.get<{ value_id: number }>(
      'SELECT value_id FROM value WHERE digest = ? AND dtype = ? AND shape = ? AND byte_length = ?',
      digest,
      dtype,
      shapeText,
      byteLength,
    )
    if (known !== undefined) {
      this.#notes.bound(known.value_id)
      this.#heal(known.value_id, staged)
      return { valueId: known.value_id, dtype, shape, byteLength }
    }
    const valueId = this.#connection.run(
      'INSERT INTO value (digest, dtype, shape, byte_length) VALUES (?, ?, ?, ?)',
      digest,
      dtype,
      shapeText,
      byteLength,
    ).rowId
    if (content.kind === 'inline') {
      this.#connection.run(
        'INSERT INTO inline_content (value_id, crc32c, bytes) VALUES (?, ?, ?)',
        valueId,
        content.crc32c,
        content.bytes,
      )
    } else {
      content.chunks.forEach((chunk, ordinal) => {
        this.#connection.run(
          'INSERT INTO value_chunk (value_id, ordinal, chunk_id) VALUES (?, ?, ?)',
          valueId,
          ordinal,
          this.#chunkRow(chunk),
        )
      })
    }
    return { valueId, dtype, shape, byteLength }
  }

  /** Content that is damaged in the store and was sent again whole replaces what is there. */
  #heal(valueId: ValueId, staged: StagedContent): void {
    const { content } = staged
    if (content.kind === 'chunked') {
      for (const chunk of content.chunks) {
        if (this.#placements.has(keyOf(chunk))) this.#chunkRow(chunk)
      }
    } else if (this.#notes.isDamagedInline(valueId)) {
      this.#connection.run(
        'UPDATE inline_content SET crc32c = ?, bytes = ? WHERE value_id = ?',
        content.crc32c,
        content.bytes,
        valueId,
      )
    }
  }

  #chunkRow(digest: Uint8Array): number {
    const row = this.#connection.get<ChunkRow>(
      'SELECT chunk_id, pack_id, damaged FROM chunk WHERE digest = ?',
      digest,
    )
    const placement = this.#placements.get(keyOf(digest))
    if (row !== undefined && (row.damaged === 0 || placement === undefined)) return row.chunk_id
    assert(placement !== undefined, 'a chunk is in the store or comes with the commit')
    return row === undefined ? this.#insert(placement) : this.#replace(row.chunk_id, placement)
  }

  #insert(placement: Placement): number {
    const { digest, byteLength, crc32c } = placement.chunk
    const inPack = placement.kind === 'pack'
    const chunkId = this.#connection.run(
      'INSERT INTO chunk (digest, byte_length, crc32c, pack_id, pack_ordinal) VALUES (?, ?, ?, ?, ?)',
      digest,
      byteLength,
      crc32c,
      inPack ? this.#packRow(placement.pack) : null,
      inPack ? placement.ordinal : null,
    ).rowId
    if (!inPack) this.#insertLoose(chunkId, placement.chunk)
    return chunkId
  }

  #replace(chunkId: number, placement: Placement): number {
    const inPack = placement.kind === 'pack'
    this.#connection.run('DELETE FROM loose_chunk WHERE chunk_id = ?', chunkId)
    this.#connection.run(
      'UPDATE chunk SET crc32c = ?, damaged = 0, pack_id = ?, pack_ordinal = ? WHERE chunk_id = ?',
      placement.chunk.crc32c,
      inPack ? this.#packRow(placement.pack) : null,
      inPack ? placement.ordinal : null,
      chunkId,
    )
    if (!inPack) this.#insertLoose(chunkId, placement.chunk)
    return chunkId
  }

  #insertLoose(chunkId: number, chunk: LooseChunk): void {
    this.#connection.run(
      'INSERT INTO loose_chunk (chunk_id, bytes) VALUES (?, ?)',
      chunkId,
      chunk.bytes,
    )
  }

  #packRow(index: number): number {
    const known = this.#packIds[index]
    if (known !== undefined) return known
    const { name, totalByteLength } = this.#request.packs[index]
    const packId = this.#connection.run(
      'INSERT INTO pack (name, total_bytes) VALUES (?, ?)',
      name,
      totalByteLength,
    ).rowId
    this.#packIds[index] = packId
    return packId
  }
}
