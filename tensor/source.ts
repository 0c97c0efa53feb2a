// Bytes that may be too many to hold at once: sources to read at random, and tensors as streams.
import type { DType } from './dtype.ts'
import type { Shape } from './shape.ts'

/** Bytes of a known length that can be read at any place: a file, an archive member, a buffer. */
export interface ByteSource {
  readonly byteLength: number
  /** Exactly `length` bytes from `offset`. Rejects with DATA_LOSS where fewer are there. */
  read(offset: number, length: number): Promise<Uint8Array>
  /**
   * The same bytes in pieces, where the source has a faster way than reads one by one. Each piece is
   * the reader's until the next is asked for; its memory may then be used again.
   */
  stream?(offset: number, length: number): AsyncIterable<Uint8Array>
}

/** A set of named sources, such as the members of an archive or the files of a bundle. */
export interface FileSet {
  /** Paths with forward slashes, in the set's own order. Opaque: never used on a file system. */
  readonly names: readonly string[]
  open(name: string): ByteSource
}

/**
 * A named tensor whose bytes come as a stream: row-major little-endian, or for strings the form of
 * {@link packStrings}. `byteLength` counts those bytes. `chunks` may be called again.
 */
export interface TensorStream {
  readonly name: string
  readonly dtype: DType
  readonly shape: Shape
  readonly byteLength: number
  chunks(): AsyncIterable<Uint8Array>
}
