// Which buffers of a stage may be changed in place: those whose content nothing needs any more. It
// decides by the order of the items; that no other run needs a variable's old value is the engine's to say.
import type { Kernel } from '../ir/index.ts'
import { visit } from '../ir/index.ts'
import type { Patch, Source, TensorValue, Variable } from '../ops/index.ts'
import type { Item } from './group.ts'
import type { KernelOperand, PlannedKernel } from './kernel.ts'
import { inputsOf, patchesSince, sourcesOf } from './patch.ts'
import { variableKey } from './tracing.ts'

/** Variables, by their keys, whose buffers a run may change. */
export interface Donors {
  /** So that it can be taken back. */
  readonly patched: ReadonlySet<string>
  /** For good: what they held has to be had from elsewhere when it is wanted again. */
  readonly whole: ReadonlySet<string>
}

/** No variable's buffer may be changed. */
export const noDonors: Donors = { patched: new Set(), whole: new Set() }

/** Item after which nothing needs an operand; never (Infinity) for those in `kept`. */
export function lastUses(
  items: readonly Item[],
  kept: ReadonlySet<Source>,
): ReadonlyMap<KernelOperand, number> {
  const last = new Map<KernelOperand, number>()
  for (const [place, item] of items.entries()) {
    for (const operand of operandsOf(item)) last.set(operand, place)
  }
  for (const source of kept) last.set(source, Number.POSITIVE_INFINITY)
  return last
}

function operandsOf(item: Item): readonly KernelOperand[] {
  switch (item.kind) {
    case 'kernel':
      return [...item.computes, ...item.planned.inputs]
    case 'patch':
      return [item.patch, ...sourcesOf(inputsOf(item.patch))]
    case 'step':
      return sourcesOf(item.step.inputs)
    default:
      return item satisfies never
  }
}

/** What a stage changes in place. */
export interface InPlace {
  /** Patches that change their base's buffer. */
  readonly patches: ReadonlySet<Patch>
  /** Sources that end as assigned values, and those whose buffers they take over. */
  readonly fresh: ReadonlySet<Source>
}

/** Decides for the items of a run's last stage, in their order. */
export function patchedInPlace(
  items: readonly Item[],
  last: ReadonlyMap<KernelOperand, number>,
  assigned: readonly { readonly variable: Variable; readonly value: TensorValue }[],
  donors: Donors,
): InPlace {
  const patches = new Set<Patch>()
  const fresh = new Set<Source>()
  /** Patches on the way from a donor's value to the one that it is assigned. */
  const donated = new Set<Patch>()
  for (const { variable, value } of assigned) {
    if (value.kind !== 'array') continue
    const { source } = value
    if (source.kind === 'compute' || source.kind === 'patch') fresh.add(source)
    if (!donors.patched.has(variableKey(variable.container, variable.name))) continue
    for (const patch of patchesSince(variable, value) ?? []) donated.add(patch)
  }
  for (let place = items.length - 1; place >= 0; place--) {
    const item = items[place]
    if (item.kind !== 'patch' || item.patch.base.kind !== 'array') continue
    const { patch } = item
    const { source } = item.patch.base
    if (last.get(source) !== place) continue
    if (source.kind === 'variable') {
      if (donated.has(patch)) patches.add(patch)
    } else if (source.kind === 'compute' || source.kind === 'patch') {
      patches.add(patch)
      if (fresh.has(patch)) fresh.add(source)
    }
  }
  return { patches, fresh: new Set([...fresh].filter((one) => !isDonated(one, patches))) }
}

/** Whether a patch ends in the buffer of a variable. */
function isDonated(source: Source, inPlace: ReadonlySet<Patch>): boolean {
  let at = source
  while (at.kind === 'patch' && inPlace.has(at) && at.base.kind === 'array') at = at.base.source
  return at.kind === 'variable'
}

/**
 * Outputs of a kernel that may take the place of an input: the old value of the variable that the
 * output is assigned to, read by nothing else any more, and here only where it is stored. By output.
 */
export function outputsInPlace(
  { kernel, inputs, outputs }: PlannedKernel,
  isLast: (operand: KernelOperand) => boolean,
  destinations: ReadonlyMap<Source, Variable>,
  donors: Donors,
): ReadonlyMap<number, number> {
  const inPlace = new Map<number, number>()
  if (kernel.checks.length > 0 || kernel.reductions.length > 0) return inPlace
  for (const [output, source] of outputs.entries()) {
    const variable = destinations.get(source)
    if (variable === undefined) continue
    const key = variableKey(variable.container, variable.name)
    if (!donors.whole.has(key)) continue
    const input = inputs.findIndex(
      (one) =>
        'kind' in one &&
        one.kind === 'variable' &&
        variableKey(one.variable.container, one.variable.name) === key,
    )
    if (input < 0 || !isLast(inputs[input])) continue
    const { dtype, elementCount } = kernel.outputs[output]
    const same = kernel.inputs[input]
    if (same.dtype !== dtype || same.elementCount !== elementCount) continue
    if (readsOnlyWhereStored(kernel, input, output)) inPlace.set(output, input)
  }
  return inPlace
}

/** The kernel with outputs that take the place of inputs. */
export function kernelInPlace(
  planned: PlannedKernel,
  inPlace: ReadonlyMap<number, number>,
): PlannedKernel {
  if (inPlace.size === 0) return planned
  const outputs = planned.kernel.outputs.map((output, place) => {
    return { ...output, inPlaceOf: inPlace.get(place) }
  })
  return { ...planned, kernel: { ...planned.kernel, outputs } }
}

function readsOnlyWhereStored(kernel: Kernel, input: number, output: number): boolean {
  const here = kernel.stores.filter((store) => store.output === output).map(({ index }) => index)
  let only = true
  visit(
    kernel.stores.flatMap(({ index, value }) => [index, value]),
    (node) => {
      if (node.kind === 'load' && node.input === input && !here.includes(node.index)) only = false
    },
  )
  return only
}
