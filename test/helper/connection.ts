// One client's connection to a server: requests one at a time over one socket, which may be cut at any
// moment. It knows HTTP and nothing of what is asked.
import { Agent, type IncomingHttpHeaders, request as requestOver } from 'node:http'

/** What came back. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly bytes: Uint8Array
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into replies of every shape.
  readonly json: any
}

/** What goes along with a request. */
export interface Wishes {
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as raw bytes. */
  readonly bytes?: Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  /** The client goes away that long after it has sent all. */
  readonly abandonAfterMs?: number
}

export interface Connection {
  /** The answer to `POST /v1/variables` and the like; undefined where none came. */
  ask(request: string, wishes?: Wishes): Promise<Answer | undefined>
  close(): void
}

/** A connection, which is made with the first request and again after it was cut. */
export function connectionTo(base: string): Connection {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  return {
    ask: (request, wishes = {}) => ask(agent, base, request, wishes),
    close: () => agent.destroy(),
  }
}

const mostTries = 8

/**
 * The answer; throws where none comes. A server that has more to do than its machine can, as happens
 * where many tests run at once, is asked again: it has done nothing then.
 */
export async function askPatiently(
  connection: Connection,
  request: string,
  wishes?: Wishes,
): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    const answer = await connection.ask(request, wishes)
    if (answer === undefined) throw new Error(`${request.slice(0, 200)} was not answered`)
    if (answer.status !== 503 || tries === mostTries) return answer
    await new Promise((resolve) => setTimeout(resolve, 1_000))
  }
}

function ask(
  agent: Agent,
  base: string,
  request: string,
  { json, bytes, headers = {}, abandonAfterMs }: Wishes,
): Promise<Answer | undefined> {
  const [method, path] = request.split(' ')
  const body = json === undefined ? bytes : Buffer.from(JSON.stringify(json))
  const kind = json === undefined ? 'application/octet-stream' : 'application/json'
  const type = body === undefined ? {} : { 'content-type': kind }
  const length = body === undefined ? {} : { 'content-length': `${body.byteLength}` }
  return new Promise((resolve) => {
    const outgoing = requestOver(`${base}${path}`, {
      agent,
      method,
      headers: { ...type, ...length, ...headers },
    })
    outgoing.on('error', () => resolve(undefined))
    outgoing.on('response', (incoming) => {
      const pieces: Buffer[] = []
      incoming.on('data', (piece: Buffer) => pieces.push(piece))
      incoming.on('error', () => resolve(undefined))
      incoming.on('close', () => {
        if (!incoming.complete) return resolve(undefined)
        const whole = Buffer.concat(pieces)
        const text = whole.toString()
        const isJson = (incoming.headers['content-type'] ?? '').includes('json') && text !== ''
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          bytes: whole,
          text,
          json: isJson ? JSON.parse(text) : undefined,
        })
      })
    })
    outgoing.end(body, () => {
      if (abandonAfterMs === undefined) return
      setTimeout(() => outgoing.destroy(), abandonAfterMs).unref()
    })
  })
}
