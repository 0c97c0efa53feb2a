// The kernels of a patch. One puts values in; the other exchanges them with what is there, so that
// run again it takes them out again. Both touch nothing but the elements that they replace.
import { elementCountOf, sameShape } from '../../tensor/index.ts'
import { expressionBuilder, type Kernel } from '../ir/index.ts'
import { Builder, type Patch, type Source, type TensorValue, type Variable } from '../ops/index.ts'

/** Where values come from that have still to be computed or brought. */
export function sourcesOf(values: readonly TensorValue[]): readonly Source[] {
  return values.flatMap((value) => (value.kind === 'array' ? [value.source] : []))
}

/** Everything that a patch reads. */
export function inputsOf({ base, values, places }: Patch): readonly TensorValue[] {
  return [base, values, ...places]
}

/**
 * A kernel on the buffer of a patch's base, the places, and the values. `put`: the values go into the
 * buffer. `exchange`: and what was there goes to where the values were.
 */
export function patchKernel(patch: Patch, form: 'put' | 'exchange'): Kernel {
  const { values, places, dtype, shape } = patch
  const builder = new Builder(expressionBuilder())
  const { build } = builder
  const axes = values.shape.map((extent, axis) => build.loop(axis, extent))
  const index = patch.index({
    b: builder,
    axes,
    read: (input, positions, guard) => {
      const { dtype: placeType, shape: placeShape } = places[input]
      if (placeType !== 'int32') throw new Error('places are int32')
      return build.load(placeType, 1 + input, builder.flatten(positions, placeShape), guard)
    },
  })
  const own = 1 + places.length
  const from = builder.flatten(axes, values.shape)
  const target = { dtype, elementCount: elementCountOf(shape) }
  const source = { dtype, elementCount: elementCountOf(values.shape) }
  const isSomewhere = builder.greaterEqual(index, 0)
  const putIn = { output: 0, index, value: build.load(dtype, own, from) }
  const takenOut = { output: 1, index: from, value: build.load(dtype, 0, index, isSomewhere) }
  return {
    inputs: [
      target,
      ...places.map((place) => ({
        dtype: 'int32' as const,
        elementCount: elementCountOf(place.shape),
      })),
      source,
    ],
    outputs: [
      { ...target, inPlaceOf: 0 },
      ...(form === 'put' ? [] : [{ ...source, inPlaceOf: own }]),
    ],
    loops: values.shape,
    reduced: [],
    reductions: [],
    stores: form === 'put' ? [putIn] : [putIn, takenOut],
    checks: [],
  }
}

/**
 * The patches, first to last, by which a value of a variable differs from the one that the variable
 * had when the run started; undefined where it is made otherwise.
 */
export function patchesSince(variable: Variable, value: TensorValue): readonly Patch[] | undefined {
  const patches: Patch[] = []
  let at = value
  while (at.kind === 'array' && at.source.kind === 'patch') {
    patches.unshift(at.source)
    at = at.source.base
  }
  if (patches.length === 0 || at.kind !== 'array' || at.source.kind !== 'variable') return undefined
  const { variable: origin, shape } = at.source
  const isOwn = origin.name === variable.name && origin.container === variable.container
  return isOwn && sameShape(shape, value.shape) ? patches : undefined
}
