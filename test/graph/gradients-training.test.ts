// Optimizers written here, on forward graphs of recorded trainings: every loss, variable and slot must be
// what TensorFlow's own gradients and optimizers made.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { differenceOf, type SessionCase, tensorOfRecorded } from '../../conformance/case.ts'
import { openSession } from '../../conformance/session.ts'
import { argumentsOfOp, createEngine } from '../../engine/index.ts'
import {
  addMinimize,
  type BuiltNode,
  GraphBuilder,
  isVariable,
  type OptimizerSettings,
} from '../../graph/index.ts'
import { decodeGraphDef, encodeGraphDef, type GraphDef } from '../../proto/index.ts'
import { sharedFolder } from '../helper/shared.ts'

const proximal = { l1_regularization_strength: 0.01 }

const settings: Readonly<Record<string, OptimizerSettings>> = {
  GradientDescent: { kind: 'GradientDescent', learning_rate: 0.1 },
  Momentum: { kind: 'Momentum', learning_rate: 0.05, momentum: 0.9 },
  Nesterov: { kind: 'Momentum', learning_rate: 0.05, momentum: 0.9, use_nesterov: true },
  Adagrad: { kind: 'Adagrad', learning_rate: 0.2 },
  Adadelta: { kind: 'Adadelta', learning_rate: 1 },
  Adam: { kind: 'Adam', learning_rate: 0.05 },
  RMSProp: { kind: 'RMSProp', learning_rate: 0.02, momentum: 0.5 },
  CenteredRMSProp: { kind: 'RMSProp', learning_rate: 0.02, centered: true },
  Ftrl: { kind: 'Ftrl', learning_rate: 0.2, ...proximal, l2_regularization_strength: 0.01 },
  ProximalGradientDescent: {
    kind: 'ProximalGradientDescent',
    learning_rate: 0.1,
    ...proximal,
    l2_regularization_strength: 0.01,
  },
  ProximalAdagrad: { kind: 'ProximalAdagrad', learning_rate: 0.2, ...proximal },
  AdagradDA: { kind: 'AdagradDA', learning_rate: 0.2 },
  convnet_adam: { kind: 'Adam', learning_rate: 0.01 },
}

/** The loss and what it needs, and the first values of the variables that were there before training. */
function forwardOf(def: GraphDef, kind: string): GraphDef {
  const byName = new Map(def.node.map((node) => [node.name, node]))
  const isMade = new RegExp(`/${kind}(_\\d)?/Assign$|_power/Assign$|^${kind}/`)
  const assigns = def.node.filter(({ name }) => name.endsWith('/Assign') && !isMade.test(name))
  const kept = new Set<string>()
  const open = ['loss', ...assigns.map(({ name }) => name)]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (kept.has(name)) continue
    kept.add(name)
    for (const input of byName.get(name)?.input ?? []) {
      open.push(input.replace(/^\^/, '').replace(/:\d+$/, ''))
    }
  }
  return { ...def, node: def.node.filter(({ name }) => kept.has(name)) }
}

/** The variable that a recorded fetch reads, if it reads one. */
function variableRead(recorded: GraphBuilder, fetch: string): BuiltNode | undefined {
  let node = recorded.node(fetch.replace(/:0$/, ''))
  while (node !== undefined && !isVariable(node)) {
    const reads = ['Identity', 'ReadVariableOp'].includes(node.op)
    node = reads ? node.inputs[0].node : undefined
  }
  return node
}

t.test('recorded trainings', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const engine = await createEngine({
    readValue: async () => new Uint8Array(0),
    device: 'reference',
    threads: 1,
  })
  t.teardown(() => engine.close())
  const lines = readFileSync(join(shared, 'conformance/training.jsonl'), 'utf8').split('\n')
  for (const line of lines.filter(Boolean)) {
    const recorded = JSON.parse(line) as SessionCase
    const optimizer = settings[recorded.name.replace(/^sparse_|\/.*$/g, '')]
    if (optimizer === undefined) continue
    await t.test(`${recorded.name} trains as TensorFlow does`, async (t) => {
      const def = decodeGraphDef(Buffer.from(recorded.graph, 'base64'))
      const original = GraphBuilder.ofGraph(def, argumentsOfOp)
      const forward = forwardOf(def, optimizer.kind)
      const builder = GraphBuilder.ofGraph(forward, argumentsOfOp)
      const first = forward.node.filter(({ name }) => name.endsWith('/Assign'))
      const counts = builder.node('global_step') !== undefined
      const made = addMinimize(builder, {
        loss: builder.outputNamed('loss'),
        optimizer,
        globalStep: counts ? 'global_step' : undefined,
      })
      t.equal(made.train.name, optimizer.kind, 'the train op is called as TensorFlow calls it')
      const names = original.nodes.filter(isVariable).map(({ name }) => name)
      t.same(
        builder.nodes
          .filter(isVariable)
          .map(({ name }) => name)
          .sort(),
        names.sort(),
      )
      await engine.load(recorded.name, encodeGraphDef(builder.graphDef(forward)))
      const session = openSession(engine, recorded.name, recorded.name)
      await session.run({}, [], [...first.map(({ name }) => name), made.initialize.name])
      for (const step of recorded.steps.slice(1)) {
        const feeds = Object.fromEntries(
          Object.entries(step.feeds).map(([name, one]) => [name, tensorOfRecorded(one)]),
        )
        const wanted = Object.entries(step.fetches ?? {})
        const fetches = wanted.map(([name]) => {
          const variable = variableRead(original, name)
          if (variable === undefined) return name
          const isHandle = variable.op === 'VarHandleOp'
          const own = `${variable.name}/Read/ReadVariableOp`
          if (!isHandle) return `${variable.name}:0`
          if (builder.node(own) !== undefined) return `${own}:0`
          const reader = builder.nodes.find(
            ({ op, inputs }) => op === 'ReadVariableOp' && inputs[0].node.name === variable.name,
          )
          return reader === undefined ? '' : `${reader.name}:0`
        })
        const asked = fetches.filter((name) => name !== '')
        const got = await session.run(feeds, asked, step.targets ?? [])
        for (const [place, [name, tensor]] of wanted.entries()) {
          const at = asked.indexOf(fetches[place])
          if (at >= 0) t.equal(differenceOf(got[at], tensor, recorded.tolerance), undefined, name)
        }
      }
      await session.close()
    })
  }
})
