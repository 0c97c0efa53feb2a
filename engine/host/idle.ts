// Noticing that nothing has been asked for a while. It knows time, and nothing of what is asked.

/** Calls `work` once each time that nothing was asked for `idleMs`. Holds no process open. */
export class IdleWatch {
  readonly #idleMs: number
  readonly #work: () => Promise<void>
  #timer: NodeJS.Timeout | undefined
  #isAsked = false
  #isClosed = false

  constructor(idleMs: number, work: () => Promise<void>) {
    this.#idleMs = idleMs
    this.#work = work
  }

  /** Something was asked. Costs next to nothing: no timer is moved. */
  touch(): void {
    this.#isAsked = true
    if (this.#timer === undefined && !this.#isClosed) this.#wait()
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #wait(): void {
    this.#isAsked = false
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#isAsked) this.#wait()
      else void this.#work()
    }, this.#idleMs)
    this.#timer.unref()
  }
}
