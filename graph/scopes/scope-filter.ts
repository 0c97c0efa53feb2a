// The regular expressions that filter collections, matched in time linear in the name whatever the
// pattern: parsed to a small program, and all its threads advanced together. It knows the part of
// Python's `re` without back references and look-around, and nothing of collections.
// Source: Python's re module; Cox, "Regular Expression Matching: the Virtual Machine Approach".
import { Refusal } from '../../tensor/index.ts'
import { shorten } from '../name.ts'

type Test = (character: string) => boolean

type Instruction =
  | { readonly kind: 'character'; readonly test: Test }
  | { readonly kind: 'fork'; first: number; second: number }
  | { readonly kind: 'jump'; target: number }
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
 * Whether a text begins with a match of `pattern`, as a function of the text. Refuses (INVALID_ARGUMENT,
 * `collection/scope`) what is no pattern, back references, look-around, flags, and patterns beyond
 * 1,000 characters or 2,000 steps once repetitions are written out.
 */
export function scopeFilter(pattern: string): (text: string) => boolean {
  if (pattern.length > maxPatternLength) {
    throw refuse(pattern, `it has more than ${maxPatternLength} characters`)
  }
  const parser = new Parser(pattern)
  const program: Instruction[] = []
  emit(parser.parse(), { program, pattern, steps: 0 })
  program.push({ kind: 'match' })
  return (text) => begins(program, text)
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

/** A program being written. `steps` counts what is written out, also where that is nothing. */
interface Writing {
  readonly program: Instruction[]
  readonly pattern: string
  steps: number
}

function emit(node: Node, writing: Writing): void {
  if (++writing.steps > maxSteps) throw refuse(writing.pattern, 'it repeats too much')
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
  { node, least, most }: Extract<Node, { kind: 'repeat' }>,
  writing: Writing,
): void {
  const { program } = writing
  for (let time = 0; time < least; time++) emit(node, writing)
  const forks: { second: number }[] = []
  const optional = most === undefined ? 1 : most - least
  for (let time = 0; time < optional; time++) {
    const start = program.length
    const fork = { kind: 'fork' as const, first: start + 1, second: 0 }
    program.push(fork)
    forks.push(fork)
    emit(node, writing)
    if (most === undefined) program.push({ kind: 'jump', target: start })
  }
  for (const fork of forks) fork.second = program.length
}

/** Reads a pattern by recursive descent: choice, sequence, repetition, one thing. */
class Parser {
  readonly #pattern: string
  #place = 0

  constructor(pattern: string) {
    this.#pattern = pattern
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
    // A lazy repetition matches the same texts; whether one begins a text is all that is asked.
    this.#take('?')
    if (this.#times() !== undefined) throw this.#wrong('multiple repeat')
    return { kind: 'repeat', node, ...times }
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
    if (this.#take('?') && !this.#take(':')) {
      throw this.#wrong('groups with ? other than (?:..) are not known here')
    }
    const node = this.#choice()
    if (!this.#take(')')) throw this.#wrong('missing ), unterminated subpattern')
    return node
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
    return refuse(this.#pattern, `${why} at position ${this.#place}`)
  }
}

function refuse(pattern: string, why: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'collection/scope',
    `"${shorten(pattern)}" cannot filter a collection by scope: ${why}.`,
    { fix: 'Give the first characters of the names, or a regular expression.' },
  )
}
