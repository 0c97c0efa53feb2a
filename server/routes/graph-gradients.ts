// /v1/graphs/{id}:gradients and :minimize: new graphs made of a graph.
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { AddGradients, AddMinimize, GradientsReply, MinimizeReply } from '../../openapi/index.ts'
import { type NamedGradient, putGradients, putMinimize, type Service } from '../../service/index.ts'
import { tensorTypes } from '../bodies.ts'
import { status } from '../errors.ts'
import { graphReply } from './graphs.ts'
import { full, refusals, tooLarge, unfit, wrongType } from './schemas.ts'

const tags = ['graphs']
const idParams = Type.Object({ id: Type.String() })

const refused = refusals(
  'INVALID_ARGUMENT',
  unfit,
  wrongType,
  'NOT_FOUND',
  tooLarge,
  full,
  'UNIMPLEMENTED',
)

type App = ReturnType<typeof typedApp>
function typedApp(instance: FastifyInstance) {
  return instance.withTypeProvider<TypeBoxTypeProvider>()
}

/** Adds the routes. */
export function graphGradientRoutes(instance: FastifyInstance, service: Service): void {
  const app = typedApp(instance)
  gradientsRoute(app, service)
  minimizeRoute(app, service)
}

function gradientsRoute(app: App, service: Service): void {
  app.post(
    '/v1/graphs/:id([^:]+)::gradients',
    {
      config: { consumes: [tensorTypes.json] },
      schema: {
        tags,
        summary: 'Make a graph with gradients (tf.gradients); the graph itself stays as it is',
        operationId: 'addGradients',
        consumes: [tensorTypes.json],
        params: idParams,
        body: AddGradients,
        response: { [status.ok]: GradientsReply, [status.created]: GradientsReply, ...refused },
      },
    },
    async ({ params, body }, reply) => {
      const { graph, gradients } = await putGradients(service.graphs, params.id, {
        ys: body.ys,
        xs: body.xs,
        gradYs: body.grad_ys,
        stopGradients: body.stop_gradients,
      })
      reply.code(graph.created ? status.created : status.ok)
      reply.header('location', `/v1/graphs/${graph.record.id}`)
      return {
        graph: graphReply(graph),
        gradients: gradients.map((gradient, place) => ({
          x: body.xs[place],
          ...gradientReply(gradient),
        })),
      }
    },
  )
}

function minimizeRoute(app: App, service: Service): void {
  app.post(
    '/v1/graphs/:id([^:]+)::minimize',
    {
      config: { consumes: [tensorTypes.json] },
      schema: {
        tags,
        summary:
          'Make a graph with a train op (Optimizer.minimize); the graph itself stays as it is',
        operationId: 'addMinimize',
        consumes: [tensorTypes.json],
        params: idParams,
        body: AddMinimize,
        response: { [status.ok]: MinimizeReply, [status.created]: MinimizeReply, ...refused },
      },
    },
    async ({ params, body }, reply) => {
      const made = await putMinimize(service.graphs, params.id, {
        loss: body.loss,
        optimizer: body.optimizer,
        variables: body.variables,
        globalStep: body.global_step,
      })
      reply.code(made.graph.created ? status.created : status.ok)
      reply.header('location', `/v1/graphs/${made.graph.record.id}`)
      return {
        graph: graphReply(made.graph),
        train_op: made.train,
        init_op: made.initialize,
        global_step: made.globalStep ?? null,
        gradients: made.gradients.map((one) => ({
          variable: one.variable,
          ...gradientReply(one),
        })),
        slot_variables: made.variables.map((variable) => ({
          name: variable.name,
          slot: variable.slot,
          variable: variable.of ?? null,
          initializer: variable.initializer,
          initial_value: variable.initialValue,
          dtype: variable.dtype,
          shape: variable.shape === undefined ? null : [...variable.shape],
        })),
      }
    },
  )
}

/** A gradient as replies show it. */
function gradientReply(one: NamedGradient | undefined) {
  const { gradient, slices } = one ?? {}
  return {
    gradient: gradient ?? null,
    indexed_slices:
      slices === undefined
        ? null
        : { values: slices.values, indices: slices.indices, dense_shape: slices.denseShape },
  }
}
