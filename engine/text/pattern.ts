// Regular expressions in RE2's language, parsed. Source: github.com/google/re2/wiki/Syntax. No back
// references and no looking around: that is what lets matcher.ts take linear time.

/** Characters that one place of a text may have. */
export interface CharacterSet {
  /** Inclusive ranges of code points. */
  readonly ranges: readonly (readonly [number, number])[]
  /** Tests of other sets, such as Unicode properties; true adds the character. */
  readonly tests: readonly ((code: number) => boolean)[]
  readonly negated: boolean
  /** Whether upper and lower case count as one. */
  readonly folds: boolean
}

export type Assertion = 'text-begin' | 'text-end' | 'line-begin' | 'line-end' | 'word' | 'not-word'

export type PatternNode =
  | { readonly kind: 'set'; readonly set: CharacterSet }
  | { readonly kind: 'sequence'; readonly nodes: readonly PatternNode[] }
  | { readonly kind: 'choice'; readonly nodes: readonly PatternNode[] }
  | {
      readonly kind: 'repeat'
      readonly node: PatternNode
      readonly least: number
      /** Undefined: without end. */
      readonly most: number | undefined
      readonly greedy: boolean
    }
  | { readonly kind: 'group'; readonly node: PatternNode; readonly index: number }
  | { readonly kind: 'assert'; readonly what: Assertion }

/** A parsed pattern. */
export interface Pattern {
  readonly root: PatternNode
  /** Capturing groups. */
  readonly groups: number
}

/** A text that is no pattern. */
export class PatternError extends Error {}

interface Flags {
  readonly fold: boolean
  readonly lines: boolean
  readonly dotAll: boolean
  readonly lazy: boolean
}

/** Repetitions that a pattern may ask for, as in RE2. */
const maxRepeat = 1000

/** Groups within groups. */
const maxDepth = 250

const digits: CharacterSet['ranges'] = [[48, 57]]
const spaces: CharacterSet['ranges'] = [
  [9, 10],
  [12, 13],
  [32, 32],
]
const words: CharacterSet['ranges'] = [
  [48, 57],
  [65, 90],
  [95, 95],
  [97, 122],
]

/** Named classes of ASCII, as in `[[:alpha:]]`. */
const named: Readonly<Record<string, CharacterSet['ranges']>> = {
  alnum: [
    [48, 57],
    [65, 90],
    [97, 122],
  ],
  alpha: [
    [65, 90],
    [97, 122],
  ],
  ascii: [[0, 127]],
  blank: [
    [9, 9],
    [32, 32],
  ],
  cntrl: [
    [0, 31],
    [127, 127],
  ],
  digit: digits,
  graph: [[33, 126]],
  lower: [[97, 122]],
  print: [[32, 126]],
  punct: [
    [33, 47],
    [58, 64],
    [91, 96],
    [123, 126],
  ],
  space: [
    [9, 13],
    [32, 32],
  ],
  upper: [[65, 90]],
  word: words,
  xdigit: [
    [48, 57],
    [65, 70],
    [97, 102],
  ],
}

const escapes: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 }

/** The code is in one of the ranges. */
export function isIn(ranges: CharacterSet['ranges'], code: number): boolean {
  return ranges.some(([low, high]) => code >= low && code <= high)
}

/** Parses a pattern; throws {@link PatternError}. */
export function parsePattern(text: string): Pattern {
  const parser = new PatternParser([...text])
  return parser.pattern()
}

class PatternParser {
  readonly #text: readonly string[]
  #at = 0
  #groups = 0
  #depth = 0

  constructor(text: readonly string[]) {
    this.#text = text
  }

  pattern(): Pattern {
    const flags = { fold: false, lines: false, dotAll: false, lazy: false }
    const root = this.#choice(flags)
    if (this.#at < this.#text.length) throw new PatternError('unexpected ): it closes nothing')
    return { root, groups: this.#groups }
  }

  #peek(text: string): boolean {
    return [...text].every((one, place) => this.#text[this.#at + place] === one)
  }

  #take(text: string): boolean {
    if (!this.#peek(text)) return false
    this.#at += [...text].length
    return true
  }

  #next(what: string): string {
    const one = this.#text[this.#at++]
    if (one === undefined) throw new PatternError(`missing ${what}`)
    return one
  }

  /** Flags set without a group hold to the end of the group that they are in. */
  #choice(flags: Flags): PatternNode {
    const nodes: PatternNode[] = []
    let sequence: PatternNode[] = []
    let current = flags
    for (;;) {
      if (this.#at >= this.#text.length || this.#peek(')')) break
      if (this.#take('|')) {
        nodes.push({ kind: 'sequence', nodes: sequence })
        sequence = []
        continue
      }
      const changed = this.#loneFlags(current)
      if (changed !== undefined) {
        current = changed
        continue
      }
      sequence.push(...this.#repeated(current))
    }
    nodes.push({ kind: 'sequence', nodes: sequence })
    return nodes.length === 1 ? nodes[0] : { kind: 'choice', nodes }
  }

  /** `(?i)` and its kin; undefined where there are none here. */
  #loneFlags(flags: Flags): Flags | undefined {
    if (!this.#peek('(?')) return undefined
    const rest = this.#text.slice(this.#at + 2, this.#at + 16).join('')
    const match = /^([imsU]*(?:-[imsU]+)?)\)/.exec(rest)
    if (match === null) return undefined
    this.#at += 2 + match[0].length
    return this.#flagged(flags, match[1])
  }

  #flagged(flags: Flags, letters: string): Flags {
    if (letters === '') throw new PatternError('missing argument to flags: (?')
    const names = { i: 'fold', m: 'lines', s: 'dotAll', U: 'lazy' } as const
    let on = true
    const changed: Record<keyof Flags, boolean> = { ...flags }
    for (const letter of letters) {
      if (letter === '-') on = false
      else changed[names[letter as keyof typeof names]] = on
    }
    return changed
  }

  /** An atom with the repetition that follows it; of quoted text the last character is repeated. */
  #repeated(flags: Flags): readonly PatternNode[] {
    const nodes = this.#take('\\Q') ? this.#quoted(flags) : [this.#atom(flags)]
    const before = nodes.slice(0, -1)
    let node = nodes[nodes.length - 1] ?? { kind: 'sequence', nodes: [] }
    for (let count = 0; ; count++) {
      const bounds = this.#bounds()
      if (bounds === undefined) return [...before, node]
      if (count > 0) throw new PatternError('bad repetition operator: one follows another')
      const isLazy = this.#take('?')
      node = { kind: 'repeat', node, ...bounds, greedy: isLazy === flags.lazy }
    }
  }

  #quoted(flags: Flags): readonly PatternNode[] {
    const nodes: PatternNode[] = []
    while (this.#at < this.#text.length && !this.#take('\\E')) {
      nodes.push(setNode([codeOf(this.#next('text'))], flags))
    }
    return nodes
  }

  #bounds(): { readonly least: number; readonly most: number | undefined } | undefined {
    if (this.#take('*')) return { least: 0, most: undefined }
    if (this.#take('+')) return { least: 1, most: undefined }
    if (this.#take('?')) return { least: 0, most: 1 }
    if (!this.#peek('{')) return undefined
    const rest = this.#text.slice(this.#at, this.#at + 24).join('')
    const match = /^\{(\d+)(?:(,)(\d*))?\}/.exec(rest)
    // Braces that are no repetition stand for themselves.
    if (match === null) return undefined
    this.#at += match[0].length
    const least = Number(match[1])
    const most = match[2] === undefined ? least : match[3] === '' ? undefined : Number(match[3])
    if (least > maxRepeat || (most ?? 0) > maxRepeat || (most !== undefined && most < least)) {
      throw new PatternError(`invalid repetition size: ${match[0]}`)
    }
    return { least, most }
  }

  #atom(flags: Flags): PatternNode {
    const one = this.#next('text')
    switch (one) {
      case '(':
        return this.#group(flags)
      case '[':
        return this.#class(flags)
      case '.':
        return {
          kind: 'set',
          set: {
            ranges: flags.dotAll
              ? [[0, 0x10ffff]]
              : [
                  [0, 9],
                  [11, 0x10ffff],
                ],
            tests: [],
            negated: false,
            folds: false,
          },
        }
      case '^':
        return { kind: 'assert', what: flags.lines ? 'line-begin' : 'text-begin' }
      case '$':
        return { kind: 'assert', what: flags.lines ? 'line-end' : 'text-end' }
      case '\\':
        return this.#escape(flags)
      case '*':
      case '+':
      case '?':
        throw new PatternError(`no argument for repetition operator: ${one}`)
      default:
        return setNode([codeOf(one)], flags)
    }
  }

  #group(flags: Flags): PatternNode {
    if (++this.#depth > maxDepth) throw new PatternError('groups are nested too deeply')
    let index = 0
    let inner = flags
    if (this.#take('?P<') || this.#take('?<')) {
      let name = ''
      for (let one = this.#next('>'); one !== '>'; one = this.#next('>')) name += one
      if (!/^\w+$/.test(name)) throw new PatternError(`invalid named capture group: ${name}`)
      index = ++this.#groups
    } else if (this.#take('?')) {
      let letters = ''
      for (let one = this.#next(')'); one !== ':'; one = this.#next(')')) letters += one
      if (!/^([imsU]*(-[imsU]+)?)$/.test(letters)) {
        throw new PatternError(`invalid perl operator: (?${letters}`)
      }
      if (letters !== '') inner = this.#flagged(flags, letters)
    } else index = ++this.#groups
    const node = this.#choice(inner)
    if (!this.#take(')')) throw new PatternError('missing ): a group is not closed')
    this.#depth--
    return index === 0 ? node : { kind: 'group', node, index }
  }

  #escape(flags: Flags): PatternNode {
    const one = this.#text[this.#at]
    const asserted = ({ A: 'text-begin', z: 'text-end', b: 'word', B: 'not-word' } as const)[
      one as 'A'
    ]
    if (asserted !== undefined) {
      this.#at++
      return { kind: 'assert', what: asserted }
    }
    const known = this.#escapedSet()
    if (known !== undefined) return { kind: 'set', set: { ...known, folds: flags.fold } }
    return setNode([this.#escapedCode()], flags)
  }

  /** `\d` and its kin, and Unicode properties; undefined where none is here. */
  #escapedSet(): CharacterSet | undefined {
    const one = this.#text[this.#at]
    const ranges = { d: digits, s: spaces, w: words }[(one ?? '').toLowerCase()]
    if (ranges !== undefined) {
      this.#at++
      return { ranges, tests: [], negated: one !== one.toLowerCase(), folds: false }
    }
    if (one !== 'p' && one !== 'P') return undefined
    this.#at++
    let name = this.#next('the name of a property')
    if (name === '{') {
      name = ''
      for (let next = this.#next('}'); next !== '}'; next = this.#next('}')) name += next
    }
    const isOther = name.startsWith('^')
    const test = propertyTest(isOther ? name.slice(1) : name)
    return { ranges: [], tests: [test], negated: (one === 'P') !== isOther, folds: false }
  }

  /** What one escaped character stands for; the backslash has been read. */
  #escapedCode(): number {
    const one = this.#next('a character after \\')
    if (Object.hasOwn(escapes, one)) return escapes[one]
    if (one === 'x') return this.#hexadecimal()
    const rest = this.#text.slice(this.#at, this.#at + 2).join('')
    if (one >= '0' && one <= '7') {
      const more = /^[0-7]{0,2}/.exec(rest)?.[0] ?? ''
      if (one !== '0' && more === '') throw new PatternError(`invalid escape sequence: \\${one}`)
      this.#at += more.length
      return Number.parseInt(one + more, 8)
    }
    if (/^[\w]$/.test(one)) throw new PatternError(`invalid escape sequence: \\${one}`)
    return codeOf(one)
  }

  #hexadecimal(): number {
    const rest = this.#text.slice(this.#at, this.#at + 12).join('')
    const match = /^(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,8})\})/.exec(rest)
    const code = match === null ? Number.NaN : Number.parseInt(match[1] ?? match[2], 16)
    if (!(code <= 0x10ffff)) throw new PatternError('invalid escape sequence: \\x')
    this.#at += (match as RegExpExecArray)[0].length
    return code
  }

  #class(flags: Flags): PatternNode {
    const negated = this.#take('^')
    const ranges: (readonly [number, number])[] = []
    const tests: ((code: number) => boolean)[] = []
    for (let isFirst = true; isFirst || !this.#peek(']'); isFirst = false) {
      const set = this.#classSet()
      if (set !== undefined) {
        if (!set.negated && set.tests.length === 0) ranges.push(...set.ranges)
        else tests.push((code) => isMember(set, code))
        continue
      }
      const low = this.#classCode()
      let high = low
      if (this.#peek('-') && this.#text[this.#at + 1] !== ']') {
        this.#at++
        high = this.#classCode()
      }
      if (high < low) throw new PatternError('invalid character class range')
      ranges.push([low, high])
    }
    this.#at++
    return { kind: 'set', set: { ranges, tests, negated, folds: flags.fold } }
  }

  #classSet(): CharacterSet | undefined {
    if (this.#peek('[:')) {
      const rest = this.#text.slice(this.#at, this.#at + 16).join('')
      const match = /^\[:(\^?)(\w+):\]/.exec(rest)
      if (match !== null) {
        if (!Object.hasOwn(named, match[2])) {
          throw new PatternError(`invalid character class range: ${match[0]}`)
        }
        this.#at += match[0].length
        return { ranges: named[match[2]], tests: [], negated: match[1] === '^', folds: false }
      }
    }
    if (!this.#peek('\\')) return undefined
    this.#at++
    const set = this.#escapedSet()
    if (set === undefined) this.#at--
    return set
  }

  #classCode(): number {
    const one = this.#next(']: a class is not closed')
    return one === '\\' ? this.#escapedCode() : codeOf(one)
  }
}

function codeOf(one: string): number {
  return one.codePointAt(0) as number
}

function setNode(codes: readonly number[], { fold }: Flags): PatternNode {
  const ranges = codes.map((code): readonly [number, number] => [code, code])
  return { kind: 'set', set: { ranges, tests: [], negated: false, folds: fold } }
}

/** Whether a character has a Unicode property: a general category or a script. */
function propertyTest(name: string): (code: number) => boolean {
  if (name === 'Any') return () => true
  for (const property of [name, `Script=${name}`]) {
    if (!/^(?:Script=)?[A-Za-z_]+$/.test(property)) continue
    try {
      const expression = new RegExp(`^\\p{${property}}$`, 'u')
      return (code) => code <= 0x10ffff && expression.test(String.fromCodePoint(code))
    } catch {
      // Not a property of that name.
    }
  }
  throw new PatternError(`invalid character class range: \\p{${name}}`)
}

/** Whether the set has the code; codes beyond Unicode are in none. */
export function isMember(set: CharacterSet, code: number): boolean {
  if (code > 0x10ffff) return false
  const has = (one: number): boolean => isIn(set.ranges, one) || set.tests.some((test) => test(one))
  if (!set.folds) return has(code) !== set.negated
  const text = String.fromCodePoint(code)
  const variants = [code, ...[text.toLowerCase(), text.toUpperCase()].flatMap(oneCode)]
  return variants.some(has) !== set.negated
}

function oneCode(text: string): readonly number[] {
  const codes = [...text]
  return codes.length === 1 ? [codeOf(codes[0])] : []
}
