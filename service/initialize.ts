// Initialization: variables get their first values, in the order in which those depend on each other,
// all in one commit. What has to be drawn or computed is run by the engine, many variables to a graph.
import type { RunRequest } from '../engine/index.ts'
import { encodeGraphDef } from '../proto/index.ts'
import type { Change, StagedValue, Staging, VariableRecord } from '../store/index.ts'
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  isNumeric,
  Refusal,
  type Shape,
  type Tensor,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { isSeededDraw, plannedContent } from './drawn-content.ts'
import { expressionContent, type PieceSource } from './expression-content.ts'
import {
  addExpression,
  addPlan,
  addSlice,
  createGraphNodes,
  drawingDevice,
  graphVersion,
  typeAttribute,
} from './initial-graph.ts'
import { deviceFor } from './runs.ts'
import { type Recipe, recipeOf, withoutInitializer } from './stored-initializer.ts'
import { contentOfTensor, type TensorContent } from './tensor-content.ts'
import { tensorOfContent } from './tensor-input.ts'
import { unknownVariable } from './unknown-variable.ts'

/** A variable whose initial value is wanted. */
interface Unit {
  readonly record: VariableRecord
  readonly shape: Shape
  readonly recipe: Recipe
}

/** What there is to do, and the values of initialized variables that it uses. */
interface Work {
  readonly units: ReadonlyMap<string, Unit>
  readonly stored: ReadonlyMap<string, VariableRecord>
}

// A graph holds so much, so that neither it nor its values grow without bound.
const mostUnits = 256
const mostBytes = 32 * 2 ** 20

/**
 * Stages the initial values of `records`, all of one container, and answers with the changes that write
 * them. A variable whose value another's initializer takes is initialized before it where it is among
 * the records, is read where it has a value, and has its own initial value computed where it has none;
 * values in `known` take the place of what the store has.
 * Refuses (FAILED_PRECONDITION, `initializer/cycle`) variables that wait for each other.
 */
export async function initialWrites(
  context: Context,
  container: string,
  records: readonly VariableRecord[],
  staging: Staging,
  known: ReadonlyMap<string, Tensor> = new Map(),
): Promise<readonly Change[]> {
  const work = await workOf(context, container, records, known)
  const wanted = new Set(records.map(({ name }) => name))
  const staged = new Map<string, StagedValue>()
  const kept = new Map(known)
  const order = inOrder(work)
  const { contents, used } = streamsOf(context, work, order)
  async function give(name: string, tensor: Tensor): Promise<void> {
    if (used.has(name)) kept.set(name, tensor)
    if (wanted.has(name)) staged.set(name, await staging.add(contentOfTensor(tensor)))
  }
  for (const batch of batchesOf(order)) {
    const computed: Unit[] = []
    for (const unit of batch) {
      const { name } = unit.record
      const content = contents.get(name)
      if (content === undefined) computed.push(unit)
      else if (used.has(name)) {
        await give(name, await tensorOfContent(content, context.limits.feedBytes))
      } else if (wanted.has(name)) staged.set(name, await staging.add(content))
    }
    const values = await compute(context, computed, kept, work.stored)
    for (const [name, tensor] of values) await give(name, tensor)
  }
  return records.map(({ name }) => {
    const value = staged.get(name)
    if (value === undefined) throw new Error(`${name} was not initialized`)
    return { kind: 'write_value', container, name, value }
  })
}

/** Values that are made as streams, and the variables whose values are taken whole by others. */
interface Streams {
  readonly contents: ReadonlyMap<string, TensorContent>
  readonly used: ReadonlySet<string>
}

/** What to stream: whatever can be and is not used by something that cannot. */
function streamsOf(context: Context, work: Work, order: readonly Unit[]): Streams {
  const contents = new Map<string, TensorContent>()
  const used = new Set<string>()
  // Those that use others come first, backwards.
  for (const unit of order.toReversed()) {
    const { name } = unit.record
    const content = contentOf(context, work, unit, used.has(name))
    if (content !== undefined) contents.set(name, content)
    else for (const need of needsOf(unit.recipe)) used.add(need)
  }
  return { contents, used }
}

/** The unit's value as a stream, where it is at hand or too big to be computed in one piece. */
function contentOf(
  context: Context,
  work: Work,
  { record, recipe, shape }: Unit,
  isUsed: boolean,
): TensorContent | undefined {
  if (recipe.form === 'content') return recipe.content
  if (isUsed) return undefined
  if (recipe.form === 'plan') return plannedContent(context, recipe.plan, recipe.dtype, shape)
  const { dtype } = record
  if (recipe.part !== undefined || !isNumeric(dtype)) return undefined
  return expressionContent(context, recipe.expression, dtype, shape, (name) =>
    pieceSourceOf(work, name, dtype),
  )
}

function pieceSourceOf(
  { units, stored }: Work,
  name: string,
  dtype: DType,
): PieceSource | undefined {
  const value = stored.get(name)?.value
  if (value !== undefined) return { form: 'stored', value }
  const unit = units.get(name)
  if (unit === undefined || unit.record.dtype !== dtype) return undefined
  const { recipe, shape } = unit
  if (recipe.form === 'plan' && isSeededDraw(recipe.plan)) {
    return { form: 'draw', plan: recipe.plan, shape }
  }
  if (recipe.form !== 'expression' || recipe.part !== undefined) return undefined
  return { form: 'expression', expression: recipe.expression }
}

function needsOf(recipe: Recipe): readonly string[] {
  return recipe.form === 'expression' ? recipe.needs : []
}

function unitOf(context: Context, record: VariableRecord): Unit {
  const { shape } = record
  if (shape === undefined || shape.includes(-1)) throw withoutInitializer(record)
  return { record, shape, recipe: recipeOf(record, shape, context.limits) }
}

/** The records' units, and those of what their initializers take. */
async function workOf(
  context: Context,
  container: string,
  records: readonly VariableRecord[],
  known: ReadonlyMap<string, Tensor>,
): Promise<Work> {
  const units = new Map<string, Unit>()
  const stored = new Map<string, VariableRecord>()
  let found = records.map((record) => unitOf(context, record))
  while (found.length > 0) {
    for (const unit of found) units.set(unit.record.name, unit)
    const missing = new Set(
      found
        .flatMap(({ recipe }) => needsOf(recipe))
        .filter((name) => !units.has(name) && !stored.has(name) && !known.has(name)),
    )
    const others = await context.store.catalogue.variables(container, [...missing])
    for (const one of others) {
      missing.delete(one.name)
      if (one.value !== undefined) stored.set(one.name, one)
    }
    for (const name of missing) throw unknownVariable(container, name)
    found = others
      .filter(({ value }) => value === undefined)
      .map((record) => unitOf(context, record))
  }
  return { units, stored }
}

/** Units after all that they need. */
function inOrder({ units }: Work): readonly Unit[] {
  const waiting = new Map<string, number>()
  const dependents = new Map<string, string[]>()
  for (const [name, { recipe }] of units) {
    const needs = needsOf(recipe).filter((need) => units.has(need))
    waiting.set(name, needs.length)
    for (const need of needs) {
      const known = dependents.get(need)
      if (known === undefined) dependents.set(need, [name])
      else known.push(name)
    }
  }
  const ready = [...units.keys()].filter((name) => waiting.get(name) === 0)
  const order: Unit[] = []
  for (const name of ready) {
    order.push(units.get(name) as Unit)
    for (const dependent of dependents.get(name) ?? []) {
      const left = (waiting.get(dependent) as number) - 1
      waiting.set(dependent, left)
      if (left === 0) ready.push(dependent)
    }
  }
  if (order.length < units.size) throw cycleAmong(units, waiting)
  return order
}

/** The refusal that names a cycle among the units that still wait. */
function cycleAmong(
  units: ReadonlyMap<string, Unit>,
  waiting: ReadonlyMap<string, number>,
): Refusal {
  const waits = (name: string): boolean => (waiting.get(name) ?? 0) > 0
  const path: string[] = []
  let name = [...units.keys()].find(waits) as string
  while (!path.includes(name)) {
    path.push(name)
    name = needsOf((units.get(name) as Unit).recipe).find(waits) as string
  }
  const cycle = [...path.slice(path.indexOf(name)), name]
  return new Refusal(
    'FAILED_PRECONDITION',
    'initializer/cycle',
    `The initial values of ${cycle.slice(0, 20).join(' -> ')} wait for each other.`,
    {
      fix: 'Give one of them a value with :assign, and initialize with "only_uninitialized".',
      names: { variables: cycle.slice(0, 20) },
    },
  )
}

function* batchesOf(units: readonly Unit[]): Generator<readonly Unit[]> {
  let batch: Unit[] = []
  let bytes = 0
  for (const unit of units) {
    batch.push(unit)
    if (unit.recipe.form !== 'content') {
      bytes += elementCountOf(unit.shape) * byteLengthOf(unit.record.dtype)
    }
    if (batch.length < mostUnits && bytes < mostBytes) continue
    yield batch
    batch = []
    bytes = 0
  }
  if (batch.length > 0) yield batch
}

/** Runs one graph that gives the values of `units`, in order after what they need. */
async function compute(
  context: Context,
  units: readonly Unit[],
  kept: ReadonlyMap<string, Tensor>,
  stored: ReadonlyMap<string, VariableRecord>,
): Promise<ReadonlyMap<string, Tensor>> {
  if (units.length === 0) return new Map()
  const graph = createGraphNodes()
  const nodeOf = new Map<string, string>()
  const feeds: Record<string, Tensor> = {}
  const variables: RunRequest['variables'][number][] = []
  const id = `initialize/${context.graphNumbers.next++}`

  /** The node of a value that was there before this graph. */
  function source(name: string): string {
    const known = nodeOf.get(name)
    if (known !== undefined) return known
    const node = `from${nodeOf.size}`
    nodeOf.set(name, node)
    const tensor = kept.get(name)
    if (tensor !== undefined) {
      feeds[`${node}:0`] = tensor
      return graph.add(node, 'Placeholder', [], { dtype: typeAttribute(tensor.dtype) })
    }
    const value = stored.get(name)?.value
    if (value === undefined) throw new Error(`${name} has no value yet`)
    const { valueId, dtype, shape } = value
    variables.push({ container: id, name: node, binding: { value: valueId, dtype, shape } })
    return graph.add(node, 'VariableV2', [], {
      dtype: typeAttribute(dtype),
      shape: { shape: { dim: shape.map((size) => ({ size })) } },
    })
  }

  units.forEach(({ record, shape, recipe }, place) => {
    const node = `value${place}`
    if (recipe.form === 'expression') {
      const { expression, part } = recipe
      const { dtype } = record
      const whole = part === undefined ? node : `${node}/whole`
      addExpression(graph, whole, expression, dtype, source)
      if (part !== undefined) addSlice(graph, node, whole, { dtype, offset: part.offset, shape })
    } else if (recipe.form === 'plan') addPlan(graph, node, recipe.plan, recipe.dtype, shape)
    nodeOf.set(record.name, node)
  })
  await context.engine.load(
    id,
    encodeGraphDef({ node: graph.nodes, versions: { producer: graphVersion } }),
  )
  try {
    const { fetches } = await context.engine.run({
      graph: id,
      feeds,
      fetches: units.map((_, place) => `value${place}:0`),
      targets: [],
      container: id,
      variables,
      device: await deviceFor(context, drawingDevice),
      deadlineMs: context.limits.runTimeoutMs,
    })
    return new Map(units.map(({ record }, place) => [record.name, fetches[place]]))
  } finally {
    await context.engine.unload(id)
    await context.engine.dropState(id)
  }
}
