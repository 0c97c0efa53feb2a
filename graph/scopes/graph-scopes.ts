// The scopes of one graph under construction: opens name, variable and device scopes one in another,
// and names and places the variables and operations made inside. It makes no nodes: a builder asks it
// for every name and device. Source: tensorflow/python/ops/variable_scope.py (variable_scope),
// resource_variable_ops.py and ref_variable.py (the operations of a variable).
import { type DType, type PartialShape, Refusal } from '../../tensor/index.ts'
import { Collections, collectionsOfVariable } from './collections.ts'
import { type DeviceScope, deviceOfOperation } from './device-scopes.ts'
import { parseDevice } from './device-spec.ts'
import { resolveGetVariable } from './get-variable.ts'
import { NameScopes, nameOfScope } from './name-scopes.ts'
import type { Slice } from './partition.ts'
import type {
  ChosenInitializer,
  ExistingPartitioned,
  GetVariable,
  NewVariable,
  VariableResolution,
} from './variable-request.ts'
import {
  openScope,
  reopenScope,
  rootScope,
  type ScopeArguments,
  ScopeCounts,
  type VariableScope,
} from './variable-scope.ts'

/** A variable scope as an object that can be kept and entered again. */
export class ScopeObject<I> {
  #scope: VariableScope<I>

  constructor(scope: VariableScope<I>) {
    this.#scope = scope
  }

  /** What it hands down now. */
  get scope(): VariableScope<I> {
    return this.#scope
  }

  /** From now on variables are only found in it, and in scopes opened inside afterwards. */
  reuseVariables(): void {
    this.#scope = { ...this.#scope, reuse: true }
  }
}

/** A variable of a graph. Names are of operations; its value is the first output of `operation`. */
export interface GraphVariable<I> {
  readonly kind: 'variable'
  readonly operation: string
  readonly operationType: 'VarHandleOp' | 'VariableV2'
  readonly shape: PartialShape
  readonly dtype: DType
  readonly device: string
  readonly trainable: boolean
  readonly initializer: ChosenInitializer<I>
  /** Where the operations of the initializer belong: `v/Initializer/`, or `v/` for a reference variable's value. */
  readonly initializerScope: string
  readonly assignOperation: string
  readonly readOperation: string
  /** Undefined for a reference variable. */
  readonly isInitializedOperation: string | undefined
  readonly slice: Slice | undefined
}

/** A variable in parts, which reads as one. */
export interface PartitionedGraphVariable<I> extends ExistingPartitioned {
  readonly kind: 'partitioned'
  readonly name: string
  readonly parts: readonly GraphVariable<I>[]
}

/** Another operation of a graph. */
export interface GraphOperation {
  readonly kind: 'operation'
  readonly operation: string
  readonly operationType: string
  readonly device: string
}

/** What a collection may hold: things of the graph, or any value of the caller's. */
export type CollectionMember<I> =
  | GraphVariable<I>
  | PartitionedGraphVariable<I>
  | GraphOperation
  | { readonly kind: 'value'; readonly value: unknown }

/** How a variable scope is opened. */
export interface VariableScopeArguments<I> extends ScopeArguments<I> {
  /** Made unique, where the scope is given no name. */
  readonly defaultName?: string | undefined
  /** False: stays in the present name scope. */
  readonly auxiliaryNameScope?: boolean | undefined
}

/** A variable made by its constructor (tf.Variable), of known type and shape. */
export interface VariableRequest<I> {
  /** Made unique in the present name scope; `Variable` where absent. */
  readonly name?: string | undefined
  readonly shape: PartialShape
  readonly dtype: DType
  readonly initializer: I
  readonly trainable?: boolean | undefined
  readonly collections?: readonly string[] | undefined
  readonly useResource?: boolean | undefined
}

/** The name by which a collection knows a member: `v:0`; undefined for values. */
export function nameOfMember<I>(member: CollectionMember<I>): string | undefined {
  switch (member.kind) {
    case 'variable':
    case 'operation':
      return `${member.operation}:0`
    case 'partitioned':
      return member.name
    case 'value':
      return undefined
    default:
      return member satisfies never
  }
}

/** Scopes, names, devices, variables and collections of one graph. `I` is what initializers are. */
export class GraphScopes<I> {
  readonly collections = new Collections<CollectionMember<I>>(nameOfMember)
  readonly #names = new NameScopes()
  readonly #counts = new ScopeCounts()
  readonly #variables = new Map<string, GraphVariable<I>>()
  readonly #partitioned = new Map<string, PartitionedGraphVariable<I>>()
  readonly #resourceByDefault: boolean
  #devices: readonly DeviceScope[] = []
  #current = new ScopeObject<I>(rootScope())

  /** Variables are resource variables unless a scope or a request says otherwise; false: references. */
  constructor(resourceByDefault = true) {
    this.#resourceByDefault = resourceByDefault
  }

  /** The variable scope that one is in (TensorFlow's get_variable_scope). */
  get currentScope(): ScopeObject<I> {
    return this.#current
  }

  /** The name scope that one is in, without a slash at its end; empty at the root. */
  get currentNameScope(): string {
    return this.#names.current
  }

  /** Runs `body` in a name scope; `scope` is its text with a slash at its end. See {@link NameScopes.within}. */
  nameScope<T>(name: string | null, body: (scope: string) => T): T {
    return this.#names.within(name, body)
  }

  /** Runs `body` in a device scope. Refuses (INVALID_ARGUMENT, `device/invalid`) a device that cannot be parsed. */
  device<T>(device: DeviceScope, body: () => T): T {
    if (typeof device === 'string') parseDevice(device)
    const former = this.#devices
    this.#devices = [...former, device]
    try {
      return body()
    } finally {
      this.#devices = former
    }
  }

  /**
   * Runs `body` in a variable scope: named (below the present one), an object (that very scope, wherever
   * one is), or null (a default name made unique). A name scope of the same name is opened with it.
   * Refuses (INVALID_ARGUMENT) null without a default name (`scope/name-required`) or with reuse
   * (`scope/reuse-without-name`), invalid names and devices.
   */
  variableScope<T>(
    nameOrScope: string | ScopeObject<I> | null,
    given: VariableScopeArguments<I>,
    body: (scope: ScopeObject<I>) => T,
  ): T {
    const name = nameOfOpening(nameOrScope, given)
    return this.#auxiliaryNameScope(name, given, (nameScope) => {
      if (nameOrScope instanceof ScopeObject) {
        const scope = reopenScope(nameOrScope.scope, given)
        return this.#counts.reopened(scope.name, () => this.#inScope(scope, body))
      }
      const parent = this.#current.scope
      const chosen = nameOrScope ?? this.#counts.uniqueName(parent.name, name)
      const scope = openScope(parent, chosen, nameScope, given)
      return this.#counts.opened(scope.name, () => this.#inScope(scope, body))
    })
  }

  #auxiliaryNameScope<T>(
    name: string,
    given: VariableScopeArguments<I>,
    body: (nameScope: string) => T,
  ): T {
    if (given.auxiliaryNameScope === false) {
      return this.#names.within(this.#names.current === '' ? null : `${this.#names.current}/`, body)
    }
    // Without a name (the root scope, entered again) one stays where one is.
    return name === '' ? body('') : this.#names.within(name, body)
  }

  #inScope<T>(scope: VariableScope<I>, body: (scope: ScopeObject<I>) => T): T {
    const former = this.#current
    const entered = new ScopeObject(scope)
    this.#current = entered
    try {
      return body(entered)
    } finally {
      this.#current = former
    }
  }

  /** Names and places a new operation. Refuses invalid names, and devices as {@link deviceOfOperation}. */
  operation(type: string, name: string): GraphOperation {
    const operation = this.#names.operation(name)
    return {
      kind: 'operation',
      operation,
      operationType: type,
      device: this.#place(type, operation),
    }
  }

  /** TensorFlow's get_variable under the present scope. Refuses as {@link resolveGetVariable}. */
  getVariable(request: GetVariable<I>): GraphVariable<I> | PartitionedGraphVariable<I> {
    const resolution = resolveGetVariable(request, this.#current.scope, {
      variable: (name) => {
        const found = this.#variables.get(name)
        return found && { ...found, isReference: found.operationType === 'VariableV2' }
      },
      partitioned: (name) => this.#partitioned.get(name),
    })
    // Names of these variables come from variable scopes alone.
    return this.#names.within(null, () => {
      switch (resolution.action) {
        case 'reuse-partitioned':
          return found(this.#partitioned, resolution.name)
        case 'create-partitioned': {
          const parts = resolution.parts.map((part, index) => {
            this.#names.within(`${resolution.name}/part_${index}/PartitionedInitializer`, () => {})
            return this.#resolved(part)
          })
          const { name, dtype, shape, partitions } = resolution
          const whole = { kind: 'partitioned' as const, name, dtype, shape, partitions, parts }
          this.#partitioned.set(name, whole)
          return whole
        }
        default:
          return this.#resolved(resolution)
      }
    })
  }

  #resolved(resolution: VariableResolution<I>): GraphVariable<I> {
    if (resolution.action === 'reuse') return found(this.#variables, resolution.name)
    const variable = this.#newVariable(resolution.variable)
    this.#variables.set(resolution.variable.name, variable)
    return variable
  }

  /** tf.Variable: a new variable, named by the name scope; never shared. Refuses an invalid name. */
  variable(request: VariableRequest<I>): GraphVariable<I> {
    const { shape, dtype, initializer, trainable = true, collections } = request
    return this.#newVariable({
      name: request.name ?? 'Variable',
      dtype,
      shape,
      initializer: { form: 'constant', initializer, dtype, shape },
      trainable,
      collections: collectionsOfVariable(collections, trainable),
      device: '',
      useResource: request.useResource ?? this.#current.scope.useResource,
    })
  }

  /** Names and places the operations of a variable in the order in which TensorFlow makes them. */
  #newVariable(planned: NewVariable<I>): GraphVariable<I> {
    const isResource = planned.useResource ?? this.#resourceByDefault
    const { shape, dtype, trainable, initializer, slice } = planned
    const variable = this.#names.within(planned.name, (scope): GraphVariable<I> => {
      const initializerScope =
        !isResource && initializer.form === 'constant'
          ? scope
          : this.#names.within('Initializer', (inner) => inner)
      const operationType = isResource ? 'VarHandleOp' : 'VariableV2'
      const operation = this.#names.operation(scope)
      return {
        kind: 'variable',
        operation,
        operationType,
        shape,
        dtype,
        device: this.#place(operationType, operation, planned.device),
        trainable,
        initializer,
        initializerScope,
        ...(isResource ? this.#resourceOperations() : this.#referenceOperations()),
        slice,
      }
    })
    for (const collection of planned.collections) this.collections.add(collection, variable)
    return variable
  }

  #resourceOperations(): VariableOperations {
    const isInitializedOperation = this.#names.within('IsInitialized', () =>
      this.#names.operation('VarIsInitializedOp'),
    )
    const assignOperation = this.#names.within('Assign', (scope) => this.#names.operation(scope))
    const readOperation = this.#names.within('Read', () => this.#names.operation('ReadVariableOp'))
    return { isInitializedOperation, assignOperation, readOperation }
  }

  #referenceOperations(): VariableOperations {
    const assignOperation = this.#names.operation('Assign')
    const readOperation = this.#names.operation('read')
    return { isInitializedOperation: undefined, assignOperation, readOperation }
  }

  #place(type: string, name: string, device = ''): string {
    return deviceOfOperation(this.#devices, { type, name: nameOfScope(name), device })
  }
}

interface VariableOperations {
  readonly isInitializedOperation: string | undefined
  readonly assignOperation: string
  readonly readOperation: string
}

/** The name that a scope is opened by: its own, or (an object entered again) the last of its path. */
function nameOfOpening<I>(
  nameOrScope: string | ScopeObject<I> | null,
  { defaultName, reuse }: VariableScopeArguments<I>,
): string {
  if (typeof nameOrScope === 'string') return nameOrScope
  if (nameOrScope !== null) {
    const { name } = nameOrScope.scope
    return name.slice(name.lastIndexOf('/') + 1)
  }
  if (defaultName === undefined) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'scope/name-required',
      'If default_name is None then name_or_scope is required',
    )
  }
  if (reuse !== undefined && reuse !== false) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'scope/reuse-without-name',
      'reuse=True cannot be used without a name_or_scope',
    )
  }
  return defaultName
}

function found<T>(map: ReadonlyMap<string, T>, name: string): T {
  const value = map.get(name)
  if (value === undefined) throw new Error(`the rules share ${name}, which is not there`)
  return value
}
