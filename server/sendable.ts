// Whether the value that a write would leave can be sent back in the form that was asked for. It is
// looked at before anything is written: a refused request must change nothing.
import type { FastifyRequest } from 'fastify'
import { writeNpy, writeSafetensors } from '../formats/index.ts'
import type { Service } from '../service/index.ts'
import { byteLengthOf, elementCountOf, Refusal, type TensorType } from '../tensor/index.ts'
import { tensorTypes } from './bodies.ts'
import { chooseType } from './negotiate.ts'
import { noRawStrings, valueTypes } from './tensor-replies.ts'

/** The check for a request that wants the new value back; refuses at once an `accept` that wants no form. */
export function sendableCheck(
  request: FastifyRequest,
  { limits }: Service,
): (value: TensorType) => void {
  const type = chooseType(request.headers.accept, valueTypes)
  return ({ dtype, shape }) => {
    const count = elementCountOf(shape)
    const byteLength = count * byteLengthOf(dtype)
    const stream = { name: 'value', dtype, shape, byteLength, chunks: nothing }
    switch (type) {
      case tensorTypes.json:
        if (count > limits.jsonElements) throw tooMany(count, limits.jsonElements)
        return
      case tensorTypes.raw:
        if (dtype === 'string') throw noRawStrings('the new value', unsent)
        return
      case tensorTypes.npy:
        writeNpy(stream)
        return
      case tensorTypes.safetensors:
        writeSafetensors([stream])
        return
      case tensorTypes.protobuf:
        if (byteLength > limits.feedBytes) throw tooLong(byteLength, limits.feedBytes)
        return
      default:
        throw new Error(`unknown media type ${type satisfies never}`)
    }
  }
}

async function* nothing(): AsyncIterable<Uint8Array> {}

const unsent = 'Nothing was written.'

function tooMany(count: number, most: number): Refusal {
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    'json/too-large',
    `The new value would have ${count} elements; JSON carries at most ${most}. ${unsent}`,
    {
      fix: `Leave out return=value, or ask with accept: ${tensorTypes.npy}, ${tensorTypes.safetensors} or ${tensorTypes.raw}.`,
    },
  )
}

function tooLong(byteLength: number, most: number): Refusal {
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    'tensor/too-large',
    `A TensorProto carries at most ${most} bytes here; the new value would have ${byteLength}. ${unsent}`,
    { fix: `Ask for it with accept: ${tensorTypes.raw} or ${tensorTypes.safetensors}.` },
  )
}
