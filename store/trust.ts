// The rest of the port: whether the bytes are still what they were, and copies of all of them.
import type { ValueId } from './words.ts'

/** Damaged content in the place of a value. */
export interface DamagedContent {
  readonly valueId: ValueId
  /** Which chunk of the value; 0 where it has none of its own. */
  readonly ordinal: number
  /** Lower-case hex SHA-256 that the chunk should have. */
  readonly digest: string
  /** Undefined where it was found before and not looked at again. */
  readonly problem: string | undefined
}

/** Who names a value now. */
export interface ValueHolders {
  readonly variables: readonly { readonly container: string; readonly name: string }[]
  /** Newest checkpoints first. */
  readonly tensors: readonly { readonly checkpoint: string; readonly tensor: string }[]
}

/** What checking values found. */
export interface ContentReport {
  /** Chunks that were read, each once however many values share it; an inline value counts as one. */
  readonly chunks: number
  readonly byteLength: number
  readonly damaged: readonly DamagedContent[]
}

/** How the background scrub is doing. */
export interface ScrubStatus {
  readonly state: 'off' | 'waiting' | 'running'
  /** Bytes a second that it reads at most. */
  readonly bytesPerSecond: number
  /** The pass under way. Milliseconds since the epoch. */
  readonly pass:
    | { readonly startedAt: number; readonly chunks: number; readonly byteLength: number }
    | undefined
  /** The last whole pass. */
  readonly finished:
    | { readonly at: number; readonly chunks: number; readonly byteLength: number }
    | undefined
  /** When the next pass begins; undefined while one is under way, or where it is off. */
  readonly nextAt: number | undefined
}

/** Tells how far a piece of work is. */
export type ByteReport = (bytesDone: number, bytesTotal: number) => void

/** Whether the bytes are still what they were. */
export interface Trust {
  /**
   * Re-reads the values' chunks against their SHA-256, on all threads that there are. Values that
   * are gone, or go meanwhile, are passed over. Rejects with the signal's reason where it ends the work.
   */
  verify(
    valueIds: readonly ValueId[],
    report?: ByteReport,
    signal?: AbortSignal,
  ): Promise<ContentReport>
  /** Who names the values, in the order asked; goes over every checkpoint. */
  holders(valueIds: readonly ValueId[]): Promise<readonly ValueHolders[]>
  /** Content that is known to be damaged and was not replaced since; at most `limit` chunks. */
  damage(limit: number): Promise<readonly DamagedContent[]>
  scrubStatus(): Promise<ScrubStatus>
  /** A whole pass over everything at once, as fast as readers let it; by itself that happens slowly. */
  scrub(report?: ByteReport, signal?: AbortSignal): Promise<ContentReport>
}

/** A copy of the whole store as it was after one commit. */
export interface BackupRecord {
  /** When it was begun, as text: `20260131T235959Z`, with a number behind it where that is taken. */
  readonly id: string
  /** A failed one is gone; what was under way when the process ended is gone too. */
  readonly state: 'running' | 'done'
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** The last commit that it holds. */
  readonly sequence: number
  readonly byteLength: number
  /** Lower-case hex SHA-256 of its manifest, which names every file by size and checksum. */
  readonly digest: string | undefined
  /** Whether packs are links to the store's own files, which cost no room, or copies. */
  readonly packs: 'linked' | 'copied'
  /** Chunks that were known to be damaged when it was made. */
  readonly damaged: number
}

/** A file of a backup. */
export interface BackupFile {
  /** Path inside the backup, with forward slashes. */
  readonly name: string
  readonly byteLength: number
  chunks(range?: { readonly offset: number; readonly length: number }): AsyncIterable<Uint8Array>
}

export interface BackupWishes {
  /** Copies packs also where links could be made. */
  readonly copy: boolean
}

/** Copies of the whole store. */
export interface Backups {
  /**
   * Makes one while the store goes on. Resolves once it is on stable storage, checked page by page. A
   * failure, and the signal, leave nothing of it. Refuses (FAILED_PRECONDITION `backup/running`) a second
   * one at once.
   */
  create(wishes: BackupWishes, report?: ByteReport, signal?: AbortSignal): Promise<BackupRecord>
  /** Newest first. */
  list(): Promise<readonly BackupRecord[]>
  get(id: string): Promise<BackupRecord | undefined>
  /** The files of one that is done, in a fixed order; undefined where it is not there. */
  files(id: string): Promise<readonly BackupFile[] | undefined>
  /** False where it was not there. */
  remove(id: string): Promise<boolean>
}
