// Random ops with parameters for each element (gamma, Poisson), and stateless whole numbers.
import { elementCountOf } from '../../tensor/index.ts'
import {
  blocksPerElement,
  fillGamma,
  fillMultinomial,
  fillPoisson,
  type RandomDType,
  statelessState,
} from '../random/index.ts'
import { defineOp, type OpDefinition } from './definition.ts'
import { numbersOf, tensorOfNumbers } from './host-numbers.ts'
import {
  checkAlgorithm,
  drawn,
  integersTensor,
  scalarOf,
  seedsOf,
  stateOfKey,
  tensorDrawn,
} from './random.ts'
import { integerOf, invalid, shapeFrom } from './shapes.ts'

const seeds = ['seed: int = 0', 'seed2: int = 0']

const randomGamma = defineOp({
  name: 'RandomGamma',
  inputs: ['shape: S', 'alpha: T'],
  outputs: ['output: T'],
  attributes: [...seeds, 'S: {int32, int64}', 'T: {half, float, double}'],
  stateful: true,
  always: false,
  lower: (at) => {
    const alpha = at.input('alpha')
    const outer = shapeFrom(at.contentOf(at.input('shape')))
    const shape = [...outer, ...alpha.shape]
    const samples = elementCountOf(outer)
    const dtype = alpha.dtype as RandomDType
    const blocks = BigInt(elementCountOf(shape)) * blocksPerElement
    return drawn(at, [alpha], dtype, shape, blocks, (stream, [alphas]) =>
      tensorOfNumbers(dtype, shape, fillGamma(stream, numbersOf(alphas), samples)),
    )
  },
})

/** Counts that a type can hold. */
const largestCounts: Readonly<Record<string, number>> = {
  float16: 65504,
  float32: 3.4028234663852886e38,
  float64: Number.MAX_VALUE,
  int32: 2 ** 31 - 1,
  int64: 2 ** 63,
}

function poisson(name: 'RandomPoisson' | 'RandomPoissonV2'): OpDefinition {
  const isTyped = name === 'RandomPoissonV2'
  return defineOp({
    name,
    inputs: ['shape: S', isTyped ? 'rate: R' : 'rate: dtype'],
    outputs: ['output: dtype'],
    attributes: [
      ...seeds,
      'S: {int32, int64}',
      ...(isTyped ? ['R: {half, float, double, int32, int64} = double'] : []),
      `dtype: {half, float, double, int32, int64}${isTyped ? ' = int64' : ''}`,
    ],
    stateful: true,
    always: false,
    lower: (at) => {
      const rate = at.input('rate')
      const outer = shapeFrom(at.contentOf(at.input('shape')))
      const shape = [...outer, ...rate.shape]
      const samples = elementCountOf(outer)
      const dtype = at.attributes.type('dtype') as RandomDType
      const blocks = BigInt(elementCountOf(shape)) * blocksPerElement
      return drawn(at, [rate], dtype, shape, blocks, (stream, [rates]) => {
        const counts = fillPoisson(stream, numbersOf(rates), samples, largestCounts[dtype])
        return tensorOfNumbers(dtype, shape, counts)
      })
    },
  })
}

const wholeTypes = '{int32, int64, uint32, uint64}'

const statelessInt = defineOp({
  name: 'StatelessRandomUniformInt',
  inputs: ['shape: T', 'seed: Tseed', 'minval: dtype', 'maxval: dtype'],
  outputs: ['output: dtype'],
  attributes: ['dtype: {int32, int64}', 'T: {int32, int64}', 'Tseed: {int32, int64} = int64'],
  lower: (at) => {
    const shape = shapeFrom(at.contentOf(at.input('shape')))
    const dtype = at.attributes.type('dtype') as RandomDType
    return at.step({
      inputs: ['seed', 'minval', 'maxval'].map((name) => at.input(name)),
      outputs: [{ dtype, shape }],
      run: ([seed, low, high], { draws }) => {
        const stream = statelessState(...seedsOf(seed))
        return [integersTensor(draws, stream, dtype, shape, [scalarOf(low), scalarOf(high)])]
      },
    })
  },
})

const statelessFullInt = defineOp({
  name: 'StatelessRandomUniformFullInt',
  inputs: ['shape: T', 'seed: Tseed'],
  outputs: ['output: dtype'],
  attributes: [
    `dtype: ${wholeTypes} = uint64`,
    'T: {int32, int64} = int32',
    'Tseed: {int32, int64, uint32, uint64} = int64',
  ],
  lower: (at) => {
    const shape = shapeFrom(at.contentOf(at.input('shape')))
    const dtype = at.attributes.type('dtype') as RandomDType
    return at.step({
      inputs: [at.input('seed')],
      outputs: [{ dtype, shape }],
      run: ([seed], { draws }) => [
        tensorDrawn(draws, { kind: 'bits', dtype }, statelessState(...seedsOf(seed)), shape),
      ],
    })
  },
})

const statelessFullIntV2 = defineOp({
  name: 'StatelessRandomUniformFullIntV2',
  inputs: ['shape: Tshape', 'key: uint64', 'counter: uint64', 'alg: int32'],
  outputs: ['output: dtype'],
  attributes: [`dtype: ${wholeTypes} = uint64`, 'Tshape: {int32, int64} = int32'],
  lower: (at) => {
    const shape = shapeFrom(at.contentOf(at.input('shape')))
    const dtype = at.attributes.type('dtype') as RandomDType
    return at.step({
      inputs: ['key', 'counter', 'alg'].map((name) => at.input(name)),
      outputs: [{ dtype, shape }],
      run: ([key, counter, algorithm], { draws }) => {
        checkAlgorithm(algorithm)
        return [tensorDrawn(draws, { kind: 'bits', dtype }, stateOfKey(key, counter), shape)]
      },
    })
  },
})

const statelessMultinomial = defineOp({
  name: 'StatelessMultinomial',
  inputs: ['logits: T', 'num_samples: int32', 'seed: Tseed'],
  outputs: ['output: output_dtype'],
  attributes: [
    'T: realnumbertype',
    'Tseed: {int32, int64} = int64',
    'output_dtype: {int32, int64} = int64',
  ],
  lower: (at) => {
    const logits = at.input('logits')
    const samples = integerOf(at.contentOf(at.input('num_samples')), 'num_samples')
    const [rows, classes] = logits.shape
    if (logits.shape.length !== 2 || classes === 0) {
      throw invalid(
        'shape/mismatch',
        `logits should be a matrix with classes, got [${logits.shape.join(',')}]`,
      )
    }
    if (samples < 0) {
      throw invalid('shape/invalid', `num_samples should be nonnegative, got ${samples}`)
    }
    const dtype = at.attributes.type('output_dtype') as RandomDType
    return at.step({
      inputs: [logits, at.input('seed')],
      outputs: [{ dtype, shape: [rows, samples] }],
      run: ([tensor, seed]) => {
        const stream = statelessState(...seedsOf(seed))
        const places = fillMultinomial(stream, numbersOf(tensor), rows, classes, samples)
        return [tensorOfNumbers(dtype, [rows, samples], places)]
      },
    })
  },
})

/** More random ops. */
export const randomRateOps: readonly OpDefinition[] = [
  randomGamma,
  poisson('RandomPoisson'),
  poisson('RandomPoissonV2'),
  statelessInt,
  statelessFullInt,
  statelessFullIntV2,
  statelessMultinomial,
]
