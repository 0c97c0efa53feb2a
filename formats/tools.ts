// What the formats are handed: checksums and decompression, which a browser and a server each have
// in a form of their own.
import type { ByteSource } from '../tensor/index.ts'

/** A running CRC: of `bytes`, continued from `initial` (the result for the bytes before; 0 at first). */
type Crc = (bytes: Uint8Array, initial?: number) => number

/** Checksums of content that is known by name: what was read once need not be read for them again. */
export interface ChecksumMemory {
  get(content: string): number | undefined
  set(content: string, crc: number): void
}

/** What the checkpoint formats need. */
export interface ChecksumTools {
  /** CRC-32C (Castagnoli): `crc32c("123456789")` is `0xe3069283`. */
  readonly crc32c: Crc
  /** Checksums of tensors that were written before. */
  readonly known?: ChecksumMemory | undefined
}

/** What writing an archive needs. */
export interface ZipTools {
  /** CRC-32 (zlib's): `crc32("123456789")` is `0xcbf43926`. */
  readonly crc32: Crc
  /** Checksums of files that were written before. */
  readonly known?: ChecksumMemory | undefined
}

/** What the archive readers need for compressed members. */
export interface ArchiveTools extends ZipTools {
  /**
   * Raw DEFLATE data, decompressed as it is asked for. Must throw where the data is damaged, ends
   * early or goes on after its end.
   */
  readonly inflate: (compressed: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>
  /** Keeps a stream somewhere outside of memory and gives its bytes back at random. */
  readonly spool: (chunks: AsyncIterable<Uint8Array>) => Promise<ByteSource>
}
