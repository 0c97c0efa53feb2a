// Random ops. A seeded op's stream goes on from run to run: its state is kept under the node.
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  elementsOf,
  type NumericTensor,
  numericTensor,
  type Shape,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import {
  blocksPerElement,
  type Draw,
  type Draws,
  fillMultinomial,
  type PhiloxState,
  philoxOfSeeds,
  type RandomDType,
  shuffledPlaces,
  skipped,
  statelessState,
} from '../random/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { numbersOf, tensorOfNumbers } from './host-numbers.ts'
import { integerOf, invalid, shapeFrom } from './shapes.ts'
import type { StepState, TensorValue } from './value.ts'

const floats = '{half, bfloat16, float, double}'
const seeds = ['seed: int = 0', 'seed2: int = 0']

type FloatDraw = Exclude<Draw['kind'], 'integers' | 'bits'>

/** The node's stream where this run takes it up; the next run goes on `blocks` further. */
function takeStream(
  state: StepState,
  key: string,
  seed: bigint,
  seed2: bigint,
  blocks: bigint,
): PhiloxState {
  const known = state.get(key) as PhiloxState | undefined
  const isSeeded = seed !== 0n || seed2 !== 0n
  const here =
    known ??
    (isSeeded ? philoxOfSeeds(seed, seed2) : philoxOfSeeds(state.randomSeed(), state.randomSeed()))
  state.set(key, skipped(here, blocks))
  return here
}

/** A step that draws from the node's stream. */
export function drawn(
  at: Lowering,
  inputs: readonly TensorValue[],
  dtype: DType,
  shape: Shape,
  blocks: bigint,
  draw: (stream: PhiloxState, inputs: readonly Tensor[], draws: Draws) => Tensor,
): readonly TensorValue[] {
  const key = at.stateKey('random')
  const [seed, seed2] = [at.attributes.bigint('seed'), at.attributes.bigint('seed2')]
  return at.step({
    inputs,
    outputs: [{ dtype, shape }],
    stateful: true,
    run: (tensors, state) => [
      draw(takeStream(state, key, seed, seed2, blocks), tensors, state.draws),
    ],
  })
}

function filled(name: string, kind: FloatDraw): OpDefinition {
  return defineOp({
    name,
    inputs: ['shape: T'],
    outputs: ['output: dtype'],
    attributes: [...seeds, `dtype: ${floats}`, 'T: {int32, int64}'],
    stateful: true,
    always: false,
    lower: (at) => {
      const shape = shapeFrom(at.contentOf(at.input('shape')))
      const dtype = at.attributes.type('dtype') as RandomDType
      const count = elementCountOf(shape)
      return drawn(at, [], dtype, shape, BigInt(count) * blocksPerElement, (stream, _, draws) =>
        tensorDrawn(draws, { kind, dtype }, stream, shape),
      )
    },
  })
}

/** A tensor of numbers drawn from that place of a stream. */
export function tensorDrawn(
  draws: Draws,
  draw: Draw,
  stream: PhiloxState,
  shape: Shape,
): NumericTensor {
  return numericTensor(draw.dtype, shape, draws.bytes(draw, stream, elementCountOf(shape)))
}

/** Whole numbers in `[low, high)`; refuses an empty range. */
export function integersTensor(
  draws: Draws,
  stream: PhiloxState,
  dtype: RandomDType,
  shape: Shape,
  bounds: readonly [low: number | bigint, high: number | bigint],
): Tensor {
  const [low, high] = bounds.map(BigInt)
  if (low >= high) throw invalid('run/range', `Need minval < maxval, got ${low} >= ${high}`)
  return tensorDrawn(draws, { kind: 'integers', dtype, low, range: high - low }, stream, shape)
}

/** The one number of a scalar. */
export function scalarOf(tensor: Tensor): number | bigint {
  return elementsOf(tensor as NumericTensor)[0] as number | bigint
}

const uniformInt = defineOp({
  name: 'RandomUniformInt',
  inputs: ['shape: T', 'minval: Tout', 'maxval: Tout'],
  outputs: ['output: Tout'],
  attributes: [...seeds, 'Tout: {int32, int64}', 'T: {int32, int64}'],
  stateful: true,
  always: false,
  lower: (at) => {
    const shape = shapeFrom(at.contentOf(at.input('shape')))
    const dtype = at.attributes.type('Tout') as RandomDType
    const blocks = BigInt(elementCountOf(shape)) * blocksPerElement
    const inputs = [at.input('minval'), at.input('maxval')]
    return drawn(at, inputs, dtype, shape, blocks, (stream, [low, high], draws) =>
      integersTensor(draws, stream, dtype, shape, [scalarOf(low), scalarOf(high)]),
    )
  },
})

/** The tensor's slices along its first dimension in another order. */
function inOrder(tensor: Tensor, shape: Shape, places: Uint32Array): Tensor {
  const inner = elementCountOf(shape.slice(1))
  if (tensor.dtype === 'string') {
    const { strings } = tensor
    const moved: Uint8Array[] = []
    for (const place of places) {
      for (let one = 0; one < inner; one++) moved.push(strings[place * inner + one])
    }
    return stringTensor(shape, moved)
  }
  const { dtype, bytes } = tensor
  const size = inner * byteLengthOf(dtype)
  const moved = new Uint8Array(bytes.length)
  for (let place = 0; place < places.length; place++) {
    const from = places[place] * size
    moved.set(bytes.subarray(from, from + size), place * size)
  }
  return numericTensor(dtype, shape, moved)
}

const shuffle = defineOp({
  name: 'RandomShuffle',
  inputs: ['value: T'],
  outputs: ['output: T'],
  attributes: [...seeds, 'T: type'],
  stateful: true,
  always: false,
  lower: (at) => {
    const value = at.input('value')
    const size = value.shape[0] ?? 1
    const blocks = BigInt(Math.ceil(Math.max(size - 1, 0) / 4))
    return drawn(at, [value], value.dtype, value.shape, blocks, (stream, [tensor]) => {
      return inOrder(tensor, value.shape, shuffledPlaces(stream, size))
    })
  },
})

const multinomial = defineOp({
  name: 'Multinomial',
  inputs: ['logits: T', 'num_samples: int32'],
  outputs: ['output: output_dtype'],
  attributes: [...seeds, 'T: realnumbertype', 'output_dtype: {int32, int64} = int64'],
  stateful: true,
  always: false,
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
    const dtype = at.attributes.type('output_dtype') as RandomDType
    const blocks = BigInt(rows * Math.ceil(samples / 4) * 4 * 2) * blocksPerElement
    return drawn(at, [logits], dtype, [rows, samples], blocks, (stream, [tensor]) => {
      const places = fillMultinomial(stream, numbersOf(tensor), rows, classes, samples)
      return tensorOfNumbers(dtype, [rows, samples], places)
    })
  },
})

/** Two seeds of a stateless op. */
export function seedsOf(tensor: Tensor): readonly [bigint, bigint] {
  const all = (elementsOf(tensor as NumericTensor) as (number | bigint)[]).map(BigInt)
  if (all.length !== 2)
    throw invalid('shape/mismatch', `seed must have shape [2], not [${tensor.shape.join(',')}]`)
  return [all[0], all[1]]
}

function keyAndCounter({ key, counter }: PhiloxState): readonly Tensor[] {
  const wide = (low: number, high: number): bigint => BigInt(low) | (BigInt(high) << 32n)
  return [
    tensorOfElements('uint64', [1], [wide(key[0], key[1])]),
    tensorOfElements('uint64', [2], [wide(counter[0], counter[1]), wide(counter[2], counter[3])]),
  ]
}

/** The place in a stream that a key and a counter say. */
export function stateOfKey(key: Tensor, counter: Tensor): PhiloxState {
  const words = [key, counter].flatMap((tensor) =>
    (elementsOf(tensor as NumericTensor) as bigint[]).flatMap((value) => [
      Number(BigInt.asUintN(32, value)),
      Number(value >> 32n),
    ]),
  )
  return { key: [words[0], words[1]], counter: [words[2], words[3], words[4] ?? 0, words[5] ?? 0] }
}

const getKeyCounter = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['seed: Tseed'],
    outputs: ['key: uint64', 'counter: uint64'],
    attributes: ['Tseed: {int32, int64} = int64'],
    lower: (at) =>
      at.step({
        inputs: [at.input('seed')],
        outputs: [
          { dtype: 'uint64', shape: [1] },
          { dtype: 'uint64', shape: [2] },
        ],
        run: ([seed]) => keyAndCounter(statelessState(...seedsOf(seed))),
      }),
  })

const getAlgorithm = defineOp({
  name: 'StatelessRandomGetAlg',
  outputs: ['alg: int32'],
  lower: (at) => [at.known(tensorOfElements('int32', [], [1]))],
})

/** The one algorithm here: Philox, or whatever the engine likes best. */
export function checkAlgorithm(tensor: Tensor): void {
  const algorithm = scalarOf(tensor)
  if (algorithm === 1 || algorithm === 3) return
  throw invalid('run/algorithm', `Unsupported algorithm id: ${algorithm}; Philox (1) is supported.`)
}

function statelessV2(name: string, kind: FloatDraw): OpDefinition {
  return defineOp({
    name,
    inputs: ['shape: Tshape', 'key: uint64', 'counter: uint64', 'alg: int32'],
    outputs: ['output: dtype'],
    attributes: [`dtype: ${floats} = float`, 'Tshape: {int32, int64} = int32'],
    lower: (at) => {
      const shape = shapeFrom(at.contentOf(at.input('shape')))
      const dtype = at.attributes.type('dtype') as RandomDType
      return at.step({
        inputs: [at.input('key'), at.input('counter'), at.input('alg')],
        outputs: [{ dtype, shape }],
        run: ([key, counter, algorithm], { draws }) => {
          checkAlgorithm(algorithm)
          return [tensorDrawn(draws, { kind, dtype }, stateOfKey(key, counter), shape)]
        },
      })
    },
  })
}

const statelessIntV2 = defineOp({
  name: 'StatelessRandomUniformIntV2',
  inputs: [
    'shape: Tshape',
    'key: uint64',
    'counter: uint64',
    'alg: int32',
    'minval: dtype',
    'maxval: dtype',
  ],
  outputs: ['output: dtype'],
  attributes: ['dtype: {int32, int64, uint32, uint64}', 'Tshape: {int32, int64} = int32'],
  lower: (at) => {
    const shape = shapeFrom(at.contentOf(at.input('shape')))
    const dtype = at.attributes.type('dtype') as RandomDType
    return at.step({
      inputs: ['key', 'counter', 'alg', 'minval', 'maxval'].map((input) => at.input(input)),
      outputs: [{ dtype, shape }],
      run: ([key, counter, algorithm, low, high], { draws }) => {
        checkAlgorithm(algorithm)
        const stream = stateOfKey(key, counter)
        return [integersTensor(draws, stream, dtype, shape, [scalarOf(low), scalarOf(high)])]
      },
    })
  },
})

function statelessV1(name: string, kind: FloatDraw): OpDefinition {
  return defineOp({
    name,
    inputs: ['shape: T', 'seed: Tseed'],
    outputs: ['output: dtype'],
    attributes: [
      `dtype: ${floats} = float`,
      'T: {int32, int64} = int32',
      'Tseed: {int32, int64} = int64',
    ],
    lower: (at) => {
      const shape = shapeFrom(at.contentOf(at.input('shape')))
      const dtype = at.attributes.type('dtype') as RandomDType
      return at.step({
        inputs: [at.input('seed')],
        outputs: [{ dtype, shape }],
        run: ([seed], { draws }) => [
          tensorDrawn(draws, { kind, dtype }, statelessState(...seedsOf(seed)), shape),
        ],
      })
    },
  })
}

/** Random ops. */
export const randomOps: readonly OpDefinition[] = [
  filled('RandomUniform', 'uniform'),
  filled('RandomStandardNormal', 'normal'),
  filled('TruncatedNormal', 'truncated_normal'),
  uniformInt,
  shuffle,
  multinomial,
  getKeyCounter('StatelessRandomGetKeyCounter'),
  getAlgorithm,
  statelessV2('StatelessRandomUniformV2', 'uniform'),
  statelessV2('StatelessRandomNormalV2', 'normal'),
  statelessV2('StatelessTruncatedNormalV2', 'truncated_normal'),
  statelessIntV2,
  statelessV1('StatelessRandomUniform', 'uniform'),
  statelessV1('StatelessRandomNormal', 'normal'),
  statelessV1('StatelessTruncatedNormal', 'truncated_normal'),
]
