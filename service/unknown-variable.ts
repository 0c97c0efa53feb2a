// What is said of a name that stands for no variable.
import { Refusal } from '../tensor/index.ts'

/** NOT_FOUND `variable/unknown`. */
export function unknownVariable(container: string, name: string): Refusal {
  const place = container === '' ? '' : ` in container ${container}`
  return new Refusal('NOT_FOUND', 'variable/unknown', `There is no variable ${name}${place}.`, {
    fix: 'Create it with POST /v1/variables, or list what is there with GET /v1/variables.',
    names: { variable: name, container },
  })
}
