import t from 'tap'
import { type Graph, graphOf, parseTensorName, runningOrder, unitsOf } from '../../graph/index.ts'
import { decodeGraphDef } from '../../proto/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { functionDef, graphDef, type Node, node, text, type } from '../engine/graph-def.ts'

function graph(nodes: readonly Node[], functions = [] as Parameters<typeof graphDef>[1]): Graph {
  return graphOf(decodeGraphDef(graphDef(nodes, functions)))
}

function refusal(make: () => unknown): Refusal {
  try {
    make()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('nothing was refused')
}

t.test('inputs refer to nodes by place, whatever their order in the file', async (t) => {
  const { nodes } = graph([node('b', 'Neg', ['a', '^c']), node('a', 'Const'), node('c', 'NoOp')])
  t.same(nodes[0].inputs, [{ node: 1, port: '', index: 0 }])
  t.same(nodes[0].controls, [2])
})

t.test(
  'a cycle is refused with its nodes named, also through control edges and itself',
  async (t) => {
    const cyclic = [
      [node('a', 'Neg', ['b']), node('b', 'Neg', ['a'])],
      [node('a', 'Neg', ['a'])],
      [node('a', 'NoOp', ['^b']), node('b', 'NoOp', ['^a'])],
    ]
    for (const nodes of cyclic) {
      const { reason, names } = refusal(() => graph(nodes))
      t.equal(reason, 'graph/cycle')
      t.same([...(names.nodes as string[])].sort(), nodes.map((one) => one.name).sort())
    }
  },
)

t.test('a V1 loop is no cycle', async (t) => {
  const made = graph([
    node('e', 'Enter', ['c'], { frame_name: text('f') }),
    node('m', 'Merge', ['e', 'n']),
    node('n', 'NextIteration', ['m']),
    node('c', 'Const'),
  ])
  t.equal(made.nodes.length, 4)
})

t.test('malformed structure is refused, each fault by its own reason', async (t) => {
  const faults: [string, Node[]][] = [
    ['graph/duplicate-node', [node('a', 'NoOp'), node('a', 'NoOp')]],
    ['graph/node-name', [node('', 'NoOp')]],
    ['graph/node-name', [node('a b', 'NoOp')]],
    ['graph/input', [node('a', 'Neg', ['missing'])]],
    ['graph/input', [node('a', 'Neg', ['b:x']), node('b', 'Const')]],
    ['graph/input', [node('a', 'Neg', ['^b', 'b']), node('b', 'Const')]],
  ]
  for (const [reason, nodes] of faults) t.equal(refusal(() => graph(nodes)).reason, reason)
})

t.test('names of prototypes are names like any other', async (t) => {
  const made = graph([node('__proto__', 'Const'), node('constructor', 'Neg', ['__proto__'])])
  t.equal(made.byName.get('constructor'), 1)
})

t.test('a function keeps its arguments first and its results by place', async (t) => {
  const made = graph(
    [],
    [
      functionDef('f', { x: 'float32' }, { y: ['float32', 'n:y:0'] }, [
        node('n', 'Neg', ['x'], { T: type('float32') }),
      ]),
    ],
  )
  const f = made.functions.get('f')
  t.same(
    f?.nodes.map((one) => one.op),
    ['_Arg', 'Neg'],
  )
  t.same(f?.outputs[0].source, { node: 1, port: 'y', index: 0 })
})

t.test('a result that names nothing is refused', async (t) => {
  const broken = functionDef('f', {}, { y: ['float32', 'gone:y:0'] }, [])
  t.equal(refusal(() => graph([], [broken])).reason, 'graph/function')
})

t.test('tensor names are read strictly', async (t) => {
  t.same(parseTensorName('a/b'), { node: 'a/b', index: 0 })
  t.same(parseTensorName('a:12'), { node: 'a', index: 12 })
  for (const bad of ['', '^a', 'a:', 'a:-1', 'a:1:2', 'a:01', 'a:1e3', 'a b']) {
    t.equal(refusal(() => parseTensorName(bad)).reason, 'graph/tensor-name', bad)
  }
})

t.test('only what is wanted runs, after what it needs, control edges included', async (t) => {
  const { nodes, byName, ...rest } = graph([
    node('out', 'Add', ['a', 'b', '^side']),
    node('unused', 'NoOp'),
    node('b', 'Neg', ['a']),
    node('a', 'Const'),
    node('side', 'NoOp'),
  ])
  const made = { nodes, byName, ...rest }
  const names = (order: number[]): (string | undefined)[] => order.map((place) => nodes[place].name)
  t.same(names(runningOrder(made, [0])), ['a', 'b', 'side', 'out'])
  const bPlace = byName.get('b')
  t.same(
    names(runningOrder(made, [0], (place) => place === bPlace)),
    ['a', 'side', 'out'],
    'a fed tensor needs no producer',
  )
})

t.test(
  'a chain of 100,000 nodes and a fan-in of 100,000 are ordered without recursion',
  async (t) => {
    const chain = Array.from({ length: 100_000 }, (_, place) =>
      node(`n${place}`, 'Neg', place === 0 ? [] : [`n${place - 1}`]),
    )
    const long = graph(chain.reverse())
    t.equal(runningOrder(long, [0]).length, 100_000)
    const wide = graph([
      node(
        'all',
        'NoOp',
        chain.map((one) => `^${one.name}`),
      ),
      ...chain,
    ])
    t.equal(runningOrder(wide, [0]).length, 100_001)
  },
)

t.test('the nodes of a V1 loop are one unit, inner loops one within it', async (t) => {
  const frame = (name: string) => ({ frame_name: text(name) })
  const made = graph([
    node('c', 'Const'),
    node('outer', 'Enter', ['c'], frame('a')),
    node('merge', 'Merge', ['outer', 'next']),
    node('inner', 'Enter', ['merge'], frame('b')),
    node('leave_inner', 'Exit', ['inner']),
    node('next', 'NextIteration', ['leave_inner']),
    node('leave', 'Exit', ['merge']),
    node('after', 'Neg', ['leave']),
  ])
  const units = unitsOf(made, runningOrder(made, [7]).concat([]))
  t.equal(units.length, 3)
  const loop = units[1]
  if (typeof loop === 'number') return t.fail('a loop was wanted')
  t.equal(loop.frame, 'a')
  t.same(loop.exits, [6])
  t.ok(loop.units.length > 0)
})
