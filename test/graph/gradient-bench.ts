// What tests of gradients share: graphs of a few nodes, and their gradients next to central differences.

import { openSession } from '../../conformance/session.ts'
import { argumentsOfOp, createEngine, type Engine } from '../../engine/index.ts'
import {
  addGradients,
  attribute,
  dense,
  Expressions,
  GraphBuilder,
  nameOfOutput,
  type Output,
} from '../../graph/index.ts'
import { type Draft, decodeGraphDef, encodeGraphDef } from '../../proto/index.ts'
import {
  elementsOf,
  type NumericDType,
  type NumericTensor,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'

interface Teardown {
  teardown(work: () => Promise<void>): unknown
}

/** An engine on the reference device that ends with the test. */
export async function referenceEngine(t: Teardown): Promise<Engine> {
  const engine = await createEngine({
    readValue: async () => new Uint8Array(0),
    device: 'reference',
    threads: 1,
  })
  t.teardown(() => engine.close())
  return engine
}

/** A new graph. */
export function newGraph(functions: readonly Draft<'FunctionDef'>[] = []): Expressions {
  const library = new Map(functions.map((one) => [one.signature?.name ?? '', one]))
  return new Expressions(new GraphBuilder(argumentsOfOp, library))
}

/** A tensor to feed. */
export function placeholder(e: Expressions, name: string, dtype: NumericDType): Output {
  return e.op(
    'Placeholder',
    [],
    { dtype: attribute.type(dtype), shape: attribute.unknownShape },
    name,
  )
}

/** Numbers without pattern, the same each time, between 0.2 and 1.2. */
export function numbers(count: number, from = 1): number[] {
  return Array.from({ length: count }, (_, place) => {
    const wild = Math.sin((place + from) * 12.9898) * 43758.5453
    return 0.2 + (wild - Math.floor(wild))
  })
}

/** The sum of what is asked, each element with another weight, so that none hides behind another. */
export function weighted(e: Expressions, outputs: readonly Output[]): Output {
  const sums = outputs.map((output) => {
    const places = e.cast(e.range(0, e.size(output)), 'float64')
    const weights = e.cast(e.plus(e.t('Cos', places), 1.5), output.dtype)
    const all = e.range(0, e.rank(output))
    return e.sum(e.mul(output, e.reshape(weights, e.shape(output))), all)
  })
  return sums.length === 1
    ? sums[0]
    : e.op('AddN', sums, { N: attribute.int(sums.length), T: attribute.type(sums[0].dtype) })
}

/** How near a gradient is to be to the difference quotient with this step. */
export interface Nearness {
  readonly step: number
  readonly tolerance: number
}

const near: Record<string, Nearness> = {
  float64: { step: 1e-5, tolerance: 1e-6 },
  float32: { step: 1e-2, tolerance: 2e-2 },
}

interface Session {
  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches: readonly string[],
  ): Promise<readonly Tensor[]>
}

/**
 * Where the gradients of `loss` by `xs` differ from central differences; one line each, none where they agree.
 * An x without a gradient counts as one whose gradient is zeros.
 */
export async function differences(
  engine: Engine,
  e: Expressions,
  loss: Output,
  xs: ReadonlyMap<Output, NumericTensor>,
  nearness?: Nearness,
): Promise<readonly string[]> {
  const asked = [...xs.keys()]
  const found = addGradients(e.builder, { ys: [loss], xs: asked })
  const names = found.map((one) => (one === undefined ? undefined : nameOfOutput(dense(e, one))))
  const id = 'numeric'
  const empty = decodeGraphDef(encodeGraphDef({ versions: { producer: 134 } }))
  await engine.load(id, encodeGraphDef(e.builder.graphDef(empty)))
  const opened = openSession(engine, id, id)
  const session: Session = { run: (feeds, fetches) => opened.run(feeds, fetches, []) }
  try {
    const feeds = Object.fromEntries([...xs].map(([x, tensor]) => [nameOfOutput(x), tensor]))
    const fetched = await session.run(
      feeds,
      names.filter((name) => name !== undefined),
    )
    const lines: string[] = []
    let next = 0
    for (const [place, x] of asked.entries()) {
      const tensor = xs.get(x) as NumericTensor
      const gradient = names[place] === undefined ? undefined : fetched[next++]
      const close = nearness ?? near[tensor.dtype]
      lines.push(
        ...(await compared(session, nameOfOutput(loss), feeds, x, tensor, gradient, close)),
      )
    }
    return lines
  } finally {
    await opened.close()
  }
}

async function compared(
  session: Session,
  loss: string,
  feeds: Readonly<Record<string, Tensor>>,
  x: Output,
  tensor: NumericTensor,
  gradient: Tensor | undefined,
  { step, tolerance }: Nearness,
): Promise<readonly string[]> {
  const values = elementsOf(tensor).map(Number)
  const got =
    gradient === undefined ? values.map(() => 0) : elementsOf(gradient as NumericTensor).map(Number)
  if (got.length !== values.length) return [`${x.node.name}: ${got.length} elements`]
  const lossAt = async (place: number, value: number): Promise<number> => {
    const moved = tensorOfElements(tensor.dtype, tensor.shape, values.with(place, value))
    const [result] = await session.run({ ...feeds, [nameOfOutput(x)]: moved }, [loss])
    return Number(elementsOf(result as NumericTensor)[0])
  }
  const lines: string[] = []
  for (const [place, value] of values.entries()) {
    const rise = (await lossAt(place, value + step)) - (await lossAt(place, value - step))
    const want = rise / (2 * step)
    if (Math.abs(got[place] - want) <= tolerance * Math.max(1, Math.abs(want))) continue
    lines.push(`${x.node.name}[${place}]: ${got[place]}, the difference quotient is ${want}`)
  }
  return lines
}

/** A tensor of float64. */
export function doubles(shape: Shape, values: readonly number[]): NumericTensor {
  return tensorOfElements('float64', shape, values)
}
