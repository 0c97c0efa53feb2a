// Rules that say into which variables stored tensors go: by the beginning of a name, or by a pattern. It knows
// names alone; what is stored and what is there is restore-sources.ts's and restore.ts's.
import { type Pattern, patternOf } from '../graph/index.ts'
import { Refusal } from '../tensor/index.ts'

/** A rule: either `from` or `pattern`. The first rule that fits a stored name decides. */
export interface RestoreRule {
  /** Names that begin so: the rest of the name follows each of `to`. */
  readonly from?: string | undefined
  /** A regular expression for whole names; `$1` to `$9` in `to` are what its groups took, `$0` is all. */
  readonly pattern?: string | undefined
  /** Names of variables; none: the tensor goes nowhere. */
  readonly to: readonly string[]
}

/** The variables that a stored name goes to; undefined where no rule fits. */
export type AppliedRules = (name: string) => readonly string[] | undefined

/** A piece of a name to be: text, or what a group took. */
type Piece = string | number

/**
 * Reads rules. Refuses (INVALID_ARGUMENT `checkpoint/rule`) a rule with both or neither of `from` and
 * `pattern`, what is no pattern, and a group in `to` that the pattern does not have.
 */
export function rulesOf(rules: readonly RestoreRule[]): AppliedRules {
  const read = rules.map((rule, index) => ruleOf(rule, `Rule ${index}`))
  return (name) => {
    for (const rule of read) {
      const targets = rule(name)
      if (targets !== undefined) return targets
    }
    return undefined
  }
}

function ruleOf({ from, pattern, to }: RestoreRule, place: string): AppliedRules {
  if (from !== undefined && pattern === undefined) {
    return (name) =>
      name.startsWith(from) ? to.map((target) => target + name.slice(from.length)) : undefined
  }
  if (pattern === undefined || from !== undefined) {
    throw wrongRule(
      from === undefined
        ? `${place} has neither from nor pattern.`
        : `${place} has from and pattern; it takes one of them.`,
    )
  }
  const read = patternOf(pattern, {
    reason: 'checkpoint/rule',
    purpose: `in rule ${place.slice(5)} is no pattern for names`,
    fix: "Give a regular expression for whole names, without look-around and back references, or a prefix as 'from'.",
  })
  const texts = to.map((target) => piecesOf(target, read, place))
  return (name) => {
    const groups = read.whole(name)
    if (groups === undefined) return undefined
    const textOf = (piece: Piece) => (typeof piece === 'string' ? piece : (groups[piece] ?? ''))
    return texts.map((pieces) => pieces.map(textOf).join(''))
  }
}

/** `$2` is what the second group took, `$$` a dollar; any other dollar stands for itself. */
function piecesOf(target: string, { groupCount }: Pattern, place: string): readonly Piece[] {
  return target.split(/(\$[0-9$])/).map((piece) => {
    if (piece === '$$') return '$'
    if (!/^\$[0-9]$/.test(piece)) return piece
    const group = Number(piece[1])
    if (group <= groupCount) return group
    throw wrongRule(
      `${place} says ${piece}, but its pattern has ${groupCount} group${groupCount === 1 ? '' : 's'}.`,
    )
  })
}

function wrongRule(sentence: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'checkpoint/rule', sentence, {
    fix: 'A rule is {"from": "old/", "to": "new/"} or {"pattern": "(.*)/w", "to": "$1/weights"}.',
  })
}
