// The variables that the engine has been given values of: among them are those that are resident on
// its devices. It knows names only; a device knows numbers of values.

/** Names kept at most; beyond that it begins anew, and devices show fewer names for a while. */
const mostNames = 100_000

/** Names of variables, by container. */
export class EngineVariables {
  readonly #names = new Map<string, Set<string>>()
  #count = 0

  /** The engine is given the variable's value, or holds one that became the variable's. */
  note(container: string, name: string): void {
    let names = this.#names.get(container)
    if (names?.has(name)) return
    if (this.#count >= mostNames) {
      this.#names.clear()
      this.#count = 0
      names = undefined
    }
    if (names === undefined) this.#names.set(container, new Set([name]))
    else names.add(name)
    this.#count += 1
  }

  /** All of them. */
  get byContainer(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#names
  }
}
