// Metrics for Prometheus: requests by route and status with their times, refusals by reason, and
// what the store says of itself.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Service } from '../service/index.ts'

export interface Metrics {
  readonly contentType: string
  /** The page that Prometheus reads. */
  text(): Promise<string>
  /** Counts a refusal by its reason. */
  refused(reason: string): void
}

const durationBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30]

/** Metrics of an app, in a registry of their own. */
export function createMetrics(app: FastifyInstance, service: Service): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const durations = new Histogram({
    name: 'holdfast_request_duration_seconds',
    help: 'Time from the request to the end of its reply',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: durationBuckets,
    registers: [registry],
  })
  const refusals = new Counter({
    name: 'holdfast_refusals_total',
    help: 'Refused requests by reason',
    labelNames: ['reason'] as const,
    registers: [registry],
  })
  const storeBytes = new Gauge({
    name: 'holdfast_store_bytes',
    help: 'Bytes that the store takes, by where they are',
    labelNames: ['part'] as const,
    registers: [registry],
    async collect() {
      const status = await service.storeStatus()
      this.set({ part: 'catalogue' }, status.catalogueBytes)
      this.set({ part: 'packs' }, status.packBytes)
      this.set({ part: 'loose' }, status.looseBytes)
    },
  })
  void storeBytes
  const damaged = new Gauge({
    name: 'holdfast_store_damaged_chunks',
    help: 'Chunks of stored values that are known to be damaged',
    registers: [registry],
    async collect() {
      this.set((await service.storeStatus()).damaged)
    },
  })
  void damaged
  const listeners = new Gauge({
    name: 'holdfast_listeners',
    help: 'Streams of events that are open, and requests that wait for a version',
    labelNames: ['kind'] as const,
    registers: [registry],
    collect() {
      const { streams, waits } = service.events.size()
      this.set({ kind: 'stream' }, streams)
      this.set({ kind: 'wait' }, waits)
    },
  })
  void listeners
  const seriesOf = createSeries(durations)
  app.addHook('onResponse', (request, reply, done) => {
    seriesOf(request, reply.statusCode).observe(reply.elapsedTime / 1000)
    done()
  })
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    refused: (reason) => refusals.inc({ reason }),
  }
}

type Duration = Histogram<'method' | 'route' | 'status'>
type Series = ReturnType<Duration['labels']>

/** The series of a request, found by the route's own options instead of by a text of all labels. */
function createSeries(durations: Duration): (request: FastifyRequest, status: number) => Series {
  const byRoute = new WeakMap<object, Map<string, Series>>()
  return (request, status) => {
    const { config, url } = request.routeOptions
    const known = byRoute.get(config) ?? new Map<string, Series>()
    const key = `${request.method}${status}`
    let series = known.get(key)
    if (series === undefined) {
      series = durations.labels(request.method, url ?? 'unknown', String(status))
      known.set(key, series)
      byRoute.set(config, known)
    }
    return series
  }
}
