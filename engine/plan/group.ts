// Kernels that run over the same elements become one kernel with several outputs: an optimizer's
// variable and slots are updated in one pass. Only order and memory traffic change, no value.
import { elementCountOf } from '../../tensor/index.ts'
import { type Expression, visit } from '../ir/index.ts'
import type { Compute, HostStep, Patch, Source } from '../ops/index.ts'
import { buildKernel, type Fusion, type PlannedKernel } from './kernel.ts'
import { inputsOf } from './patch.ts'

/** Kernels to run as one, a patch, or a step; `id` is its place in the order of the trace. */
export type Item =
  | {
      readonly kind: 'kernel'
      readonly id: number
      readonly computes: readonly Compute[]
      readonly planned: PlannedKernel
    }
  | { readonly kind: 'patch'; readonly id: number; readonly patch: Patch }
  | { readonly kind: 'step'; readonly id: number; readonly step: HostStep }

interface Group {
  readonly members: Compute[]
  /** What its members read from outside. */
  readonly inputs: Set<unknown>
}

/** Most outputs of one kernel. */
const maxOutputs = 6

/** Kernels, patches and steps in running order, kernels over the same elements joined where `join` says so. */
export function itemsOf(
  kernels: readonly Compute[],
  patches: readonly Patch[],
  steps: readonly HostStep[],
  fusion: Fusion,
  join: boolean,
  maxBuffers: number,
): readonly Item[] {
  const single = new Map(kernels.map((compute) => [compute, buildKernel([compute], fusion)]))
  const grouping = new Grouping(single, maxBuffers)
  const byId = [...kernels, ...patches, ...steps].sort((a, b) => a.id - b.id)
  for (const one of byId) {
    if ('kind' in one && one.kind === 'compute') {
      grouping.add(one, join)
      continue
    }
    const inputs = 'kind' in one ? inputsOf(one) : one.inputs
    grouping.close(inputs.flatMap((input) => (input.kind === 'array' ? [input.source] : [])))
  }
  const items = grouping.groups.map(({ members }): Item => {
    const planned =
      members.length === 1
        ? (single.get(members[0]) as PlannedKernel)
        : buildKernel(members, joined(fusion, new Set(members)))
    return { kind: 'kernel', id: members[members.length - 1].id, computes: members, planned }
  })
  items.push(...patches.map((patch): Item => ({ kind: 'patch', id: patch.id, patch })))
  items.push(...steps.map((step): Item => ({ kind: 'step', id: step.id, step })))
  return items.sort((a, b) => a.id - b.id)
}

/** Members read each other in the kernel itself. */
function joined(fusion: Fusion, members: ReadonlySet<Compute>): Fusion {
  return {
    splats: fusion.splats,
    isInlined: (compute) =>
      fusion.isInlined(compute) || (members.has(compute) && compute.reduce === undefined),
    hostedBy: (compute) => fusion.hostedBy(compute),
  }
}

class Grouping {
  readonly groups: Group[] = []
  readonly #single: ReadonlyMap<Compute, PlannedKernel>
  readonly #maxBuffers: number
  /** Groups that may still take members, by their number of elements and device. */
  readonly #open = new Map<string, Group>()
  readonly #groupOf = new Map<Source, Group>()

  constructor(single: ReadonlyMap<Compute, PlannedKernel>, maxBuffers: number) {
    this.#single = single
    this.#maxBuffers = maxBuffers
  }

  add(compute: Compute, join: boolean): void {
    const planned = this.#single.get(compute) as PlannedKernel
    const key = `${elementCountOf(compute.shape)} ${compute.device}`
    const open = this.#open.get(key)
    const sources = planned.inputs.flatMap((input) => ('kind' in input ? [input] : []))
    if (join && open !== undefined && this.#fits(open, compute, planned)) {
      this.close(sources.filter((source) => this.#groupOf.get(source) !== open))
      open.members.push(compute)
      for (const input of planned.inputs) {
        if (this.#groupOf.get(input as Source) !== open) open.inputs.add(input)
      }
      this.#groupOf.set(compute, open)
      return
    }
    this.close(sources)
    const group: Group = { members: [compute], inputs: new Set(planned.inputs) }
    this.groups.push(group)
    this.#groupOf.set(compute, group)
    if (compute.checks === undefined) this.#open.set(key, group)
  }

  /** What is read from outside must have run: its group takes no more members. */
  close(sources: readonly Source[]): void {
    for (const source of sources) {
      const group = this.#groupOf.get(source)
      if (group === undefined) continue
      for (const [key, open] of this.#open) if (open === group) this.#open.delete(key)
    }
  }

  #fits(group: Group, compute: Compute, planned: PlannedKernel): boolean {
    if (planned.kernel.reductions.length > 0 || planned.kernel.checks.length > 0) return false
    if (group.members.length >= maxOutputs) return false
    const own = new Set<unknown>(group.members)
    const inputs = planned.inputs.filter((input) => !own.has(input))
    const all = new Set([...group.inputs, ...inputs])
    if (all.size + group.members.length + 1 > this.#maxBuffers) return false
    const reading = planned.inputs.flatMap((input, place) => (own.has(input) ? [place] : []))
    if (!reading.every((place) => readsOwnElement(planned, place))) return false
    if (reading.length > 0) return true
    // Siblings: worth a common pass where they read the same large array.
    const leader = this.#single.get(group.members[0]) as PlannedKernel
    if (leader.kernel.reductions.length > 0) return false
    const count = elementCountOf(compute.shape)
    return inputs.some(
      (input) => group.inputs.has(input) && count > 1 && elementCountOf(input.shape) >= count,
    )
  }
}

/** Whether every read of an input is of the element that is stored. */
function readsOwnElement({ kernel }: PlannedKernel, place: number): boolean {
  let own = true
  const [store] = kernel.stores
  const here: Expression = store.index
  visit([store.value], (node) => {
    if (node.kind !== 'load' || node.input !== place) return
    if (node.index !== here || node.guard !== undefined) own = false
  })
  return own
}
