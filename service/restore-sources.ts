// What of a checkpoint goes into which variable: names, the rename map, rules, slices and the scope taken
// together. It knows what is stored and nothing of what is there; whether it fits is restore.ts's.
import { parseBasicIndex, viewOf } from '../formats/index.ts'
import type { CheckpointEntry, CheckpointRecord } from '../store/index.ts'
import { Refusal, type Shape, stridesOf, type TensorType } from '../tensor/index.ts'
import { everyEntry } from './checkpoints.ts'
import type { Context } from './context.ts'
import { checkVariableName } from './names.ts'
import { type ObjectNames, objectNamesOf } from './object-names.ts'
import type { ReadableValue } from './readable.ts'
import { type AppliedRules, type RestoreRule, rulesOf } from './restore-rules.ts'
import { sliceReadable } from './slices.ts'
import {
  plainTensor,
  type StoredTensor,
  storedTensorReadable,
  storedTensors,
} from './stored-tensors.ts'
import { unknownCheckpoint } from './unknown-checkpoint.ts'

/** A part of a stored tensor. */
interface CutTensor extends TensorType {
  readonly form: 'cut'
  /** Of the stored tensor. */
  readonly name: string
  /** As it was asked for, in NumPy's notation. */
  readonly slice: string
  readonly value: ReadableValue
}

/** What goes into a variable. */
export type RestoreSource = StoredTensor | CutTensor

/** A part of a stored tensor that is asked for. */
interface SliceWish {
  readonly tensor: string
  /** NumPy's basic indexing: `0:10,:`. */
  readonly slice: string
}

/** What of a checkpoint is to go where. */
export interface SourceRequest {
  /** Stored names to restore; all where absent. Those of `rename` and `slices` are meant as well. */
  readonly names?: readonly string[] | undefined
  /** Variables by stored name. */
  readonly rename?: Readonly<Record<string, readonly string[]>> | undefined
  /** For stored names that `rename` does not have. */
  readonly rules?: readonly RestoreRule[] | undefined
  /** Parts of stored tensors by variable; these tensors go nowhere else unless said. */
  readonly slices?: Readonly<Record<string, SliceWish>> | undefined
  /** Put before the variables' names: stored `w` goes to `scope/w`. */
  readonly scope?: string | undefined
  /** Leaves out stored names that no map, rule or slice speaks of. */
  readonly onlyMapped?: boolean | undefined
}

/** What goes where. */
export interface Sources {
  readonly byVariable: ReadonlyMap<string, RestoreSource>
  /** Names asked for that are not stored, and the variables that they were for. */
  readonly absent: ReadonlyMap<string, readonly string[]>
  /** Stored names that a rule sends nowhere. */
  readonly skipped: readonly string[]
}

/** A request that was read. */
export interface SourcePlan {
  readonly request: SourceRequest
  readonly rules: AppliedRules
  /** `scope/`, or nothing. */
  readonly prefix: string
  /** Stored names that slices are taken of. */
  readonly cut: ReadonlySet<string>
}

/** Reads a request; refuses what no checkpoint could make right. */
export function sourcePlanOf(request: SourceRequest): SourcePlan {
  const { scope = '', slices = {} } = request
  for (const { slice } of Object.values(slices)) parseBasicIndex(slice)
  const prefix = scope === '' ? '' : `${scope.replace(/\/$/, '')}/`
  const cut = new Set(Object.values(slices).map(({ tensor }) => tensor))
  return { request, rules: rulesOf(request.rules ?? []), prefix, cut }
}

/**
 * What of the checkpoint goes where. Refuses (INVALID_ARGUMENT) two tensors for one variable
 * (`checkpoint/ambiguous-selection`), slices that lie outside, and names given that are no variables'.
 */
export async function sourcesOf(
  context: Context,
  checkpoint: CheckpointRecord,
  plan: SourcePlan,
): Promise<Sources> {
  const entries: CheckpointEntry[] = []
  for await (const entry of everyEntry(context, checkpoint.id)) entries.push(entry)
  // It was deleted while it was read.
  if (entries.length < checkpoint.tensorCount) throw unknownCheckpoint(checkpoint.id)
  const tensors = storedTensors(entries)
  const placed = new Placed(context, plan.prefix)
  const { request } = plan
  const objects = await objectNamesOf(context, tensors)
  const meant = tensorsMeant(tensors, request, objects)
  await placeTensors(meant, plan, placed, objects)
  const named = byName(tensors, objects)
  for (const [variable, wish] of Object.entries(request.slices ?? {})) {
    const tensor = named(wish.tensor)
    if (tensor === undefined) placed.addAbsent(wish.tensor, [variable])
    else placed.add(variable, await cutOf(context, tensor, wish.slice), true)
  }
  for (const name of new Set([...(request.names ?? []), ...Object.keys(request.rename ?? {})])) {
    if (named(name) === undefined) placed.addAbsent(name, targetsOf(name, plan) ?? [name])
  }
  return placed
}

/** Sources by variable, as they come. */
class Placed implements Sources {
  readonly byVariable = new Map<string, RestoreSource>()
  readonly absent = new Map<string, string[]>()
  readonly skipped: string[] = []
  readonly #context: Context
  readonly #prefix: string

  constructor(context: Context, prefix: string) {
    this.#context = context
    this.#prefix = prefix
  }

  add(target: string, source: RestoreSource, isGiven: boolean): void {
    const variable = this.#prefix + target
    if (isGiven) checkVariableName(variable, this.#context.limits)
    const other = this.byVariable.get(variable)
    if (other !== undefined) throw twiceMeant(variable, other.name, source.name)
    this.byVariable.set(variable, source)
  }

  addAbsent(tensor: string, targets: readonly string[]): void {
    const variables = targets.map((target) => this.#prefix + target)
    this.absent.set(tensor, [...(this.absent.get(tensor) ?? []), ...variables])
  }
}

/** How long names may be matched in one go, and altogether. */
const turnMs = 5
const matchMs = 10_000

async function placeTensors(
  tensors: readonly StoredTensor[],
  plan: SourcePlan,
  placed: Placed,
  objects: ObjectNames,
): Promise<void> {
  const begun = performance.now()
  let turn = begun
  for (const tensor of tensors) {
    const name = objects.byKey.get(tensor.name)
    const targets =
      targetsOf(tensor.name, plan) ?? (name === undefined ? undefined : targetsOf(name, plan))
    const isGraph = tensor.name === objects.graph && targets === undefined
    if (targets?.length === 0 || isGraph) placed.skipped.push(tensor.name)
    for (const target of targets ?? []) placed.add(target, tensor, true)
    if (targets === undefined && !isGraph && isForItself(tensor.name, plan)) {
      placed.add(name ?? tensor.name, tensor, false)
    }
    if (performance.now() - turn < turnMs) continue
    await new Promise((resolve) => setImmediate(resolve))
    turn = performance.now()
    if (turn - begun > matchMs) throw tooSlow()
  }
}

/** Where the map, or a rule, sends a name; undefined where neither speaks of it. */
function targetsOf(
  name: string,
  { request: { rename = {} }, rules }: SourcePlan,
): readonly string[] | undefined {
  return Object.hasOwn(rename, name) ? rename[name] : rules(name)
}

/** Whether a tensor that is meant, and of which nothing else is said, goes into the variable of its own name. */
function isForItself(name: string, { request: { names, onlyMapped }, cut }: SourcePlan): boolean {
  return !onlyMapped && (names !== undefined || !cut.has(name))
}

/** The tensors that a request speaks of, by the names that it speaks of them. */
function tensorsMeant(
  tensors: readonly StoredTensor[],
  { names, rename = {} }: SourceRequest,
  { byKey }: ObjectNames,
): readonly StoredTensor[] {
  const wanted = names && new Set(names)
  const isGiven = (name: string) => Object.hasOwn(rename, name) || wanted?.has(name) === true
  const isNamed = (name: string) => isGiven(name) || isGiven(byKey.get(name) ?? name)
  const meant = tensors.flatMap((tensor) => {
    if (tensor.form === 'plain') return [tensor]
    // Parts of a partitioned variable may be asked for by their own names.
    const named = tensor.parts.filter(({ entry }) => isNamed(entry.name))
    if (named.length === 0) return [tensor]
    const apart = isNamed(tensor.name) ? named : tensor.parts
    const parts = apart.map(({ entry }) => plainTensor(entry))
    return isNamed(tensor.name) ? [tensor, ...parts] : parts
  })
  return wanted === undefined ? meant : meant.filter(({ name }) => isNamed(name))
}

/** Finds tensors by their names, parts of wholes too. */
function byName(
  tensors: readonly StoredTensor[],
  { byKey }: ObjectNames,
): (name: string) => StoredTensor | undefined {
  const found = new Map<string, StoredTensor>()
  for (const tensor of tensors) {
    found.set(tensor.name, tensor)
    found.set(byKey.get(tensor.name) ?? tensor.name, tensor)
    if (tensor.form === 'plain') continue
    for (const { entry } of tensor.parts) found.set(entry.name, plainTensor(entry))
  }
  return (name) => found.get(name)
}

/** A part of a tensor, or the tensor where that is all of it. */
async function cutOf(
  context: Context,
  tensor: StoredTensor,
  slice: string,
): Promise<RestoreSource> {
  if (isAll(slice, tensor.shape)) return tensor
  const whole = storedTensorReadable(context, tensor)
  const value = await sliceReadable(whole, slice, context.limits.feedBytes)
  const { dtype, shape } = value
  return { form: 'cut', name: tensor.name, slice, dtype, shape, value }
}

function isAll(slice: string, shape: Shape): boolean {
  const { offset, axes } = viewOf(parseBasicIndex(slice), shape)
  const strides = stridesOf(shape)
  return (
    offset === 0 &&
    axes.length === shape.length &&
    axes.every(({ size, stride }, axis) => size === shape[axis] && stride === strides[axis])
  )
}

function twiceMeant(variable: string, first: string, second: string): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'checkpoint/ambiguous-selection',
    `Two stored tensors would go to variable ${variable}: ${first} and ${second}.`,
    {
      fix: 'Choose with names, or send one of them elsewhere; a rule with "to": [] sends it nowhere.',
      names: { variable, tensors: [first, second] },
    },
  )
}

function tooSlow(): Refusal {
  return new Refusal(
    'DEADLINE_EXCEEDED',
    'checkpoint/rule',
    `Matching the stored names against the rules took more than ${matchMs / 1000} seconds.`,
    { fix: 'Give fewer or simpler patterns, or prefixes.' },
  )
}
