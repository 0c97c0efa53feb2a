// Regular expressions matched in time linear in the text whatever the pattern: parsed to a small program,
// and all its threads advanced together. It knows the part of Python's `re` without back references and
// look-around, and nothing of what is matched.
// Source: Python's re module; Cox, "Regular Expression Matching: the Virtual Machine Approach".
import { Refusal } from '../tensor/index.ts'
import { shorten } from './name.ts'

type Test = (character: string) => boolean

type Instruction =
  | { readonly kind: 'character'; readonly test: Test }
  | { readonly kind: 'fork'; first: number; second: number }
  | { readonly kind: 'jump'; target: number }
  | { readonly kind: 'mark'; readonly mark: number }
  | { readonly kind: 'start' | 'end' | 'match' }

type Node =
  | { readonly kind: 'character'; readonly test: Test }
  | { readonly kind: 'start' | 'end' }
  | { readonly kind: 'sequence' | 'choice'; readonly nodes: readonly Node[] }
  | {
      readonly kind: 'repeat'
      readonly node: Node
      readonly least: number
      /** Undefined: without end. */
      readonly most: number | undefined
      /** As few times as it can. */
      readonly isLazy: boolean
    }
  | { readonly kind: 'group'; readonly number: number; readonly node: Node }

/** What a pattern is for, and how one that cannot be is refused. */
export interface PatternUse {
  readonly reason: string
  /** Follows the pattern in the refusal's sentence. */
  readonly purpose: string
  readonly fix: string
}

/** A pattern that was read. */
export interface Pattern {
  /** Number of its groups. */
  readonly groupCount: number
  /** Whether a text begins with a match. */
  begins(text: string): boolean
  /**
   * What matched where the whole text does: the text, then each group's, undefined where a group took no
   * part. Of several ways to match, the one that a backtracking matcher finds first; of a group that is
   * repeated, the last time.
   */
  whole(text: string): readonly (string | undefined)[] | undefined
}

const maxPatternLength = 1_000
const maxSteps = 2_000

const classes: Readonly<Record<string, RegExp>> = {
  d: /[0-9]/,
  D: /[^0-9]/,
  w: /[A-Za-z0-9_]/,
  W: /[^A-Za-z0-9_]/,
  s: /\s/,
  S: /\S/,
}

/**
 * Reads a pattern. Refuses (INVALID_ARGUMENT, with the reason of its use) what is no pattern, back
 * references, look-around, flags, and patterns beyond 1,000 characters or 2,000 steps once repetitions
 * are written out.
 */
export function patternOf(text: string, use: PatternUse): Pattern {
  const refuse = (why: string) => refusalOf(text, use, why)
  if (text.length > maxPatternLength) {
    throw refuse(`it has more than ${maxPatternLength} characters`)
  }
  const parser = new Parser(text, refuse)
  const program: Instruction[] = []
  emit(parser.parse(), { program, refuse, steps: 0 })
  program.push({ kind: 'match' })
  return {
    groupCount: parser.groupCount,
    begins: (given) => begins(program, given),
    whole: (given) => whole(program, parser.groupCount, given),
  }
}

function begins(program: readonly Instruction[], text: string): boolean {
  let threads = new Set<number>()
  const add = (list: Set<number>, from: number, place: number): boolean => {
    const waiting = [from]
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      if (list.has(at)) continue
      list.add(at)
      const step = program[at]
      if (step.kind === 'match') return true
      if (step.kind === 'jump') waiting.push(step.target)
      else if (step.kind === 'mark') waiting.push(at + 1)
      else if (step.kind === 'fork') waiting.push(step.first, step.second)
      else if (step.kind === 'start' && place === 0) waiting.push(at + 1)
      else if (step.kind === 'end' && place === text.length) waiting.push(at + 1)
    }
    return false
  }
  if (add(threads, 0, 0)) return true
  for (let place = 0; place < text.length && threads.size > 0; place++) {
    const next = new Set<number>()
    for (const at of threads) {
      const step = program[at]
      if (step.kind !== 'character' || !step.test(text[place])) continue
      if (add(next, at + 1, place + 1)) return true
    }
    threads = next
  }
  return false
}

/** A way through the program, and where its groups began and ended; they are shared, never changed. */
interface Thread {
  readonly at: number
  readonly marks: readonly number[]
}

/** Follows a text to its end, the threads in order of preference. */
function whole(
  program: readonly Instruction[],
  groupCount: number,
  text: string,
): readonly (string | undefined)[] | undefined {
  const walk = walkOf(program, text.length)
  let threads = walk([{ at: 0, marks: new Array(2 * groupCount).fill(-1) }], 0)
  for (let place = 0; place < text.length && threads.length > 0; place++) {
    const moved: Thread[] = []
    for (const { at, marks } of threads) {
      const step = program[at]
      if (step.kind === 'character' && step.test(text[place])) moved.push({ at: at + 1, marks })
    }
    threads = walk(moved, place + 1)
  }
  const found = threads.find(({ at }) => program[at].kind === 'match')
  if (found === undefined) return undefined
  const groups = Array.from({ length: groupCount }, (_, group) => {
    const [start, end] = found.marks.slice(2 * group, 2 * group + 2)
    return start < 0 || end < 0 ? undefined : text.slice(start, end)
  })
  return [text, ...groups]
}

/** Takes threads as far as they come without a character: to each step once, by the preferred way. */
function walkOf(
  program: readonly Instruction[],
  length: number,
): (from: readonly Thread[], place: number) => readonly Thread[] {
  const seen = new Int32Array(program.length).fill(-1)
  return (from, place) => {
    const arrived: Thread[] = []
    const waiting = from.toReversed()
    for (let thread = waiting.pop(); thread !== undefined; thread = waiting.pop()) {
      const { at, marks } = thread
      if (seen[at] === place) continue
      seen[at] = place
      const step = program[at]
      switch (step.kind) {
        case 'character':
        case 'match':
          arrived.push(thread)
          break
        case 'jump':
          waiting.push({ at: step.target, marks })
          break
        case 'fork':
          waiting.push({ at: step.second, marks }, { at: step.first, marks })
          break
        case 'mark':
          waiting.push({ at: at + 1, marks: marks.with(step.mark, place) })
          break
        case 'start':
          if (place === 0) waiting.push({ at: at + 1, marks })
          break
        case 'end':
          if (place === length) waiting.push({ at: at + 1, marks })
          break
        default:
          throw new Error(`unknown step ${step satisfies never}`)
      }
    }
    return arrived
  }
}

/** A program being written. `steps` counts what is written out, also where that is nothing. */
interface Writing {
  readonly program: Instruction[]
  readonly refuse: (why: string) => Refusal
  steps: number
}

function emit(node: Node, writing: Writing): void {
  if (++writing.steps > maxSteps) throw writing.refuse('it repeats too much')
  switch (node.kind) {
    case 'sequence':
      for (const one of node.nodes) emit(one, writing)
      return
    case 'choice':
      emitChoice(node.nodes, writing)
      return
    case 'repeat':
      emitRepeat(node, writing)
      return
    case 'group':
      writing.program.push({ kind: 'mark', mark: 2 * node.number })
      emit(node.node, writing)
      writing.program.push({ kind: 'mark', mark: 2 * node.number + 1 })
      return
    default:
      writing.program.push(node)
  }
}

function emitChoice(nodes: readonly Node[], writing: Writing): void {
  const { program } = writing
  const jumps: { target: number }[] = []
  for (const [index, node] of nodes.entries()) {
    if (index === nodes.length - 1) {
      emit(node, writing)
      continue
    }
    const fork = { kind: 'fork' as const, first: program.length + 1, second: 0 }
    program.push(fork)
    emit(node, writing)
    const jump = { kind: 'jump' as const, target: 0 }
    program.push(jump)
    jumps.push(jump)
    fork.second = program.length
  }
  for (const jump of jumps) jump.target = program.length
}

function emitRepeat(
  { node, least, most, isLazy }: Extract<Node, { kind: 'repeat' }>,
  writing: Writing,
): void {
  const { program } = writing
  for (let time = 0; time < least; time++) emit(node, writing)
  const forks: { first: number; second: number }[] = []
  const optional = most === undefined ? 1 : most - least
  for (let time = 0; time < optional; time++) {
    const start = program.length
    const fork = { kind: 'fork' as const, first: start + 1, second: 0 }
    program.push(fork)
    forks.push(fork)
    emit(node, writing)
    if (most === undefined) program.push({ kind: 'jump', target: start })
  }
  for (const fork of forks) {
    fork.second = program.length
    if (isLazy) [fork.first, fork.second] = [fork.second, fork.first]
  }
}

/** Reads a pattern by recursive descent: choice, sequence, repetition, one thing. */
class Parser {
  readonly #pattern: string
  readonly #refuse: (why: string) => Refusal
  #place = 0
  #groupCount = 0

  constructor(pattern: string, refuse: (why: string) => Refusal) {
    this.#pattern = pattern
    this.#refuse = refuse
  }

  get groupCount(): number {
    return this.#groupCount
  }

  parse(): Node {
    const node = this.#choice()
    if (this.#place < this.#pattern.length) throw this.#wrong('unbalanced parenthesis')
    return node
  }

  #choice(): Node {
    const nodes = [this.#sequence()]
    while (this.#take('|')) nodes.push(this.#sequence())
    return nodes.length === 1 ? nodes[0] : { kind: 'choice', nodes }
  }

  #sequence(): Node {
    const nodes: Node[] = []
    while (this.#place < this.#pattern.length && !'|)'.includes(this.#peek())) {
      nodes.push(this.#repeated())
    }
    return { kind: 'sequence', nodes }
  }

  #repeated(): Node {
    const node = this.#one()
    const times = this.#times()
    if (times === undefined) return node
    const isLazy = this.#take('?')
    if (this.#times() !== undefined) throw this.#wrong('multiple repeat')
    return { kind: 'repeat', node, ...times, isLazy }
  }

  #times(): { readonly least: number; readonly most: number | undefined } | undefined {
    if (this.#take('*')) return { least: 0, most: undefined }
    if (this.#take('+')) return { least: 1, most: undefined }
    if (this.#take('?')) return { least: 0, most: 1 }
    const counted = /^\{(\d*)(,?)(\d*)\}/.exec(this.#pattern.slice(this.#place))
    if (counted === null || counted[1] + counted[2] + counted[3] === '') return undefined
    this.#place += counted[0].length
    const least = Number(counted[1])
    const most = counted[2] === '' ? least : counted[3] === '' ? undefined : Number(counted[3])
    if (most !== undefined && most < least) throw this.#wrong('min repeat greater than max repeat')
    if (Math.max(least, most ?? 0) > maxSteps) throw this.#wrong('it repeats too much')
    return { least, most }
  }

  #one(): Node {
    const character = this.#next()
    switch (character) {
      case '(':
        return this.#group()
      case '[':
        return { kind: 'character', test: this.#set() }
      case '.':
        return { kind: 'character', test: (one) => one !== '\n' }
      case '^':
        return { kind: 'start' }
      case '$':
        return { kind: 'end' }
      case '*':
      case '+':
      case '?':
        throw this.#wrong('nothing to repeat')
      case '\\':
        return this.#escaped()
      default:
        return { kind: 'character', test: (one) => one === character }
    }
  }

  #group(): Node {
    const isPlain = this.#take('?')
    if (isPlain && !this.#take(':')) {
      throw this.#wrong('groups with ? other than (?:..) are not known here')
    }
    const number = isPlain ? 0 : this.#groupCount++
    const node = this.#choice()
    if (!this.#take(')')) throw this.#wrong('missing ), unterminated subpattern')
    return isPlain ? node : { kind: 'group', number, node }
  }

  #escaped(): Node {
    if (this.#place >= this.#pattern.length) throw this.#wrong('bad escape (end of pattern)')
    if (this.#take('A')) return { kind: 'start' }
    if (this.#take('Z')) return { kind: 'end' }
    return { kind: 'character', test: this.#escapedTest() }
  }

  #escapedTest(): Test {
    const character = this.#next()
    if (Object.hasOwn(classes, character)) return (one) => classes[character].test(one)
    if (/[A-Za-z0-9]/.test(character)) throw this.#wrong(`\\${character} is not known here`)
    return (one) => one === character
  }

  /** A set after its opening bracket. */
  #set(): Test {
    const negated = this.#take('^')
    const tests: Test[] = []
    do {
      if (this.#place >= this.#pattern.length) throw this.#wrong('unterminated character set')
      tests.push(this.#member())
    } while (!this.#take(']'))
    return (one) => tests.some((test) => test(one)) !== negated
  }

  #member(): Test {
    if (this.#take('\\')) {
      if (this.#place >= this.#pattern.length) throw this.#wrong('unterminated character set')
      return this.#escapedTest()
    }
    const first = this.#next()
    const isRange = /^-[^\]]/s.test(this.#pattern.slice(this.#place))
    if (!isRange) return (one) => one === first
    this.#place++
    this.#take('\\')
    const last = this.#next()
    if (last < first) throw this.#wrong(`bad character range ${first}-${last}`)
    return (one) => first <= one && one <= last
  }

  #peek(): string {
    return this.#pattern[this.#place]
  }

  #next(): string {
    return this.#pattern[this.#place++] ?? ''
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#place++
    return true
  }

  #wrong(why: string): Refusal {
    return this.#refuse(`${why} at position ${this.#place}`)
  }
}

function refusalOf(pattern: string, { reason, purpose, fix }: PatternUse, why: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', reason, `"${shorten(pattern)}" ${purpose}: ${why}.`, {
    fix,
  })
}
