// Which nodes a run needs, and in which order they run: iterative, so that long chains are no
// danger, and deterministic, so that equal requests make equal plans.
import type { Body, GraphNode } from './graph.ts'

/** Whether the edge from `producer` to `consumer` closes a V1 loop and orders nothing. */
export function isBackEdge(producer: GraphNode, consumer: GraphNode): boolean {
  return (
    (producer.op === 'NextIteration' || producer.op === 'RefNextIteration') &&
    (consumer.op === 'Merge' || consumer.op === 'RefMerge')
  )
}

/**
 * Places of the nodes that `wanted` needs, itself included, in running order: every node comes after
 * its data and control inputs, and otherwise in the order of the body. Data edges for which `isFed`
 * holds are not followed. Assumes a body without cycles other than V1 loops.
 */
export function runningOrder(
  body: Body,
  wanted: readonly number[],
  isFed: (node: number, index: number) => boolean = () => false,
): number[] {
  const needed = reachable(body, wanted, isFed)
  const waiting = new Map<number, number>()
  const consumers = new Map<number, number[]>()
  const ready = new PlaceHeap()
  for (const place of needed) {
    const node = body.nodes[place]
    const producers = new Set(node.controls)
    for (const edge of node.inputs) {
      if (!isFed(edge.node, edge.index) && !isBackEdge(body.nodes[edge.node], node)) {
        producers.add(edge.node)
      }
    }
    for (const producer of producers) {
      const list = consumers.get(producer)
      if (list === undefined) consumers.set(producer, [place])
      else list.push(place)
    }
    if (producers.size === 0) ready.push(place)
    else waiting.set(place, producers.size)
  }
  const order: number[] = []
  for (let place = ready.pop(); place !== undefined; place = ready.pop()) {
    order.push(place)
    for (const consumer of consumers.get(place) ?? []) {
      const left = (waiting.get(consumer) as number) - 1
      waiting.set(consumer, left)
      if (left === 0) ready.push(consumer)
    }
  }
  return order
}

function reachable(
  body: Body,
  wanted: readonly number[],
  isFed: (node: number, index: number) => boolean,
): Set<number> {
  const needed = new Set(wanted)
  const stack = [...needed]
  for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
    const node = body.nodes[place]
    for (const edge of node.inputs) {
      if (needed.has(edge.node) || isFed(edge.node, edge.index)) continue
      needed.add(edge.node)
      stack.push(edge.node)
    }
    for (const control of node.controls) {
      if (needed.has(control)) continue
      needed.add(control)
      stack.push(control)
    }
  }
  return needed
}

/**
 * A cycle that is no V1 loop, as the places on it in order; undefined where there is none.
 */
export function findCycle(nodes: readonly GraphNode[]): number[] | undefined {
  const state = new Uint8Array(nodes.length)
  const path: number[] = []
  const nextInput: number[] = []
  for (let start = 0; start < nodes.length; start++) {
    if (state[start] !== 0) continue
    path.push(start)
    nextInput.push(0)
    state[start] = 1
    while (path.length > 0) {
      const place = path[path.length - 1]
      const producer = producerAt(nodes, place, nextInput[nextInput.length - 1]++)
      if (producer === 'end') {
        state[place] = 2
        path.pop()
        nextInput.pop()
      } else if (producer !== 'back' && state[producer] === 1) {
        return path.slice(path.indexOf(producer)).reverse()
      } else if (producer !== 'back' && state[producer] === 0) {
        state[producer] = 1
        path.push(producer)
        nextInput.push(0)
      }
    }
  }
  return undefined
}

/** Producer behind the `index`th input, data first, then control. */
function producerAt(
  nodes: readonly GraphNode[],
  place: number,
  index: number,
): number | 'back' | 'end' {
  const node = nodes[place]
  if (index < node.inputs.length) {
    const producer = node.inputs[index].node
    return isBackEdge(nodes[producer], node) ? 'back' : producer
  }
  return node.controls[index - node.inputs.length] ?? 'end'
}

/** A binary heap of places, smallest first. */
class PlaceHeap {
  readonly #items: number[] = []

  push(place: number): void {
    const items = this.#items
    let at = items.length
    items.push(place)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (items[parent] <= place) break
      items[at] = items[parent]
      at = parent
    }
    items[at] = place
  }

  pop(): number | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (items.length === 0 || last === undefined) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && items[child + 1] < items[child]) child++
      if (items[child] >= last) break
      items[at] = items[child]
      at = child
    }
    items[at] = last
    return top
  }
}
