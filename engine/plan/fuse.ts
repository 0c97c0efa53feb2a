// Which computes become kernels and which are written into their consumers. A producer goes into its
// consumer where that repeats no real work; a reduction takes the elementwise work on its result along.
import { type DType, elementCountOf } from '../../tensor/index.ts'
import {
  type Expression,
  expressionBuilder,
  orderOf,
  type ScalarType,
  typeOfReduction,
} from '../ir/index.ts'
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
 * those whose results are wanted in memory, `types` those that the preferred device has: what needs
 * others goes elsewhere, and must not take the rest along.
 */
export function fuse(
  computes: readonly Compute[],
  kept: ReadonlySet<Source>,
  limits: FuseLimits,
  splats: Splats,
  types: ReadonlySet<ScalarType>,
): FusedComputes {
  const foreign = new Set(computes.filter((compute) => isForeign(compute, types)))
  const profiles = profilesOf(computes)
  const forced = new Set<Compute>()
  for (;;) {
    const decision = decide(computes, profiles, kept, forced, foreign)
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
  foreign: ReadonlySet<Compute>,
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
    const isBorder = list.some(({ consumer }) => foreign.has(consumer) !== foreign.has(compute))
    if (kept.has(compute) || forced.has(compute) || compute.checks !== undefined) isKernel()
    else if (isBorder) isKernel()
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

/** Whether it has anything to do with a type that the preferred device lacks. */
function isForeign(compute: Compute, types: ReadonlySet<ScalarType>): boolean {
  const lacks = (dtype: DType): boolean => !types.has(dtype as ScalarType)
  return lacks(compute.dtype) || compute.inputs.some((input) => lacks(input.dtype))
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

/** What a compute takes along if it is a kernel: producers written into it, and what they read. */
interface Closure {
  readonly written: ReadonlySet<Compute>
  readonly outside: ReadonlySet<unknown>
  readonly operations: number
  readonly depth: number
}

/** Computes to make kernels of, so that those that take them along stay within the limits. */
function overLimits(
  computes: readonly Compute[],
  profiles: ReadonlyMap<Compute, Profile>,
  decision: Decision,
  limits: FuseLimits,
): readonly Compute[] {
  const closures = new Map<Source, Closure>()
  const over: Compute[] = []
  const lastUse = new Map<Source, number>()
  for (const [place, compute] of computes.entries()) {
    for (const value of compute.inputs) {
      if (value.kind === 'array') lastUse.set(value.source, place)
    }
  }
  const kernels = new Set(decision.kernels)
  for (const [place, compute] of computes.entries()) {
    let closure = closureOf(compute, profiles, kernels, closures)
    while (isOver(closure, limits) && closure.written.size > 0) {
      const heaviest = heaviestOf(compute, closure, closures)
      over.push(heaviest)
      kernels.add(heaviest)
      closure = closureOf(compute, profiles, kernels, closures)
    }
    closures.set(compute, closure)
    // What no later compute takes along is not looked at again.
    for (const value of compute.inputs) {
      if (value.kind === 'array' && lastUse.get(value.source) === place) {
        closures.delete(value.source)
      }
    }
  }
  return over
}

function isOver({ outside, operations, depth }: Closure, limits: FuseLimits): boolean {
  return outside.size + 1 > limits.buffers || operations > limits.operations || depth > limits.depth
}

/** Of the producers written directly into a compute, the one that brings most along. */
function heaviestOf(
  compute: Compute,
  { written }: Closure,
  closures: ReadonlyMap<Source, Closure>,
): Compute {
  const direct = compute.inputs.flatMap((value) =>
    value.kind === 'array' && written.has(value.source as Compute) ? [value.source as Compute] : [],
  )
  const weight = (one: Compute): number => {
    const own = closures.get(one)
    return own === undefined ? 0 : own.outside.size * 1000 + own.operations
  }
  return direct.reduce((best, one) => (weight(one) > weight(best) ? one : best))
}

function closureOf(
  compute: Compute,
  profiles: ReadonlyMap<Compute, Profile>,
  kernels: ReadonlySet<Compute>,
  closures: ReadonlyMap<Source, Closure>,
): Closure {
  const outside = new Set<unknown>()
  const written = new Set<Compute>()
  let depth = 0
  for (const value of compute.inputs) {
    const operand = operandOf(value)
    if (operand === undefined) continue
    const closure = value.kind === 'array' ? closures.get(value.source) : undefined
    const isKernel = closure === undefined || kernels.has(operand as Compute)
    if (isKernel) {
      outside.add(operand)
      continue
    }
    written.add(operand as Compute)
    for (const one of closure.written) written.add(one)
    for (const one of closure.outside) outside.add(one)
    depth = Math.max(depth, closure.depth + 1)
  }
  const costOf = (one: Compute): number => (profiles.get(one) as Profile).operations
  let operations = costOf(compute)
  for (const one of written) operations += costOf(one)
  return { written, outside, operations, depth }
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
  return b.build.accumulator(typeOfReduction(reduce), 0)
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
