// get_variable: what a request for a variable means when there is one of that name, and when not.
// The sentences are TensorFlow's. Source: tensorflow/python/ops/variable_scope.py.
import type { Change, Committed, Json, VariableRecord } from '../store/index.ts'
import {
  byteLengthOf,
  type DType,
  elementCountOf,
  formatShape,
  type PartialShape,
  Refusal,
  type Shape,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import { formatDevice, parseDevice } from './device-name.ts'
import { once } from './idempotency.ts'
import { defaultInitializer, type InitializerDescription } from './initializer.ts'
import type { Limits } from './limits.ts'
import { checkCollectionName, checkContainerName, checkVariableName } from './names.ts'
import {
  checkInitializer,
  isTensorForm,
  type TensorForm,
  tensorOfForm,
} from './stored-initializer.ts'
import { variableKey } from './write-order.ts'

/** The arguments of get_variable. Absent ones have TensorFlow's defaults. */
export interface CreateRequest {
  readonly container: string
  readonly name: string
  /** -1 is an unknown size, allowed where `validateShape` is false. */
  readonly shape?: PartialShape
  readonly dtype?: DType | undefined
  readonly initializer?: InitializerDescription | TensorForm | undefined
  readonly trainable: boolean
  readonly collections?: readonly string[] | undefined
  readonly device: string
  /** `false` creates only, `true` finds only, `auto` does either. */
  readonly reuse: boolean | 'auto'
  readonly validateShape: boolean
  readonly idempotencyKey?: string | undefined
}

export interface CreateReply {
  readonly created: boolean
  readonly variable: VariableRecord
}

const trainableCollection = 'trainable_variables'

/**
 * Creates the variable (uninitialized) or finds it. Refuses as TensorFlow does: a name that exists
 * (ALREADY_EXISTS `variable/exists`), one that does not (NOT_FOUND `variable/unknown`), another shape
 * or dtype than the shared variable has, a shape that is not fully known.
 */
export async function createVariable(
  context: Context,
  request: CreateRequest,
): Promise<CreateReply> {
  checkContainerName(request.container, context.limits)
  checkVariableName(request.name, context.limits)
  const { container, name, idempotencyKey } = request
  return context.writes.turn([variableKey(container, name)], 'exclusive', async () => {
    const { idempotencyKey: _, ...described } = request
    let created = true
    const make = async (idempotency: Parameters<Parameters<typeof once>[3]>[0]) => {
      const existing = await context.store.catalogue.variable(container, name)
      const change = existing ? undefined : creation(request, context.limits)
      if (existing) checkShared(request, existing, context.limits)
      created = change !== undefined
      return change === undefined
        ? nothingDone
        : context.store.catalogue.commit([change], idempotency)
    }
    await once(context, idempotencyKey, ['create_variable', described], make)
    const variable = await context.store.catalogue.variable(container, name)
    if (variable === undefined) throw unknownVariable(container, name)
    return { created, variable }
  })
}

const nothingDone: Committed = { sequence: 0, variables: [], checkpoints: [], replayed: false }

function creation(request: CreateRequest, limits: Limits): Change {
  const { container, name } = request
  if (request.reuse === true) {
    throw new Refusal(
      'NOT_FOUND',
      'variable/unknown',
      `Variable ${name} does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=tf.AUTO_REUSE in VarScope?`,
      { names: { variable: name, container } },
    )
  }
  const { dtype, shape, initializer } = declared(request, limits)
  for (const collection of request.collections ?? []) checkCollectionName(collection, limits)
  const collections = new Set(request.collections ?? ['variables'])
  if (request.trainable) collections.add(trainableCollection)
  return {
    kind: 'create_variable',
    container,
    name,
    dtype,
    shape,
    trainable: request.trainable,
    collections: [...collections],
    device: formatDevice(parseDevice(request.device)),
    initializer: initializer as Json,
    value: null,
  }
}

/** Type, shape and initializer once TensorFlow's defaults are in. */
function declared(
  request: CreateRequest,
  limits: Limits,
): {
  readonly dtype: DType
  readonly shape: PartialShape
  readonly initializer: InitializerDescription | TensorForm | null
} {
  const { name, initializer } = request
  if (isTensorForm(initializer)) {
    if (request.shape !== undefined) {
      throw invalid('If initializer is a constant, do not specify shape.', name)
    }
    const tensor = tensorOfForm(initializer, request.dtype, limits.jsonElements)
    if (request.dtype !== undefined && request.dtype !== tensor.dtype) {
      throw invalid(
        `Initializer type '${tensor.dtype}' and explicit dtype '${request.dtype}' don't match.`,
        name,
      )
    }
    return { dtype: tensor.dtype, shape: tensor.shape, initializer }
  }
  const dtype = request.dtype ?? 'float32'
  const shape = request.shape
  if (shape === undefined || shape.includes(-1)) {
    if (!request.validateShape) return { dtype, shape, initializer: null }
    const shown = shape === undefined ? '<unknown>' : pythonShape(shape)
    throw invalid(
      `Shape of a new variable (${name}) must be fully defined, but instead was ${shown}.`,
      name,
    )
  }
  checkSize(name, dtype, shape, limits)
  const description = initializer ?? defaultInitializer(name, dtype)
  checkInitializer(description, dtype, shape)
  return { dtype, shape, initializer: description }
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

function checkShared(request: CreateRequest, existing: VariableRecord, limits: Limits): void {
  const { name } = request
  if (request.reuse === false) {
    throw new Refusal(
      'ALREADY_EXISTS',
      'variable/exists',
      `Variable ${name} already exists, disallowed. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?`,
      {
        fix: 'Send "reuse": true or "reuse": "auto".',
        names: { variable: name, container: request.container },
      },
    )
  }
  const form = isTensorForm(request.initializer) ? request.initializer : undefined
  const tensor = form && tensorOfForm(form, request.dtype, limits.jsonElements)
  const shape = tensor?.shape ?? request.shape
  if (shape !== undefined && !compatible(shape, existing.shape)) {
    const found = existing.shape === undefined ? '<unknown>' : pythonShape(existing.shape)
    throw new Refusal(
      'INVALID_ARGUMENT',
      'shape/mismatch',
      `Trying to share variable ${name}, but specified shape ${pythonShape(shape)} and found shape ${found}.`,
      { names: { variable: name } },
    )
  }
  const dtype = request.dtype ?? tensor?.dtype ?? 'float32'
  if (dtype === existing.dtype) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'dtype/mismatch',
    `Trying to share variable ${name}, but specified dtype ${dtype} and found dtype ${existing.dtype}.`,
    { names: { variable: name } },
  )
}

function compatible(wanted: Shape, found: PartialShape): boolean {
  if (found === undefined) return true
  return (
    wanted.length === found.length &&
    wanted.every((size, axis) => size === -1 || found[axis] === -1 || size === found[axis])
  )
}

/** A shape as Python prints one: `(2, 3)`, `(2,)`, `()`. */
function pythonShape(shape: Shape): string {
  const sizes = shape.map((size) => (size === -1 ? 'None' : String(size)))
  return sizes.length === 1 ? `(${sizes[0]},)` : `(${sizes.join(', ')})`
}

/** NOT_FOUND `variable/unknown`. */
export function unknownVariable(container: string, name: string): Refusal {
  const place = container === '' ? '' : ` in container ${container}`
  return new Refusal('NOT_FOUND', 'variable/unknown', `There is no variable ${name}${place}.`, {
    fix: 'Create it with POST /v1/variables, or list what is there with GET /v1/variables.',
    names: { variable: name, container },
  })
}

function invalid(message: string, name: string): Refusal {
  return new Refusal('INVALID_ARGUMENT', 'variable/invalid', message, { names: { variable: name } })
}
