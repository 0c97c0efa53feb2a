// What clients did to variables, and what variables are: the operations that a history holds, how
// each is asked over HTTP, and the specification that a history of them is judged by.
import type { Answer, Connection } from './connection.ts'
import type { Operation, Specification } from './linearizable.ts'

/** A write to one variable. */
export type Write =
  | { readonly verb: 'assign' | 'assign_add'; readonly name: string; readonly value: number }
  | { readonly verb: 'count_up_to'; readonly name: string; readonly limit: number }

/** An operation of a client. `ifVersion` is the version that If-Match asks for. */
export type Input =
  | (Write & { readonly ifVersion?: number | undefined })
  | { readonly verb: 'create' | 'delete'; readonly name: string }
  | { readonly verb: 'read'; readonly name: string }
  | { readonly verb: 'snapshot'; readonly names: readonly string[] }
  | { readonly verb: 'batch'; readonly writes: readonly Write[] }

/** What an answer said: its status, and of each variable the version, and the value where it was read. */
export interface Output {
  readonly status: number
  readonly versions: readonly number[]
  readonly values: readonly number[]
}

/** A variable as the specification knows it. */
interface Register {
  readonly exists: boolean
  readonly version: number
  /** Undefined: uninitialized. */
  readonly value: number | undefined
  /** The highest version that the name ever had. */
  readonly last: number
}

type State = { readonly [name: string]: Register }

const unmade: Register = { exists: false, version: 0, value: undefined, last: 0 }
const done: Output = { status: 200, versions: [], values: [] }

/** Variables one operation at a time; every one of them is made by an operation. */
export const variablesOneAtATime: Specification<State, Input, Output> = {
  initial: {},
  apply(state, input, output) {
    const [right, next] = expected(state, input)
    if (output === undefined) return next
    return JSON.stringify(output) === JSON.stringify(right) ? next : undefined
  },
  textOf: (state) => JSON.stringify(Object.entries(state).sort()),
}

/** The right answer, and the state after it. */
function expected(state: State, input: Input): readonly [Output, State] {
  switch (input.verb) {
    case 'create':
      return create(state, input.name)
    case 'delete':
      return remove(state, input.name)
    case 'read':
      return read(state, [input.name])
    case 'snapshot':
      return read(state, input.names)
    case 'batch':
      return batch(state, input.writes)
    default:
      return write(state, input, input.ifVersion)
  }
}

function of(state: State, name: string): Register {
  return state[name] ?? unmade
}

function refused(status: number, state: State): readonly [Output, State] {
  return [{ ...done, status }, state]
}

function create(state: State, name: string): readonly [Output, State] {
  const before = of(state, name)
  if (before.exists) return refused(409, state)
  const made = { ...before, exists: true, version: 0, value: undefined }
  return [
    { ...done, status: 201 },
    { ...state, [name]: made },
  ]
}

function remove(state: State, name: string): readonly [Output, State] {
  const before = of(state, name)
  if (!before.exists) return refused(404, state)
  return [
    { ...done, status: 204 },
    { ...state, [name]: { ...unmade, last: before.last } },
  ]
}

function read(state: State, names: readonly string[]): readonly [Output, State] {
  const registers = names.map((name) => of(state, name))
  if (registers.some(({ exists }) => !exists)) return refused(404, state)
  if (registers.some(({ value }) => value === undefined)) return refused(409, state)
  const versions = registers.map(({ version }) => version)
  const values = registers.map(({ value }) => value as number)
  return [{ status: 200, versions, values }, state]
}

function write(
  state: State,
  given: Write,
  ifVersion: number | undefined,
): readonly [Output, State] {
  const before = of(state, given.name)
  if (!before.exists) return refused(404, state)
  if (ifVersion !== undefined && ifVersion !== before.version) return refused(412, state)
  const value = valueAfter(before.value, given)
  if (typeof value === 'string') return refused(value === 'uninitialized' ? 409 : 400, state)
  const version = before.last + 1
  const next = { exists: true, version, value, last: version }
  return [
    { ...done, versions: [version] },
    { ...state, [given.name]: next },
  ]
}

function batch(state: State, writes: readonly Write[]): readonly [Output, State] {
  let next = state
  const names = [...new Set(writes.map(({ name }) => name))]
  for (const one of writes) {
    const [output, after] = write(next, one, undefined)
    if (output.status !== 200) return refused(output.status, state)
    // However often a batch writes a variable, it gets one new version.
    const version = of(state, one.name).last + 1
    next = { ...after, [one.name]: { ...after[one.name], version, last: version } }
  }
  return [{ ...done, versions: names.map((name) => of(next, name).version) }, next]
}

function valueAfter(
  before: number | undefined,
  given: Write,
): number | 'uninitialized' | 'limit-reached' {
  switch (given.verb) {
    case 'assign':
      return given.value
    case 'assign_add':
      return before === undefined ? 'uninitialized' : before + given.value
    case 'count_up_to':
      if (before === undefined) return 'uninitialized'
      return before >= given.limit ? 'limit-reached' : before + 1
    default:
      throw new Error(`unknown verb ${given satisfies never}`)
  }
}

/** A history that grows; its times are numbers of events, so no two are equal. */
export interface History {
  readonly operations: readonly Operation<Input, Output>[]
  /** Asks over the connection and keeps what came of it. */
  ask(connection: Connection, input: Input, abandonAfterMs?: number): Promise<Output | undefined>
}

/** An empty history. `keyOf`: which variables are judged together. */
export function createHistory(keyOf: (name: string) => string = (name) => name): History {
  const operations: Operation<Input, Output>[] = []
  let events = 0
  return {
    operations,
    async ask(connection, input, abandonAfterMs) {
      const invoked = events++
      const output = outputOf(input, await askFor(connection, input, abandonAfterMs))
      const key = keyOf(namesIn(input)[0])
      operations.push({ key, input, output, invoked, responded: events++ })
      return output
    },
  }
}

function namesIn(input: Input): readonly string[] {
  if (input.verb === 'snapshot') return input.names
  return input.verb === 'batch' ? input.writes.map(({ name }) => name) : [input.name]
}

function askFor(
  connection: Connection,
  input: Input,
  abandonAfterMs: number | undefined,
): Promise<Answer | undefined> {
  const more = abandonAfterMs === undefined ? {} : { abandonAfterMs }
  switch (input.verb) {
    case 'create':
      return connection.ask('POST /v1/variables', {
        json: { name: input.name, shape: [], dtype: 'int64' },
        ...more,
      })
    case 'delete':
      return connection.ask(`DELETE /v1/variables/${input.name}`, more)
    case 'read':
      return connection.ask(`GET /v1/variables/${input.name}:read_value`, more)
    case 'snapshot':
      return connection.ask(`GET /v1/variables:read_values?names=${input.names.join(',')}`, more)
    case 'batch':
      return connection.ask('POST /v1/variables:batch', { json: batchBody(input.writes), ...more })
    default: {
      const { verb, name, ifVersion } = input
      const json = verb === 'count_up_to' ? { limit: input.limit } : input.value
      const headers: Record<string, string> = {}
      if (ifVersion !== undefined) headers['if-match'] = `"${ifVersion}"`
      return connection.ask(`POST /v1/variables/${name}:${verb}`, { json, headers, ...more })
    }
  }
}

function batchBody(writes: readonly Write[]): unknown {
  return {
    operations: writes.map((one) =>
      one.verb === 'count_up_to'
        ? { op: one.verb, name: one.name, limit: one.limit }
        : { op: one.verb, name: one.name, value: one.value },
    ),
  }
}

/** What the answer says; nothing is known where none came or the server gave up on the way. */
function outputOf(input: Input, answer: Answer | undefined): Output | undefined {
  if (answer === undefined || answer.status >= 500) return undefined
  const { status, json } = answer
  if (status >= 300 || input.verb === 'create' || input.verb === 'delete') {
    return { ...done, status }
  }
  switch (input.verb) {
    case 'read':
      return { status, versions: [json.version], values: [Number(json.value)] }
    case 'snapshot': {
      const read = input.names.map((name) => json.values[name])
      return {
        status,
        versions: read.map(({ version }) => version),
        values: read.map(({ value }) => Number(value)),
      }
    }
    case 'batch': {
      const told = new Map<string, number>()
      for (const { name, version } of json.results) told.set(name, version)
      const names = [...new Set(input.writes.map(({ name }) => name))]
      return { ...done, status, versions: names.map((name) => told.get(name) ?? -1) }
    }
    default:
      return { ...done, status, versions: [json.version] }
  }
}
