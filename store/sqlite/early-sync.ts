// Syncing a file while it is still written, so that the disk works meanwhile and the sync at the end finds
// little left. It promises nothing by itself: the sync at the end does.
import { closeSync, fdatasync, openSync } from 'node:fs'

/** Syncs of one growing file, one at a time, on threads of their own. */
export class EarlySync {
  readonly #file: string
  readonly #syncedByteLength: number
  #newByteLength = 0
  #descriptor: number | undefined
  #underway: Promise<void> | undefined
  #failure: unknown

  /** The file is opened when it has grown by `syncedByteLength`, and synced each time that it has. */
  constructor(file: string, syncedByteLength: number) {
    this.#file = file
    this.#syncedByteLength = syncedByteLength
  }

  /** The file has grown. */
  wrote(byteLength: number): void {
    this.#newByteLength += byteLength
    if (this.#newByteLength < this.#syncedByteLength || this.#underway !== undefined) return
    this.#newByteLength = 0
    this.#descriptor ??= openSync(this.#file, 'r+')
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#underway = promise
    fdatasync(this.#descriptor, (error) => {
      this.#failure ??= error ?? undefined
      this.#underway = undefined
      resolve()
    })
  }

  /** Waits for what is under way. Rejects if any sync failed: a later one would not say so again. */
  async settled(): Promise<void> {
    await this.#underway
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * Closes the file, after what is under way. Only once SQLite has closed it too: closing any descriptor
   * of a file ends the locks that the process has on it.
   */
  close(): void {
    const descriptor = this.#descriptor
    if (descriptor === undefined) return
    this.#descriptor = undefined
    if (this.#underway === undefined) closeSync(descriptor)
    else void this.#underway.then(() => closeSync(descriptor))
  }
}
