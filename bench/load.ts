// A load client that costs little: fixed request bytes over kept-alive sockets, replies by content-length.
import { connect, type Socket } from 'node:net'

/** One request as bytes on the wire. */
export function requestBytes(
  method: string,
  url: URL,
  headers: Readonly<Record<string, string>> = {},
  body: Uint8Array = new Uint8Array(0),
): Buffer {
  const head = [
    `${method} ${url.pathname}${url.search} HTTP/1.1`,
    `host: ${url.host}`,
    ...(body.byteLength > 0 ? [`content-length: ${body.byteLength}`] : []),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body])
}

/**
 * Requests a second that `connections` sockets manage together in `ms` milliseconds, each waiting for
 * its reply before it asks again. Rejects on any status but 2xx.
 */
export async function load(
  url: URL,
  request: Buffer,
  connections: number,
  ms: number,
): Promise<number> {
  const end = performance.now() + ms
  const start = performance.now()
  const counts = await Promise.all(
    Array.from({ length: connections }, () => loadOne(url, request, end)),
  )
  return (counts.reduce((sum, one) => sum + one, 0) * 1000) / (performance.now() - start)
}

async function loadOne(url: URL, request: Buffer, end: number): Promise<number> {
  const socket = connect(Number(url.port), url.hostname)
  socket.setNoDelay(true)
  await new Promise<void>((done, reject) => {
    socket.once('connect', () => done())
    socket.once('error', reject)
  })
  let count = 0
  while (performance.now() < end) {
    await exchange(socket, request)
    count++
  }
  socket.destroy()
  return count
}

function exchange(socket: Socket, request: Buffer): Promise<void> {
  return new Promise((done, reject) => {
    let received: Buffer = Buffer.alloc(0)
    let wanted = -1
    const onData = (piece: Buffer): void => {
      received = received.byteLength === 0 ? piece : Buffer.concat([received, piece])
      if (wanted < 0) {
        const headEnd = received.indexOf('\r\n\r\n')
        if (headEnd < 0) return
        const head = received.subarray(0, headEnd).toString('latin1')
        const length = /\r\ncontent-length: (\d+)/i.exec(head)
        wanted = headEnd + 4 + (length === null ? 0 : Number(length[1]))
        if (!/^HTTP\/1\.1 2/.test(head)) {
          socket.off('data', onData)
          reject(new Error(received.toString('utf8').slice(0, 600)))
          return
        }
      }
      if (received.byteLength < wanted) return
      socket.off('data', onData)
      done()
    }
    socket.on('data', onData)
    socket.write(request)
  })
}
