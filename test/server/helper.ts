// A real server for tests: the app on a socket of its own, on a store in a temporary folder, with the
// reference device; and a client that shows what came back.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildApp } from '../../server/index.ts'
import { type Limits, openService, type Service } from '../../service/index.ts'

interface Teardown {
  teardown(work: () => Promise<void>): unknown
}

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into replies of every shape.
  readonly json: any
}

export interface Wishes {
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is. */
  readonly body?: Uint8Array | string | ReadableStream
  readonly headers?: Readonly<Record<string, string>>
}

export interface TestServer {
  readonly base: string
  readonly service: Service
  readonly directory: string
  /** `POST /v1/variables` and so on. */
  call(request: string, wishes?: Wishes): Promise<Reply>
  /** Names of the files that wait in the spool. */
  spooled(): Promise<readonly string[]>
}

/** Starts a server that ends with the test. */
export async function startServer(
  t: Teardown,
  {
    limits = {},
    demo = false,
    device = 'reference',
    cpuMemoryBytes = undefined,
  }: {
    limits?: Partial<Limits>
    demo?: boolean
    device?: string
    cpuMemoryBytes?: number | undefined
  } = {},
): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-server-'))
  const service = await openService({
    directory,
    clock: Date.now,
    device,
    threads: 1,
    memoryBytes: { cpu: cpuMemoryBytes },
    allowSoftwareGpu: false,
    demo,
    limits,
    log: () => undefined,
  })
  // Other processes must not make a test's server refuse requests.
  const app = await buildApp({ service, logLevel: 'silent', mostEventLoopDelayMs: 0 })
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await app.close()
    await service.close()
    await rm(directory, { recursive: true, force: true })
  })
  return {
    base,
    service,
    directory,
    call: (request, wishes) => call(base, request, wishes),
    spooled: () => readdir(join(directory, 'spool')),
  }
}

/** One request over a socket. */
export async function call(base: string, request: string, wishes: Wishes = {}): Promise<Reply> {
  const [method, path] = request.split(' ')
  const isJson = wishes.json !== undefined
  const response = await fetch(`${base}${path}`, {
    method,
    headers: { ...(isJson ? { 'content-type': 'application/json' } : {}), ...wishes.headers },
    body: isJson ? JSON.stringify(wishes.json) : ((wishes.body ?? null) as BodyInit | null),
    ...(wishes.body instanceof ReadableStream ? { duplex: 'half' } : {}),
  } as RequestInit)
  const bytes = new Uint8Array(await response.arrayBuffer())
  const text = new TextDecoder().decode(bytes)
  const isJsonReply = (response.headers.get('content-type') ?? '').includes('json')
  const json = isJsonReply && text !== '' ? JSON.parse(text) : undefined
  return { status: response.status, headers: response.headers, bytes, text, json }
}

/** The bytes of float32 values. */
export function floats(...values: readonly number[]): Uint8Array {
  return new Uint8Array(new Float32Array(values).buffer)
}
