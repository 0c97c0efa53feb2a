// Einsum: products over named axes, summed over the names that the result does not have.
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { isKernelType } from './common.ts'
import { contractComplex } from './complex-products.ts'
import { contractionOf } from './contraction.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { productAccumulator } from './linalg.ts'

const einsum = defineOp({
  name: 'Einsum',
  inputs: ['inputs: N * T'],
  outputs: ['output: T'],
  attributes: ['equation: string', 'N: int >= 1', 'T: type'],
  lower: (at) => {
    const inputs = at.inputs('inputs')
    const of = contractionOf(
      at.attributes.text('equation'),
      inputs.map((input) => input.shape),
    )
    const sizeOf = (name: string): number => of.sizes.get(name) as number
    const shape = of.output.map(sizeOf)
    const { dtype } = inputs[0]
    if (!isKernelType(dtype)) return [contractComplex(at, inputs, of)]
    const accumulator = productAccumulator(dtype)
    /** The product at places of names; each operand read where its names say. */
    const product = (
      b: Builder,
      read: (input: number, positions: readonly Expression[]) => Expression,
      place: ReadonlyMap<string, Expression>,
    ): Expression =>
      of.operands
        .map((names, input) => {
          const positions = names.map((name, axis) =>
            inputs[input].shape[axis] === 1 ? b.index(0) : (place.get(name) as Expression),
          )
          return b.cast(read(input, positions), accumulator)
        })
        .reduce((x, y) => b.mul(x, y))
    const firstOf = (axes: readonly Expression[]): Map<string, Expression> =>
      new Map(of.output.map((name) => [name, axes[of.output.indexOf(name)]]))
    /** A name twice in the result: nothing is off its diagonal. */
    const onDiagonal = (b: Builder, axes: readonly Expression[], value: Expression): Expression => {
      const same = of.output
        .map((name, axis) => [axes[of.output.indexOf(name)], axes[axis]])
        .filter(([x, y]) => x !== y)
        .map(([x, y]) => b.equal(x, y))
      return same.length === 0 ? value : b.select(b.and(...same), value, 0)
    }
    if (of.summed.length === 0) {
      return [
        at.compute({
          shape,
          dtype,
          inputs,
          body: ({ b, axes, read }) =>
            onDiagonal(b, axes, b.cast(product(b, read, firstOf(axes)), dtype)),
        }),
      ]
    }
    return [
      at.compute({
        shape,
        dtype,
        inputs,
        reduce: {
          extents: of.summed.map(sizeOf),
          combine: 'sum',
          dtype: accumulator,
          body: ({ b, axes, reduced, read }) => {
            const place = firstOf(axes)
            for (const [axis, name] of of.summed.entries()) place.set(name, reduced[axis])
            return product(b, read, place)
          },
        },
        body: ({ b, axes, total }) => onDiagonal(b, axes, b.cast(total, dtype)),
      }),
    ]
  },
})

/** Contractions. */
export const einsumOps: readonly OpDefinition[] = [einsum]
