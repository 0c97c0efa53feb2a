// Batches of reads and writes of variables: all or nothing.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { jsonText, openSafetensors } from '../../formats/index.ts'
import { BatchReply, batchBody, encodingQuery } from '../../openapi/index.ts'
import type { JsonValue } from '../../proto/index.ts'
import {
  type BatchOperation,
  type BatchResult,
  digestOfTensor,
  isUpdateVerb,
  type Service,
  tensorOfContent,
  type UpdateVerbName,
  updateVerbs,
} from '../../service/index.ts'
import { Refusal, type Tensor } from '../../tensor/index.ts'
import { essenceOf, streamOf, tensorTypes } from '../bodies.ts'
import { status } from '../errors.ts'
import { jsonOnly } from '../json-only.ts'
import { parseJson } from '../json-reader.ts'
import { asIs, sendJson } from '../streams.ts'
import { jsonTensor, limited } from '../tensor-requests.ts'
import { checkMembers, type ReadInput, updateArguments } from '../update-requests.ts'
import { validatorCompiler } from '../validation.ts'
import {
  containerQuery,
  etagOf,
  full,
  notAcceptable,
  refusals,
  staleVersion,
  tooLarge,
  unfit,
  writeHeaders,
  wrongType,
} from './schemas.ts'
import { typed } from './typed.ts'

const body = batchBody(Object.keys(updateVerbs) as UpdateVerbName[])
const consumes = [tensorTypes.json, tensorTypes.safetensors]

/** Adds the route. */
export function variableBatchRoutes(instance: FastifyInstance, service: Service): void {
  const app = typed(instance)
  app.post(
    '/v1/variables::batch',
    {
      bodyLimit: service.limits.jsonBodyBytes,
      config: { consumes, streamBytes: service.limits.batchBytes },
      schema: {
        tags: ['variables'],
        summary: 'Many reads and writes in order, all or nothing',
        description:
          'Later operations see what earlier ones wrote, and each variable that is written gets one new version. A refusal names the operation ("names.operation", from 0), and nothing is changed. Large values go as application/x-safetensors: the operations as JSON text in the file\'s metadata "operations", a tensor of the file in place of a value as {"tensor": "its name"}.',
        operationId: 'batchVariables',
        querystring: Type.Object({
          ...containerQuery,
          ...encodingQuery,
        }),
        headers: writeHeaders,
        body,
        consumes,
        response: {
          [status.ok]: BatchReply,
          ...refusals(
            'INVALID_ARGUMENT',
            unfit,
            wrongType,
            notAcceptable,
            'NOT_FOUND',
            'FAILED_PRECONDITION',
            'ABORTED',
            staleVersion,
            'OUT_OF_RANGE',
            tooLarge,
            full,
            'DEADLINE_EXCEEDED',
          ),
        },
      },
      serializerCompiler: asIs,
      onRequest: jsonOnly,
    },
    async (request, reply) => {
      const { query, headers } = request
      if (headers['if-match'] !== undefined) throw conditionOfMany()
      const { container = '', encoding } = query
      const { operations, tensors } = await batchOf(request, service)
      const { results, isWritten } = await service.writes.batch({
        container,
        operations: operationsOf(operations, tensors, service.limits.jsonElements),
        byteLength: tensors.byteLength,
        encoding,
        idempotencyKey: headers['idempotency-key'],
        described: () => {
          const text = jsonText(operations as unknown as JsonValue)
          return ['batch', container, encoding, text, ...tensors.described()]
        },
      })
      const texts = results.map(textOfResult).join(',')
      return sendJson(reply, `{"results":[${texts}]${isWritten ? ',"durable":true' : ''}}`)
    },
  )
}

type Operations = Static<typeof body>['operations']
type Operation = Operations[number]

/** The tensors of a body's file. */
interface FileTensors {
  readonly byName: ReadonlyMap<string, Tensor>
  readonly byteLength: number
  described(): readonly unknown[]
}

function conditionOfMany(): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'http/invalid-if-match',
    'If-Match is about one variable; a batch has many.',
    { fix: 'Give "if_version" in the operations that depend on a version.' },
  )
}

async function batchOf(
  request: FastifyRequest,
  { limits, spool }: Service,
): Promise<{ readonly operations: Operations; readonly tensors: FileTensors }> {
  if (essenceOf(request.headers['content-type']) === tensorTypes.json) {
    const { operations } = request.body as Static<typeof body>
    return { operations, tensors: { byName: new Map(), byteLength: 0, described: () => [] } }
  }
  const folder = spool.folder(limits.batchBytes)
  try {
    const source = await folder.keep(limited(streamOf(request), limits.batchBytes))
    const { tensors, metadata } = await openSafetensors(source)
    const operations = operationsOfText(metadata.get('operations'))
    checkUsed(
      tensors.map(({ name }) => name),
      operations,
    )
    const byName = new Map<string, Tensor>()
    for (const tensor of tensors) {
      byName.set(tensor.name, await tensorOfContent(tensor, limits.batchBytes))
    }
    const described = () => [...byName].map(([name, tensor]) => [name, digestOfTensor(tensor)])
    return { operations, tensors: { byName, byteLength: source.byteLength, described } }
  } finally {
    await folder.discard()
  }
}

function operationsOfText(text: string | undefined): Operations {
  const problem = (detail: string): Refusal =>
    new Refusal('INVALID_ARGUMENT', 'json/operations', `The metadata "operations" ${detail}`, {
      fix: 'It is the JSON list that a JSON body has as "operations", as text.',
    })
  if (text === undefined) throw problem('of the safetensors file is missing.')
  const given = { operations: parseJson(Buffer.from(text)) }
  const { error } = validate(given)
  if (error !== undefined) throw problem(`does not fit. ${error.message}`)
  return given.operations as Operations
}

const validate = validatorCompiler({
  schema: body,
  httpPart: 'body',
  method: 'POST',
  url: '/v1/variables:batch',
}) as (value: unknown) => { readonly error?: Error }

/** Refuses tensors that no operation uses: they would be dropped silently. */
function checkUsed(names: readonly string[], operations: Operations): void {
  const used = new Set(
    operations.flatMap(({ value, indices, updates }) =>
      [value, indices, updates].flatMap((one) => referenceOf(one as JsonValue) ?? []),
    ),
  )
  const unused = names.find((name) => !used.has(name))
  if (unused === undefined) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'tensor/unknown-name',
    `No operation uses the tensor "${unused.slice(0, 100)}" of the file.`,
    { fix: `Name it in an operation as {"tensor": "${unused.slice(0, 100)}"}, or leave it out.` },
  )
}

/** The name in `{"tensor": name}`. */
function referenceOf(json: JsonValue | undefined): string | undefined {
  if (typeof json !== 'object' || json === null || !('tensor' in json)) return undefined
  const { tensor } = json
  return typeof tensor === 'string' && Object.keys(json).length === 1 ? tensor : undefined
}

function operationsOf(
  operations: Operations,
  { byName }: FileTensors,
  maxElements: number,
): readonly BatchOperation[] {
  const tensorOf = (json: JsonValue, wanted: Parameters<ReadInput>[1]): Tensor => {
    const name = referenceOf(json)
    if (name === undefined) return jsonTensor(json, wanted, maxElements)
    const tensor = byName.get(name)
    if (tensor !== undefined) return tensor
    throw new Refusal(
      'INVALID_ARGUMENT',
      'tensor/unknown-name',
      `The body brings no tensor "${name.slice(0, 100)}".`,
      { fix: `Send ${tensorTypes.safetensors} that holds it.` },
    )
  }
  return operations.map((operation, place) => operationOf(operation, place, tensorOf))
}

function operationOf(
  operation: Operation,
  place: number,
  tensorOf: (json: JsonValue, wanted: Parameters<ReadInput>[1]) => Tensor,
): BatchOperation {
  const { op, name, if_version: ifVersion, ...members } = operation
  const given = members as Readonly<Record<string, JsonValue>>
  if (isUpdateVerb(op)) {
    return {
      op,
      name,
      ifVersion,
      input: async (declared) => {
        checkMembers(op, given)
        return updateArguments(op, given, declared, async (input, wanted) =>
          given[input] === undefined ? undefined : tensorOf(given[input], wanted),
        )
      },
    }
  }
  switch (op) {
    case 'assign': {
      const { value, validate_shape: validateShape = true } = members
      checkTaken(operation, place, given, ['value', 'validate_shape'])
      if (value === undefined)
        throw notTaken({ op, name }, place, `${op} wants "value", which is missing`)
      const input: Extract<BatchOperation, { op: 'assign' }>['input'] = (declared) =>
        tensorOf(value as JsonValue, declared)
      return { op, name, ifVersion, input, validateShape }
    }
    case 'read_value':
      checkTaken(operation, place, given, ['slice'])
      return { op, name, ifVersion, slice: members.slice }
    case 'initialize':
      checkTaken(operation, place, given, [])
      return { op, name, ifVersion }
    default:
      return op satisfies never
  }
}

function checkTaken(
  operation: Operation,
  place: number,
  given: Readonly<Record<string, JsonValue>>,
  known: readonly string[],
): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key))
  if (unknown === undefined) return
  const taken = known.map((key) => `"${key}"`).join(', ') || 'nothing more'
  throw notTaken(
    operation,
    place,
    `${operation.op} takes ${taken}; "${unknown.slice(0, 100)}" was given`,
  )
}

function notTaken(
  { op, name }: Pick<Operation, 'op' | 'name'>,
  place: number,
  problem: string,
): Refusal {
  const message = `Operation ${place} (${op} of ${name}): ${problem}.`
  return new Refusal('INVALID_ARGUMENT', 'json/unknown-member', message, {
    names: { operation: place, op, variable: name },
  })
}

function textOfResult({ op, name, version, tensor }: BatchResult): string {
  const isRead = op === 'read_value'
  const head = JSON.stringify({
    op,
    name,
    version: version ?? null,
    ...(isRead || version === undefined ? {} : { etag: etagOf(version) }),
  })
  if (tensor === undefined) return head
  return `${head.slice(0, -1)},"${isRead ? 'value' : 'output'}":${tensor}}`
}
