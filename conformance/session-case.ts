// Runs recorded session cases on an engine.
import type { Engine } from '../engine/index.ts'
import { Refusal, type Tensor } from '../tensor/index.ts'
import {
  differenceOf,
  type SessionCase,
  type Step,
  type Tolerance,
  tensorOfRecorded,
} from './case.ts'
import { failed, type Outcome, outcomeOfError, passed } from './outcome.ts'
import { openSession, type Session } from './session.ts'

/** Runs one case in a session of its own and says how it went; never throws. */
export async function runSessionCase(engine: Engine, recorded: SessionCase): Promise<Outcome> {
  const id = `case/${recorded.name}`
  let session: Session | undefined
  try {
    await engine.load(id, Buffer.from(recorded.graph, 'base64'))
    session = openSession(engine, id, id)
    for (const [index, step] of recorded.steps.entries()) {
      const outcome = await runStep(session, step, recorded.tolerance)
      if (outcome.kind === 'failed') return failed(`step ${index}: ${outcome.why}`)
      if (outcome.kind === 'missing') return outcome
    }
    return passed
  } catch (error) {
    return outcomeOfError(error)
  } finally {
    await session?.close().catch(() => undefined)
  }
}

async function runStep(
  session: Session,
  step: Step,
  tolerance: Tolerance | undefined,
): Promise<Outcome> {
  const feeds = Object.fromEntries(
    Object.entries(step.feeds ?? {}).map(([name, one]) => [name, tensorOfRecorded(one)]),
  )
  const asked = Object.keys(step.fetches ?? {})
  // A failing step may fetch an operation without outputs: that is a target.
  const names = asked.filter((name) => name.includes(':'))
  const targets = [...(step.targets ?? []), ...asked.filter((name) => !name.includes(':'))]
  let fetched: readonly Tensor[]
  try {
    fetched = await session.run(feeds, names, targets)
  } catch (error) {
    if (!(error instanceof Refusal) || step.error === undefined) return outcomeOfError(error)
    if (error.code === step.error.code) return passed
    if (error.code === 'UNIMPLEMENTED') return outcomeOfError(error)
    return failed(
      `${error.code} (${error.message}), wanted ${step.error.code} (${step.error.message})`,
    )
  }
  if (step.error !== undefined) return failed(`no error, wanted ${step.error.code}`)
  for (const [index, name] of names.entries()) {
    const wanted = step.fetches?.[name]
    if (wanted === undefined || wanted === null) continue
    const difference = differenceOf(fetched[index], wanted, tolerance)
    if (difference !== undefined) return failed(`${name}: ${difference}`)
  }
  return passed
}
