// Diagonals and bands of matrices: where an element of a matrix lies in a tensor of its diagonals, and back.
import { formatShape, type Shape } from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { moved } from './movement.ts'
import { integerOf, integersOf, invalid } from './shapes.ts'
import type { TensorValue } from './value.ts'

/** Some neighbouring diagonals of a `rows` x `columns` matrix, the uppermost first. 0 is the main one. */
interface Diagonals {
  readonly lower: number
  readonly upper: number
  readonly rows: number
  readonly columns: number
  /** Elements of the longest; shorter ones are padded to it. */
  readonly longest: number
  /** Whether shorter diagonals above and below the main one begin at the left. */
  readonly leftAbove: boolean
  readonly leftBelow: boolean
}

function longestOf(lower: number, upper: number, rows: number, columns: number): number {
  return Math.min(rows + Math.min(upper, 0), columns - Math.max(lower, 0))
}

/** Lowest and highest diagonal that the input `k` says; both 0 where the op has no such input. */
function rangeOf(at: Lowering, hasRange: boolean): readonly [number, number] {
  if (!hasRange) return [0, 0]
  const k = at.input('k')
  const all = integersOf(at.contentOf(k))
  if (k.shape.length > 1) {
    throw invalid(
      'shape/mismatch',
      `diag_index must be a scalar or vector, received shape: ${formatShape(k.shape)}`,
    )
  }
  if (all.length !== 1 && all.length !== 2) {
    throw invalid(
      'shape/mismatch',
      `diag_index must have only one or two elements, received ${all.length} elements.`,
    )
  }
  const [lower, upper = lower] = all
  if (lower > upper) {
    throw invalid(
      'shape/invalid',
      `lower_diag_index must not be larger than upper_diag_index: ${lower} > ${upper}`,
    )
  }
  return [lower, upper]
}

/** How V3 aligns by its attribute; before it everything began at the left. */
function alignmentOf(at: Lowering, version: number): Pick<Diagonals, 'leftAbove' | 'leftBelow'> {
  const text = version === 3 ? at.attributes.text('align') : 'LEFT_LEFT'
  const [above, below] = text.split('_')
  return { leftAbove: above === 'LEFT', leftBelow: below === 'LEFT' }
}

/** The diagonals of an input matrix; refuses those that lie outside of it. */
function diagonalsIn(at: Lowering, matrix: Shape, version: number): Diagonals {
  if (matrix.length < 2) {
    throw invalid(
      'shape/mismatch',
      `input must be at least 2-dim, received shape: ${formatShape(matrix)}`,
    )
  }
  const [rows, columns] = matrix.slice(-2)
  const [lower, upper] = rangeOf(at, version > 1)
  for (const [name, index] of [
    ['lower_diag_index', lower],
    ['upper_diag_index', upper],
  ] as const) {
    if (index !== 0 && (index <= -rows || index >= columns)) {
      throw invalid(
        'shape/invalid',
        `${name} is out of bound: ${index} It must be between ${-rows} and ${columns}`,
      )
    }
  }
  const longest = longestOf(lower, upper, rows, columns)
  return { lower, upper, rows, columns, longest, ...alignmentOf(at, version) }
}

/** How far right the diagonal `which` is moved in its row of the diagonals. */
function offsetOf(b: Builder, of: Diagonals, which: Expression): Expression {
  if (of.lower === of.upper) return b.index(0)
  const length = b.min(b.add(b.min(which, 0), of.rows), b.sub(b.index(of.columns), b.max(which, 0)))
  const right = b.sub(b.index(of.longest), length)
  const above = b.and(b.greaterEqual(which, 0), b.constant('bool', of.leftAbove))
  const below = b.and(b.lessEqual(which, 0), b.constant('bool', of.leftBelow))
  return b.select(b.or(above, below), 0, right)
}

/** Whether an element of a matrix is on the diagonals, and where in them. */
function placeOf(
  b: Builder,
  of: Diagonals,
  row: Expression,
  column: Expression,
): { readonly positions: readonly Expression[]; readonly guard: Expression } {
  const which = b.sub(column, row)
  const guard = b.and(b.greaterEqual(which, of.lower), b.lessEqual(which, of.upper))
  const along = b.add(b.sub(column, b.max(which, 0)), offsetOf(b, of, which))
  const positions = of.lower === of.upper ? [along] : [b.sub(b.index(of.upper), which), along]
  return { positions, guard }
}

const versions = [1, 2, 3] as const

const suffixOf = (version: number): string => (version === 1 ? '' : `V${version}`)

const alignAttribute = (version: number): string[] =>
  version === 3
    ? ["align: {'LEFT_RIGHT', 'RIGHT_LEFT', 'LEFT_LEFT', 'RIGHT_RIGHT'} = 'RIGHT_LEFT'"]
    : []

const matrixDiagPart = (version: 1 | 2 | 3): OpDefinition =>
  defineOp({
    name: `MatrixDiagPart${suffixOf(version)}`,
    inputs: version === 1 ? ['input: T'] : ['input: T', 'k: int32', 'padding_value: T'],
    outputs: ['diagonal: T'],
    attributes: ['T: type', ...alignAttribute(version)],
    lower: (at) => {
      const input = at.input('input')
      const of = diagonalsIn(at, input.shape, version)
      const batch = input.shape.slice(0, -2)
      const count = of.upper - of.lower + 1
      const shape = [...batch, ...(count === 1 ? [] : [count]), of.longest]
      const fill = version === 1 ? undefined : scalarOnly(at.input('padding_value'))
      const picked = (b: Builder, axes: readonly Expression[]): ReturnType<typeof placeOf> => {
        const along = axes[axes.length - 1]
        const which = count === 1 ? b.index(of.upper) : b.sub(b.index(of.upper), axes[batch.length])
        const place = b.sub(along, offsetOf(b, of, which))
        const row = b.add(place, b.max(b.sub(b.index(0), which), 0))
        const column = b.add(place, b.max(which, 0))
        const guard = b.and(
          b.greaterEqual(place, 0),
          b.less(row, of.rows),
          b.less(column, of.columns),
        )
        return { positions: [...axes.slice(0, batch.length), row, column], guard }
      }
      return [moved(at, input, shape, picked, fill)]
    },
  })

function scalarOnly(value: TensorValue): TensorValue {
  if (value.shape.length === 0) return value
  throw invalid(
    'shape/mismatch',
    `padding_value must be a scalar, received shape: ${formatShape(value.shape)}`,
  )
}

/** Number of rows and columns of the matrix that diagonals make; sizes that are not given are as small as they can. */
function sizesOf(
  at: Lowering,
  version: number,
  lower: number,
  upper: number,
  longest: number,
): readonly [number, number] {
  const leastRows = longest - Math.min(upper, 0)
  const leastColumns = longest + Math.max(lower, 0)
  const wanted = (name: string): number =>
    version === 1 ? -1 : integerOf(at.contentOf(at.input(name)), name)
  let [rows, columns] = [wanted('num_rows'), wanted('num_cols')]
  if (rows !== -1 && rows < leastRows)
    throw invalid('shape/invalid', 'The number of rows is too small.')
  if (columns !== -1 && columns < leastColumns) {
    throw invalid('shape/invalid', 'The number of columns is too small.')
  }
  if (rows === -1 && columns === -1) {
    rows = Math.max(leastRows, leastColumns)
    columns = rows
  } else if (rows === -1) rows = leastRows
  else if (columns === -1) columns = leastColumns
  if (rows !== leastRows && columns !== leastColumns) {
    throw invalid(
      'shape/invalid',
      'The number of rows or columns is not consistent with the specified d_lower, d_upper, and diagonal.',
    )
  }
  return [rows, columns]
}

const matrixDiag = (version: 1 | 2 | 3): OpDefinition =>
  defineOp({
    name: `MatrixDiag${suffixOf(version)}`,
    inputs:
      version === 1
        ? ['diagonal: T']
        : ['diagonal: T', 'k: int32', 'num_rows: int32', 'num_cols: int32', 'padding_value: T'],
    outputs: ['output: T'],
    attributes: ['T: type', ...alignAttribute(version)],
    lower: (at) => {
      const diagonal = at.input('diagonal')
      const [lower, upper] = rangeOf(at, version > 1)
      const count = upper - lower + 1
      const { shape } = diagonal
      if (shape.length < (count === 1 ? 1 : 2)) {
        throw invalid(
          'shape/mismatch',
          `diagonal must be at least ${count === 1 ? 1 : 2}-dim, received shape: ${formatShape(shape)}`,
        )
      }
      const batch = shape.slice(0, count === 1 ? -1 : -2)
      if (count > 1 && shape[batch.length] !== count) {
        throw invalid(
          'shape/mismatch',
          'The number of diagonals provided in the input does not match the lower_diag_index and upper_diag_index range.',
        )
      }
      const longest = shape[shape.length - 1]
      const [rows, columns] = sizesOf(at, version, lower, upper, longest)
      const of = { lower, upper, rows, columns, longest, ...alignmentOf(at, version) }
      const fill = version === 1 ? undefined : scalarOnly(at.input('padding_value'))
      return [
        moved(
          at,
          diagonal,
          [...batch, rows, columns],
          (b, axes) => {
            const [row, column] = axes.slice(-2)
            const { positions, guard } = placeOf(b, of, row, column)
            return { positions: [...axes.slice(0, batch.length), ...positions], guard }
          },
          fill,
        ),
      ]
    },
  })

const matrixSetDiag = (version: 1 | 2 | 3): OpDefinition =>
  defineOp({
    name: `MatrixSetDiag${suffixOf(version)}`,
    inputs: ['input: T', 'diagonal: T', ...(version === 1 ? [] : ['k: int32'])],
    outputs: ['output: T'],
    attributes: ['T: type', ...alignAttribute(version)],
    lower: (at) => {
      const [input, diagonal] = [at.input('input'), at.input('diagonal')]
      const of = diagonalsIn(at, input.shape, version)
      const batch = input.shape.slice(0, -2)
      const count = of.upper - of.lower + 1
      const wanted = [...batch, ...(count === 1 ? [] : [count]), of.longest]
      if (formatShape(wanted) !== formatShape(diagonal.shape)) {
        throw invalid(
          'shape/mismatch',
          `Diagonals of shape ${formatShape(wanted)} are wanted, not ${formatShape(diagonal.shape)}`,
        )
      }
      return [
        at.compute({
          shape: input.shape,
          dtype: scalarType(input.dtype),
          inputs: [input, diagonal],
          body: ({ b, axes, read }) => {
            const [row, column] = axes.slice(-2)
            const { positions, guard } = placeOf(b, of, row, column)
            const own = read(1, [...axes.slice(0, batch.length), ...positions], guard)
            return b.select(guard, own, read(0, axes))
          },
        }),
      ]
    },
  })

const matrixBandPart = defineOp({
  name: 'MatrixBandPart',
  inputs: ['input: T', 'num_lower: Tindex', 'num_upper: Tindex'],
  outputs: ['band: T'],
  attributes: ['T: type', 'Tindex: {int32, int64} = int64'],
  infer: (shapes) => [shapes[0]],
  lower: (at) => {
    const input = at.input('input')
    const { shape } = input
    if (shape.length < 2) {
      throw invalid(
        'shape/mismatch',
        `input must be at least 2-dim, received shape: ${formatShape(shape)}`,
      )
    }
    const [rows, columns] = shape.slice(-2)
    const limit = (name: 'num_lower' | 'num_upper', size: number, what: string): number => {
      const count = integerOf(at.contentOf(at.input(name)), name)
      if (count <= size) return count < 0 ? size : count
      throw invalid(
        'shape/invalid',
        `${name} must be negative or less or equal to number of ${what} (${size}) got: ${count}`,
      )
    }
    const lower = limit('num_lower', rows, 'rows')
    const upper = limit('num_upper', columns, 'columns')
    return [
      moved(at, input, shape, (b, axes) => {
        const [row, column] = axes.slice(-2)
        const which = b.sub(column, row)
        const guard = b.and(b.greaterEqual(which, -lower), b.lessEqual(which, upper))
        return { positions: axes, guard }
      }),
    ]
  },
})

/** Bands and diagonals. */
export const diagonalOps: readonly OpDefinition[] = [
  matrixBandPart,
  ...versions.map(matrixDiag),
  ...versions.map(matrixDiagPart),
  ...versions.map(matrixSetDiag),
]
