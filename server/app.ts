// The application: fastify with its settings, plugins and routes on a service that is open already.
// It never listens; main.ts does, tests and the OpenAPI writer inject.
import type { Socket } from 'node:net'
import compress from '@fastify/compress'
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import underPressure from '@fastify/under-pressure'
import fastify, {
  type FastifyInstance,
  type FastifyRequest,
  LogController,
  type RouteOptions,
} from 'fastify'
import { documentHead, nameSchemas } from '../openapi/index.ts'
import { type Service, serverClosing } from '../service/index.ts'
import { Refusal } from '../tensor/index.ts'
import { drain, essenceOf, registerBodies, wrongType } from './bodies.ts'
import { answerBrokenRequest, maxHeaderBytes } from './broken-requests.ts'
import { refusalOf, replyWithProblem } from './errors.ts'
import { registerJsonOnly } from './json-only.ts'
import { createMetrics } from './metrics.ts'
import { encodeNameSlashes } from './paths.ts'
import { backupRoutes } from './routes/backups.ts'
import { checkpointDiffRoutes } from './routes/checkpoint-diff.ts'
import { checkpointFileRoutes } from './routes/checkpoint-files.ts'
import { labelRoutes } from './routes/checkpoint-labels.ts'
import { checkpointRestoreRoute } from './routes/checkpoint-restore.ts'
import { checkpointSaveRoute } from './routes/checkpoint-save.ts'
import { verifyRoutes } from './routes/checkpoint-verify.ts'
import { checkpointRoutes } from './routes/checkpoints.ts'
import { collectionRoutes } from './routes/collections.ts'
import { eventRoutes } from './routes/events.ts'
import { graphGradientRoutes } from './routes/graph-gradients.ts'
import { graphRoutes } from './routes/graphs.ts'
import { healthRoutes } from './routes/health.ts'
import { modelRoutes } from './routes/models.ts'
import { retentionRoutes } from './routes/retention.ts'
import { rootRoute } from './routes/root.ts'
import { scopeRoutes } from './routes/scopes.ts'
import { serviceRoutes } from './routes/service.ts'
import { servingRoutes } from './routes/serving.ts'
import { storeRoutes } from './routes/store.ts'
import { variableBatchRoutes } from './routes/variable-batch.ts'
import { variableReadRoutes } from './routes/variable-reads.ts'
import { variableWriteRoutes } from './routes/variable-writes.ts'
import { variableRoutes } from './routes/variables.ts'
import { validatorCompiler } from './validation.ts'

/** What an application is built on. */
export interface AppOptions {
  readonly service: Service
  readonly logLevel: string
  /** Above this the thread has too much to do and refuses requests; 0: never. 2 seconds unless given. */
  readonly mostEventLoopDelayMs?: number | undefined
  /** Told of every route as it is added. */
  readonly onRoute?: ((route: RouteOptions) => void) | undefined
}

const secondMs = 1000
const usualEventLoopDelayMs = 2 * secondMs

const docsPolicy =
  "default-src 'self'; base-uri 'self'; object-src 'none'; frame-ancestors 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"

/** The application on `service`. Call `ready()` or `listen()` on it. */
export async function buildApp({
  service,
  logLevel,
  mostEventLoopDelayMs = usualEventLoopDelayMs,
  onRoute,
}: AppOptions): Promise<FastifyInstance> {
  const app = fastify({
    logger: logLevel === 'silent' ? false : { level: logLevel },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: service.limits.jsonBodyBytes,
    // Uploads may take long; what must not is a body that does not come at all (headersTimeout).
    requestTimeout: 600 * secondMs,
    connectionTimeout: 120 * secondMs,
    keepAliveTimeout: 72 * secondMs,
    maxRequestsPerSocket: 0,
    forceCloseConnections: 'idle',
    // registerClosing says it in our own form.
    return503OnClosing: false,
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    routerOptions: { maxParamLength: 2 * service.limits.nameLength, caseSensitive: true },
    rewriteUrl: (request) => encodeNameSlashes(request.url ?? '/'),
    http: {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: 30 * secondMs,
      connectionsCheckingInterval: 5 * secondMs,
    },
    exposeHeadRoutes: true,
    frameworkErrors: (error, request, reply) => {
      const refusal = refusalOf(error)
      metrics.refused(refusal.reason)
      void replyWithProblem(refusal, request, reply)
    },
    clientErrorHandler: (error, socket) => answerBrokenRequest(error, socket, metrics.refused),
  })
  if (onRoute !== undefined) app.addHook('onRoute', onRoute)
  app.setValidatorCompiler(validatorCompiler as Parameters<typeof app.setValidatorCompiler>[0])
  app.setNotFoundHandler((request) => {
    throw unknownRoute(request.method, request.originalUrl)
  })
  const metrics = createMetrics(app, service)
  app.setErrorHandler((error, request, reply) => {
    const refusal = refusalOf(unknownMediaType(error, request) ?? error)
    metrics.refused(refusal.reason)
    drain(request)
    return replyWithProblem(refusal, request, reply)
  })
  registerClosing(app)
  registerBodies(app)
  await registerPlugins(app, mostEventLoopDelayMs)
  await app.register(async (routes) => {
    // Routes whose replies are JSON and may be long. Tensors and files go as they are.
    await routes.register(compress, {
      global: true,
      globalDecompression: false,
      threshold: 2048,
      encodings: ['gzip', 'br'],
    })
    registerJsonOnly(routes)
    variableRoutes(routes, service)
    scopeRoutes(routes, service)
    collectionRoutes(routes, service)
    checkpointRoutes(routes, service)
    labelRoutes(routes, service)
    checkpointDiffRoutes(routes, service)
    storeRoutes(routes, service)
    retentionRoutes(routes, service)
    checkpointSaveRoute(routes, service)
    checkpointRestoreRoute(routes, service)
    verifyRoutes(routes, service)
    serviceRoutes(routes, service)
    modelRoutes(routes, service)
  })
  variableReadRoutes(app, service)
  variableWriteRoutes(app, service)
  variableBatchRoutes(app, service)
  checkpointFileRoutes(app, service)
  backupRoutes(app, service)
  graphRoutes(app, service)
  graphGradientRoutes(app, service)
  eventRoutes(app, service)
  await servingRoutes(app, service)
  healthRoutes(app, service, metrics)
  rootRoute(app)
  app.get('/openapi.json', { schema: { hide: true } }, () => openApiOf(app))
  return app
}

/**
 * Refuses (UNAVAILABLE, `server/closing`) what still comes over open connections while the app ends, and
 * ends those that have not said anything yet: Node counts them as busy, and would wait for them.
 */
function registerClosing(app: FastifyInstance): void {
  let isClosing = false
  const open = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  app.addHook('preClose', async () => {
    isClosing = true
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy()
  })
  app.addHook('onRequest', (_request, _reply, done) => {
    if (isClosing) done(serverClosing())
    else done()
  })
}

async function registerPlugins(app: FastifyInstance, maxEventLoopDelay: number): Promise<void> {
  await app.register(underPressure, {
    maxEventLoopDelay,
    // Event loop utilization is no measure here: it reads 1.0 while a device is waited for.
    exposeStatusRoute: false,
    retryAfter: 1,
  })
  await app.register(swagger, {
    openapi: documentHead as never,
    hideUntagged: false,
    transformObject: (document) =>
      nameSchemas(('openapiObject' in document ? document.openapiObject : {}) as never) as never,
  })
  await app.register(async (docs) => {
    await docs.register(helmet, { contentSecurityPolicy: false, hsts: false })
    await docs.register(swaggerUi, {
      routePrefix: '/docs',
      // Without upgrade-insecure-requests, which would break the page where there is no TLS.
      staticCSP: docsPolicy,
      uiConfig: { syntaxHighlight: { activate: false }, tryItOutEnabled: true, validatorUrl: null },
    })
  })
}

/** Fastify's own 415 as ours, which names what the route takes. */
function unknownMediaType(error: unknown, request: FastifyRequest): Refusal | undefined {
  const { code } = error as { code?: string }
  if (code !== 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return undefined
  const consumes = request.routeOptions.config.consumes ?? []
  return wrongType(essenceOf(request.headers['content-type']), consumes)
}

/** The OpenAPI document of the app's own routes. */
export function openApiOf(app: FastifyInstance): unknown {
  return app.swagger()
}

function unknownRoute(method: string, url: string): Refusal {
  return new Refusal(
    'NOT_FOUND',
    'http/unknown-route',
    `There is nothing at ${method} ${url.split('?')[0]}.`,
    {
      fix: 'The calls are listed at /docs. A verb follows a colon: POST /v1/variables/w:assign.',
    },
  )
}
