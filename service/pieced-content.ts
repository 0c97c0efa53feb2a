// Content that the engine makes piece by piece while the store takes it in, so that no more than two pieces
// of it are in memory at a time. What a piece is made of it does not know.
import type { Engine } from '../engine/index.ts'
import { type Draft, encodeGraphDef } from '../proto/index.ts'
import {
  byteLengthOf,
  elementCountOf,
  freeMemory,
  type NumericDType,
  type Shape,
  type Tensor,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { drawingDevice, graphVersion } from './initial-graph.ts'
import { deviceFor } from './runs.ts'
import type { TensorContent } from './tensor-content.ts'

/** Elements of a piece; the last one may have fewer. */
export const pieceElements = 2 ** 20

/** Bytes from which a value is made in pieces. */
const bigBytes = 8 * 2 ** 20

/** A stretch of a value. */
export interface Stretch {
  readonly start: number
  readonly count: number
}

/** A graph with an output `value:0` that gives one piece. */
export interface PieceGraph {
  readonly nodes: readonly Draft<'NodeDef'>[]
  /** What is fed for the piece that holds that stretch. */
  feeds(stretch: Stretch): Promise<Readonly<Record<string, Tensor>>>
}

/** Whether a value is big enough to be made in pieces. */
export function isBig(dtype: NumericDType, shape: Shape): boolean {
  return elementCountOf(shape) * byteLengthOf(dtype) > bigBytes
}

/** Content of which each piece is a run of the graph. */
export function piecedContent(
  context: Context,
  dtype: NumericDType,
  shape: Shape,
  graph: PieceGraph,
): TensorContent {
  const count = elementCountOf(shape)
  const byteLength = count * byteLengthOf(dtype)
  return {
    dtype,
    shape,
    byteLength,
    chunks: () => pieces(context, byteLengthOf(dtype), count, graph),
  }
}

async function* pieces(
  context: Context,
  elementBytes: number,
  count: number,
  graph: PieceGraph,
): AsyncGenerator<Uint8Array> {
  const { engine } = context
  const id = `initialize/${context.graphNumbers.next++}`
  const definition = { node: [...graph.nodes], versions: { producer: graphVersion } }
  await engine.load(id, encodeGraphDef(definition))
  const device = await deviceFor(context, drawingDevice)
  const run = async (start: number): Promise<Uint8Array> => {
    const feeds = await graph.feeds({ start, count: Math.min(pieceElements, count - start) })
    return fetched(engine, { id, feeds, device, deadlineMs: context.limits.runTimeoutMs })
  }
  // One piece is made while the one before it is taken in.
  let next = run(0)
  try {
    for (let start = 0; start < count; start += pieceElements) {
      const bytes = await next
      if (start + pieceElements < count) {
        next = run(start + pieceElements)
        next.catch(() => undefined)
      }
      yield bytes.subarray(0, (count - start) * elementBytes)
      // Taken in by now: given back at once, or the collector would have to be quick.
      freeMemory(bytes)
    }
  } finally {
    await next.catch(() => undefined)
    await engine.unload(id)
    await engine.dropState(id)
  }
}

async function fetched(
  engine: Engine,
  run: {
    readonly id: string
    readonly feeds: Readonly<Record<string, Tensor>>
    readonly device: string
    readonly deadlineMs: number
  },
): Promise<Uint8Array> {
  const { id, feeds, device, deadlineMs } = run
  const { fetches } = await engine.run({
    graph: id,
    feeds,
    fetches: ['value:0'],
    targets: [],
    container: id,
    variables: [],
    device,
    deadlineMs,
  })
  const [tensor] = fetches
  if (tensor.dtype === 'string') throw new Error('pieces are numbers')
  return tensor.bytes
}
