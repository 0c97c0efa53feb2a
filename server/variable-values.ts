// What the routes that read variables have in common: the names that a query lists, the etag of what was
// read, and what JSON says of a value beside the value.
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { VariableValue } from '../service/index.ts'
import { Refusal } from '../tensor/index.ts'

/** `?names=`. */
export const namesQuery = {
  names: Type.String({ description: 'Names, separated by commas.' }),
}

/** The names of such a query, each once. Refuses none, and more than `most`. */
export function namesOf(text: string, most: number): readonly string[] {
  const names = [...new Set(text.split(',').map((name) => name.trim()))].filter(
    (name) => name !== '',
  )
  if (names.length > 0 && names.length <= most) return names
  throw new Refusal(
    'INVALID_ARGUMENT',
    'http/invalid-querystring',
    `names lists 1 to ${most} variables, separated by commas; ${names.length} were given.`,
    { fix: names.length === 0 ? 'Write ?names=a,b.' : 'Ask several times.' },
  )
}

/** The strong etag of what was read: of a variable its version, of a checkpoint the content. */
export function etagOfValue({ version, value }: VariableValue): string {
  return version === undefined ? `"${value.digest}"` : `"${version}"`
}

/** What JSON says of a value beside the value. */
export function membersOf({
  name,
  container,
  version,
  checkpoint,
}: VariableValue): Readonly<Record<string, string | number>> {
  if (version !== undefined) return { name, container, version }
  return checkpoint === undefined ? { name, container } : { name, container, checkpoint }
}

/** Aborted when the client goes away, for what may take long. */
export function signalOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => controller.abort())
  return controller.signal
}
