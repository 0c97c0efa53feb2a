// Models whose tables live in the engine: what they answer after the engine had to begin anew.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { byteSourceOf } from '../../formats/index.ts'
import { encodeSavedModel } from '../../proto/index.ts'
import { openService } from '../../service/index.ts'
import { elementsOf, type NumericTensor, numberOfDType } from '../../tensor/index.ts'
import {
  constant,
  f32,
  func,
  functionDef,
  graphDef,
  node,
  placeholder,
  tensor,
  text,
  type,
  types,
} from '../engine/graph-def.ts'

const int64 = (...values: number[]) => tensor('int64', [values.length], values)

/** A SavedModel whose table says 10 for 1 and 20 for 2, filled by its init operation. */
function tableModel(): Uint8Array {
  const keys = { key_dtype: type('int64'), value_dtype: type('float32') }
  const nodes = [
    placeholder('x', 'int64', [-1]),
    node('table', 'HashTableV2', [], { ...keys, shared_name: text('table') }),
    constant('keys', int64(1, 2)),
    constant('values', f32([2], [10, 20])),
    constant('none', f32([], [-1])),
    node('init', 'InitializeTableV2', ['table', 'keys', 'values'], {
      Tkey: type('int64'),
      Tval: type('float32'),
    }),
    node('y', 'LookupTableFindV2', ['table', 'x', 'none'], {
      Tin: type('int64'),
      Tout: type('float32'),
    }),
  ]
  return encodeSavedModel({
    saved_model_schema_version: 1,
    meta_graphs: [
      {
        meta_info_def: { tags: ['serve'] },
        graph_def: { node: nodes, versions: { producer: 27 } },
        signature_def: new Map([
          [
            'serving_default',
            {
              inputs: new Map([['x', { name: 'x:0', dtype: numberOfDType('int64') }]]),
              outputs: new Map([['y', { name: 'y:0', dtype: numberOfDType('float32') }]]),
              method_name: 'tensorflow/serving/predict',
            },
          ],
          [
            '__saved_model_init_op',
            { outputs: new Map([['__saved_model_init_op', { name: 'init' }]]) },
          ],
        ]),
      },
    ],
  })
}

/** A loop that goes on for ever. */
function endless(): Uint8Array {
  const T = { T: type('float32') }
  const always = functionDef('always', { x: 'float32' }, { more: ['bool', 'less:z:0'] }, [
    node('less', 'LessEqual', ['x', 'x'], T),
  ])
  const next = functionDef('next', { x: 'float32' }, { x: ['float32', 'n:y:0'] }, [
    node('n', 'Tanh', ['x'], T),
  ])
  const loop = { T: types('float32'), cond: func('always'), body: func('next') }
  const nodes = [constant('x', f32([], [1])), node('y', 'While', ['x'], loop)]
  return graphDef(nodes, [always, next])
}

t.test('tables are filled again after a run over its deadline took the engine along', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-models-'))
  const service = await openService({
    directory,
    clock: Date.now,
    device: 'reference',
    threads: 1,
    allowSoftwareGpu: false,
    demo: false,
    limits: { runTimeoutMs: 1000 },
    log: () => undefined,
  })
  t.teardown(async () => {
    await service.close()
    await rm(directory, { recursive: true, force: true })
  })
  const bytes = tableModel()
  const files = { names: ['saved_model.pb'], open: () => byteSourceOf(bytes) }
  t.equal((await service.models.putFiles('table', 1, files)).state, 'AVAILABLE')
  const ask = async (...keys: number[]) => {
    const inputs = new Map([['x', int64(...keys)]])
    const ref = { model: 'table', version: undefined }
    const outputs = await service.predictions.call(ref, '', inputs)
    return elementsOf(outputs.get('y') as NumericTensor)
  }
  t.same(await ask(2, 1, 3), [20, 10, -1])
  const graph = await service.graphs.put({ form: 'binary', bytes: endless() })
  const run = service.graphs.run(graph.record.id, {
    feeds: {},
    fetches: ['y'],
    targets: [],
    container: '',
    device: '',
    report: false,
  })
  await t.rejects(run, { code: 'DEADLINE_EXCEEDED' } as unknown as Error)
  t.same(await ask(2, 1, 3), [20, 10, -1])
})
