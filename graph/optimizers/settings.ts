// What a caller says of an optimizer, read against its rule: numbers or names of tensors, and flags.
import { Refusal } from '../../tensor/index.ts'
import { type OptimizerRule, optimizerKinds, ruleOf } from './rules.ts'

/** An optimizer as a caller describes it: `kind`, hyperparameters and flags by TensorFlow's names. */
export interface OptimizerSettings {
  readonly kind: string
  readonly [setting: string]: unknown
}

/** An optimizer ready to write: a number or the name of a tensor for each hyperparameter. */
export interface ReadSettings {
  readonly rule: OptimizerRule
  readonly values: ReadonlyMap<string, number | string>
  readonly flags: ReadonlyMap<string, boolean>
}

function refuse(word: string, message: string, fix?: string): Refusal {
  const extras = fix === undefined ? {} : { fix }
  return new Refusal('INVALID_ARGUMENT', `optimizer/${word}`, message, extras)
}

/**
 * Reads the settings. Refuses (INVALID_ARGUMENT, `optimizer/..`) unknown kinds and settings, what is missing,
 * and values of another kind or out of range.
 */
export function readSettings(settings: OptimizerSettings): ReadSettings {
  const { kind } = settings
  const isCentered = flagOf(settings, 'centered')
  const shrink = settings.l2_shrinkage_regularization_strength
  const rule = ruleOf(kind, { centered: isCentered, shrinks: shrink !== undefined && shrink !== 0 })
  if (rule === undefined) {
    throw refuse(
      'unknown',
      `There is no optimizer "${kind}"; there are ${optimizerKinds.join(', ')}.`,
    )
  }
  const extra = kind === 'RMSProp' ? ['centered'] : []
  const zero = kind === 'Ftrl' ? ['l2_shrinkage_regularization_strength'] : []
  const flagNames = [...(rule.flags ?? []), ...extra]
  const names = rule.hyperparameters.map(({ name }) => name)
  const known = new Set(['kind', ...names, ...flagNames, ...zero])
  const strange = Object.keys(settings).find((name) => !known.has(name))
  if (strange !== undefined) {
    throw refuse(
      'setting',
      `${kind} has no setting "${strange}"; it has ${[...known].filter((name) => name !== 'kind').join(', ')}.`,
    )
  }
  const values = new Map(
    rule.hyperparameters.map((one): [string, number | string] => {
      const value = settings[one.name] ?? one.fallback
      if (value === undefined) {
        throw refuse('setting', `${kind} needs "${one.name}".`, `Give "${one.name}" as a number.`)
      }
      return [one.name, checked(kind, one, value)]
    }),
  )
  const flags = new Map((rule.flags ?? []).map((name) => [name, flagOf(settings, name)]))
  return { rule, values, flags }
}

function checked(
  kind: string,
  { name, minimum, maximum }: { name: string; minimum?: number; maximum?: number },
  value: unknown,
): number | string {
  if (typeof value === 'string' && !name.startsWith('initial_')) return value
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw refuse('setting', `"${name}" of ${kind} must be a number, not ${JSON.stringify(value)}.`)
  }
  if (minimum !== undefined && value < minimum) {
    throw refuse('setting', `"${name}" of ${kind} must be at least ${minimum}, not ${value}.`)
  }
  if (maximum !== undefined && value > maximum) {
    throw refuse('setting', `"${name}" of ${kind} must be at most ${maximum}, not ${value}.`)
  }
  return value
}

function flagOf(settings: OptimizerSettings, name: string): boolean {
  const value = settings[name] ?? false
  if (typeof value === 'boolean') return value
  throw refuse('setting', `"${name}" must be true or false, not ${JSON.stringify(value)}.`)
}
