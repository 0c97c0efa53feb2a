// Sequences of numbers, and permutations.
import { type DType, tensorOfElements } from '../../tensor/index.ts'
import { scalarType } from './common.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { integerOf, integersOf, invalid } from './shapes.ts'

const range = defineOp({
  name: 'Range',
  inputs: ['start: Tidx', 'limit: Tidx', 'delta: Tidx'],
  outputs: ['output: Tidx'],
  attributes: [
    'Tidx: {bfloat16, half, float, double, int8, int16, int32, int64, uint16, uint32, uint64} = int32',
  ],
  lower: (at) => {
    const dtype = scalarType(at.attributes.type('Tidx'))
    const [start, limit, delta] = ['start', 'limit', 'delta'].map((name) => {
      const content = at.contentOf(at.input(name))
      return { content, number: integerOf(content, name) }
    })
    if (delta.number === 0) throw invalid('shape/invalid', 'Requires delta != 0: 0')
    if (delta.number > 0 ? start.number > limit.number : start.number < limit.number) {
      throw invalid(
        'shape/invalid',
        `Requires start ${delta.number > 0 ? '<=' : '>='} limit when delta ${delta.number > 0 ? '>' : '<'} 0: ${start.number}/${limit.number}`,
      )
    }
    const count = Math.max(Math.ceil((limit.number - start.number) / delta.number), 0)
    const [first, step] = [at.known(start.content), at.known(delta.content)]
    return [
      at.compute({
        shape: [count],
        dtype,
        inputs: [first, step],
        body: ({ b, axes, read }) => b.add(read(0, []), b.mul(b.cast(axes[0], dtype), read(1, []))),
      }),
    ]
  },
})

const linSpace = defineOp({
  name: 'LinSpace',
  inputs: ['start: T', 'stop: T', 'num: Tidx'],
  outputs: ['output: T'],
  attributes: ['T: {bfloat16, half, float, double}', 'Tidx: {int32, int64} = int32'],
  lower: (at) => {
    const [start, stop] = [at.input('start'), at.input('stop')]
    const count = integerOf(at.contentOf(at.input('num')), 'num')
    if (count <= 0) throw invalid('shape/invalid', `Requires num > 0: ${count}`)
    const dtype = scalarType(start.dtype)
    return [
      at.compute({
        shape: [count],
        dtype,
        inputs: [start, stop],
        body: ({ b, axes, read }) => {
          if (count === 1) return read(0, [])
          const step = b.div(b.sub(read(1, []), read(0, [])), count - 1)
          const inside = b.add(read(0, []), b.mul(b.cast(axes[0], dtype), step))
          return b.select(b.equal(axes[0], count - 1), read(1, []), inside)
        },
      }),
    ]
  },
})

const invertPermutation = defineOp({
  name: 'InvertPermutation',
  inputs: ['x: T'],
  outputs: ['y: T'],
  attributes: ['T: {int32, int64} = int32'],
  lower: (at) => {
    const x = at.input('x')
    const [output] = at.step({
      inputs: [x],
      outputs: [{ dtype: x.dtype, shape: x.shape }],
      run: ([tensor]) => {
        const places = integersOf(tensor)
        const inverse = new Array<number>(places.length).fill(-1)
        for (const [place, value] of places.entries()) {
          if (value < 0 || value >= places.length) {
            throw invalid('run/index', `${value} is not between 0 and ${places.length}`)
          }
          if (inverse[value] >= 0)
            throw invalid('run/index', `${value} is duplicated in the input.`)
          inverse[value] = place
        }
        return [
          tensorOfElements(
            tensor.dtype as 'int32',
            tensor.shape,
            inverse.map(elementFor(tensor.dtype)),
          ),
        ]
      },
    })
    return [output]
  },
})

/** Whole numbers as elements of an integer type. */
function elementFor(dtype: DType): (value: number) => number | bigint {
  return dtype === 'int64' || dtype === 'uint64' ? (value) => BigInt(value) : (value) => value
}

/** Sequences. */
export const sequenceOps: readonly OpDefinition[] = [range, linSpace, invertPermutation]
