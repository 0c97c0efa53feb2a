// The demonstration model: y = a * x + b with a = 0.5 and b = 2, made here node by node and packed as
// a SavedModel like any other, so that a fresh service has something to answer.
import { byteSourceOf, collect, protoOfTensor, writeBundle } from '../formats/index.ts'
import { type Draft, encodeSavedModel } from '../proto/index.ts'
import {
  type FileSet,
  numberOfDType,
  stringTensor,
  type TensorStream,
  tensorOfElements,
} from '../tensor/index.ts'
import { checksumTools } from './format-tools.ts'
import { contentOfTensor } from './tensor-content.ts'

/** Name and version that the demonstration model is loaded under. */
export const demoModel = { name: 'demo', version: 1 } as const

const initialValues = { a: 0.5, b: 2 } as const
const float = { type: numberOfDType('float32') }
const text = numberOfDType('string')

type Attr = Draft<'AttrValue'>
type Node = Draft<'NodeDef'>

function node(
  name: string,
  op: string,
  input: readonly string[],
  attr: Readonly<Record<string, Attr>>,
): Node {
  return { name, op, input, attr: new Map(Object.entries(attr)) }
}

function strings(name: string, values: readonly string[], isScalar: boolean): Node {
  const bytes = values.map((value) => new TextEncoder().encode(value))
  const tensor = protoOfTensor(stringTensor(isScalar ? [] : [values.length], bytes))
  return node(name, 'Const', [], { dtype: { type: text }, value: { tensor } })
}

function graph(): readonly Node[] {
  const variables = Object.keys(initialValues)
  const shape = { shape: { dim: [] } }
  return [
    node('x', 'Placeholder', [], { dtype: float, shape: { shape: { dim: [{ size: -1 }] } } }),
    ...variables.flatMap((name) => [
      node(name, 'VariableV2', [], { dtype: float, shape }),
      node(`${name}/read`, 'Identity', [name], { T: float }),
    ]),
    node('Mul', 'Mul', ['a/read', 'x'], { T: float }),
    node('y', 'AddV2', ['Mul', 'b/read'], { T: float }),
    strings('save/filename', ['model'], true),
    strings('save/names', variables, false),
    strings('save/slices', ['', ''], false),
    node('save/RestoreV2', 'RestoreV2', ['save/filename', 'save/names', 'save/slices'], {
      dtypes: { list: { type: variables.map(() => float.type) } },
    }),
    ...variables.map((name, index) =>
      node(`save/Assign_${name}`, 'Assign', [name, `save/RestoreV2:${index}`], { T: float }),
    ),
    node(
      'save/restore_all',
      'NoOp',
      variables.map((name) => `^save/Assign_${name}`),
      {},
    ),
  ]
}

function model(): Uint8Array {
  const vector = { dim: [{ size: -1 }] }
  return encodeSavedModel({
    saved_model_schema_version: 1,
    meta_graphs: [
      {
        meta_info_def: { tags: ['serve'] },
        graph_def: { node: graph(), versions: { producer: 27 } },
        saver_def: {
          filename_tensor_name: 'save/filename:0',
          restore_op_name: 'save/restore_all',
          version: 2,
        },
        signature_def: new Map([
          [
            'serving_default',
            {
              inputs: new Map([['x', { name: 'x:0', dtype: float.type, tensor_shape: vector }]]),
              outputs: new Map([['y', { name: 'y:0', dtype: float.type, tensor_shape: vector }]]),
              method_name: 'tensorflow/serving/predict',
            },
          ],
        ]),
      },
    ],
  })
}

/** The files of the demonstration model's SavedModel. */
export async function demoFiles(): Promise<FileSet> {
  const tensors: TensorStream[] = Object.entries(initialValues).map(([name, value]) => ({
    name,
    ...contentOfTensor(tensorOfElements('float32', [], [value])),
  }))
  const files = new Map<string, Uint8Array>([['saved_model.pb', model()]])
  for (const file of await writeBundle('variables/variables', tensors, checksumTools)) {
    files.set(file.name, await collect(file.chunks(), file.byteLength))
  }
  return {
    names: [...files.keys()],
    open: (name) => byteSourceOf(files.get(name) ?? new Uint8Array()),
  }
}
