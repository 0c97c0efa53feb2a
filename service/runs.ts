// Runs of graphs on the store's variables: what a run reads is one snapshot, what it writes is taken
// in turn and committed before the reply. A run that fails leaves no trace.
import type {
  Engine,
  RunEffects,
  RunReply,
  RunReport,
  ValueBinding,
  VariableName,
} from '../engine/index.ts'
import type { Committed, VariableRecord } from '../store/index.ts'
import type { Tensor } from '../tensor/index.ts'
import { commitAssigned, type Destination } from './commit-assigned.ts'
import type { Context } from './context.ts'
import { matchDevice } from './devices.ts'
import { once } from './idempotency.ts'
import { digestOfTensor } from './tensor-input.ts'
import { variableKey } from './write-order.ts'
import type { Written } from './written.ts'

/** A run, its graph loaded already. */
interface RunSpec {
  readonly graph: string
  /** By tensor name. */
  readonly feeds: Readonly<Record<string, Tensor>>
  readonly fetches: readonly string[]
  readonly targets: readonly string[]
  readonly container: string
  readonly device: string
  readonly report: boolean
  readonly idempotencyKey?: string | undefined
  /** Looks at the fetched values before anything is committed, and may refuse them. */
  readonly checkFetches?: ((tensors: readonly Tensor[]) => void) | undefined
}

export interface RunOutcome {
  /** In the order of the fetches; undefined where the run had been done before under its key. */
  readonly fetches: readonly Tensor[] | undefined
  readonly written: readonly Written[]
  readonly report: RunReport | undefined
}

export interface Runs {
  run(spec: RunSpec): Promise<RunOutcome>
  /** The graph is gone: what was remembered of its runs goes too. */
  forget(graph: string): void
}

// What runs of one form read and write is remembered for so many forms.
const mostForms = 1024

/** Runs on a store and an engine. */
export function createRuns(context: Context): Runs {
  const known = new Map<string, { readonly graph: string; readonly effects: RunEffects }>()

  async function effectsOf(spec: RunSpec): Promise<RunEffects> {
    const { graph, fetches, targets, container } = spec
    const feeds = Object.keys(spec.feeds)
    const form = JSON.stringify([graph, feeds, fetches, targets, container])
    const found = known.get(form)
    if (found !== undefined) return found.effects
    const effects = await context.engine.effects({ graph, feeds, fetches, targets, container })
    if (known.size >= mostForms) known.delete(known.keys().next().value ?? '')
    known.set(form, { graph, effects })
    for (const one of [...effects.reads, ...effects.writes]) {
      context.engineVariables.note(one.container, one.name)
    }
    return effects
  }

  return {
    async run(spec) {
      const effects = await effectsOf(spec)
      if (effects.writes.length === 0) {
        const { reply } = await execute(context, spec, effects)
        spec.checkFetches?.(reply.fetches)
        return { fetches: reply.fetches, written: [], report: reply.report }
      }
      const keys = effects.writes.map(({ container, name }) => variableKey(container, name))
      return context.writes.turn(keys, 'exclusive', () => runAndCommit(context, spec, effects))
    },
    forget(graph) {
      for (const [form, entry] of known) if (entry.graph === graph) known.delete(form)
    },
  }
}

async function runAndCommit(
  context: Context,
  spec: RunSpec,
  effects: RunEffects,
): Promise<RunOutcome> {
  let reply: RunReply | undefined
  const work = async (idempotency: Parameters<typeof commitAssigned>[2]): Promise<Committed> => {
    const done = await execute(context, spec, effects)
    reply = done.reply
    const destinations = destinationsOf(done.reply, done.records)
    try {
      spec.checkFetches?.(done.reply.fetches)
    } catch (error) {
      await releaseAll(context.engine, done.reply)
      throw error
    }
    return commitAssigned(context, destinations, idempotency)
  }
  const committed = await once(context, spec.idempotencyKey, described(spec), work)
  const written = committed.variables.map(({ container, name, version }) => ({
    container,
    name,
    version,
  }))
  return { fetches: reply?.fetches, written, report: reply?.report }
}

function described({ graph, feeds, fetches, targets, container }: RunSpec): readonly unknown[] {
  const fed = Object.entries(feeds).map(([name, tensor]) => [name, digestOfTensor(tensor)])
  return ['run', graph, fed.sort(), fetches, targets, container]
}

/** Reads the snapshot and runs on it. */
async function execute(
  context: Context,
  spec: RunSpec,
  effects: RunEffects,
): Promise<{ reply: RunReply; records: ReadonlyMap<string, VariableRecord> }> {
  const names = distinct([...effects.reads, ...effects.writes])
  const records = await snapshot(context, names)
  await context.adoptions.settled(records.values())
  const reply = await context.engine.run({
    graph: spec.graph,
    feeds: spec.feeds,
    fetches: spec.fetches,
    targets: spec.targets,
    container: spec.container,
    variables: names.map(({ container, name }) => ({
      container,
      name,
      binding: bindingOf(records.get(variableKey(container, name))),
    })),
    device: spec.device,
    deadlineMs: context.limits.runTimeoutMs,
    report: spec.report,
  })
  context.engineUse.count++
  return { reply, records }
}

function distinct(names: readonly VariableName[]): readonly VariableName[] {
  const byKey = new Map(names.map((one) => [variableKey(one.container, one.name), one]))
  return [...byKey.values()]
}

async function snapshot(
  context: Context,
  names: readonly VariableName[],
): Promise<ReadonlyMap<string, VariableRecord>> {
  const records = new Map<string, VariableRecord>()
  const containers = Map.groupBy(names, ({ container }) => container)
  for (const [container, members] of containers) {
    const wanted = members.map(({ name }) => name)
    for (const record of await context.store.catalogue.variables(container, wanted)) {
      records.set(variableKey(container, record.name), record)
    }
  }
  return records
}

function bindingOf(record: VariableRecord | undefined): ValueBinding | null {
  if (record?.value === undefined) return null
  const { valueId, dtype, shape } = record.value
  return { value: valueId, dtype, shape }
}

function destinationsOf(
  { assigned }: RunReply,
  records: ReadonlyMap<string, VariableRecord>,
): readonly Destination[] {
  return assigned.map((one) => ({
    assigned: one,
    container: one.container,
    name: one.name,
    record: records.get(variableKey(one.container, one.name)),
  }))
}

async function releaseAll(engine: Engine, { assigned }: RunReply): Promise<void> {
  await Promise.allSettled(assigned.map(({ handle }) => engine.release(handle)))
}

/**
 * The engine's name of the device that a request asks for; empty (the default) where it asks for
 * none or for one that is not there: soft placement, which the run's report shows.
 */
export async function deviceFor(context: Context, wanted: string): Promise<string> {
  if (wanted === '') return ''
  const names = (await context.engine.devices()).map(({ facts }) => facts.name)
  return names.includes(wanted) ? wanted : (matchDevice(wanted, names) ?? '')
}
