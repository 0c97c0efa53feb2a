// Ops of every graph: constants, placeholders, pass-through, calls of functions.
import { elementsOf, fitsShape, formatShape, Refusal, type Tensor } from '../../tensor/index.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import type { Value } from './value.ts'

/** An op that hands its inputs on. */
function passing(name: string, input: string, output: string, attributes: string[]): OpDefinition {
  return defineOp({
    name,
    inputs: [input],
    outputs: [output],
    attributes,
    infer: (shapes) => shapes,
    lower: (at) => at.rawInputs(input.split(':')[0]).map((value) => passed(at, value)),
  })
}

/**
 * A value as it leaves a pass-through. A reference stays one, as in TensorFlow, where the output shares
 * the variable's memory: whoever reads it after an assignment sees the new value.
 */
function passed(at: Lowering, value: Value): Value {
  if (value.kind === 'reference') at.read(value.variable)
  return value
}

const constant = defineOp({
  name: 'Const',
  outputs: ['output: dtype'],
  attributes: ['value: tensor', 'dtype: type'],
  lower: (at) => [at.known(at.constant())],
})

const placeholder = (name: string): OpDefinition =>
  defineOp({
    name,
    outputs: ['output: dtype'],
    attributes: ['dtype: type', 'shape: shape = unknown'],
    lower: (at) => {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'run/not-fed',
        `You must feed a value for placeholder tensor '${at.node.name}' with dtype ${at.attributes.type('dtype')}`,
        { names: { tensor: `${at.node.name}:0`, node: at.node.name } },
      )
    },
  })

const placeholderWithDefault = defineOp({
  name: 'PlaceholderWithDefault',
  inputs: ['input: dtype'],
  outputs: ['output: dtype'],
  attributes: ['dtype: type', 'shape: shape'],
  lower: (at) => [at.input('input')],
})

const noOp = (name: string): OpDefinition => defineOp({ name, lower: () => [] })

/** Calls of a function by attribute. */
const partitionedCall = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['args: Tin'],
    outputs: ['output: Tout'],
    attributes: [
      'Tin: list(type)',
      'Tout: list(type)',
      'f: func',
      "config: string = ''",
      "config_proto: string = ''",
      "executor_type: string = ''",
    ],
    calls: { functions: ['f'], argument: 'args' },
    always: name.startsWith('Stateful'),
    lower: (at) =>
      at.call(at.attributes.function('f'), at.rawInputs('args'), (_at, outputs) => outputs),
  })

const assertOp = defineOp({
  name: 'Assert',
  inputs: ['condition: bool', 'data: T'],
  attributes: ['T: list(type)', 'summarize: int = 3'],
  always: true,
  lower: (at) => {
    const condition = at.input('condition')
    const known = at.knownContentOf(condition)
    if (known !== undefined && isTrue(known)) return []
    at.step({
      inputs: [condition, ...at.inputs('data')],
      outputs: [],
      always: true,
      run: ([truth, ...data]) => {
        if (isTrue(truth)) return []
        const shown = data.map((tensor) => summaryOf(tensor, at.attributes.int('summarize')))
        throw new Refusal(
          'INVALID_ARGUMENT',
          'run/assertion',
          `assertion failed: ${shown.map((text) => `[${text}]`).join(' ')}`,
        )
      },
    })
    return []
  },
})

function isTrue(tensor: Tensor): boolean {
  return tensor.dtype !== 'string' && tensor.bytes.every((byte) => byte !== 0)
}

/** The first elements of a tensor, as TensorFlow shows them in a failed assertion. */
function summaryOf(tensor: Tensor, most: number): string {
  const count = tensor.dtype === 'string' ? tensor.strings.length : elementsOf(tensor).length
  const shown =
    tensor.dtype === 'string'
      ? tensor.strings.slice(0, most).map((bytes) => new TextDecoder().decode(bytes))
      : elementsOf(tensor).slice(0, most).map(String)
  return shown.join(' ') + (count > most ? '...' : '')
}

const checkNumerics = (name: string): OpDefinition =>
  defineOp({
    name,
    inputs: ['tensor: T'],
    outputs: ['output: T'],
    attributes: ['T: {half, bfloat16, float, double}', 'message: string'],
    lower: (at) => {
      const input = at.input('tensor')
      const message = at.attributes.text('message')
      return [
        at.compute({
          shape: input.shape,
          dtype: scalarType(input.dtype),
          inputs: [input],
          body: ({ axes, read }) => read(0, axes),
          checks: ({ b, axes, read }) => [
            {
              ok: b.one('is_finite', read(0, axes)),
              shown: read(0, axes),
              message: (_position, shown) => ({
                code: 'INVALID_ARGUMENT',
                reason: 'run/not-finite',
                message: `${message} : Tensor had ${shown === 'NaN' ? 'NaN' : 'Inf'} values`,
              }),
            },
          ],
        }),
      ]
    },
  })

const ensureShape = defineOp({
  name: 'EnsureShape',
  inputs: ['input: T'],
  outputs: ['output: T'],
  attributes: ['shape: shape', 'T: type'],
  lower: (at) => {
    const input = at.input('input')
    const wanted = at.attributes.shape('shape')
    if (!fitsShape(input.shape, wanted)) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        'shape/mismatch',
        `Shape of tensor ${formatShape(input.shape)} is not compatible with expected shape ${formatShape(wanted)}.`,
      )
    }
    return [input]
  },
})

/** Ops of every graph. */
export const coreOps: readonly OpDefinition[] = [
  constant,
  placeholder('Placeholder'),
  placeholder('PlaceholderV2'),
  placeholderWithDefault,
  noOp('NoOp'),
  noOp('ControlTrigger'),
  passing('Identity', 'input: T', 'output: T', ['T: type']),
  passing('IdentityN', 'input: T', 'output: T', ['T: list(type)']),
  passing('StopGradient', 'input: T', 'output: T', ['T: type']),
  passing('PreventGradient', 'input: T', 'output: T', ['T: type', "message: string = ''"]),
  passing('Snapshot', 'input: T', 'output: T', ['T: type']),
  passing('DeepCopy', 'x: T', 'y: T', ['T: type']),
  defineOp({
    name: 'DisableCopyOnRead',
    inputs: ['resource: resource'],
    reads: false,
    lower: () => [],
  }),
  partitionedCall('PartitionedCall'),
  partitionedCall('StatefulPartitionedCall'),
  assertOp,
  checkNumerics('CheckNumerics'),
  checkNumerics('CheckNumericsV2'),
  ensureShape,
]
