// /v1/events: what changed, as server-sent events.
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { ChangeEvent, eventActions, eventKinds, GapEvent } from '../../openapi/index.ts'
import {
  type EventFilter,
  placeOfText,
  type Service,
  type Told,
  textOfPlace,
} from '../../service/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { status } from '../errors.ts'
import {
  eventStreamType,
  type ServerSentEvent,
  sendEventHeaders,
  sendEvents,
} from '../event-stream.ts'
import { chooseType } from '../negotiate.ts'
import { notAcceptable, refusals, timeText } from './schemas.ts'
import { typed } from './typed.ts'

const listed = (what: string) => Type.Optional(Type.String({ description: what }))

const querystring = Type.Object({
  kind: listed(`Only these, separated by commas: ${eventKinds.join(', ')}.`),
  action: listed(`Only these, separated by commas: ${eventActions.join(', ')}.`),
  container: listed(
    'Only these containers, separated by commas; empty is the default container, and absent any.',
  ),
  name: listed(
    'Only these names, separated by commas. The parts of a partitioned variable w are announced as w/part_0 and so on; w stands for them.',
  ),
  prefix: listed(
    'Also, or only, names that begin so; separated by commas. conv1/ is all below a scope.',
  ),
  last_event_id: listed(
    'As the header Last-Event-ID, which wins: goes on after this event. 0-0 is all that is kept.',
  ),
})

const description = `A stream of server-sent events: \`curl -N\`, or EventSource in a browser.

Each event has an \`id\` (its place), an \`event\` (such as \`variable.written\` or \`checkpoint.created\`) and \`data\` in JSON (ChangeEvent). Without an id to resume from, the stream begins with what is committed from now on; with one, everything since is told first, without a gap or a repetition. Where the log no longer goes back so far, an event \`gap\` (GapEvent) says so. A silent stream says every event_heartbeat_ms that it is alive, and moves the id on. A client that reads slowly loses nothing that the log still has.`

/** Adds the routes. Streams and waits end when the app closes. */
export function eventRoutes(instance: FastifyInstance, service: Service): void {
  const app = typed(instance)
  app.addHook('preClose', async () => service.events.end())
  const headers = Type.Object({
    'last-event-id': Type.Optional(
      Type.String({ description: 'Id of the last event that came; EventSource sends it itself.' }),
    ),
  })
  app.get(
    '/v1/events',
    {
      exposeHeadRoute: false,
      schema: {
        tags: ['events'],
        summary: 'Changes as they are committed, as server-sent events',
        description,
        operationId: 'followEvents',
        querystring,
        headers,
        response: {
          [status.ok]: {
            description: 'Events until the client goes',
            content: {
              [eventStreamType]: {
                schema: Type.Union([ChangeEvent, GapEvent], {
                  description: 'The data of one event.',
                }),
              },
            },
          },
          ...refusals('INVALID_ARGUMENT', notAcceptable, 'RESOURCE_EXHAUSTED'),
        },
      },
    },
    async (request, reply) => {
      chooseType(request.headers.accept, [eventStreamType])
      const filter = filterOf(request.query)
      const id = request.headers['last-event-id'] || request.query.last_event_id
      const after = id === undefined || id === '' ? undefined : placeOfText(id)
      return sendEvents(reply, (signal) => framesOf(service.events.follow(filter, after, signal)))
    },
  )
  app.head(
    '/v1/events',
    { schema: { hide: true, querystring, headers } },
    async (request, reply) => {
      chooseType(request.headers.accept, [eventStreamType])
      filterOf(request.query)
      return sendEventHeaders(reply)
    },
  )
}

async function* framesOf(
  told: AsyncIterable<readonly Told[]>,
): AsyncIterable<readonly ServerSentEvent[]> {
  for await (const some of told) yield some.map(frameOf)
}

function frameOf(told: Told): ServerSentEvent {
  switch (told.kind) {
    case 'event': {
      const { kind, action, container, name, version, at } = told.event
      const id = textOfPlace(told.event)
      const data = { id, kind, action, container, name, version, at: timeText(at) }
      return { id, event: `${kind}.${action}`, data }
    }
    case 'gap': {
      const [after, resumesAfter] = [told.after, told.resumesAfter].map(textOfPlace)
      return { id: resumesAfter, event: 'gap', data: { after, resumes_after: resumesAfter } }
    }
    case 'quiet':
      return { comment: 'alive', id: textOfPlace(told.place) }
    default:
      return told satisfies never
  }
}

function filterOf(query: {
  readonly kind?: string
  readonly action?: string
  readonly container?: string
  readonly name?: string
  readonly prefix?: string
}): EventFilter {
  return {
    kinds: knownOf('kind', query.kind, eventKinds),
    actions: knownOf('action', query.action, eventActions),
    containers: query.container?.split(',').map((name) => name.trim()),
    names: listOf(query.name),
    prefixes: listOf(query.prefix),
  }
}

function listOf(text: string | undefined): readonly string[] | undefined {
  const list = text?.split(',').flatMap((one) => (one.trim() === '' ? [] : [one.trim()]))
  return list === undefined || list.length === 0 ? undefined : list
}

function knownOf<Known extends string>(
  what: string,
  text: string | undefined,
  known: readonly Known[],
): readonly Known[] | undefined {
  const list = listOf(text)
  const unknown = list?.find((one) => !known.some((each) => each === one))
  if (unknown === undefined) return list as readonly Known[] | undefined
  throw new Refusal(
    'INVALID_ARGUMENT',
    'http/invalid-querystring',
    `${what} lists some of ${known.join(', ')}; "${unknown}" is none of them.`,
  )
}
