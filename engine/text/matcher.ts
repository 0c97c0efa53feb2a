// Matches parsed patterns in time linear in the text, whatever the pattern: all ways that a match could
// go are followed at once, the preferred one first. Source: Thompson, 1968; Pike's virtual machine as told
// in Russ Cox, "Regular Expression Matching: the Virtual Machine Approach", 2009.
import {
  type Assertion,
  type CharacterSet,
  isIn,
  isMember,
  type Pattern,
  PatternError,
  type PatternNode,
} from './pattern.ts'

type Instruction =
  | { readonly kind: 'set'; readonly matches: (code: number) => boolean }
  /** Goes on at both places, the first preferred. */
  | { readonly kind: 'split'; first: number; second: number }
  | { readonly kind: 'jump'; to: number }
  | { readonly kind: 'save'; readonly slot: number }
  | { readonly kind: 'assert'; readonly what: Assertion }
  | { readonly kind: 'match' }

/** Instructions of one pattern. */
const maxInstructions = 50_000

/** Begin and end of the whole match and of each group as places of codes; -1 where a group has no part. */
export type Match = Int32Array

interface Way {
  readonly place: number
  readonly slots: Match
}

/** A pattern made ready for matching. */
export class Matcher {
  readonly groups: number
  readonly #program: Instruction[] = []

  /** Throws {@link PatternError} where the pattern, its repetitions written out, is too large. */
  constructor({ root, groups }: Pattern) {
    this.groups = groups
    this.#emit({ kind: 'group', node: root, index: 0 })
    this.#push({ kind: 'match' })
  }

  #push(instruction: Instruction): number {
    if (this.#program.length >= maxInstructions) {
      throw new PatternError('pattern too large - compile failed')
    }
    return this.#program.push(instruction) - 1
  }

  #emit(node: PatternNode): void {
    switch (node.kind) {
      case 'set':
        this.#push({ kind: 'set', matches: testOf(node.set) })
        return
      case 'assert':
        this.#push(node)
        return
      case 'sequence':
        for (const one of node.nodes) this.#emit(one)
        return
      case 'group':
        this.#push({ kind: 'save', slot: 2 * node.index })
        this.#emit(node.node)
        this.#push({ kind: 'save', slot: 2 * node.index + 1 })
        return
      case 'choice':
        this.#emitChoice(node.nodes)
        return
      case 'repeat':
        this.#emitRepeat(node)
        return
      default:
        node satisfies never
    }
  }

  #emitChoice(nodes: readonly PatternNode[]): void {
    const exits: number[] = []
    for (const [place, node] of nodes.entries()) {
      if (place === nodes.length - 1) this.#emit(node)
      else {
        const split = this.#pushSplit()
        this.#emit(node)
        exits.push(this.#push({ kind: 'jump', to: 0 }))
        this.#aim(split, split + 1, this.#program.length)
      }
    }
    for (const exit of exits) this.#program[exit] = { kind: 'jump', to: this.#program.length }
  }

  #emitRepeat({ node, least, most, greedy }: Extract<PatternNode, { kind: 'repeat' }>): void {
    for (let count = 0; count < least; count++) this.#emit(node)
    const aim = (split: number, inside: number, outside: number): void => {
      if (greedy) this.#aim(split, inside, outside)
      else this.#aim(split, outside, inside)
    }
    if (most === undefined) {
      const split = this.#pushSplit()
      this.#emit(node)
      this.#push({ kind: 'jump', to: split })
      aim(split, split + 1, this.#program.length)
      return
    }
    const splits: number[] = []
    for (let count = least; count < most; count++) {
      splits.push(this.#pushSplit())
      this.#emit(node)
    }
    for (const split of splits) aim(split, split + 1, this.#program.length)
  }

  #pushSplit(): number {
    return this.#push({ kind: 'split', first: 0, second: 0 })
  }

  #aim(split: number, first: number, second: number): void {
    this.#program[split] = { kind: 'split', first, second }
  }

  /**
   * The leftmost match from code `from` on, of several the one preferred as Perl does; undefined where
   * there is none. `whole`: it must span all codes from there.
   */
  find(codes: Int32Array, from = 0, whole = false): Match | undefined {
    const seen = new Int32Array(this.#program.length).fill(-1)
    let ways: Way[] = []
    let best: Match | undefined
    for (let at = from; at <= codes.length; at++) {
      const mayBegin = best === undefined && (at === from || !whole)
      if (mayBegin) {
        const slots = new Int32Array(2 * (this.groups + 1)).fill(-1)
        this.#follow(ways, 0, slots, codes, at, seen)
      }
      if (ways.length === 0 && !mayBegin) break
      const next: Way[] = []
      for (const { place, slots } of ways) {
        const instruction = this.#program[place]
        if (instruction.kind === 'match') {
          if (whole && at !== codes.length) continue
          best = slots
          break
        }
        if (instruction.kind === 'set' && at < codes.length && instruction.matches(codes[at])) {
          this.#follow(next, place + 1, slots, codes, at + 1, seen)
        }
      }
      ways = next
    }
    return best
  }

  /** Adds the instructions that take a character or end, reached from `start` without taking one. */
  #follow(
    ways: Way[],
    start: number,
    first: Match,
    codes: Int32Array,
    at: number,
    seen: Int32Array,
  ): void {
    const stack: Way[] = [{ place: start, slots: first }]
    for (let way = stack.pop(); way !== undefined; way = stack.pop()) {
      const { place, slots } = way
      if (seen[place] === at) continue
      seen[place] = at
      const instruction = this.#program[place]
      switch (instruction.kind) {
        case 'jump':
          stack.push({ place: instruction.to, slots })
          break
        case 'split':
          stack.push({ place: instruction.second, slots }, { place: instruction.first, slots })
          break
        case 'save': {
          const saved = slots.slice()
          saved[instruction.slot] = at
          stack.push({ place: place + 1, slots: saved })
          break
        }
        case 'assert':
          if (holds(instruction.what, codes, at)) stack.push({ place: place + 1, slots })
          break
        case 'set':
        case 'match':
          ways.push(way)
          break
        default:
          instruction satisfies never
      }
    }
  }
}

const words: CharacterSet['ranges'] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
]

function holds(what: Assertion, codes: Int32Array, at: number): boolean {
  switch (what) {
    case 'text-begin':
      return at === 0
    case 'text-end':
      return at === codes.length
    case 'line-begin':
      return at === 0 || codes[at - 1] === 10
    case 'line-end':
      return at === codes.length || codes[at] === 10
    case 'word':
    case 'not-word': {
      const before = at > 0 && isIn(words, codes[at - 1])
      const after = at < codes.length && isIn(words, codes[at])
      return (before !== after) === (what === 'word')
    }
    default:
      return what satisfies never
  }
}

/** A test of single characters, with a table for ASCII. */
function testOf(set: CharacterSet): (code: number) => boolean {
  const table = Array.from({ length: 128 }, (_, code) => isMember(set, code))
  return (code) => (code < 128 ? table[code] : isMember(set, code))
}
