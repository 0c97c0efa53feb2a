// Which names are names: of containers, collections, labels and models; of variables only how long they
// may be, the rest is TensorFlow's (graph/scopes). It knows nothing of what exists.
import { checkOperationName } from '../graph/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Limits } from './limits.ts'

const containerName = /^[A-Za-z0-9_.\-/]*$/
const plainName = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/
const labelName = /^[A-Za-z0-9_.\-/]+$/

/** Whether `name` can be a variable's. */
export function isVariableName(name: string, limits: Limits): boolean {
  try {
    checkVariableName(name, limits)
    return true
  } catch (error) {
    if (error instanceof Refusal) return false
    throw error
  }
}

/** Refuses (INVALID_ARGUMENT, `name/invalid`) a name that no TensorFlow operation could have, or a long one. */
export function checkVariableName(name: string, limits: Limits): void {
  checkNameLength('variable', name, limits)
  checkOperationName(name)
}

/** Refuses a container name with anything but letters, digits and `_ . - /`. Empty is the default container. */
export function checkContainerName(name: string, limits: Limits): void {
  check('container', name, containerName, limits, 'letters, digits and _ . - /')
}

/** Refuses a model name with anything but letters, digits and `_ . -`. */
export function checkModelName(name: string, limits: Limits): void {
  check('model', name, plainName, limits, 'letters, digits and _ . -')
}

/** Refuses a checkpoint label that could be taken for an id, for `latest`, or for the list of labels. */
export function checkLabel(label: string, limits: Limits): void {
  check('label', label, labelName, limits, 'letters, digits and _ . - /')
  if (/^[0-9]+$/.test(label) || label === 'latest' || label === 'labels') {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'name/invalid',
      `"${label}" cannot be a label: numbers are checkpoint ids, "latest" is always the newest, and "labels" is the list of labels.`,
      { names: { label } },
    )
  }
}

/** Refuses an empty collection name or one that is too long. */
export function checkCollectionName(name: string, limits: Limits): void {
  if (name.length > 0 && name.length <= limits.nameLength) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'name/invalid',
    `A collection's name has 1 to ${limits.nameLength} characters; ${name.length} were given.`,
  )
}

/**
 * The collection that a name means: what TensorFlow's function `global_variables` lists is kept under
 * the key `variables`, and both names mean that here.
 */
export function collectionKey(name: string): string {
  return name === 'global_variables' ? 'variables' : name
}

/** Refuses (INVALID_ARGUMENT, `name/invalid`) a name of more characters than are allowed. */
export function checkNameLength(what: string, name: string, limits: Limits): void {
  if (name.length <= limits.nameLength) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'name/invalid',
    `A ${what}'s name has at most ${limits.nameLength} characters; ${name.length} were given.`,
  )
}

function check(what: string, name: string, pattern: RegExp, limits: Limits, rule: string): void {
  checkNameLength(what, name, limits)
  if (pattern.test(name)) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'name/invalid',
    `${JSON.stringify(name)} cannot be a ${what}'s name: ${rule} are allowed.`,
    { names: { [what]: name } },
  )
}
