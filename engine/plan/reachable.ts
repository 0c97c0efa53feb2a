// What the rest of a walk can still need, once it has come to a need.
import type { Compute, Source, Value } from '../ops/index.ts'
import type { Need } from './need.ts'
import { inputsOf } from './patch.ts'
import type { Placement } from './stage.ts'
import type { Trace } from './trace.ts'

/** Sources whose contents the walk may want, down to those that are available already. */
export function reachableSources(
  trace: Trace,
  need: Need,
  placement: Placement,
): ReadonlySet<Source> {
  const reachable = new Set<Source>()
  const stack: Value[] = trace.liveValues()
  stack.push(...trace.state.checked.map(wholeOf))
  for (const step of trace.state.steps) stack.push(...step.inputs)
  if (need.kind === 'step') stack.push(...need.step.inputs)
  for (let value = stack.pop(); value !== undefined; value = stack.pop()) {
    if (value.kind === 'list') {
      for (const element of value.elements) if (element !== undefined) stack.push(element)
    }
    if (value.kind !== 'array' || reachable.has(value.source)) continue
    const { source } = value
    reachable.add(source)
    if (placement.isAvailable(source)) continue
    if (source.kind === 'compute') stack.push(...source.inputs)
    if (source.kind === 'patch') stack.push(...inputsOf(source))
    if (source.kind === 'step') stack.push(...source.step.inputs)
  }
  return reachable
}

function wholeOf(source: Compute): Value {
  return { kind: 'array', dtype: source.dtype, shape: source.shape, source }
}
