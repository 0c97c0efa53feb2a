// Whether a history of concurrent operations could have come from one that does them one at a time.
// It knows operations, times and a specification; nothing of variables or HTTP. Source: Wing and Gong,
// "Testing and Verifying Concurrent Objects" (1993), with Lowe's memo of configurations, "Testing for
// Linearizability" (2017); histories of different keys are judged apart (Herlihy and Wing: locality).

/** One operation as its client saw it. */
export interface Operation<Input, Output> {
  /** What it acts on: operations of different keys never see each other. */
  readonly key: string
  readonly input: Input
  /** Undefined: it was never answered, so it happened at some time after `invoked`, or never. */
  readonly output: Output | undefined
  /** When it was sent. Times only have to be in order. */
  readonly invoked: number
  /** When its answer came; ignored where there is none. */
  readonly responded: number
}

/** What is right, done one at a time. */
export interface Specification<State, Input, Output> {
  readonly initial: State
  /**
   * The state after `input`, or undefined where `output` cannot be the answer in `state`. Without an
   * output, whatever the answer may have been.
   */
  apply(state: State, input: Input, output: Output | undefined): State | undefined
  /** Equal for equal states only. */
  textOf(state: State): string
}

/** What came of the search. `undecided`: it grew beyond {@link Bounds}. */
export type Verdict<Input, Output> =
  | { readonly kind: 'linearizable' }
  | { readonly kind: 'undecided'; readonly key: string }
  | {
      readonly kind: 'not-linearizable'
      readonly key: string
      /** As far as any order came .. */
      readonly longest: readonly Operation<Input, Output>[]
      /** .. and those of which one must come next, while none can. */
      readonly stuck: readonly Operation<Input, Output>[]
    }

/** How much is searched. */
export interface Bounds {
  /** Operations of one key. */
  readonly operations: number
  /** Configurations (what is done, and the state then) kept in mind for one key. */
  readonly configurations: number
}

const defaultBounds: Bounds = { operations: 100_000, configurations: 2_000_000 }

/** Judges each key's operations; the first key that cannot be right decides. */
export function checkLinearizable<State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  specification: Specification<State, Input, Output>,
  bounds: Bounds = defaultBounds,
): Verdict<Input, Output> {
  const byKey = Map.groupBy(history, ({ key }) => key)
  let undecided: Verdict<Input, Output> | undefined
  for (const [key, operations] of byKey) {
    if (operations.length > bounds.operations) {
      undecided ??= { kind: 'undecided', key }
      continue
    }
    const verdict = search(key, operations, specification, bounds)
    if (verdict.kind === 'not-linearizable') return verdict
    if (verdict.kind === 'undecided') undecided ??= verdict
  }
  return undecided ?? { kind: 'linearizable' }
}

/** A call or an answer in a list that is taken from and put back to at any place. */
interface Entry {
  /** Index of the operation; -1 at the head of the list. */
  readonly index: number
  readonly isCall: boolean
  before: Entry | undefined
  after: Entry | undefined
}

/** A step of the order under trial: the call that was taken, and the state before it. */
interface Step<State> {
  readonly call: Entry
  readonly state: State
}

function search<State, Input, Output>(
  key: string,
  unsorted: readonly Operation<Input, Output>[],
  { initial, apply, textOf }: Specification<State, Input, Output>,
  bounds: Bounds,
): Verdict<Input, Output> {
  const operations = [...unsorted].sort((a, b) => a.invoked - b.invoked)
  const { head, answers } = listOf(operations)
  const done = new Done(operations.length)
  const known = new Set<string>()
  const steps: Step<State>[] = []
  let longest: number[] = []
  let stuckAt = operations.findIndex(({ output }) => output !== undefined)
  let left = operations.filter(({ output }) => output !== undefined).length
  let state = initial
  let entry = head.after
  // Whatever has no answer may stay undone: only answered operations must find their place.
  while (left > 0) {
    if (entry?.isCall) {
      const { input, output } = operations[entry.index]
      const next = apply(state, input, output)
      // What has no answer and changes nothing need not be placed.
      const isIdle = output === undefined && next !== undefined && textOf(next) === textOf(state)
      if (next !== undefined && !isIdle) {
        done.add(entry.index)
        const configuration = `${done.text()} ${textOf(next)}`
        if (!known.has(configuration)) {
          if (known.size >= bounds.configurations) return { kind: 'undecided', key }
          known.add(configuration)
          steps.push({ call: entry, state })
          state = next
          take(entry, answers[entry.index])
          if (output !== undefined) left -= 1
          entry = head.after
          continue
        }
        done.delete(entry.index)
      }
      entry = entry.after
      continue
    }
    // An answer whose call has found no place before it, or the end of the list: one step back.
    if (entry !== undefined && steps.length >= longest.length) {
      longest = steps.map(({ call }) => call.index)
      stuckAt = entry.index
    }
    const step = steps.pop()
    if (step === undefined) {
      return {
        kind: 'not-linearizable',
        key,
        longest: longest.map((index) => operations[index]),
        stuck: stuckOf(operations, longest, stuckAt),
      }
    }
    state = step.state
    done.delete(step.call.index)
    putBack(step.call, answers[step.call.index])
    if (operations[step.call.index].output !== undefined) left += 1
    entry = step.call.after
  }
  return { kind: 'linearizable' }
}

/** The calls and answers in the order of their times; a call goes before an answer of the same time. */
function listOf<Input, Output>(
  operations: readonly Operation<Input, Output>[],
): {
  readonly head: Entry
  readonly answers: readonly (Entry | undefined)[]
} {
  const answers: (Entry | undefined)[] = []
  const timed: { readonly entry: Entry; readonly time: number }[] = []
  for (const [index, { invoked, responded, output }] of operations.entries()) {
    const rest = { index, before: undefined, after: undefined }
    timed.push({ entry: { ...rest, isCall: true }, time: invoked })
    if (output === undefined) {
      answers.push(undefined)
      continue
    }
    const answer = { ...rest, isCall: false }
    answers.push(answer)
    timed.push({ entry: answer, time: responded })
  }
  timed.sort((a, b) => a.time - b.time || Number(b.entry.isCall) - Number(a.entry.isCall))
  const head: Entry = { index: -1, isCall: false, before: undefined, after: undefined }
  let last = head
  for (const { entry } of timed) {
    last.after = entry
    entry.before = last
    last = entry
  }
  return { head, answers }
}

function take(call: Entry, answer: Entry | undefined): void {
  unlink(call)
  if (answer !== undefined) unlink(answer)
}

function putBack(call: Entry, answer: Entry | undefined): void {
  if (answer !== undefined) link(answer)
  link(call)
}

function unlink({ before, after }: Entry): void {
  if (before !== undefined) before.after = after
  if (after !== undefined) after.before = before
}

/** Undoes {@link unlink}; what was taken later has been put back already. */
function link(entry: Entry): void {
  if (entry.before !== undefined) entry.before.after = entry
  if (entry.after !== undefined) entry.after.before = entry
}

function stuckOf<Input, Output>(
  operations: readonly Operation<Input, Output>[],
  longest: readonly number[],
  stuckAt: number,
): readonly Operation<Input, Output>[] {
  const placed = new Set(longest)
  const { responded } = operations[stuckAt]
  return operations.filter(
    ({ invoked }, index) => !placed.has(index) && (index === stuckAt || invoked <= responded),
  )
}

/** Operations that have their place, by index. Its text is short where they are nearly the first ones. */
class Done {
  readonly #flags: Uint8Array
  /** All below are in. */
  #low = 0
  /** None from here on is in. */
  #high = 0

  constructor(count: number) {
    this.#flags = new Uint8Array(count)
  }

  add(index: number): void {
    this.#flags[index] = 1
    if (index >= this.#high) this.#high = index + 1
    while (this.#low < this.#flags.length && this.#flags[this.#low] === 1) this.#low += 1
  }

  delete(index: number): void {
    this.#flags[index] = 0
    if (index < this.#low) this.#low = index
    while (this.#high > 0 && this.#flags[this.#high - 1] === 0) this.#high -= 1
  }

  text(): string {
    let text = `${this.#low}`
    for (let index = this.#low; index < this.#high; index++) {
      if (this.#flags[index] === 1) text += `,${index}`
    }
    return text
  }
}
