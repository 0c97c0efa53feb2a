// Which bytes of a variable an update says it changed: exactly those.
import fc from 'fast-check'
import t from 'tap'
import { referenceDevice } from '../../../engine/device/reference/index.ts'
import { createEngineInThread, type Engine } from '../../../engine/index.ts'
import { type NumericTensor, type Tensor, tensorOfElements } from '../../../tensor/index.ts'
import { floats, graphOf, ints, type NodeText, placeholder } from './bench.ts'

const float = { type: 'float32' } as const
const index = { type: 'int32' } as const

interface Update {
  readonly shape: readonly number[]
  readonly nodes: readonly NodeText[]
  readonly feeds: Readonly<Record<string, Tensor>>
}

/** Flat places that the update `x` of `v`, all zeros, says it changed, and those that it did change. */
async function changed(engine: Engine, { shape, nodes, feeds }: Update) {
  const v: NodeText = {
    name: 'v',
    op: 'VariableV2',
    attributes: { dtype: float, shape: { shape } },
  }
  await engine.load('g', graphOf([v, ...nodes]))
  const binding = {
    value: shape.reduce((product, size) => product * size, 1),
    dtype: 'float32',
    shape,
  } as const
  const request = { graph: 'g', feeds, fetches: [], targets: ['x'], container: '', device: '' }
  const variables = [{ container: '', name: 'v', binding }]
  const { assigned } = await engine.run({ ...request, variables })
  const [{ handle, dirty }] = assigned
  const { bytes } = (await engine.read(handle)) as NumericTensor
  const elements = [...new Float32Array(bytes.slice().buffer)]
  const told = dirty?.flatMap(({ offset, length }) =>
    Array.from({ length: length / 4 }, (_, place) => offset / 4 + place),
  )
  await engine.release(handle)
  return { told, made: elements.flatMap((one, place) => (one === 0 ? [] : [place])), elements }
}

function open(): Engine {
  return createEngineInThread({
    devices: [referenceDevice()],
    // A value of zeros has its number of elements for a key.
    readValue: async (value) => new Uint8Array(4 * value),
    patchFrom: 0,
  })
}

t.test('an assigned slice tells the elements that it covers', async (t) => {
  const engine = open()
  t.teardown(() => engine.close())
  const axis = (size: number) =>
    fc.record({
      begin: fc.integer({ min: -size, max: size - 1 }),
      count: fc.integer({ min: 1, max: size }),
      stride: fc.constantFrom(1, 1, 1, 2, -1, -2),
    })
  const shape = [5, 4, 6]
  let told = 0
  await fc.assert(
    fc.asyncProperty(fc.tuple(axis(5), axis(4), axis(6)), async (axes) => {
      const from = axes.map(({ begin }, place) => (begin < 0 ? begin + shape[place] : begin))
      const most = axes.map(({ stride }, place) => {
        const room = stride > 0 ? shape[place] - 1 - from[place] : from[place]
        return Math.floor(room / Math.abs(stride)) + 1
      })
      const counts = axes.map(({ count }, place) => Math.min(count, most[place]))
      const size = counts.reduce((product, count) => product * count, 1)
      // An end before the beginning cannot be said with a negative stride: -1 is the last element.
      const end = axes.map(
        ({ stride }, place) => from[place] + stride * (counts[place] - 1) + Math.sign(stride),
      )
      const endMask = end.reduce((mask, one, place) => (one < 0 ? mask | (1 << place) : mask), 0)
      if (endMask !== 0 && end.some((one, place) => one < 0 && counts[place] !== most[place]))
        return
      const constant = (name: string, values: readonly number[]): NodeText => ({
        name,
        op: 'Const',
        attributes: { dtype: index, value: { tensor: ints([3], values) } },
      })
      const { told: where, made } = await changed(engine, {
        shape,
        nodes: [
          constant('begin', from),
          constant(
            'end',
            end.map((one) => Math.max(one, 0)),
          ),
          constant(
            'strides',
            axes.map(({ stride }) => stride),
          ),
          placeholder('u'),
          {
            name: 'x',
            op: 'StridedSliceAssign',
            inputs: ['v', 'begin', 'end', 'strides', 'u'],
            attributes: { T: float, Index: index, end_mask: endMask },
          },
        ],
        feeds: {
          u: floats(
            counts,
            Array.from({ length: size }, () => 1),
          ),
        },
      })
      t.equal(made.length, size)
      if (where === undefined) return
      told++
      t.same(where, made)
    }),
    { numRuns: 150, seed: 5 },
  )
  t.ok(told > 50, `${told} of them are small enough to be told`)
})

t.test('rows are told once each, neighbours together', async (t) => {
  const engine = open()
  t.teardown(() => engine.close())
  const scatter: NodeText = {
    name: 'x',
    op: 'ScatterAdd',
    inputs: ['v', 'i', 'u'],
    attributes: { T: float, Tindices: index },
  }
  const nodes = [placeholder('i', 'int32'), placeholder('u'), scatter]
  const ones = (count: number): Tensor => floats([count, 2], new Array<number>(2 * count).fill(1))
  const rows = await changed(engine, {
    shape: [40, 2],
    nodes,
    feeds: { i: ints([5], [7, 3, 7, 4, 39]), u: ones(5) },
  })
  t.same(rows.told, [6, 7, 8, 9, 14, 15, 78, 79])
  t.same(rows.made, rows.told)
  const vectors = await changed(engine, {
    shape: [10, 4, 2],
    nodes: [placeholder('i', 'int32'), placeholder('u'), { ...scatter, op: 'ScatterNdAdd' }],
    feeds: { i: ints([2, 2], [9, 3, 0, 1]), u: ones(2) },
  })
  t.same(vectors.told, [2, 3, 78, 79])
  t.same(vectors.made, vectors.told)
})

t.test(
  'one row may take more updates than a kernel has rounds, and rows may be of one element',
  async (t) => {
    const engine = open()
    t.teardown(() => engine.close())
    const run = (indices: readonly number[]) =>
      changed(engine, {
        shape: [200],
        nodes: [
          placeholder('i', 'int32'),
          placeholder('u'),
          {
            name: 'x',
            op: 'ScatterAdd',
            inputs: ['v', 'i', 'u'],
            attributes: { T: float, Tindices: index },
          },
        ],
        feeds: {
          i: ints([indices.length], indices),
          u: tensorOfElements('float32', [], [0.5]),
        },
      })
    t.same((await run(Array.from({ length: 40 }, () => 7))).told, [7])
    t.same((await run([5, 5, 5, 199, 0])).told, [0, 5, 199])
  },
)
