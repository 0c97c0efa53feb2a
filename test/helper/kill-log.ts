// What writers asked of a server that is killed again and again, and what it acknowledged: a writer
// notes each write before it sends it, and its answer once it has come. After a kill a variable must
// be as its last answer said, or as the write that was under way would have left it.
import { type Answer, askPatiently, type Connection } from './connection.ts'
import { contentOf } from './store.ts'

/** One writer, the only one of its variables. */
export interface Writer {
  /** Makes what it needs; safe to call on a server that has it. */
  prepare(connection: Connection): Promise<void>
  /** One write, noted before and after. False where it got no answer: the server is gone. */
  write(connection: Connection): Promise<boolean>
  /** What is wrong after a restart. What was under way counts as done or not from then on. */
  problems(connection: Connection): Promise<readonly string[]>
  /** Writes that were answered. */
  readonly acknowledged: number
}

function refusedOf(what: string, { status, text }: Answer): Error {
  return new Error(`${what} was refused: ${status} ${text.slice(0, 300)}`)
}

/** Highest version that was ever seen of a name, and whether a later one is new. */
class Versions {
  #highest = 0

  /** Notes a version that a write was answered with; says what is wrong with it. */
  written(name: string, version: number): void {
    if (version <= this.#highest) {
      throw new Error(`${name} got version ${version} again: ${this.#highest} was there before`)
    }
    this.#highest = version
  }

  seen(version: number): void {
    this.#highest = Math.max(this.#highest, version)
  }
}

/** Assigns content that follows from a number, in one go, as bytes. */
export function assigner(name: string, byteLength: number): Writer {
  const versions = new Versions()
  let last = { turn: 0, version: 0 }
  let underWay: number | undefined
  let acknowledged = 0
  return {
    async prepare(connection) {
      const json = { name, shape: [byteLength], dtype: 'uint8', reuse: 'auto' }
      await askPatiently(connection, 'POST /v1/variables', { json })
    },
    async write(connection) {
      underWay = last.turn + 1
      const given = await connection.ask(`POST /v1/variables/${name}:assign`, {
        bytes: contentOf(byteLength, underWay),
      })
      if (given === undefined) return false
      if (given.status === 503) return true
      if (given.status !== 200) throw refusedOf(`assign ${name}`, given)
      versions.written(name, given.json.version)
      last = { turn: underWay, version: given.json.version }
      underWay = undefined
      acknowledged += 1
      return true
    },
    async problems(connection) {
      const before = last
      const { json } = await askPatiently(connection, `GET /v1/variables/${name}`)
      if (json.version < before.version) {
        return [`${name} is at version ${json.version} and was acknowledged at ${before.version}`]
      }
      if (json.version > 0) {
        const isNew = json.version > before.version
        const turn = isNew ? underWay : before.turn
        if (turn === undefined) return [`${name} has version ${json.version}, which nobody wrote`]
        const headers = { accept: 'application/octet-stream' }
        const read = await askPatiently(connection, `GET /v1/variables/${name}:read_value`, {
          headers,
        })
        if (!Buffer.from(contentOf(byteLength, turn)).equals(read.bytes)) {
          return [`${name} holds other bytes than turn ${turn} gave it`]
        }
        last = { turn, version: json.version }
      }
      versions.seen(json.version)
      underWay = undefined
      return []
    },
    get acknowledged() {
      return acknowledged
    },
  }
}

/** Adds 1 with a key for each addition; after a restart the one under way is sent again. */
export function adder(name: string): Writer {
  const versions = new Versions()
  let sum = 0
  let turn = 0
  let underWay: string | undefined
  let acknowledged = 0
  const path = `POST /v1/variables/${name}:assign_add`
  const addition = (key: string) => ({ json: 1, headers: { 'idempotency-key': key } })
  return {
    async prepare(connection) {
      const json = {
        name,
        shape: [],
        dtype: 'int64',
        initializer: { kind: 'zeros' },
        reuse: 'auto',
      }
      await askPatiently(connection, 'POST /v1/variables', { json })
      const only = { names: [name], only_uninitialized: true }
      await askPatiently(connection, 'POST /v1/variables:initialize', { json: only })
      const { json: metadata } = await askPatiently(connection, `GET /v1/variables/${name}`)
      versions.seen(metadata.version)
    },
    async write(connection) {
      underWay = `${name} ${++turn}`
      const given = await connection.ask(path, addition(underWay))
      if (given === undefined) return false
      if (given.status === 503) return true
      if (given.status !== 200) throw refusedOf(`assign_add ${name}`, given)
      versions.written(name, given.json.version)
      underWay = undefined
      sum += 1
      acknowledged += 1
      return true
    },
    async problems(connection) {
      const found: string[] = []
      if (underWay !== undefined) {
        for (let time = 0; time < 2; time++) {
          const again = await askPatiently(connection, path, addition(underWay))
          if (again.status !== 200) found.push(`${name} was not added to: ${again.text}`)
          else versions.seen(again.json.version)
        }
        sum += 1
        underWay = undefined
      }
      const { json } = await askPatiently(connection, `GET /v1/variables/${name}:read_value`)
      if (Number(json.value) !== sum) found.push(`${name} is ${json.value} instead of ${sum}`)
      return found
    },
    get acknowledged() {
      return acknowledged
    },
  }
}

/** Makes a variable, gives it a value, deletes it, and again. */
export function comerAndGoer(name: string): Writer {
  const versions = new Versions()
  const states = ['gone', 'made', 'valued'] as const
  let state = 0
  let turn = 0
  let isUnderWay = false
  let acknowledged = 0
  const requests = [
    (connection: Connection) =>
      connection.ask('POST /v1/variables', { json: { name, shape: [], dtype: 'int32' } }),
    (connection: Connection) => connection.ask(`POST /v1/variables/${name}:assign`, { json: turn }),
    (connection: Connection) => connection.ask(`DELETE /v1/variables/${name}`),
  ]
  const next = (): number => (state + 1) % states.length
  return {
    async prepare() {},
    async write(connection) {
      if (state === 1) turn += 1
      isUnderWay = true
      const given = await requests[state](connection)
      if (given === undefined) return false
      if (given.status === 503) return true
      if (given.status >= 300) throw refusedOf(`${states[next()]} ${name}`, given)
      if (state === 1) versions.written(name, given.json.version)
      state = next()
      isUnderWay = false
      acknowledged += 1
      return true
    },
    async problems(connection) {
      const given = await askPatiently(connection, `GET /v1/variables/${name}`)
      const found = given.status === 404 ? 0 : given.json.initialized ? 2 : 1
      const allowed = isUnderWay ? [state, next()] : [state]
      isUnderWay = false
      if (!allowed.includes(found)) {
        return [`${name} is ${states[found]} instead of ${allowed.map((one) => states[one])}`]
      }
      state = found
      if (found !== 2) return []
      versions.seen(given.json.version)
      const { json } = await askPatiently(connection, `GET /v1/variables/${name}:read_value`)
      return json.value === turn ? [] : [`${name} is ${json.value} instead of ${turn}`]
    },
    get acknowledged() {
      return acknowledged
    },
  }
}

/** Assigns both of a pair in one batch, so that they are always equal. */
export function pairWriter(name: string): Writer {
  const halves = [`${name}/a`, `${name}/b`]
  const versions = new Versions()
  let last = { turn: 0, version: 0 }
  let underWay: number | undefined
  let acknowledged = 0
  return {
    async prepare(connection) {
      for (const half of halves) {
        const json = { name: half, shape: [], dtype: 'int32', reuse: 'auto' }
        await askPatiently(connection, 'POST /v1/variables', { json })
      }
    },
    async write(connection) {
      underWay = last.turn + 1
      const operations = halves.map((half) => ({ op: 'assign', name: half, value: underWay }))
      const given = await connection.ask('POST /v1/variables:batch', { json: { operations } })
      if (given === undefined) return false
      if (given.status === 503) return true
      if (given.status !== 200) throw refusedOf(`the batch on ${name}`, given)
      const [a, b] = given.json.results
      if (a.version !== b.version) throw new Error(`half of ${name} was written: ${given.text}`)
      versions.written(name, a.version)
      last = { turn: underWay, version: a.version }
      underWay = undefined
      acknowledged += 1
      return true
    },
    async problems(connection) {
      const found: string[] = []
      const path = `GET /v1/variables:read_values?names=${halves.join(',')}`
      const { status, json, text } = await askPatiently(connection, path)
      if (status !== 200) return last.version === 0 ? [] : [`${name} cannot be read: ${text}`]
      const [a, b] = halves.map((half) => json.values[half])
      if (a.value !== b.value) found.push(`${name} is ${a.value} and ${b.value}`)
      const allowed = underWay === undefined ? [last.turn] : [last.turn, underWay]
      if (!allowed.includes(a.value)) found.push(`${name} is ${a.value} instead of ${allowed}`)
      last = { turn: a.value, version: a.version }
      versions.seen(a.version)
      underWay = undefined
      return found
    },
    get acknowledged() {
      return acknowledged
    },
  }
}

/** Saves checkpoints of a pair, keeping the newest three. */
export function saver(name: string): Writer {
  const halves = [`${name}/a`, `${name}/b`]
  const kept: string[] = []
  let leaving: string | undefined
  let acknowledged = 0
  return {
    async prepare() {},
    async write(connection) {
      const given = await connection.ask('POST /v1/checkpoints', { json: { names: halves } })
      if (given === undefined) return false
      if (given.status === 503) return true
      // Before the pair has its first value there is nothing to save.
      if (given.status === 409) return true
      if (given.status !== 201) throw refusedOf('a save', given)
      kept.push(given.json.id)
      acknowledged += 1
      if (kept.length <= 3) return true
      leaving = kept.shift()
      const gone = await connection.ask(`DELETE /v1/checkpoints/${leaving}`)
      if (gone === undefined) return false
      if (gone.status >= 300) throw refusedOf('a deletion', gone)
      leaving = undefined
      return true
    },
    async problems(connection) {
      const found: string[] = []
      const { json } = await askPatiently(connection, 'GET /v1/checkpoints?limit=1000')
      const ids: string[] = json.checkpoints.map(({ id }: { id: string }) => id)
      for (const id of kept) if (!ids.includes(id)) found.push(`checkpoint ${id} is lost`)
      for (const id of ids) {
        const values: unknown[] = []
        for (const half of halves) {
          const path = `GET /v1/checkpoints/${id}/tensors/${half}`
          values.push((await askPatiently(connection, path)).json?.value)
        }
        if (values[0] === undefined || values[0] !== values[1]) {
          found.push(`checkpoint ${id} holds ${values[0]} and ${values[1]}`)
        }
      }
      // One that was saved or was leaving when the server went is as good as the others.
      kept.splice(0, kept.length, ...ids.toReversed())
      leaving = undefined
      return found
    },
    get acknowledged() {
      return acknowledged
    },
  }
}
