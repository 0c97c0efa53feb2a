// Writes a function as nested scopes. A value may be computed in an outer scope while an inner one is
// being written: that is how what does not change in a loop moves out of it. It knows scopes, locals
// and loops; what is computed it does not know.
import type { AssembledFunction, Instruction, ValueType } from './assembler.ts'
import { shareLocals } from './locals.ts'

/** The counter's values in a scope: a loop's local, or one number where there is no loop. */
export type Counter =
  | { readonly kind: 'fixed'; readonly value: number }
  | { readonly kind: 'local'; readonly local: number; readonly start: Bound; readonly step: number }

/** A bound of a loop: known now, or in a local. */
export type Bound = number | { readonly local: number }

/** A region of straight code: the function, or the body of a loop. Depth 0 is the function. */
export interface Scope {
  readonly depth: number
  readonly code: Instruction[]
  /** Runs at the end of each iteration. */
  readonly latch: Instruction[]
  /** What is known in this scope, by keys of the owner's choosing. */
  readonly memo: Map<string, unknown>
}

/** A function in the making. */
export class FunctionWriter {
  readonly #name: string
  readonly #parameters: readonly ValueType[]
  readonly #locals: ValueType[] = []
  readonly #scopes: Scope[] = []

  constructor(name: string, parameters: readonly ValueType[]) {
    this.#name = name
    this.#parameters = parameters
    this.#push()
  }

  /** Depth of the innermost open scope. */
  get depth(): number {
    return this.#scopes.length - 1
  }

  scope(depth: number): Scope {
    return this.#scopes[depth]!
  }

  local(type: ValueType): number {
    return this.#parameters.length + this.#locals.push(type) - 1
  }

  emit(depth: number, ...instruction: Instruction): void {
    this.#scopes[depth]!.code.push(instruction)
  }

  /** Sets a new local from the top of the stack of the scope at `depth`. */
  save(depth: number, type: ValueType): number {
    const local = this.local(type)
    this.emit(depth, 'local.set', local)
    return local
  }

  /** The value known under `key` at `depth`, made the first time. */
  once<Value>(depth: number, key: string, make: () => Value): Value {
    const { memo } = this.#scopes[depth]!
    if (!memo.has(key)) memo.set(key, make())
    return memo.get(key) as Value
  }

  /** Writes straight code in a scope of its own, entered only where `condition` holds (always, if undefined). */
  region(condition: (() => void) | undefined, write: () => void): void {
    this.#push()
    write()
    const { code, latch } = this.#scopes.pop()!
    const around = this.#scopes.at(-1)!
    if (condition !== undefined) {
      condition()
      around.code.push(['if'])
    }
    append(around.code, code)
    append(around.code, latch)
    if (condition !== undefined) around.code.push(['end'])
  }

  /**
   * Writes a loop of a counter from `start` by `step` while it is below `end`. `some`: whether it is
   * known to run at least once.
   */
  loop(
    bounds: { start: Bound; end: Bound; step: number; some: boolean },
    write: (counter: Counter) => void,
  ): void {
    const around = this.depth
    const local = this.local('i32')
    const push = (bound: Bound): Instruction =>
      typeof bound === 'number' ? ['i32.const', bound] : ['local.get', bound.local]
    this.#push()
    write({ kind: 'local', local, start: bounds.start, step: bounds.step })
    const { code, latch } = this.#scopes.pop()!
    const out = this.#scopes[around]!.code
    if (!bounds.some) out.push(push(bounds.start), push(bounds.end), ['i32.lt_s'], ['if'])
    out.push(push(bounds.start), ['local.set', local], ['loop'])
    append(out, code)
    append(out, latch)
    out.push(['local.get', local], ['i32.const', bounds.step], ['i32.add'], ['local.tee', local])
    out.push(push(bounds.end), ['i32.lt_s'], ['br_if', 0], ['end'])
    if (!bounds.some) out.push(['end'])
  }

  finish(): AssembledFunction {
    const { code } = this.#scopes[0]!
    return shareLocals({
      name: this.#name,
      parameters: this.#parameters,
      locals: this.#locals,
      code,
    })
  }

  #push(): void {
    this.#scopes.push({ depth: this.#scopes.length, code: [], latch: [], memo: new Map() })
  }
}

function append(to: Instruction[], from: readonly Instruction[]): void {
  for (const instruction of from) to.push(instruction)
}
