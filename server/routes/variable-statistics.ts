// Figures of variables' values, without the values.
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { jsonText, tensorValueToJson } from '../../formats/index.ts'
import {
  binsQuery,
  checkpointQuery,
  sliceQuery,
  ValueStatistics,
  waitQuery,
} from '../../openapi/index.ts'
import type { JsonValue } from '../../proto/index.ts'
import type { Service, Statistics, VariableValue } from '../../service/index.ts'
import { type DType, tensorOfElements } from '../../tensor/index.ts'
import { hasAlready, sendNotModified } from '../conditions.ts'
import { status } from '../errors.ts'
import { jsonOnly } from '../json-only.ts'
import { asIs, sendJson } from '../streams.ts'
import { etagOfValue, membersOf, namesOf, namesQuery, signalOf } from '../variable-values.ts'
import {
  containerQuery,
  type Documented,
  nameParams,
  notAcceptable,
  refusals,
  tooLarge,
  unfit,
} from './schemas.ts'
import { typed } from './typed.ts'

const tags = ['variables']
const defaultBins = 10
const documented: readonly Documented[] = [
  'INVALID_ARGUMENT',
  notAcceptable,
  unfit,
  'NOT_FOUND',
  'FAILED_PRECONDITION',
  'DEADLINE_EXCEEDED',
  tooLarge,
  'RESOURCE_EXHAUSTED',
]

/** Adds the routes. */
export function variableStatisticsRoutes(instance: FastifyInstance, service: Service): void {
  const app = typed(instance)
  app.get(
    '/v1/variables/:name([^:]+)::statistics',
    {
      schema: {
        tags,
        summary:
          'Least, greatest, mean, deviation, counts and histogram of a value or a part of it',
        operationId: 'readStatistics',
        params: nameParams,
        querystring: Type.Object({
          ...containerQuery,
          ...binsQuery,
          ...sliceQuery,
          ...checkpointQuery,
          ...waitQuery,
        }),
        response: { [status.ok]: ValueStatistics, ...refusals(...documented) },
      },
      serializerCompiler: asIs,
      onRequest: jsonOnly,
    },
    async (request, reply) => {
      const { params, query } = request
      const { slice, checkpoint, min_version: minVersion, timeout_ms: timeoutMs } = query
      const signal = signalOf(reply)
      const wishes = { slice, checkpoint, minVersion, timeoutMs, signal }
      const found = await service.reads.value(query.container ?? '', params.name, wishes)
      const etag = etagOfValue(found)
      reply.header('etag', etag)
      if (hasAlready(request.headers['if-none-match'], etag)) return sendNotModified(reply)
      return sendJson(reply, jsonText(await figuresOf(service, found, signal, query.bins)))
    },
  )
  app.get(
    '/v1/variables::statistics',
    {
      schema: {
        tags,
        summary: 'The same of several variables, from one snapshot or one checkpoint',
        operationId: 'readManyStatistics',
        querystring: Type.Object({
          ...containerQuery,
          ...namesQuery,
          ...binsQuery,
          ...checkpointQuery,
          ...waitQuery,
        }),
        response: {
          [status.ok]: Type.Object({
            statistics: Type.Record(Type.String(), ValueStatistics),
          }),
          ...refusals(...documented),
        },
      },
      serializerCompiler: asIs,
      onRequest: jsonOnly,
    },
    async ({ query }, reply) => {
      const { checkpoint, min_version: minVersion, timeout_ms: timeoutMs } = query
      const names = namesOf(query.names, service.limits.namesPerRequest)
      const signal = signalOf(reply)
      const wishes = { checkpoint, minVersion, timeoutMs, signal }
      const texts: string[] = []
      for (const found of await service.reads.values(query.container ?? '', names, wishes)) {
        const figures = await figuresOf(service, found, signal, query.bins)
        texts.push(`${JSON.stringify(found.name)}:${jsonText(figures)}`)
      }
      return sendJson(reply, `{"statistics":{${texts.join(',')}}}`)
    },
  )
}

async function figuresOf(
  service: Service,
  found: VariableValue,
  signal: AbortSignal,
  bins = defaultBins,
): Promise<JsonValue> {
  const { value } = found
  const figures = await service.statistics.of(value, bins, signal)
  return {
    ...membersOf(found),
    dtype: value.dtype,
    shape: [...value.shape],
    ...figuresReply(value.dtype, figures),
  }
}

/** Figures of a value of that type as replies show them. */
export function figuresReply(dtype: DType, figures: Statistics) {
  const { histogram } = figures
  return {
    of: figures.of,
    count: figures.count,
    zeros: figures.zeros,
    nans: figures.nans,
    infinities: figures.positiveInfinities + figures.negativeInfinities,
    negative_infinities: figures.negativeInfinities,
    min: extremeJson(dtype, figures, figures.min),
    max: extremeJson(dtype, figures, figures.max),
    mean: figures.mean ?? null,
    std: figures.std ?? null,
    histogram: { counts: [...histogram.counts], edges: [...histogram.edges] },
  }
}

/** An element as reads show it, with as many digits as its type has. */
function extremeJson(dtype: DType, { of }: Statistics, extreme: number | bigint | undefined) {
  if (extreme === undefined) return null
  if (of === 'elements' && isShown(dtype)) {
    return tensorValueToJson(tensorOfElements(dtype, [], [extreme]))
  }
  return Number(extreme)
}

function isShown(dtype: DType): dtype is 'float32' | 'float16' | 'bfloat16' | 'int64' | 'uint64' {
  return ['float32', 'float16', 'bfloat16', 'int64', 'uint64'].includes(dtype)
}
