// Runs recorded gradients: gradients are added to the forward graph, and the engine runs them.
import { argumentsOfOp, type Engine } from '../engine/index.ts'
import {
  addGradients,
  dense,
  Expressions,
  GraphBuilder,
  graphOf,
  nameOfOutput,
} from '../graph/index.ts'
import { decodeGraphDef, encodeGraphDef } from '../proto/index.ts'
import { differenceOf, type RecordedTensor, type Tolerance, tensorOfRecorded } from './case.ts'
import { failed, type Outcome, outcomeOfError, passed } from './outcome.ts'
import { openSession, type Session } from './session.ts'

/** A forward graph, and the gradients that TensorFlow found. */
export interface GradientCase {
  readonly name: string
  readonly graph: string
  readonly ys: readonly string[]
  /** Tensors that are fed and flow into the ys. */
  readonly grad_ys: readonly string[]
  readonly xs: readonly string[]
  readonly feeds: Readonly<Record<string, RecordedTensor>>
  /** One for each x; null where there is none. */
  readonly gradients: readonly (RecordedTensor | null)[]
  readonly tolerance?: Tolerance
}

/** The forward graph with gradients, and their names; undefined where there is none. */
function differentiated(recorded: GradientCase): {
  readonly bytes: Uint8Array
  readonly names: readonly (string | undefined)[]
} {
  const def = decodeGraphDef(Buffer.from(recorded.graph, 'base64'))
  graphOf(def)
  const builder = GraphBuilder.ofGraph(def, argumentsOfOp)
  const outputs = (names: readonly string[]) => names.map((name) => builder.outputNamed(name))
  const found = addGradients(builder, {
    ys: outputs(recorded.ys),
    xs: outputs(recorded.xs),
    gradYs: outputs(recorded.grad_ys),
  })
  const e = new Expressions(builder)
  const names = found.map((one) => (one === undefined ? undefined : nameOfOutput(dense(e, one))))
  return { bytes: encodeGraphDef(builder.graphDef(def)), names }
}

/** Runs one case and says how it went; never throws. */
export async function runGradientCase(engine: Engine, recorded: GradientCase): Promise<Outcome> {
  const id = `gradient/${recorded.name}`
  let session: Session | undefined
  try {
    const { bytes, names } = differentiated(recorded)
    for (const [place, wanted] of recorded.gradients.entries()) {
      const is = names[place] === undefined ? 'none' : 'one'
      const was = wanted === null ? 'none' : 'one'
      if (is !== was) return failed(`gradient of ${recorded.xs[place]}: ${is}, wanted ${was}`)
    }
    await engine.load(id, bytes)
    session = openSession(engine, id, id)
    const feeds = Object.fromEntries(
      Object.entries(recorded.feeds).map(([name, one]) => [name, tensorOfRecorded(one)]),
    )
    const asked = names.filter((name) => name !== undefined)
    const fetched = await session.run(feeds, asked, [])
    const wanted = recorded.gradients.filter((one) => one !== null)
    for (const [place, tensor] of fetched.entries()) {
      const difference = differenceOf(tensor, wanted[place], recorded.tolerance)
      if (difference !== undefined) return failed(`${asked[place]}: ${difference}`)
    }
    return passed
  } catch (error) {
    return outcomeOfError(error)
  } finally {
    await session?.close().catch(() => undefined)
  }
}
