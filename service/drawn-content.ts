// Big initial values as content that the engine makes piece by piece, so that no more than two pieces are
// in memory at a time. The numbers are those of one draw: streams can be taken up anywhere.
import { streamPlace } from '../engine/index.ts'
import { encodeGraphDef } from '../proto/index.ts'
import {
  byteLengthOf,
  elementCountOf,
  isBigInt,
  type NumericDType,
  type Shape,
  type Tensor,
  tensorOfElements,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import {
  addPlan,
  createGraphNodes,
  drawingDevice,
  graphVersion,
  typeAttribute,
} from './initial-graph.ts'
import type { ComputedPlan } from './initializer.ts'
import { deviceFor } from './runs.ts'
import { diagonalContent, type TensorContent } from './tensor-content.ts'

/** A plan of which any stretch can be made by itself. */
export type DrawPlan = Extract<
  ComputedPlan,
  { readonly fill: 'uniform' | 'normal' | 'truncated_normal' }
>

/** Bytes from which a draw is made in pieces, and elements of a piece. */
const bigBytes = 8 * 2 ** 20
const pieceElements = 2 ** 20

/** Whether a value of that plan is made by {@link drawnContent}. */
export function isDrawnInPieces(
  plan: ComputedPlan,
  dtype: NumericDType,
  shape: Shape,
): plan is DrawPlan {
  const isDraw = plan.fill !== 'orthogonal' && plan.fill !== 'identity'
  return isDraw && elementCountOf(shape) * byteLengthOf(dtype) > bigBytes
}

/** The numbers of a plan as content; each piece is a run of the engine. */
export function drawnContent(
  context: Context,
  plan: DrawPlan,
  dtype: NumericDType,
  shape: Shape,
): TensorContent {
  const byteLength = elementCountOf(shape) * byteLengthOf(dtype)
  return { dtype, shape, byteLength, chunks: () => pieces(context, plan, dtype, byteLength) }
}

async function* pieces(
  context: Context,
  plan: DrawPlan,
  dtype: NumericDType,
  byteLength: number,
): AsyncGenerator<Uint8Array> {
  const draw = await loadDraw(context, plan, dtype)
  const pieceBytes = pieceElements * byteLengthOf(dtype)
  const count = Math.ceil(byteLength / pieceBytes)
  // One piece is drawn while the one before it is taken in.
  let next = draw.piece(0)
  try {
    for (let place = 0; place < count; place++) {
      const bytes = await next
      if (place + 1 < count) {
        next = draw.piece(place + 1)
        next.catch(() => undefined)
      }
      yield bytes.subarray(0, byteLength - place * pieceBytes)
      // Taken in by now: given back at once, or the collector would have to be quick.
      if (bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0)
    }
  } finally {
    await next.catch(() => undefined)
    await draw.end()
  }
}

/** A graph that draws one piece, loaded into the engine until `end`. */
async function loadDraw(
  context: Context,
  plan: DrawPlan,
  dtype: NumericDType,
): Promise<{
  piece(place: number): Promise<Uint8Array>
  end(): Promise<void>
}> {
  const { engine } = context
  const id = `initialize/${context.graphNumbers.next++}`
  const { seeds } = plan
  // Without seeds the engine's own stream goes on from piece to piece.
  const isSeeded = seeds[0] !== 0 || seeds[1] !== 0
  const graph = createGraphNodes()
  const stream = { key: 'key', counter: 'counter' }
  if (isSeeded) {
    const wide = { dtype: typeAttribute('uint64') }
    for (const name of Object.values(stream)) graph.add(name, 'Placeholder', [], wide)
  }
  addPlan(graph, 'value', plan, dtype, [pieceElements], isSeeded ? stream : undefined)
  const definition = { node: graph.nodes, versions: { producer: graphVersion } }
  await engine.load(id, encodeGraphDef(definition))
  const device = await deviceFor(context, drawingDevice)

  function feedsOf(place: number): Record<string, Tensor> {
    const { key, counter } = streamPlace(seeds, plan.fill, dtype, place * pieceElements)
    return {
      'key:0': tensorOfElements('uint64', [1], [key]),
      'counter:0': tensorOfElements('uint64', [2], counter),
    }
  }
  return {
    async piece(place) {
      const { fetches } = await engine.run({
        graph: id,
        feeds: isSeeded ? feedsOf(place) : {},
        fetches: ['value:0'],
        targets: [],
        container: id,
        variables: [],
        device,
        deadlineMs: context.limits.runTimeoutMs,
      })
      const [tensor] = fetches
      if (tensor.dtype === 'string') throw new Error('a draw gives numbers')
      return tensor.bytes
    },
    async end() {
      await engine.unload(id)
      await engine.dropState(id)
    },
  }
}

/** An identity matrix, or a part of one, as content. */
export function identityContent(
  { gain, part }: Extract<ComputedPlan, { readonly fill: 'identity' }>,
  dtype: NumericDType,
  [rows, columns]: Shape,
): TensorContent {
  const element = tensorOfElements(dtype, [], [isBigInt(dtype) ? BigInt(gain) : gain])
  const [row, column] = part?.offset ?? [0, 0]
  return diagonalContent([rows, columns], element, row - column)
}
