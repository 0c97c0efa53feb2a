// A container as a room of its own on a server that several tests share: starting one takes longer than
// most tests.
import { randomUUID } from 'node:crypto'
import type { TestServer } from './helper.ts'

/** The server, every call of which is about a container that no other test has. */
export function roomOf(server: TestServer): TestServer {
  const container = `room/${randomUUID()}`
  return {
    ...server,
    call(request, wishes) {
      const hasQuery = request.includes('?')
      return server.call(`${request}${hasQuery ? '&' : '?'}container=${container}`, wishes)
    },
  }
}
