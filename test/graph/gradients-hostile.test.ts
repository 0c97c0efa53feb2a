// Graphs that were tampered with: gradients are made, or refused, and never end in anything else.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { GradientCase } from '../../conformance/gradient-case.ts'
import { argumentsOfOp } from '../../engine/index.ts'
import { addGradients, differentiableOps, GraphBuilder, graphOf } from '../../graph/index.ts'
import { type Draft, decodeGraphDef, encodeGraphDef, type GraphDef } from '../../proto/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { sharedFolder } from '../helper/shared.ts'

const rounds = 3000

/** Numbers below a bound, the same sequence each time. */
function chance(): (below: number) => number {
  let state = 7
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return (state >>> 8) % below
  }
}

interface LooseNode {
  name: string
  op: string
  input: string[]
  attr: Map<string, Draft<'AttrValue'>>
}

const strange: readonly Draft<'AttrValue'>[] = [
  { i: 5n },
  { type: 3 },
  { b: true },
  { s: new Uint8Array(2) },
  { list: { type: [1] } },
  { func: { name: 'nobody' } },
]

/** The graph with one thing changed in one node of it or of its functions. */
function tampered(def: GraphDef, pick: (below: number) => number): GraphDef {
  const loose = (nodes: GraphDef['node']): LooseNode[] =>
    nodes.map((node) => ({ ...node, input: [...node.input], attr: new Map(node.attr) }))
  const graph = loose(def.node)
  const functions = (def.library?.function ?? []).map((one) => loose(one.node_def))
  const bodies = [graph, ...functions]
  const body = bodies[pick(bodies.length)]
  const node = body[pick(body.length)]
  const other = body[pick(body.length)]
  const names = [...node.attr.keys(), 'T']
  const changes: readonly (() => unknown)[] = [
    () => node.input.splice(pick(node.input.length + 1), 1),
    () => {
      node.op = differentiableOps()[pick(differentiableOps().length)]
    },
    () => node.attr.delete(names[pick(names.length)]),
    () => node.attr.set(names[pick(names.length)], strange[pick(strange.length)]),
    () => node.input.push(node.input[0] ?? other.name),
    () => node.input.splice(0, 1, body === graph ? other.name : `${other.name}:z:0`),
  ]
  changes[pick(changes.length)]()
  const library = {
    function: (def.library?.function ?? []).map((one, place) => ({
      ...one,
      node_def: functions[place],
    })),
  }
  return decodeGraphDef(encodeGraphDef({ ...def, node: graph, library }))
}

t.test('tampered graphs are differentiated or refused', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const cases = readFileSync(join(shared, 'conformance/gradients.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as GradientCase)
  const pick = chance()
  const outcomes = { made: 0, refused: 0 }
  for (let round = 0; round < rounds; round++) {
    const one = cases[pick(cases.length)]
    const def = tampered(decodeGraphDef(Buffer.from(one.graph, 'base64')), pick)
    try {
      graphOf(def)
      const builder = GraphBuilder.ofGraph(def, argumentsOfOp)
      const named = (names: readonly string[]) => names.map((name) => builder.outputNamed(name))
      addGradients(builder, { ys: named(one.ys), xs: named(one.xs), gradYs: named(one.grad_ys) })
      graphOf(decodeGraphDef(encodeGraphDef(builder.graphDef(def))))
      outcomes.made++
    } catch (error) {
      if (error instanceof Refusal) outcomes.refused++
      else t.fail(`${one.name}, round ${round}: ${error}`)
    }
  }
  t.ok(outcomes.made > rounds / 4, `${outcomes.made} were made`)
  t.ok(outcomes.refused > rounds / 10, `${outcomes.refused} were refused`)
})
