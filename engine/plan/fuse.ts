// Which computes become kernels and which are written into their consumers. A producer goes into its
// consumer where that repeats no real work; a reduction takes the elementwise work on its result along.
import { elementCountOf } from '../../tensor/index.ts'
import { type Expression, expressionBuilder, orderOf, type ScalarType } from '../ir/index.ts'
import { Builder, type Compute, type Source, type TensorValue } from '../ops/index.ts'
import type { Fusion, Splats } from './kernel.ts'

/** Limits of one kernel. */
export interface FuseLimits {
  /** Buffers that a kernel may bind, outputs included. */
  readonly buffers: number
  /** Operations that one element may cost once producers are written in. */
  readonly operations: number
  /** Producers written into each other this deep. */
  readonly depth: number
}

export const usualLimits: Omit<FuseLimits, 'buffers'> = { operations: 400, depth: 64 }

interface ReadProfile {
  readonly input: number
  /** Whether the element read is the one being computed. */
  readonly identity: boolean
  readonly reducing: boolean
}

/** What a compute does to its inputs, learned by writing it once. */
interface Profile {
  readonly reads: readonly ReadProfile[]
  /** Operations on values for each element of the body. */
  readonly operations: number
  /** Divisions in positions. */
  readonly divisions: number
}

/** Result of {@link fuse}: which computes are kernels of their own, and how they are written. */
export interface FusedComputes extends Fusion {
  readonly kernels: readonly Compute[]
}

/**
 * Decides for `computes` (everything that a stage needs, producers before consumers). `kept` are
 * those whose results are wanted in memory.
 */
export function fuse(
  computes: readonly Compute[],
  kept: ReadonlySet<Source>,
  limits: FuseLimits,
  splats: Splats,
): FusedComputes {
  const profiles = profilesOf(computes)
  const forced = new Set<Compute>()
  for (;;) {
    const decision = decide(computes, profiles, kept, forced)
    const over = overLimits(computes, profiles, decision, limits)
    if (over.length === 0) {
      return {
        splats,
        kernels: computes.filter((compute) => decision.kernels.has(compute)),
        isInlined: (compute) => decision.inlined.has(compute),
        hostedBy: (compute) => decision.hosts.get(compute),
      }
    }
    for (const compute of over) forced.add(compute)
  }
}

interface Decision {
  readonly kernels: Set<Compute>
  readonly inlined: Set<Compute>
  /** By the compute that the kernel stores: the reduction that it runs. */
  readonly hosts: Map<Compute, Compute>
}

interface Use {
  readonly consumer: Compute
  readonly profile: ReadProfile
}

function decide(
  computes: readonly Compute[],
  profiles: ReadonlyMap<Compute, Profile>,
  kept: ReadonlySet<Source>,
  forced: ReadonlySet<Compute>,
): Decision {
  const kernels = new Set<Compute>()
  const inlined = new Set<Compute>()
  const hosts = new Map<Compute, Compute>()
  const uses = usesOf(computes, profiles)
  /** Times that an element is computed in all; and the kernel that alone computes it, at its own place. */
  const evaluations = new Map<Compute, number>()
  const roots = new Map<Compute, Compute>()
  for (let place = computes.length - 1; place >= 0; place--) {
    const compute = computes[place]
    const list = uses.get(compute) ?? []
    const root = kept.has(compute) || forced.has(compute) ? undefined : commonRoot(list, roots)
    const count = elementCountOf(compute.shape)
    const isKernel = (): void => {
      kernels.add(compute)
      roots.set(compute, compute)
      evaluations.set(compute, count)
    }
    if (kept.has(compute) || forced.has(compute) || compute.checks !== undefined) isKernel()
    else if (compute.reduce !== undefined) {
      if (root === undefined || root.reduce !== undefined || hosts.has(root)) isKernel()
      else {
        hosts.set(root, compute)
        roots.set(compute, root)
        evaluations.set(compute, count)
      }
    } else if (root !== undefined) {
      inlined.add(compute)
      roots.set(compute, root)
      evaluations.set(compute, count)
    } else {
      const repeated = list.reduce((sum, use) => sum + timesRead(use, evaluations), 0)
      if (isWorthRepeating(profiles.get(compute) as Profile, repeated / count)) {
        inlined.add(compute)
        evaluations.set(compute, repeated)
      } else isKernel()
    }
  }
  return { kernels, inlined, hosts }
}

/** The one kernel in which every use reads the element at its own place. */
function commonRoot(
  uses: readonly Use[],
  roots: ReadonlyMap<Compute, Compute>,
): Compute | undefined {
  let common: Compute | undefined
  for (const { consumer, profile } of uses) {
    const root = roots.get(consumer)
    if (!profile.identity || profile.reducing || root === undefined) return undefined
    if (common !== undefined && root !== common) return undefined
    common = root
  }
  return common
}

function timesRead({ consumer, profile }: Use, evaluations: ReadonlyMap<Compute, number>): number {
  const times = evaluations.get(consumer) ?? 0
  if (!profile.reducing) return times
  return times * (consumer.reduce?.extents ?? []).reduce((product, extent) => product * extent, 1)
}

/** Whether computing elements `factor` times each is cheaper than a pass over memory. */
function isWorthRepeating({ operations, divisions }: Profile, factor: number): boolean {
  if (factor <= 1) return true
  if (operations === 0) return divisions === 0 || factor <= 4
  return operations <= 2 && divisions === 0 && factor <= 4
}

function usesOf(
  computes: readonly Compute[],
  profiles: ReadonlyMap<Compute, Profile>,
): ReadonlyMap<Compute, readonly Use[]> {
  const uses = new Map<Compute, Use[]>()
  for (const consumer of computes) {
    for (const profile of (profiles.get(consumer) as Profile).reads) {
      const value = consumer.inputs[profile.input]
      if (value.kind !== 'array' || value.source.kind !== 'compute') continue
      const list = uses.get(value.source)
      if (list === undefined) uses.set(value.source, [{ consumer, profile }])
      else list.push({ consumer, profile })
    }
  }
  return uses
}

/** Computes to make kernels of, so that those that take them along stay within the limits. */
function overLimits(
  computes: readonly Compute[],
  profiles: ReadonlyMap<Compute, Profile>,
  decision: Decision,
  limits: FuseLimits,
): readonly Compute[] {
  const outside = new Map<Compute, ReadonlySet<unknown>>()
  const operations = new Map<Compute, number>()
  const depths = new Map<Compute, number>()
  const over: Compute[] = []
  const isWritten = (source: Source): source is Compute =>
    source.kind === 'compute' && !decision.kernels.has(source) && outside.has(source)
  for (const compute of computes) {
    const bound = new Set<unknown>()
    let sum = (profiles.get(compute) as Profile).operations
    let depth = 0
    const written: Compute[] = []
    for (const value of compute.inputs) {
      const operand = operandOf(value)
      if (operand === undefined) continue
      if (typeof operand === 'object' && 'kind' in operand && isWritten(operand)) {
        written.push(operand)
        for (const one of outside.get(operand) as ReadonlySet<unknown>) bound.add(one)
        sum += operations.get(operand) as number
        depth = Math.max(depth, (depths.get(operand) as number) + 1)
      } else bound.add(operand)
    }
    outside.set(compute, bound)
    operations.set(compute, sum)
    depths.set(compute, depth)
    const isOver =
      bound.size + 1 > limits.buffers || sum > limits.operations || depth > limits.depth
    if (!isOver || written.length === 0) continue
    const heaviest = written.reduce((best, one) =>
      weightOf(one, outside, operations) > weightOf(best, outside, operations) ? one : best,
    )
    over.push(heaviest)
  }
  return over
}

function weightOf(
  compute: Compute,
  outside: ReadonlyMap<Compute, ReadonlySet<unknown>>,
  operations: ReadonlyMap<Compute, number>,
): number {
  return (outside.get(compute)?.size ?? 0) * 1000 + (operations.get(compute) ?? 0)
}

/** What a read of the value binds; undefined for constants that are written as numbers. */
function operandOf(value: TensorValue): Source | object | undefined {
  if (value.kind === 'array') return value.source
  return elementCountOf(value.shape) === 1 ? undefined : value.tensor
}

function profilesOf(computes: readonly Compute[]): ReadonlyMap<Compute, Profile> {
  const b = new Builder(expressionBuilder())
  return new Map(computes.map((compute) => [compute, profileOf(b, compute)]))
}

function profileOf(b: Builder, compute: Compute): Profile {
  const axes = compute.shape.map((extent, axis) => b.build.loop(axis, extent))
  const here = b.flatten(axes, compute.shape)
  const reads: ReadProfile[] = []
  const indices: Expression[] = []
  const seen = new Set<string>()
  const readAs =
    (reducing: boolean) =>
    (input: number, positions: readonly Expression[], guard?: Expression): Expression => {
      const value = compute.inputs[input]
      const index = b.flatten(positions, value.shape)
      const sameSize = elementCountOf(value.shape) === elementCountOf(compute.shape)
      const identity = index === here && guard === undefined && sameSize
      const load = b.build.load(value.dtype as ScalarType, input, index, guard)
      const key = `${reducing} ${input} ${identity}`
      if (!identity || !seen.has(key)) reads.push({ input, identity, reducing })
      seen.add(key)
      indices.push(index)
      return load
    }
  const roots: Expression[] = []
  if (compute.reduce !== undefined) {
    const reduced = compute.reduce.extents.map((extent, axis) =>
      b.build.loop(axes.length + axis, extent),
    )
    roots.push(compute.reduce.body({ b, axes, reduced, read: readAs(true) }))
  }
  const total = totalOf(b, compute)
  roots.push(compute.body({ b, axes, read: readAs(false), total }))
  return { reads, operations: operationsOf(roots), divisions: divisionsOf(indices) }
}

function totalOf(b: Builder, { reduce }: Compute): Expression {
  if (reduce === undefined) return b.index(0)
  const isPosition = reduce.combine === 'argmax' || reduce.combine === 'argmin'
  return b.build.accumulator(isPosition ? 'int32' : reduce.dtype, 0)
}

const costly = new Set(['exp', 'log', 'tanh', 'sin', 'cos', 'tan', 'erf', 'erfc', 'pow', 'sigmoid'])

/** Operations on values: what a load's position takes is not counted. */
function operationsOf(roots: readonly Expression[]): number {
  const seen = new Set<Expression>()
  const stack = [...roots]
  let operations = 0
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (seen.has(node) || node.kind !== 'apply') continue
    seen.add(node)
    operations += costly.has(node.row) ? 8 : 1
    stack.push(...node.operands)
  }
  return operations
}

function divisionsOf(indices: readonly Expression[]): number {
  return orderOf(indices).filter(
    (node) => node.kind === 'apply' && (node.row === 'floor_div' || node.row === 'floor_mod'),
  ).length
}
