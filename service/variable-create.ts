// get_variable against the store: what a request and its scope come to, TensorFlow's rules say
// (graph/scopes); here are the variables that are there, the limits, and the commit.
import assert from 'node:assert/strict'
import {
  type ExistingVariable,
  type GetVariable,
  type Initializer,
  type NewVariable,
  namesLookedUp,
  type Reuse,
  resolveGetVariable,
  rootScope,
  type VariableScope,
} from '../graph/index.ts'
import type { Change, Committed, Json, VariableRecord } from '../store/index.ts'
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  formatShape,
  Refusal,
  type Shape,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { once } from './idempotency.ts'
import { isExpressionForm, typeOfExpression, variablesIn } from './initial-expression.ts'
import type { Limits } from './limits.ts'
import { checkCollectionName, checkContainerName, checkNameLength } from './names.ts'
import {
  checkInitializer,
  type GivenInitializer,
  isTensorForm,
  tensorOfForm,
} from './stored-initializer.ts'
import { variableKey } from './write-order.ts'

/** The arguments of get_variable. Those absent come from the scope, or are TensorFlow's defaults. */
export interface CreateRequest {
  readonly container: string
  readonly name: string
  /** -1 is an unknown size, allowed where `validateShape` is false. */
  readonly shape?: Shape | undefined
  readonly dtype?: DType | undefined
  readonly initializer?: GivenInitializer | undefined
  readonly trainable?: boolean | undefined
  readonly collections?: readonly string[] | undefined
  readonly device?: string | undefined
  /** `false` creates only, `true` finds only, `auto` does either; absent: as the scope says. */
  readonly reuse?: Reuse | undefined
  readonly validateShape: boolean
  readonly idempotencyKey?: string | undefined
}

export interface CreateReply {
  readonly created: boolean
  readonly variable: VariableRecord
}

/**
 * Creates the variable (uninitialized) or finds it, in `scope`. Refuses as {@link resolveGetVariable}
 * does, and names, sizes and initializers that cannot be.
 */
export async function createVariable(
  context: Context,
  request: CreateRequest,
  scope: VariableScope<GivenInitializer> = rootScope(),
): Promise<CreateReply> {
  const { container, idempotencyKey } = request
  const { limits } = context
  checkContainerName(container, limits)
  const asked = await askedOf(context, request)
  const names = namesLookedUp(asked, scope)
  const [name] = names
  checkNameLength('variable', name, limits)
  return context.writes.turn([variableKey(container, name)], 'exclusive', async () => {
    const { idempotencyKey: _, ...described } = request
    let created = true
    const make = async (idempotency: Parameters<Parameters<typeof once>[3]>[0]) => {
      const found = await context.store.catalogue.variables(container, names)
      const present = new Map(found.map((record) => [record.name, existing(record)]))
      const resolution = resolveGetVariable(asked, scope, {
        variable: (wanted) => present.get(wanted),
        partitioned: () => undefined,
      })
      created = resolution.action === 'create'
      if (resolution.action === 'reuse') return nothingDone
      assert(resolution.action === 'create', 'nothing asks for parts')
      const change = creation(container, resolution.variable, limits)
      return context.store.catalogue.commit([change], idempotency)
    }
    await once(context, idempotencyKey, ['create_variable', described], make)
    const variable = await context.store.catalogue.variable(container, name)
    if (variable === undefined) throw unknownVariable(container, name)
    return { created, variable }
  })
}

const nothingDone: Committed = { sequence: 0, variables: [], checkpoints: [], replayed: false }

function existing({ dtype, shape }: VariableRecord): ExistingVariable {
  return { dtype, shape }
}

async function askedOf(
  context: Context,
  request: CreateRequest,
): Promise<GetVariable<GivenInitializer>> {
  const { name, shape, dtype, trainable, collections, device, reuse } = request
  const initializer = await formOf(context, request)
  const withoutInitializer = !request.validateShape
  const given = { name, shape, dtype, trainable, collections, device, reuse }
  return { ...given, initializer, withoutInitializer }
}

/** A tensor, and an expression, fix type and shape; a description is asked for both. */
async function formOf(
  context: Context,
  { container, initializer, dtype }: CreateRequest,
): Promise<Initializer<GivenInitializer> | undefined> {
  const { jsonElements } = context.limits
  if (initializer === undefined) return undefined
  if (isExpressionForm(initializer)) {
    const names = variablesIn(initializer)
    const records = await context.store.catalogue.variables(container, names)
    const byName = new Map(records.map((record) => [record.name, record]))
    const find = (name: string): VariableRecord => {
      const record = byName.get(name)
      if (record === undefined) throw unknownVariable(container, name)
      return record
    }
    const type = typeOfExpression(initializer, find, jsonElements)
    return { form: 'constant', initializer, ...type }
  }
  if (!isTensorForm(initializer)) return { form: 'function', initializer }
  const tensor = tensorOfForm(initializer, dtype, jsonElements)
  return { form: 'constant', initializer, dtype: tensor.dtype, shape: tensor.shape }
}

function creation(
  container: string,
  variable: NewVariable<GivenInitializer>,
  limits: Limits,
): Change {
  const { name, dtype, shape, trainable, collections, device } = variable
  if (shape !== undefined && !shape.includes(-1)) checkSize(name, dtype, shape, limits)
  for (const collection of collections) checkCollectionName(collection, limits)
  const initializer = keptInitializer(variable)
  return {
    kind: 'create_variable',
    container,
    name,
    dtype,
    shape,
    trainable,
    collections: [...collections],
    device,
    initializer: initializer as Json,
    value: null,
  }
}

/** What the catalogue keeps of the chosen initializer, once it is known to give a first value. */
function keptInitializer({
  dtype,
  shape,
  initializer: chosen,
}: NewVariable<GivenInitializer>): GivenInitializer | null {
  if (chosen.form === 'none') return null
  const initializer = chosen.form === 'default' ? { kind: chosen.kind } : chosen.initializer
  if (isTensorForm(initializer) || isExpressionForm(initializer)) return initializer
  assert(shape !== undefined, 'an initializer that is no tensor is asked for a shape')
  checkInitializer(initializer, dtype, shape)
  return initializer
}

function checkSize(name: string, dtype: DType, shape: Shape, limits: Limits): void {
  const byteLength = elementCountOf(shape) * (byteLengthOf(dtype) || 1)
  if (byteLength <= limits.tensorBytes) return
  throw new Refusal(
    'RESOURCE_EXHAUSTED',
    'tensor/too-large',
    `A ${dtype} variable of shape ${formatShape(shape)} takes ${byteLength} bytes; at most ${limits.tensorBytes} are allowed.`,
    { fix: 'See GET /v1/limits.', names: { variable: name } },
  )
}

/** NOT_FOUND `variable/unknown`. */
export function unknownVariable(container: string, name: string): Refusal {
  const place = container === '' ? '' : ` in container ${container}`
  return new Refusal('NOT_FOUND', 'variable/unknown', `There is no variable ${name}${place}.`, {
    fix: 'Create it with POST /v1/variables, or list what is there with GET /v1/variables.',
    names: { variable: name, container },
  })
}
