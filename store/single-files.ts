// The rest of the port: a checkpoint as a single file in the store's own form.
import type { DType, Shape } from '../tensor/index.ts'
import type { Json, PartSlice } from './words.ts'

/** What a file says of its checkpoint. */
export interface SingleFileHead {
  /** The id that it had where it was made. */
  readonly id: string
  readonly step: number | undefined
  readonly metadata: { readonly [key: string]: Json }
  /** Milliseconds since the epoch. */
  readonly createdAt: number
}

/** A tensor of a file. */
export interface FileTensor {
  /** Its place in the file. */
  readonly index: number
  readonly name: string
  readonly dtype: DType
  readonly shape: Shape
  readonly byteLength: number
  /** Lower-case hex, as in {@link ValueRecord}. */
  readonly digest: string
  readonly chunkCount: number
  /** Where it is one part of a partitioned variable: which one. */
  readonly slice: PartSlice | undefined
}

/** A file that is open, until `close`. */
export interface OpenedFile {
  readonly head: SingleFileHead
  readonly tensors: readonly FileTensor[]
  /** The bytes of a tensor, each chunk checked against its SHA-256. */
  chunks(tensor: FileTensor): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

/** Checkpoints as single files. */
export interface SingleFiles {
  /**
   * Writes a checkpoint into a new file at `path`. Equal checkpoints give equal bytes. A failure may leave
   * a part of the file. Refuses (NOT_FOUND) a checkpoint that is not there, or goes meanwhile.
   */
  write(checkpoint: string, path: string): Promise<void>
  /**
   * Opens a file that anybody may have made. Refuses (INVALID_ARGUMENT `checkpoint/foreign-file`) other files,
   * (DATA_LOSS `checkpoint/damaged-file`) damaged ones, and (RESOURCE_EXHAUSTED `file/too-large`) more than
   * the limits allow.
   */
  open(
    path: string,
    limits: { readonly tensors: number; readonly byteLength: number },
  ): Promise<OpenedFile>
}
