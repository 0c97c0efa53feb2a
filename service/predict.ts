// Asking models: predict, classify and regress, as TensorFlow Serving answers them. A call reads the
// present values of the model's variables in one snapshot.

import { setImmediate as giveWay } from 'node:timers/promises'
import type { SignatureDef, TensorInfo } from '../proto/index.ts'
import {
  type DType,
  dtypeOfNumber,
  elementCountOf,
  Refusal,
  type Tensor,
  tensorflowNameOf,
} from '../tensor/index.ts'
import type { Context } from './context.ts'
import type { Models, ServedModel } from './models.ts'
import type { Runs } from './runs.ts'
import {
  classifyReply,
  exampleInputs,
  invalid,
  parseRequest,
  predictInputs,
  predictReply,
  regressReply,
  signatureNameOf,
} from './serving/index.ts'

/** Which model is asked. */
export interface ModelRef {
  readonly model: string
  /** The newest that is available where absent. */
  readonly version: number | undefined
}

export type ServingMethod = 'predict' | 'classify' | 'regress'

export interface Predictions {
  /** Answers a request body with a reply body, both in TensorFlow Serving's JSON. */
  ask(method: ServingMethod, ref: ModelRef, body: string): Promise<string>
  /** Signatures of a model as TensorFlow Serving's metadata gives them. */
  metadata(ref: ModelRef): Promise<unknown>
  /** Runs a signature on tensors; outputs by their names in the signature, sorted. */
  call(
    ref: ModelRef,
    signature: string,
    inputs: ReadonlyMap<string, Tensor>,
  ): Promise<ReadonlyMap<string, Tensor>>
}

// Reference types have the number of their type and a hundred.
const referenceTypes = 100

/** Characters from which on a body takes so long to read that other work comes in between. */
const longBody = 200_000

const defaultSignature = 'serving_default'

/** Calls on a service's models. */
export function createPredictions(context: Context, models: Models, runs: Runs): Predictions {
  async function runSignature(
    { graph, container }: ServedModel,
    signature: SignatureDef,
    inputs: ReadonlyMap<string, Tensor>,
  ): Promise<ReadonlyMap<string, Tensor>> {
    const feeds: Record<string, Tensor> = Object.create(null)
    for (const [name, tensor] of inputs)
      feeds[tensorNameOf(name, signature.inputs.get(name))] = tensor
    const outputs = [...signature.outputs].sort(([a], [b]) => (a < b ? -1 : 1))
    const fetches = outputs.map(([name, info]) => tensorNameOf(name, info))
    const outcome = await runs.run({
      graph,
      feeds,
      fetches,
      targets: [],
      container,
      device: '',
      report: false,
    })
    const fetched = outcome.fetches ?? []
    return new Map(outputs.map(([name], place) => [name, fetched[place]]))
  }

  return {
    async ask(method, ref, body) {
      const request = parseRequest(body)
      if (body.length > longBody) await giveWay()
      const name = signatureNameOf(request) || defaultSignature
      const served = await models.served(ref.model, ref.version)
      const signature = signatureOf(served, name, method)
      if (method === 'predict') {
        const { form, tensors } = await predictInputs(
          request,
          typesOf(signature, served.inputTypes),
        )
        const outputs = await runSignature(served, signature, tensors)
        checkReplySize(outputs, context.limits.jsonElements)
        return predictReply(outputs, form)
      }
      checkMethod(signature, method)
      const examples = exampleInputs(request)
      const [input, ...others] = signature.inputs.keys()
      if (others.length > 0 || input === undefined) throw invalid('Expected one input Tensor.')
      const outputs = await runSignature(served, signature, new Map([[input, examples]]))
      const count = examples.shape[0]
      return method === 'regress'
        ? regressReply(regressOutput(outputs), count)
        : classifyReply(...classifyOutputs(outputs), count)
    },
    async metadata(ref) {
      const { model, version, signatures } = await models.served(ref.model, ref.version)
      const described = [...signatures].map(([name, signature]) => [name, describe(signature)])
      return {
        model_spec: { name: model, signature_name: '', version: String(version) },
        metadata: { signature_def: { signature_def: Object.fromEntries(described) } },
      }
    },
    async call(ref, name, inputs) {
      const served = await models.served(ref.model, ref.version)
      const signature = signatureOf(served, name || defaultSignature, 'predict')
      const missing = [...signature.inputs.keys()].find((input) => !inputs.has(input))
      if (missing !== undefined) throw invalid(`Missing named input: ${missing}.`)
      const extra = [...inputs.keys()].find((input) => !signature.inputs.has(input))
      if (extra !== undefined) throw invalid(`The signature has no input named ${extra}.`)
      return runSignature(served, signature, inputs)
    },
  }
}

function signatureOf(served: ServedModel, name: string, method: ServingMethod): SignatureDef {
  const signature = served.signatures.get(name)
  if (signature !== undefined) return signature
  const message =
    method === 'predict'
      ? `Serving signature name: "${name}" not found in signature def`
      : `No signature was found with the name: ${name}`
  throw new Refusal('INVALID_ARGUMENT', 'predict/unknown-signature', message, {
    names: { signature: name, signatures: [...served.signatures.keys()] },
  })
}

function checkMethod({ method_name: found }: SignatureDef, method: 'classify' | 'regress'): void {
  const wanted = `tensorflow/serving/${method}`
  if (found === wanted) return
  const kind = method === 'classify' ? 'classification' : 'regression'
  throw invalid(`Expected ${kind} signature method_name to be ${wanted}. Was: ${found}`)
}

/** Element types of a signature's inputs by name; of those that name none, the graph's own. */
function typesOf(
  { inputs }: SignatureDef,
  ofGraph: ReadonlyMap<string, DType>,
): ReadonlyMap<string, DType> {
  return new Map(
    [...inputs].map(([name, info]) => {
      const dtype = dtypeOfNumber(info.dtype % referenceTypes) ?? ofGraph.get(info.name ?? '')
      if (dtype !== undefined) return [name, dtype]
      throw invalid(`The input ${name} of the signature has no element type.`)
    }),
  )
}

function tensorNameOf(name: string, info: TensorInfo | undefined): string {
  if (info?.name !== undefined && info.name !== '') return info.name
  throw new Refusal(
    'UNIMPLEMENTED',
    'predict/no-tensor',
    `${name} is no plain tensor of the signature (sparse and composite ones are not supported).`,
    { names: { tensor: name } },
  )
}

function regressOutput(outputs: ReadonlyMap<string, Tensor>): Tensor {
  const output = outputs.get('outputs')
  if (output !== undefined && outputs.size === 1) return output
  throw invalid(`Expected one output Tensor, found ${outputs.size}`)
}

function classifyOutputs(
  outputs: ReadonlyMap<string, Tensor>,
): [Tensor | undefined, Tensor | undefined] {
  const classes = outputs.get('classes')
  const scores = outputs.get('scores')
  if (outputs.size >= 1 && outputs.size <= 2 && (classes ?? scores) !== undefined) {
    return [classes, scores]
  }
  throw invalid(`Expected one or two output Tensors, found ${outputs.size}`)
}

function checkReplySize(outputs: ReadonlyMap<string, Tensor>, maxElements: number): void {
  for (const [name, { shape }] of outputs) {
    const count = elementCountOf(shape)
    if (count <= maxElements) continue
    throw new Refusal(
      'RESOURCE_EXHAUSTED',
      'json/too-large',
      `The output ${name} has ${count} elements; JSON carries at most ${maxElements}.`,
      { fix: 'Ask with a PredictRequest: content-type application/x-protobuf.' },
    )
  }
}

/** A signature in protobuf's JSON, with defaults printed, as TensorFlow Serving prints it. */
function describe({ inputs, outputs, method_name }: SignatureDef) {
  return { inputs: described(inputs), outputs: described(outputs), method_name, defaults: {} }
}

function described(tensors: ReadonlyMap<string, TensorInfo>) {
  const list = [...tensors].map(([key, { name = '', dtype, tensor_shape: shape }]) => [
    key,
    {
      dtype: tensorflowTypeName(dtype),
      tensor_shape: {
        dim: (shape?.dim ?? []).map(({ size, name: axis }) => ({ size: String(size), name: axis })),
        unknown_rank: shape?.unknown_rank ?? false,
      },
      name,
    },
  ])
  return Object.fromEntries(list)
}

function tensorflowTypeName(number: number): string {
  const dtype = dtypeOfNumber(number % referenceTypes)
  if (dtype === undefined) return 'DT_INVALID'
  return `${tensorflowNameOf(dtype)}${number > referenceTypes ? '_REF' : ''}`
}
