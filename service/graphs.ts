// Graphs: taking them in by what they are (their id is their content's hash), and running them.
import { createHash } from 'node:crypto'
import type { GraphSummary } from '../engine/index.ts'
import {
  decodeGraphDef,
  encodeGraphDef,
  type GraphDef,
  type JsonValue,
  messageOfJson,
  parseText,
  WireError,
} from '../proto/index.ts'
import type { GraphRecord, Json, Page, PageRequest } from '../store/index.ts'
import { type DType, Refusal, type Tensor } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { checkContainerName } from './names.ts'
import { deviceFor, type RunOutcome, type Runs } from './runs.ts'
import { contentOfTensor } from './tensor-content.ts'
import type { Declaration } from './tensor-input.ts'

/** A graph as it comes: a serialized GraphDef, its text format, or its JSON. */
export type GraphForm =
  | { readonly form: 'binary'; readonly bytes: Uint8Array }
  | { readonly form: 'text'; readonly text: string }
  | { readonly form: 'json'; readonly json: JsonValue }

/** A value to feed; told the type that the graph gives the tensor, where it gives one. */
export type FeedInput = (declared: Declaration | undefined) => Tensor

interface GraphRunRequest {
  readonly feeds: Readonly<Record<string, FeedInput>>
  readonly fetches: readonly string[]
  readonly targets: readonly string[]
  readonly container: string
  readonly device: string
  readonly report: boolean
  readonly idempotencyKey?: string | undefined
  readonly checkFetches?: ((tensors: readonly Tensor[]) => void) | undefined
}

/** A graph and what was learned of it. */
export interface LoadedGraph {
  readonly record: GraphRecord
  readonly summary: GraphSummary
}

export interface Graphs {
  /** Takes in a graph. One that is there already is found, not made again. */
  put(form: GraphForm): Promise<LoadedGraph & { readonly created: boolean }>
  get(id: string): Promise<LoadedGraph>
  list(page: PageRequest): Promise<Page<LoadedGraph>>
  /** The serialized GraphDef. */
  bytes(id: string): Promise<Uint8Array>
  remove(id: string): Promise<void>
  run(id: string, request: GraphRunRequest): Promise<RunOutcome>
}

/** The graphs of a store. */
export function createGraphs(context: Context, runs: Runs): Graphs {
  const { catalogue, values } = context.store
  const loading = new Map<string, Promise<GraphSummary>>()

  /** Loads the stored graph into the engine, once. */
  function load(record: GraphRecord): Promise<GraphSummary> {
    const known = loading.get(record.id)
    if (known !== undefined) return known
    const summary = values
      .bytes(record.value.valueId)
      .then((bytes) => context.engine.load(record.id, bytes))
    loading.set(record.id, summary)
    summary.catch(() => loading.delete(record.id))
    return summary
  }

  async function find(id: string): Promise<GraphRecord> {
    const record = await catalogue.graph(id)
    if (record !== undefined) return record
    throw new Refusal('NOT_FOUND', 'graph/unknown', `There is no graph "${id}".`, {
      fix: 'Upload it with POST /v1/graphs, or list what is there with GET /v1/graphs.',
      names: { graph: id },
    })
  }

  return {
    async put(form) {
      const bytes = serialized(form, context.limits.graphBytes)
      const id = createHash('sha256').update(bytes).digest('hex')
      const known = await catalogue.graph(id)
      if (known !== undefined) {
        return { record: known, summary: await load(known), created: false }
      }
      const summary = await context.engine.load(id, bytes)
      const staging = context.store.values.stage()
      try {
        const content = { dtype: 'uint8', shape: [bytes.byteLength], bytes } as const
        const value = await staging.add(contentOfTensor(content))
        const kept = summary as unknown as Json
        await catalogue.commit([{ kind: 'put_graph', id, value, summary: kept }])
      } finally {
        await staging.discard()
      }
      loading.set(id, Promise.resolve(summary))
      return { record: await find(id), summary, created: true }
    },
    async get(id) {
      const record = await find(id)
      return { record, summary: record.summary as unknown as GraphSummary }
    },
    async list(page) {
      const { items, cursor } = await catalogue.listGraphs(page)
      const loaded = items.map((record) => ({
        record,
        summary: record.summary as unknown as GraphSummary,
      }))
      return { items: loaded, cursor }
    },
    async bytes(id) {
      return values.bytes((await find(id)).value.valueId)
    },
    async remove(id) {
      await find(id)
      await catalogue.commit([{ kind: 'delete_graph', id }])
      runs.forget(id)
      if (loading.delete(id)) await context.engine.unload(id)
    },
    async run(id, request) {
      checkContainerName(request.container, context.limits)
      if (request.fetches.length === 0 && request.targets.length === 0) {
        throw new Refusal(
          'INVALID_ARGUMENT',
          'run/nothing-wanted',
          'Must specify at least one target to fetch or execute.',
        )
      }
      const summary = await load(await find(id))
      return runs.run({
        graph: id,
        feeds: feedsOf(request.feeds, summary, context.limits.feedBytes),
        fetches: request.fetches,
        targets: request.targets,
        container: request.container,
        device: await deviceFor(context, request.device),
        report: request.report,
        idempotencyKey: request.idempotencyKey,
        checkFetches: request.checkFetches,
      })
    },
  }
}

function feedsOf(
  inputs: Readonly<Record<string, FeedInput>>,
  summary: GraphSummary,
  maxBytes: number,
): Readonly<Record<string, Tensor>> {
  const declared = new Map<string, { readonly dtype: DType }>()
  for (const { name, dtype } of summary.inputs) declared.set(nodeOf(name), { dtype })
  const feeds: Record<string, Tensor> = Object.create(null)
  let bytes = 0
  for (const [name, input] of Object.entries(inputs)) {
    const known = /:[1-9]/.test(name) ? undefined : declared.get(nodeOf(name))
    // Only the type is handed on: whether the shape fits, the engine says in its own words.
    const tensor = input(known === undefined ? undefined : { dtype: known.dtype, shape: undefined })
    bytes += contentOfTensor(tensor).byteLength
    if (bytes > maxBytes) {
      throw new Refusal(
        'RESOURCE_EXHAUSTED',
        'tensor/feeds-too-large',
        `The feeds of a run hold at most ${maxBytes} bytes together.`,
      )
    }
    feeds[name] = tensor
  }
  return feeds
}

function nodeOf(tensorName: string): string {
  return tensorName.replace(/:0$/, '')
}

/** The serialized GraphDef in its one canonical form, so that equal graphs have equal ids. */
function serialized(given: GraphForm, maxBytes: number): Uint8Array {
  const bytes = encodeGraphDef(parsed(given))
  if (bytes.byteLength <= maxBytes) return bytes
  throw new Refusal(
    'RESOURCE_EXHAUSTED',
    'graph/too-large',
    `The graph has ${bytes.byteLength} bytes; at most ${maxBytes} are taken.`,
  )
}

function parsed(given: GraphForm): GraphDef {
  try {
    switch (given.form) {
      case 'binary':
        return decodeGraphDef(given.bytes)
      case 'text':
        return parseText('GraphDef', given.text)
      case 'json':
        return messageOfJson('GraphDef', given.json)
      default:
        throw new Error(`unknown form ${JSON.stringify(given satisfies never)}`)
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new Refusal(
      'INVALID_ARGUMENT',
      'graph/wire',
      `The GraphDef cannot be read: ${error.message}`,
      {
        cause: error,
      },
    )
  }
}
