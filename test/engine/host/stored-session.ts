// A session whose variables are values of a store, as the service has them: committed after a run, or
// dropped. It checks that nothing a run does changes a value of the store as others see it.
import type { Device } from '../../../engine/device/device.ts'
import {
  type Assigned,
  type CoreOptions,
  createEngineInThread,
  type Engine,
  type RunRequest,
  type ValueBinding,
} from '../../../engine/index.ts'
import { type NumericTensor, Refusal, type Shape, type Tensor } from '../../../tensor/index.ts'

export interface Step {
  readonly fetches: readonly string[]
  readonly targets: readonly string[]
  readonly feeds: Readonly<Record<string, Tensor>>
  /**
   * What becomes of assigned values: committed, dropped, or committed after a run has read them, or after
   * the same run on the former values.
   */
  readonly after: 'adopt' | 'release' | 'handle' | 'again'
  /** Whether former values are read again before that. */
  readonly looksBack: boolean
}

export interface Stored {
  readonly engine: Engine
  readonly device: string
  /** Values read from the store. */
  readonly reads: number
  /** Values that were assigned as patches of others. */
  readonly patched: number
  bindings(): RunRequest['variables']
  /** Runs, and gives what was fetched and assigned, or the refusal's words. */
  step(step: Step): Promise<unknown>
  /** What a run reads of every variable, which must be what the store has. */
  contents(): Promise<unknown>
  close(): Promise<void>
}

/** The variables, each with a copy `look_..` of it in the graph, all float32 of one shape and counting up from 0. `shares`: the second has the first's value. */
export async function openStored(
  device: Device,
  graph: Uint8Array,
  names: readonly string[],
  shape: Shape,
  options: Partial<CoreOptions>,
  shares = false,
): Promise<Stored> {
  const values: Uint8Array[] = []
  let reads = 0
  let patched = 0
  const readValue = async (value: number): Promise<Uint8Array> => {
    reads++
    return values[value].slice()
  }
  const engine = createEngineInThread({ devices: [device], readValue, ...options })
  await engine.load('g', graph)
  const count = shape.reduce((product, size) => product * size, 1)
  values.push(new Uint8Array(new Float32Array(count).map((_, place) => place).buffer))
  const dtype = 'float32'
  const bound = new Map<string, ValueBinding>()
  for (const [place, name] of names.entries()) {
    const value = place === 1 && shares ? 1 : values.push(values[0].slice()) - 1
    bound.set(name, { dtype, shape, value })
  }

  const bindings = (from: ReadonlyMap<string, ValueBinding> = bound): RunRequest['variables'] =>
    names.map((name) => ({ container: '', name, binding: from.get(name) ?? null }))
  const run = (
    step: Pick<Step, 'fetches' | 'targets' | 'feeds'>,
    from?: ReadonlyMap<string, ValueBinding>,
  ): ReturnType<Engine['run']> =>
    engine.run({ graph: 'g', container: '', device: '', ...step, variables: bindings(from) })

  /** Reads variables by a run and compares with what they must be. */
  const look = async (
    from: ReadonlyMap<string, ValueBinding>,
    want: ReadonlyMap<string, Uint8Array>,
  ) => {
    const seen: Record<string, number[]> = {}
    for (const name of names) {
      const { fetches } = await run({ fetches: [`look_${name}`], targets: [], feeds: {} }, from)
      const { bytes } = fetches[0] as NumericTensor
      if (Buffer.compare(bytes, want.get(name) as Uint8Array) !== 0) {
        throw new Error(
          `${name} is ${floatsOf(bytes)}, not ${floatsOf(want.get(name) as Uint8Array)}`,
        )
      }
      seen[name] = floatsOf(bytes)
    }
    return seen
  }
  const stored = () =>
    new Map(
      [...bound].map(([name, binding]) => [name, values['value' in binding ? binding.value : -1]]),
    )

  const checkPatch = async ({ handle, base, dirty }: Assigned, bytes: Uint8Array) => {
    if (base === undefined || dirty === undefined) return
    patched++
    const made = values[base].slice()
    const parts = await engine.readRanges(handle, dirty)
    for (const [place, { offset }] of dirty.entries()) made.set(parts[place], offset)
    if (Buffer.compare(made, bytes) !== 0) throw new Error('the ranges do not say what changed')
  }

  const settle = async (assigned: readonly Assigned[], step: Step) => {
    const { after, looksBack } = step
    const made: unknown[] = []
    const newer = new Map(bound)
    const contents = new Map(stored())
    for (const one of assigned) {
      const { bytes } = (await engine.read(one.handle)) as NumericTensor
      await checkPatch(one, bytes)
      made.push([one.name, floatsOf(bytes)])
      newer.set(one.name, { dtype, shape, handle: one.handle })
      contents.set(one.name, bytes.slice())
    }
    if (looksBack) await look(bound, stored())
    if (after === 'handle') await look(newer, contents)
    if (after === 'again') {
      for (const { name, handle } of (await run(step)).assigned) {
        const { bytes } = (await engine.read(handle)) as NumericTensor
        if (Buffer.compare(bytes, contents.get(name) as Uint8Array) !== 0) {
          throw new Error(`${name} came out as ${floatsOf(bytes)} the second time`)
        }
        await engine.release(handle)
      }
    }
    if (looksBack) await look(bound, stored())
    for (const { name, handle } of assigned) {
      if (after === 'release') await engine.release(handle)
      else {
        const value = values.push(contents.get(name) as Uint8Array) - 1
        await engine.adopt(handle, value)
        bound.set(name, { dtype, shape, value })
      }
    }
    return made
  }

  return {
    engine,
    device: device.facts.name,
    get reads() {
      return reads
    },
    get patched() {
      return patched
    },
    bindings,
    async step(step) {
      const reply = await run(step).catch(refusalOnly)
      // Where several nodes fail, it is not said which one is told.
      if (reply instanceof Refusal) return reply.message.replace(/ \[node .*$/, '')
      const fetched = reply.fetches.map((one) => floatsOf((one as NumericTensor).bytes))
      return { fetched, made: await settle(reply.assigned, step) }
    },
    contents: () => look(bound, stored()),
    close: () => engine.close(),
  }
}

function refusalOnly(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  throw error
}

function floatsOf(bytes: Uint8Array): number[] {
  return [...new Float32Array(bytes.slice().buffer)]
}
