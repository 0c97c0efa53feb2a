// Equations of named axes (`bij,bjk->bik`): what they say about shapes.
import { formatShape, type Refusal, type Shape } from '../../tensor/index.ts'
import { invalid } from './shapes.ts'

/** An equation on shapes: names of the axes of each operand and of the result, and their sizes. */
export interface Contraction {
  readonly operands: readonly (readonly string[])[]
  readonly output: readonly string[]
  /** Names that are summed over. */
  readonly summed: readonly string[]
  readonly sizes: ReadonlyMap<string, number>
}

function wrong(message: string): Refusal {
  return invalid('op/equation', message)
}

/** Names of a subscript's axes; broadcast ones are numbered from the right: `...1`, `...0`. */
function namesOf(subscript: string, rank: number | undefined): string[] {
  const [before, after, more] = subscript.split('...')
  if (more !== undefined || /[^a-zA-Z]/.test(before + (after ?? ''))) {
    throw wrong(`Invalid character in the subscript '${subscript}' of an einsum equation`)
  }
  if (after === undefined) return [...before]
  const broadcast = (rank ?? 0) - before.length - after.length
  const middle = Array.from(
    { length: Math.max(broadcast, 0) },
    (_, place) => `...${broadcast - 1 - place}`,
  )
  return [...before, ...middle, ...after]
}

/** The equation on these shapes; refuses what it does not fit. */
export function contractionOf(equation: string, shapes: readonly Shape[]): Contraction {
  const text = equation.replaceAll(' ', '')
  const sides = text.split('->')
  if (sides.length !== 2) {
    throw wrong(`Expecting exactly one '->' in einsum equation: ${equation}`)
  }
  const subscripts = sides[0].split(',')
  if (subscripts.length !== shapes.length) {
    throw wrong(
      `Expecting ${subscripts.length} operands for einsum equation ${equation}, not ${shapes.length}`,
    )
  }
  const sizes = new Map<string, number>()
  let broadcast = 0
  const operands = subscripts.map((subscript, place) => {
    const shape = shapes[place]
    const names = namesOf(subscript, shape.length)
    if (names.length !== shape.length) {
      throw wrong(
        `Expecting operand ${place} of einsum equation ${equation} to have rank ${names.length}, but its shape is ${formatShape(shape)}`,
      )
    }
    for (const [axis, name] of names.entries()) {
      const size = shape[axis]
      const former = sizes.get(name)
      const mayStretch = name.startsWith('...')
      if (mayStretch) broadcast = Math.max(broadcast, Number(name.slice(3)) + 1)
      if (former === undefined || (mayStretch && former === 1)) sizes.set(name, size)
      else if (former !== size && !(mayStretch && size === 1)) {
        throw wrong(
          `Expected dimension ${former} at axis ${axis} of the input shaped ${formatShape(shape)} but got dimension ${size}`,
        )
      }
    }
    return names
  })
  const letters = sides[1].replace('...', '').length
  const output = namesOf(sides[1], letters + broadcast)
  const strange = output.find((name) => !sizes.has(name))
  if (strange !== undefined) {
    throw wrong(`Einsum output label '${strange}' does not appear in any input`)
  }
  if (broadcast > 0 && !sides[1].includes('...')) {
    throw wrong('Output subscripts contain no ellipsis although an input has broadcast dimensions')
  }
  const summed = [...sizes.keys()].filter((name) => !output.includes(name))
  return { operands, output, summed, sizes }
}
