// What a stage has to compute: everything that is needed for what it is asked and not there yet.
import type { Compute, HostStep, Patch, Source } from '../ops/index.ts'
import { inputsOf, sourcesOf } from './patch.ts'
import type { Placement } from './stage.ts'

/** Computes, patches and steps that are needed and not there, producers first. */
export function demandOf(
  placement: Placement,
  sources: readonly Source[],
  steps: readonly HostStep[],
): { readonly computes: Compute[]; readonly patches: Patch[]; readonly steps: HostStep[] } {
  const computes = new Set<Compute>()
  const patches = new Set<Patch>()
  const wantedSteps = new Set<HostStep>()
  const stack: (Source | HostStep)[] = [...sources, ...steps]
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const owner = 'kind' in next && next.kind === 'step' ? next.step : next
    if (!('kind' in owner)) {
      if (placement.ran.has(owner) || wantedSteps.has(owner)) continue
      wantedSteps.add(owner)
      stack.push(...sourcesOf(owner.inputs))
    } else if (owner.kind === 'compute') {
      if (placement.isAvailable(owner) || computes.has(owner)) continue
      computes.add(owner)
      stack.push(...sourcesOf(owner.inputs))
    } else if (owner.kind === 'patch') {
      if (placement.isAvailable(owner) || patches.has(owner)) continue
      patches.add(owner)
      stack.push(...sourcesOf(inputsOf(owner)))
    }
  }
  const byId = (a: { readonly id: number }, b: { readonly id: number }): number => a.id - b.id
  return {
    computes: [...computes].sort(byId),
    patches: [...patches].sort(byId),
    steps: [...wantedSteps].sort(byId),
  }
}
