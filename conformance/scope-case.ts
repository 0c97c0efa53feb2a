// Recorded programs that build graphs under scopes: each is run on the rules of names, scopes, devices
// and get_variable, and what it made is compared with what TensorFlow made.
import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import {
  type Cluster,
  type CollectionMember,
  type DeviceScope,
  type GetVariable,
  type GraphOperation,
  GraphScopes,
  type GraphVariable,
  type Initializer,
  nameOfMember,
  type PartitionedGraphVariable,
  type Partitions,
  type Reuse,
  replicaDeviceSetter,
  ScopeObject,
} from '../graph/index.ts'
import { type DType, dtypeOfName, Refusal } from '../tensor/index.ts'
import { type FileResult, failed, type Outcome, outcomeOfError, passed } from './outcome.ts'

/** A number that was written as Python writes a float: JSON's own numbers do not tell 1 from 1.0. */
class Float {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

type RecordedInitializer = { readonly kind: string; readonly [key: string]: unknown }

/** A statement as the recordings spell it; the first keys tell which one it is. */
interface Statement {
  readonly scope?: string | null | { readonly ref: string }
  readonly get?: string
  readonly variable?: unknown
  readonly reuse_variables?: string
  readonly device?: string | null
  readonly replica_device_setter?: {
    readonly ps_tasks?: number
    readonly ps_device?: string
    readonly worker_device?: string
    readonly merge_devices?: boolean
    readonly cluster?: Cluster
  }
  readonly name_scope?: string | null | { readonly ref: string }
  readonly op?: string
  readonly collect?: string

  readonly as?: string
  readonly body?: readonly Statement[]
  readonly name?: string
  readonly value?: unknown
  readonly shape?: readonly (number | null)[] | null
  readonly dtype?: string
  readonly initializer?: RecordedInitializer
  readonly partitions?: Partitions
  readonly reuse?: Reuse | null
  readonly trainable?: boolean
  readonly collections?: readonly string[]
  readonly use_resource?: boolean
  readonly default_name?: string
  readonly aux?: boolean
}

interface Recording {
  readonly name: string
  readonly program: readonly Statement[]
  readonly made: readonly unknown[]
  readonly same_as: readonly number[]
  readonly collections: Readonly<Record<string, readonly unknown[]>>
  readonly error?: { readonly type: string; readonly message: string }
}

type Made =
  | GraphVariable<RecordedInitializer>
  | PartitionedGraphVariable<RecordedInitializer>
  | GraphOperation

/** Runs every wanted program of the file at `path`. */
export async function runScopes(
  path: string,
  wanted: (name: string) => boolean,
): Promise<FileResult> {
  const text = readFileSync(path, 'utf8')
  const recordings = JSON.parse(text) as readonly Recording[]
  const programs = JSON.parse(text, keepFloats) as readonly Recording[]
  const cases = recordings
    .map((recording, index) => ({ ...recording, program: programs[index].program }))
    .filter(({ name }) => wanted(name))
    .map((recording) => ({ name: recording.name, outcome: runRecording(recording) }))
  return { file: 'scopes.json', device: '-', cases }
}

function keepFloats(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === 'number' && /[.eE]/.test(context?.source ?? '') ? new Float(value) : value
}

function runRecording(recording: Recording): Outcome {
  const run = new ProgramRun()
  try {
    run.statements(recording.program)
    if (recording.error !== undefined) return failed(`no error, wanted ${recording.error.message}`)
  } catch (error) {
    const { error: wanted } = recording
    if (!(error instanceof Refusal) || wanted === undefined) return outcomeOfError(error)
    if (!error.message.includes(wanted.message)) {
      return failed(`${error.message}, wanted ${wanted.message}`)
    }
  }
  for (const [what, got] of Object.entries(run.results())) {
    const want = recording[what as 'made' | 'same_as' | 'collections']
    if (!isDeepStrictEqual(got, want)) {
      return failed(`${what} is ${JSON.stringify(got)}, wanted ${JSON.stringify(want)}`)
    }
  }
  return passed
}

/** One program on one new graph. */
class ProgramRun {
  readonly #graph = new GraphScopes<RecordedInitializer>()
  readonly #made: Made[] = []
  readonly #nameScopes = new Map<string, string>()
  readonly #named = new Map<string, Made | ScopeObject<RecordedInitializer>>()

  statements(statements: readonly Statement[]): void {
    for (const statement of statements) this.#statement(statement)
  }

  /** What came of it, in the form of the recordings. */
  results(): Pick<Recording, 'made' | 'same_as' | 'collections'> {
    const { collections } = this.#graph
    return {
      made: this.#made.map(recordedForm),
      same_as: this.#made.map((one) => this.#made.indexOf(one)),
      collections: Object.fromEntries(
        collections.keys().map((key) => [key, collections.get(key).map(memberForm)]),
      ),
    }
  }

  #statement(statement: Statement): void {
    if (statement.scope !== undefined) this.#scope(statement)
    else if (statement.get !== undefined) this.#note(statement, this.#get(statement.get, statement))
    else if (statement.variable !== undefined) this.#note(statement, this.#variable(statement))
    else if (statement.reuse_variables !== undefined) {
      this.#scopeNamed(statement.reuse_variables).reuseVariables()
    } else if (statement.device !== undefined) this.#device(statement, statement.device)
    else if (statement.replica_device_setter !== undefined) {
      this.#device(statement, setterOf(statement.replica_device_setter))
    } else if (statement.name_scope !== undefined) {
      this.#nameScope(statement, statement.name_scope)
    } else if (statement.op !== undefined) {
      this.#note(statement, this.#graph.operation('AddV2', statement.op))
    } else if (statement.collect !== undefined) {
      this.#graph.collections.add(statement.collect, this.#member(statement.value))
    } else throw unknownStatement(statement)
  }

  #body(statement: Statement): void {
    this.statements(statement.body ?? [])
  }

  #note(statement: Statement, made: Made): void {
    this.#made.push(made)
    if (statement.as !== undefined) this.#named.set(statement.as, made)
  }

  #scope(statement: Statement): void {
    const { scope = null } = statement
    const nameOrScope =
      scope === null || typeof scope === 'string' ? scope : this.#scopeNamed(scope.ref)
    const given = {
      reuse: statement.reuse ?? undefined,
      initializer: initializerOf(statement.initializer),
      dtype: dtypeOf(statement.dtype),
      partitions: statement.partitions,
      useResource: statement.use_resource,
      defaultName: statement.default_name,
      auxiliaryNameScope: statement.aux,
    }
    this.#graph.variableScope(nameOrScope, given, (opened) => {
      if (statement.as !== undefined) this.#named.set(statement.as, opened)
      this.#body(statement)
    })
  }

  #nameScope(statement: Statement, nameScope: string | null | { readonly ref: string }): void {
    const name =
      nameScope === null || typeof nameScope === 'string'
        ? nameScope
        : (this.#nameScopes.get(nameScope.ref) ??
          this.#scopeNamed(nameScope.ref).scope.originalNameScope)
    this.#graph.nameScope(name, (opened) => {
      if (statement.as !== undefined) this.#nameScopes.set(statement.as, opened)
      this.#body(statement)
    })
  }

  #scopeNamed(name: string): ScopeObject<RecordedInitializer> {
    const scope = this.#named.get(name)
    if (scope instanceof ScopeObject) return scope
    throw new Error(`no scope is called ${name}`)
  }

  #get(name: string, statement: Statement): Made {
    const request: GetVariable<RecordedInitializer> = {
      name,
      shape: statement.shape?.map((size) => size ?? -1),
      dtype: dtypeOf(statement.dtype),
      initializer: initializerOf(statement.initializer),
      reuse: statement.reuse ?? undefined,
      trainable: statement.trainable,
      collections: statement.collections,
      partitions: statement.partitions,
      useResource: statement.use_resource,
    }
    return this.#graph.getVariable(request)
  }

  #variable(statement: Statement): Made {
    const { name, trainable, collections, use_resource: useResource } = statement
    const { shape, dtype } = typeOfValue(statement.variable)
    return this.#graph.variable({
      name,
      shape,
      dtype: dtypeOf(statement.dtype) ?? dtype,
      initializer: { kind: 'tensor', value: statement.variable },
      trainable,
      collections,
      useResource,
    })
  }

  #device(statement: Statement, device: DeviceScope): void {
    this.#graph.device(device, () => this.#body(statement))
  }

  #member(value: unknown): CollectionMember<RecordedInitializer> {
    const named = typeof value === 'string' ? this.#named.get(value) : undefined
    if (named instanceof ScopeObject) return { kind: 'value', value: named.scope.name }
    if (named !== undefined) return named
    return { kind: 'value', value: value instanceof Float ? value.value : value }
  }
}

function setterOf(given: NonNullable<Statement['replica_device_setter']>): DeviceScope {
  return replicaDeviceSetter({
    psTasks: given.ps_tasks,
    psDevice: given.ps_device,
    workerDevice: given.worker_device,
    mergeDevices: given.merge_devices,
    cluster: given.cluster,
  })
}

function initializerOf(
  recorded: RecordedInitializer | undefined,
): Initializer<RecordedInitializer> | undefined {
  if (recorded === undefined) return undefined
  if (recorded.kind !== 'tensor') return { form: 'function', initializer: recorded }
  const { shape, dtype } = typeOfValue(recorded.value)
  const given = typeof recorded.dtype === 'string' ? dtypeOf(recorded.dtype) : undefined
  return { form: 'constant', initializer: recorded, shape, dtype: given ?? dtype }
}

/** The shape and type of a value as TensorFlow takes a nested list of Python's. */
function typeOfValue(value: unknown): { readonly shape: readonly number[]; readonly dtype: DType } {
  const shape: number[] = []
  let element = value
  while (Array.isArray(element)) {
    shape.push(element.length)
    element = element[0]
  }
  const elements = Array.isArray(value) ? value.flat(Number.POSITIVE_INFINITY) : [value]
  return { shape, dtype: typeOfElements(elements) }
}

function typeOfElements(elements: readonly unknown[]): DType {
  if (elements.length === 0 || elements.some((one) => one instanceof Float)) return 'float32'
  if (typeof elements[0] === 'boolean') return 'bool'
  return typeof elements[0] === 'string' ? 'string' : 'int32'
}

function dtypeOf(name: string | undefined): DType | undefined {
  if (name === undefined) return undefined
  const dtype = dtypeOfName(name)
  if (dtype === undefined) throw new Error(`unknown dtype ${name}`)
  return dtype
}

function recordedForm(made: Made): unknown {
  switch (made.kind) {
    case 'variable':
      return variableForm(made)
    case 'partitioned':
      return { partitioned: made.name, parts: made.parts.map(variableForm) }
    case 'operation':
      return { tensor: nameOfMember(made), device: made.device }
    default:
      return made satisfies never
  }
}

function variableForm(variable: GraphVariable<RecordedInitializer>): unknown {
  return {
    name: nameOfMember(variable),
    shape: variable.shape?.map((size) => (size === -1 ? null : size)) ?? null,
    dtype: variable.dtype,
    device: variable.device,
    trainable: variable.trainable,
    initializer_op: variable.assignOperation,
  }
}

function memberForm(member: CollectionMember<RecordedInitializer>): unknown {
  return member.kind === 'value' ? member.value : nameOfMember(member)
}

function unknownStatement(statement: Statement): Refusal {
  const [key = 'nothing'] = Object.keys(statement)
  return new Refusal('UNIMPLEMENTED', 'scopes/statement', `There is no statement "${key}" yet.`)
}
