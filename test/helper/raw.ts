// HTTP as bytes on a socket, for requests that no HTTP client would send.
import { connect, type Socket } from 'node:net'

/** What came back, taken apart. */
export interface RawReply {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A socket to the server at `base`. */
export function socketTo(base: string): Promise<Socket> {
  const { hostname, port } = new URL(base)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket))
    socket.once('error', reject)
  })
}

const silenceMs = 3_000

const mostTries = 8

/**
 * Sends the pieces as they are and gathers all that comes back until the server ends the connection,
 * or has said nothing for a while. A server that has more to do than its machine can is asked again.
 */
export async function exchange(
  base: string,
  pieces: readonly (string | Uint8Array)[],
  mostSilenceMs = silenceMs,
): Promise<readonly RawReply[]> {
  for (let tries = 1; ; tries++) {
    const replies = await exchangeOnce(base, pieces, mostSilenceMs)
    if (replies.at(-1)?.status !== 503 || tries === mostTries) return replies
    await new Promise((resolve) => setTimeout(resolve, 1_000))
  }
}

async function exchangeOnce(
  base: string,
  pieces: readonly (string | Uint8Array)[],
  mostSilenceMs: number,
): Promise<readonly RawReply[]> {
  const socket = await socketTo(base)
  const received: Buffer[] = []
  const ended = new Promise<void>((resolve) => {
    socket.on('data', (piece) => received.push(piece as Buffer))
    socket.on('error', () => resolve())
    socket.on('close', () => resolve())
    socket.setTimeout(mostSilenceMs, () => socket.destroy())
  })
  for (const piece of pieces) {
    if (socket.destroyed) break
    if (socket.write(piece)) continue
    await Promise.race([ended, new Promise((resolve) => socket.once('drain', resolve))])
  }
  await ended
  return repliesIn(Buffer.concat(received).toString('latin1'))
}

/** The text of a request that asks the server to end the connection after it. */
export function requestText(line: string, headers: readonly string[], body = ''): string {
  const lines = [`${line} HTTP/1.1`, 'host: x', 'connection: close', ...headers]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

function repliesIn(text: string): RawReply[] {
  const replies: RawReply[] = []
  let rest = text
  while (rest.startsWith('HTTP/1.1 ')) {
    const end = rest.indexOf('\r\n\r\n')
    if (end === -1) break
    const [first, ...lines] = rest.slice(0, end).split('\r\n')
    const headers: Record<string, string> = {}
    for (const line of lines) {
      const colon = line.indexOf(':')
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
    }
    rest = rest.slice(end + 4)
    const length = Number(headers['content-length'] ?? rest.length)
    replies.push({ status: Number(first.split(' ')[1]), headers, body: rest.slice(0, length) })
    rest = rest.slice(length)
  }
  return replies
}
