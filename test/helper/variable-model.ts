// A plain model of variables, checkpoints and collections over HTTP: maps and the rules of api.md. Each
// command asks the real server and compares its answer with what the model says.
import type fc from 'fast-check'
import { type Answer, askPatiently, type Connection } from './connection.ts'

export type Shape = readonly number[]

interface ModelVariable {
  readonly dtype: string
  readonly shape: Shape
  readonly initial: number
  readonly version: number
  /** Undefined: uninitialized. */
  readonly values: readonly number[] | undefined
  readonly collections: readonly string[]
}

interface Saved {
  readonly dtype: string
  readonly shape: Shape
  readonly values: readonly number[]
}

/** A request that was answered and may be sent again. */
interface Sent {
  readonly request: string
  readonly json: unknown
  readonly headers: Readonly<Record<string, string>>
  readonly answer: Answer
}

export interface Model {
  readonly variables: Map<string, ModelVariable>
  /** The highest version that a name ever had. */
  readonly last: Map<string, number>
  readonly checkpoints: Map<string, ReadonlyMap<string, Saved>>
  sent: Sent | undefined
  /** Keys that were used. */
  keys: number
  steps: number
}

export interface Real {
  connection: Connection
  restart(): Promise<void>
}

type Command = fc.AsyncCommand<Model, Real>

/** A model of nothing. */
export function emptyModel(): Model {
  const maps = { variables: new Map(), last: new Map(), checkpoints: new Map() }
  return { ...maps, sent: undefined, keys: 0, steps: 0 }
}

function command(
  name: string,
  run: (model: Model, real: Real) => Promise<void>,
  check: (model: Model) => boolean = () => true,
): Command {
  return {
    check,
    run: (model, real) => {
      model.steps += 1
      return run(model, real)
    },
    toString: () => name,
  }
}

function same(found: unknown, wanted: unknown, what: string): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)]
  if (one !== other) throw new Error(`${what}: ${one} instead of ${other}`)
}

interface Asking {
  readonly json?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

function ask(real: Real, request: string, { json, headers = {} }: Asking = {}): Promise<Answer> {
  return askPatiently(
    real.connection,
    request,
    json === undefined ? { headers } : { json, headers },
  )
}

/** Asks, with a key where `isKeyed`, and keeps a request that was done for sending it again. */
async function askKeyed(
  model: Model,
  real: Real,
  request: string,
  isKeyed: boolean,
  { json, headers = {} }: Asking,
): Promise<Answer> {
  const all = isKeyed ? { ...headers, 'idempotency-key': `key ${++model.keys}` } : headers
  const answer = await ask(real, request, { json, headers: all })
  if (isKeyed && answer.status < 300) model.sent = { request, json, headers: all, answer }
  return answer
}

function sizeOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1)
}

function nested(shape: Shape, values: readonly number[]): unknown {
  if (shape.length === 0) return values[0]
  const rest = shape.slice(1)
  const size = sizeOf(rest)
  return Array.from({ length: shape[0] }, (_, row) =>
    nested(rest, values.slice(row * size, (row + 1) * size)),
  )
}

function write(model: Model, name: string, values: readonly number[]): number {
  const variable = model.variables.get(name)
  if (variable === undefined) throw new Error(`${name} is not in the model`)
  const version = (model.last.get(name) ?? 0) + 1
  model.last.set(name, version)
  model.variables.set(name, { ...variable, values, version })
  return version
}

/** After a restart versions may have been skipped: the answer says which one it is, if it is a new one. */
function adopt(model: Model, name: string, told: number): void {
  const variable = model.variables.get(name)
  const expected = model.last.get(name) ?? 0
  if (variable === undefined || told < expected) {
    throw new Error(`${name} got version ${told}; at least ${expected} was expected`)
  }
  model.last.set(name, told)
  model.variables.set(name, { ...variable, version: told })
}

export interface Creation {
  readonly name: string
  readonly dtype: string
  readonly shape: Shape
  readonly initial: number
  readonly reuse: boolean | 'auto'
  readonly collections: readonly string[]
  readonly isKeyed: boolean
}

/** get_variable. */
export function createCommand(given: Creation): Command {
  const { name, dtype, shape, initial, reuse, collections, isKeyed } = given
  return command(`create ${JSON.stringify(given)}`, async (model, real) => {
    const initializer = { kind: 'constant', value: initial }
    const json = { name, dtype, shape, initializer, reuse, collections }
    const before = model.variables.get(name)
    const { status } = await askKeyed(model, real, 'POST /v1/variables', isKeyed, { json })
    const makes = before === undefined && reuse !== true
    const fits = before?.dtype === dtype && String(before.shape) === String(shape)
    if (makes) same(status, 201, 'made')
    else if (before === undefined) same(status, 404, 'nothing to reuse')
    else if (reuse === false) same(status, 409, 'there already')
    else same(status, fits ? 200 : 422, 'reused')
    if (!makes) return
    const variable = { dtype, shape, initial, version: 0, values: undefined, collections }
    model.variables.set(name, variable)
  })
}

/** Conditions that a write may carry. */
export type Condition = 'none' | 'any' | 'present' | 'stale'

function headersOf(condition: Condition, version: number): Record<string, string> {
  switch (condition) {
    case 'none':
      return {}
    case 'any':
      return { 'if-match': '*' }
    case 'present':
      return { 'if-match': `"${version}"` }
    case 'stale':
      return { 'if-match': `"${version + 1_000}"` }
    default:
      throw new Error(`unknown condition ${condition satisfies never}`)
  }
}

export interface Writing {
  readonly name: string
  readonly verb: 'assign' | 'assign_add' | 'assign_sub' | 'initialize'
  readonly shape: Shape
  readonly value: number
  readonly condition: Condition
  readonly isKeyed: boolean
}

/** A write to one variable. */
export function writeCommand(given: Writing): Command {
  const { name, verb, shape, value, condition, isKeyed } = given
  return command(`write ${JSON.stringify(given)}`, async (model, real) => {
    const before = model.variables.get(name)
    const values = Array.from({ length: sizeOf(shape) }, (_, index) => value + index)
    const headers = headersOf(condition, before?.version ?? 0)
    const path = `POST /v1/variables/${name}:${verb}`
    const body = verb === 'initialize' ? { headers } : { json: nested(shape, values), headers }
    const { status, json } = await askKeyed(model, real, path, isKeyed, body)
    if (before === undefined) return same(status, 404, `${verb} to none`)
    const isFit = verb === 'initialize' || String(before.shape) === String(shape)
    const isLate = verb.startsWith('assign_') && before.values === undefined
    const problems = [condition === 'stale' && 412, !isFit && 422, isLate && 409].filter(Boolean)
    if (problems.length > 0) {
      if (!problems.includes(status)) throw new Error(`${verb} gave ${status}, not ${problems}`)
      return
    }
    same(status, 200, verb)
    write(model, name, after(before, verb, values))
    adopt(model, name, json.version)
  })
}

function after(
  before: ModelVariable,
  verb: Writing['verb'],
  values: readonly number[],
): readonly number[] {
  const present = before.values ?? []
  switch (verb) {
    case 'assign':
      return values
    case 'assign_add':
      return present.map((one, index) => one + values[index])
    case 'assign_sub':
      return present.map((one, index) => one - values[index])
    case 'initialize':
      return Array(sizeOf(before.shape)).fill(before.initial)
    default:
      throw new Error(`unknown verb ${verb satisfies never}`)
  }
}

/** Writes of a batch. */
export type Together = readonly Pick<Writing, 'name' | 'shape' | 'value'>[]

/** Adds in a batch: all or nothing, and one version for each variable however often it is written. */
export function batchCommand(adds: Together, isKeyed: boolean): Command {
  return command(`batch ${JSON.stringify(adds)}`, async (model, real) => {
    const operations = adds.map(({ name, shape, value }) => {
      const values = Array.from({ length: sizeOf(shape) }, (_, index) => value + index)
      return { op: 'assign_add', name, value: nested(shape, values) }
    })
    const path = 'POST /v1/variables:batch'
    const { status, json } = await askKeyed(model, real, path, isKeyed, { json: { operations } })
    const problems = adds.map(({ name, shape }) => {
      const variable = model.variables.get(name)
      if (variable === undefined) return 404
      if (String(variable.shape) !== String(shape)) return 422
      return variable.values === undefined ? 409 : undefined
    })
    const allowed = problems.filter((problem) => problem !== undefined)
    if (allowed.length > 0) {
      // A value without its shape may be told from a variable without a value in either order.
      const any = allowed.includes(422) ? [...allowed, 409] : allowed
      if (!any.includes(status)) throw new Error(`the batch gave ${status}, not one of ${any}`)
      return
    }
    same(status, 200, 'batch')
    const sums = new Map<string, readonly number[]>()
    for (const { name, value } of adds) {
      const present = sums.get(name) ?? model.variables.get(name)?.values ?? []
      sums.set(
        name,
        present.map((one, index) => one + value + index),
      )
    }
    for (const [name, values] of sums) {
      write(model, name, values)
      const told = json.results.find((one: { name: string }) => one.name === name)
      adopt(model, name, told.version)
    }
  })
}

/** Deletes a variable. */
export function deleteCommand(name: string, condition: Condition, isKeyed: boolean): Command {
  return command(`delete ${name} ${condition}`, async (model, real) => {
    const before = model.variables.get(name)
    const headers = headersOf(condition, before?.version ?? 0)
    const path = `DELETE /v1/variables/${name}`
    const { status } = await askKeyed(model, real, path, isKeyed, { headers })
    if (before === undefined) return same(status, 404, 'nothing to delete')
    same(status, condition === 'stale' ? 412 : 204, 'deleted')
    if (condition !== 'stale') model.variables.delete(name)
  })
}

/** The last request with a key, once more. */
export const resendCommand: Command = command(
  'send again',
  async ({ sent }, real) => {
    if (sent === undefined) throw new Error('nothing was sent')
    const { request, json, headers, answer } = sent
    const again = await ask(real, request, { json, headers })
    same([again.status, again.text], [answer.status, answer.text], `${request} again`)
  },
  // Finding a variable is a read: it is done again.
  ({ sent }) =>
    sent !== undefined && !(sent.request === 'POST /v1/variables' && sent.answer.status === 200),
)

/** Saves what has a value, of every collection. */
export const saveCommand: Command = command('save', async (model, real) => {
  const saved = new Map<string, Saved>()
  for (const [name, { dtype, shape, values }] of model.variables) {
    if (values !== undefined) saved.set(name, { dtype, shape, values })
  }
  const answer = await ask(real, 'POST /v1/checkpoints', {
    json: { all: true, only_initialized: true },
  })
  if (saved.size === 0) {
    if (answer.status < 400) throw new Error(`nothing was saved as ${answer.text}`)
    return
  }
  same(answer.status, 201, answer.text)
  model.checkpoints.set(answer.json.id, saved)
})

/** Restores what fits from one of the checkpoints. */
export function restoreCommand(index: number): Command {
  return command(
    `restore ${index}`,
    async (model, real) => {
      const ids = [...model.checkpoints.keys()]
      const id = ids[index % ids.length]
      const fitting = [...(model.checkpoints.get(id) ?? [])].filter(([name, { dtype, shape }]) => {
        const variable = model.variables.get(name)
        return variable?.dtype === dtype && String(variable.shape) === String(shape)
      })
      const isWhole = fitting.length === model.checkpoints.get(id)?.size
      const strict = await ask(real, `POST /v1/checkpoints/${id}:restore`, {
        json: { dry_run: !isWhole },
      })
      same(strict.status, 200, strict.text)
      const answer = isWhole
        ? strict
        : await ask(real, `POST /v1/checkpoints/${id}:restore`, { json: { strict: false } })
      same([...answer.json.restored].sort(), fitting.map(([name]) => name).sort(), 'restored')
      for (const [name, { values }] of fitting) {
        write(model, name, values)
        adopt(model, name, answer.json.versions[name])
      }
    },
    (model) => model.checkpoints.size > 0,
  )
}

/** Deletes one of the checkpoints. */
export function dropCommand(index: number): Command {
  return command(
    `drop ${index}`,
    async (model, real) => {
      const ids = [...model.checkpoints.keys()]
      const id = ids[index % ids.length]
      same((await ask(real, `DELETE /v1/checkpoints/${id}`)).status, 204, 'dropped')
      model.checkpoints.delete(id)
    },
    (model) => model.checkpoints.size > 0,
  )
}

/** Closes the server and opens its data directory again. */
export const restartCommand: Command = command('restart', (_, real) => real.restart())

/** Compares all that can be seen with the model. */
export const lookCommand: Command = command('look', look)

/** Throws where anything is not as the model says. */
export async function look(model: Model, real: Real): Promise<void> {
  const names = [...model.variables.keys()].sort()
  const listed = await ask(real, 'GET /v1/variables?limit=1000')
  same(
    listed.json.variables.map((one: { name: string }) => one.name),
    names,
    'listed',
  )
  for (const collection of ['variables', 'mine']) {
    const found = await ask(real, `GET /v1/variables?collection=${collection}&limit=1000`)
    const wanted = names.filter((name) =>
      model.variables.get(name)?.collections.includes(collection),
    )
    const members = found.json.variables.map((one: { name: string }) => one.name)
    same(members.sort(), wanted, `in ${collection}`)
  }
  for (const [name, { dtype, shape, version, values }] of model.variables) {
    const { json } = await ask(real, `GET /v1/variables/${name}`)
    same([json.dtype, json.shape, json.version], [dtype, shape, version], name)
    const read = await ask(real, `GET /v1/variables/${name}:read_value`)
    same(read.status, values === undefined ? 409 : 200, `reading ${name}`)
    if (values !== undefined) same(read.json.value, nested(shape, values), `value of ${name}`)
  }
  const { json } = await ask(real, 'GET /v1/checkpoints?limit=1000')
  const ids = json.checkpoints.map(({ id }: { id: string }) => id)
  same(ids.toReversed(), [...model.checkpoints.keys()], 'checkpoints')
  for (const [id, saved] of model.checkpoints) {
    for (const [name, { shape, values }] of saved) {
      const { json: stored } = await ask(real, `GET /v1/checkpoints/${id}/tensors/${name}`)
      same(stored.value, nested(shape, values), `${name} of checkpoint ${id}`)
    }
  }
}
