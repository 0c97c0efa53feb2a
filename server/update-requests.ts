// What updates of variables are given, on its way in: JSON members, or a file of named tensors, become
// the arguments of a verb's op. It knows what the verb's row says, and nothing of what the op does.
import type { FastifyRequest } from 'fastify'
import {
  openNpz,
  openSafetensors,
  parseBasicIndex,
  shapeOfView,
  stridedSliceOf,
  tensorOfJson,
  viewOf,
} from '../formats/index.ts'
import type { JsonValue } from '../proto/index.ts'
import {
  archiveTools,
  type Declaration,
  type Service,
  tensorOfContent,
  type UpdateArguments,
  type UpdateInput,
  type UpdateVerbName,
  updateVerb,
} from '../service/index.ts'
import {
  fitsShape,
  formatShape,
  isNumeric,
  numericTensor,
  type PartialShape,
  Refusal,
  type Shape,
  type Tensor,
  type TensorStream,
} from '../tensor/index.ts'
import { essenceOf, npzType, streamOf, tensorTypes } from './bodies.ts'
import { jsonTensor, limited, tensorBodyTypes, withTensorInput } from './tensor-requests.ts'

/** A JSON object. */
type Members = Readonly<Record<string, JsonValue>>

/** The tensor that stands for an input in a body; undefined where there is none. */
export type ReadInput = (name: string, wanted: Declaration) => Promise<Tensor | undefined>

/** Media types of several tensors by name. */
const namedTypes: readonly string[] = [tensorTypes.json, tensorTypes.safetensors, npzType]

/** Media types that a verb's tensors may come in. */
export function updateBodyTypes(verb: UpdateVerbName): readonly string[] {
  const { inputs } = updateVerb(verb)
  if (inputs.length === 0) return [tensorTypes.json]
  return inputs.length === 1 ? tensorBodyTypes : namedTypes
}

/** Does `work` with what the request's body gives the verb. What the body was kept in is given back. */
export async function withUpdateInput<T>(
  request: FastifyRequest,
  service: Service,
  verb: UpdateVerbName,
  work: (input: UpdateInput) => Promise<T>,
): Promise<T> {
  const type = essenceOf(request.headers['content-type'])
  const { limits } = service
  const { slice: sliceText } = request.query as { readonly slice?: string }
  if (type === tensorTypes.json) {
    const members = membersOf(verb, request.body as JsonValue, sliceText)
    return work((declared) => argumentsOfJson(verb, members, declared, limits.jsonElements))
  }
  if (updateVerb(verb).inputs.length === 1) {
    return withTensorInput(request, service, (input) =>
      work((declared) => {
        const read: ReadInput = async (_, wanted) =>
          tensorOfContent(await input(wanted), limits.feedBytes)
        return updateArguments(verb, { slice: sliceText }, declared, read)
      }),
    )
  }
  const folder = service.spool.folder(limits.feedBytes)
  try {
    return await work(async (declared) => {
      const source = await folder.keep(limited(streamOf(request), limits.feedBytes))
      const { tensors } =
        type === npzType
          ? await openNpz(source, archiveTools(folder))
          : await openSafetensors(source)
      return argumentsOfTensors(verb, tensors, declared, limits.feedBytes)
    })
  } finally {
    await folder.discard()
  }
}

/** The verb's members in a body: the object itself, or, where a verb takes one tensor, that tensor. */
function membersOf(verb: UpdateVerbName, json: JsonValue, slice: string | undefined): Members {
  const { inputs, argument } = updateVerb(verb)
  const isSingle = inputs.length === 1
  if (!isObject(json)) {
    if (isSingle) return withSlice({ value: json }, slice)
    const wanted = [...inputs.map(({ name }) => name), ...(argument ? [argument] : [])]
    throw new Refusal(
      'INVALID_ARGUMENT',
      'json/object-wanted',
      `${verb} takes an object with ${quoted(wanted)}.`,
    )
  }
  if (!isSingle) return json
  const { slice: ownSlice, ...rest } = json
  if (argument !== 'slice' || ownSlice === undefined) return withSlice({ value: rest }, slice)
  if (slice !== undefined) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'slice/given-twice',
      'The slice is given in the query and in the body; one of them is wanted.',
    )
  }
  // `{slice, value: <tensor>}`, or a tensor's own members beside the slice.
  const { value } = rest
  const isWrapped = Object.keys(rest).length === 1 && value !== undefined
  return { slice: ownSlice, value: isWrapped ? value : rest }
}

function withSlice(members: Members, slice: string | undefined): Members {
  return slice === undefined ? members : { ...members, slice }
}

/** Arguments from JSON members, each tensor as an object or a bare list. */
function argumentsOfJson(
  verb: UpdateVerbName,
  members: Members,
  declared: Declaration,
  maxElements: number,
): Promise<UpdateArguments> {
  checkMembers(verb, members)
  return updateArguments(verb, members, declared, async (name, wanted) => {
    const json = members[name]
    return json === undefined ? undefined : jsonTensor(json, wanted, maxElements)
  })
}

/** Refuses a member that the verb does not take. */
export function checkMembers(verb: UpdateVerbName, members: Members): void {
  const { inputs, argument } = updateVerb(verb)
  const known = [...inputs.map(({ name }) => name), ...(argument === undefined ? [] : [argument])]
  const unknown = Object.keys(members).find((key) => !(known as readonly string[]).includes(key))
  if (unknown === undefined) return
  throw new Refusal(
    'INVALID_ARGUMENT',
    'json/unknown-member',
    `${verb} takes ${quoted(known)}; "${unknown.slice(0, 100)}" was given.`,
  )
}

async function argumentsOfTensors(
  verb: UpdateVerbName,
  tensors: readonly TensorStream[],
  declared: Declaration,
  maxBytes: number,
): Promise<UpdateArguments> {
  const known: readonly string[] = updateVerb(verb).inputs.map(({ name }) => name)
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  const unknown = [...byName.keys()].find((name) => !known.includes(name))
  if (unknown !== undefined || byName.size < tensors.length) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'tensor/unknown-name',
      `${verb} takes tensors named ${quoted(known)}, each once; the file holds ${quoted(tensors.map(({ name }) => name.slice(0, 100)).slice(0, 20))}.`,
    )
  }
  return updateArguments(verb, {}, declared, async (name) => {
    const tensor = byName.get(name)
    return tensor === undefined ? undefined : tensorOfContent(tensor, maxBytes)
  })
}

/** Puts together what a verb is given. Refuses (`json/member-missing`) where something is missing. */
export async function updateArguments(
  verb: UpdateVerbName,
  { limit, slice }: { readonly limit?: JsonValue; readonly slice?: JsonValue },
  declared: Declaration,
  read: ReadInput,
): Promise<UpdateArguments> {
  const { inputs, argument } = updateVerb(verb)
  if (argument === 'limit') return { tensors: new Map(), limit: limitOf(limit, declared) }
  const index = argument === 'slice' ? indexOf(slice) : undefined
  const tensors = new Map<string, Tensor>()
  let places: Shape = []
  for (const input of inputs) {
    const dtype = input.type === 'index' ? 'int64' : declared.dtype
    const shape: PartialShape =
      index === undefined ? input.shape(declared.shape, places) : sliceShape(index, declared)
    const tensor = await read(input.name, { dtype, shape })
    if (tensor === undefined) throw missing(verb, input.name)
    if (input.name === 'indices') places = tensor.shape
    if (index !== undefined && !fitsShape(tensor.shape, shape)) throw otherShape(shape, tensor)
    tensors.set(input.name, tensor)
  }
  return { tensors, slice: index && stridedSliceOf(index) }
}

function limitOf(limit: JsonValue | undefined, { dtype }: Declaration) {
  if (limit === undefined) throw missing('count_up_to', 'limit')
  const tensor = tensorOfJson(limit, { dtype, shape: [] })
  if (!isNumeric(dtype) || tensor.dtype === 'string') throw new Error(`${dtype} has no limit`)
  return numericTensor(dtype, [], tensor.bytes)
}

function indexOf(slice: JsonValue | undefined) {
  if (typeof slice === 'string') return parseBasicIndex(slice)
  if (slice === undefined) throw missing('assign_slice', 'slice')
  throw new Refusal(
    'INVALID_ARGUMENT',
    'slice/invalid',
    `A slice is a text such as "0:10,:,3"; ${JSON.stringify(slice).slice(0, 100)} was given.`,
  )
}

/** The shape that the value has; unknown where the variable's is. */
function sliceShape(
  index: ReturnType<typeof parseBasicIndex>,
  { shape }: Declaration,
): PartialShape {
  if (shape === undefined || shape.includes(-1)) return undefined
  return shapeOfView(viewOf(index, shape))
}

function otherShape(wanted: PartialShape, { shape }: Tensor): Refusal {
  return new Refusal(
    'INVALID_ARGUMENT',
    'shape/mismatch',
    `sliced l-value shape ${formatShape(wanted)} does not match r-value shape ${formatShape(shape)}. Automatic broadcasting not yet implemented.`,
    { fix: 'Give a value of the shape of the slice.' },
  )
}

function missing(verb: UpdateVerbName, name: string): Refusal {
  const { inputs } = updateVerb(verb)
  const help = inputs.find((input) => input.name === name)?.help
  return new Refusal(
    'INVALID_ARGUMENT',
    'json/member-missing',
    `${verb} wants "${name}", which is missing.`,
    help === undefined ? {} : { fix: help },
  )
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ') || 'nothing'
}

function isObject(json: JsonValue): json is Members {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}
