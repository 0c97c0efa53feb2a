// Requests that never become one: what the parser of HTTP refuses, answered as any other refusal, and
// then the connection ends, since nobody knows where in it a next request would begin.
import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { Refusal } from '../tensor/index.ts'
import { problemOf } from './errors.ts'

/** Bytes that a request's line and headers may have together. */
export const maxHeaderBytes = 16 * 1024

interface ParserError extends Error {
  /** Node's or llhttp's own word. */
  readonly code?: string
  readonly reason?: string
}

/** Answers what the parser refused as a problem and ends the connection; tells `refused` the reason. */
export function answerBrokenRequest(
  error: ParserError,
  socket: Socket,
  refused: (reason: string) => void,
): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const refusal = refusalOf(error)
  refused(refusal.reason)
  // Node keeps the reply that is under way on this socket there.
  const { _httpMessage: underWay } = socket as Socket & { readonly _httpMessage?: ServerResponse }
  if (underWay?.req.complete) {
    // What cannot be read came after a whole request, which is still owed its own answer.
    underWay.once('close', () => socket.destroy())
    return
  }
  if (socket.writable && underWay?.headersSent !== true) {
    // The path is not known where the request could not be read.
    const problem = problemOf(refusal, '/')
    const body = JSON.stringify(problem)
    const head = [
      `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
      'content-type: application/problem+json; charset=utf-8',
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ]
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  }
  socket.destroy(error)
}

function refusalOf({ code, reason }: ParserError): Refusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const message = 'The request did not come whole within the time that it has.'
    return new Refusal('DEADLINE_EXCEEDED', 'http/request-timeout', message)
  }
  if (code === 'HPE_HEADER_OVERFLOW') {
    const message = `The headers are larger than ${maxHeaderBytes} bytes altogether, or too many.`
    return new Refusal('RESOURCE_EXHAUSTED', 'http/headers-too-large', message)
  }
  const problem = reason === undefined || reason === '' ? 'it cannot be read' : reason
  return new Refusal('INVALID_ARGUMENT', 'http/malformed-request', `This is no HTTP: ${problem}.`)
}
