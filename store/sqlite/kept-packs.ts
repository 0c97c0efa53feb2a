// Files of packs that must stay for a while although no row names them any more: a backup is still to
// link or copy them. It knows names, and not what they are kept for.

/** Holds removals back while anybody wants the files. */
export class KeptPacks {
  readonly #waiting: string[] = []
  #holders = 0

  hold(): void {
    this.#holders += 1
  }

  /** Ends what `hold` began; the names that may be removed now. */
  release(): string[] {
    this.#holders = Math.max(0, this.#holders - 1)
    return this.#holders === 0 ? this.#waiting.splice(0) : []
  }

  /** Those of the names that may be removed at once; the others wait for `release`. */
  removable(names: readonly string[]): readonly string[] {
    if (this.#holders === 0) return names
    this.#waiting.push(...names)
    return []
  }
}
