// A client of server-sent events for tests: it sees what a browser's EventSource would see.
import { once } from 'node:events'
import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { TestServer } from './helper.ts'

/** An event that came. */
export interface SeenEvent {
  readonly id: string
  readonly event: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into data of every shape.
  readonly data: any
}

/** A client of a stream, on a connection of its own, which reads it as the HTML standard says. */
export class EventClient {
  readonly events: SeenEvent[] = []
  readonly headers: IncomingHttpHeaders
  /** From where it would resume. */
  lastId = ''
  retryMs = 0
  readonly #response: IncomingMessage
  readonly #pieces: AsyncIterator<Buffer>
  #text = ''
  #done = false

  constructor(response: IncomingMessage) {
    this.headers = response.headers
    this.#response = response
    this.#pieces = response[Symbol.asyncIterator]()
  }

  /** Opens a stream: of `/v1/events`, or another path. */
  static async open(
    { base }: TestServer,
    query = '',
    headers: Readonly<Record<string, string>> = {},
    path = '/v1/events',
  ): Promise<EventClient> {
    const request = get(`${base}${path}${query}`, { headers, agent: false })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    if (response.statusCode !== 200) throw new Error(`${path} was answered ${response.statusCode}`)
    return new EventClient(response)
  }

  get isDone(): boolean {
    return this.#done
  }

  /** Reads on until something holds or the stream ends. */
  async until(holds: () => boolean): Promise<void> {
    while (!this.#done && !holds()) {
      const { done = false, value } = await this.#pieces.next()
      this.#done = done
      this.#text += value ?? ''
      const blocks = this.#text.split('\n\n')
      this.#text = blocks.pop() ?? ''
      for (const block of blocks) this.#take(block)
    }
  }

  leave(): void {
    this.#response.destroy()
  }

  #take(block: string): void {
    const fields = new Map<string, string>()
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':')
      if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).replace(/^ /, ''))
    }
    this.retryMs = Number(fields.get('retry') ?? this.retryMs)
    this.lastId = fields.get('id') ?? this.lastId
    const data = fields.get('data')
    if (data === undefined) return
    this.events.push({
      id: this.lastId,
      event: fields.get('event') ?? 'message',
      data: JSON.parse(data),
    })
  }
}
