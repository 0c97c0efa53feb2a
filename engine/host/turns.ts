// One at a time, in the order of asking.

/** Lets asynchronous work take turns. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** Calls `work` once everything asked for before has ended, well or badly. */
  take<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(work, work)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}
