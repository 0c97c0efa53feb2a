import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  byteSourceOf,
  openArchive,
  openBundle,
  readSavedModel,
  restoreMapOf,
  selectMetaGraph,
} from '../../formats/index.ts'
import { type Draft, decodeGraphDef, encodeGraphDef, encodeSavedModel } from '../../proto/index.ts'
import { sharedFolder } from '../helper/shared.ts'
import { fileSetOf, filesOfFolder, refusalOf, tools } from '../helper/tools.ts'

/** Every folder under `folder` that holds a SavedModel. */
function modelFolders(folder: string): string[] {
  if (['pb', 'pbtxt'].some((end) => existsSync(join(folder, `saved_model.${end}`)))) return [folder]
  return readdirSync(folder, { withFileTypes: true })
    .filter((item) => item.isDirectory())
    .flatMap((item) => modelFolders(join(folder, item.name)))
}

t.test(
  'every recorded model is read, and every key that it restores is in its bundle',
  async (t) => {
    const shared = sharedFolder(t)
    if (shared === undefined) return
    const folders = ['conformance/saved_models', 'fixtures/saved_models'].flatMap((part) =>
      modelFolders(join(shared, part)),
    )
    t.ok(folders.length >= 50, `${folders.length} models`)
    for (const folder of folders) {
      const files = fileSetOf(filesOfFolder(folder))
      const { metaGraphs, variables, root } = await readSavedModel(files)
      t.equal(root, '')
      const keys = new Set<string>()
      if (variables?.format === 'v2') {
        const bundle = await openBundle(files, variables.prefix, tools)
        for (const { name } of bundle.tensors) keys.add(name)
      }
      for (const { restore, graphDef } of metaGraphs) {
        if (restore === undefined) continue
        const nodes = new Set(graphDef.node.map(({ name }) => name))
        const stray = restore.variables.filter(
          ({ checkpointKey, node }) => !keys.has(checkpointKey) || !nodes.has(node),
        )
        t.strictSame(stray, [], folder)
        t.strictSame(restore.unresolved, [], folder)
        const restored = new Set(restore.variables.map(({ checkpointKey }) => checkpointKey))
        keys.delete('_CHECKPOINTABLE_OBJECT_GRAPH')
        t.equal(restored.size, keys.size, folder)
      }
    }
  },
)

t.test('a Keras model tells the variable behind every key of its checkpoint', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  const files = fileSetOf(filesOfFolder(join(shared, 'conformance/saved_models/keras_mlp')))
  const model = await readSavedModel(files)
  const graph = selectMetaGraph(model, ['serve'])
  const byKey = new Map(graph.restore?.variables.map((one) => [one.checkpointKey, one.variable]))
  t.equal(byKey.get('_all_variables/5/.ATTRIBUTES/VARIABLE_VALUE'), 'sequential/dense/kernel_1')
  t.equal(byKey.size, 21)
  t.equal(graph.initOp, 'NoOp')
  t.strictSame([...graph.signatures.keys()].sort(), ['serve', 'serving_default'])
  t.equal(graph.signatures.get('serving_default')?.method_name, 'tensorflow/serving/predict')
  t.ok(graph.objectGraph)
})

t.test('half_plus_two: assets, init op and signatures, from pb, pbtxt and a tar.gz', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  for (const name of ['tf_half_plus_two', 'tf_half_plus_two_pbtxt']) {
    const folder = modelFolders(join(shared, 'fixtures/saved_models', name))[0]
    const model = await readSavedModel(fileSetOf(filesOfFolder(folder)))
    const graph = selectMetaGraph(model, ['serve'])
    t.equal(graph.initOp, 'group_deps')
    t.match(graph.assets, [{ filename: 'foo.txt', file: 'assets/foo.txt' }])
    t.ok(graph.signatures.has('serving_default'))
    t.strictSame(
      graph.restore?.variables.map(({ variable }) => variable),
      ['a', 'b', 'c'],
    )
    const { reason } = await refusalOf(() => selectMetaGraph(model, ['serve', 'gpu']))
    t.equal(reason, 'saved-model/unknown-tags')
  }
  const archive = filesOfFolder(join(shared, 'fixtures/saved_models/hub_half_plus_two_v1_targz'))
  const members = await openArchive(byteSourceOf(archive['half_plus_two_v1.tar.gz']), tools)
  const model = await readSavedModel(members)
  t.ok(model.metaGraphs.length > 0)
})

const graphDef = { node: [{ name: 'x', op: 'Placeholder' }] }

async function reasonOf(
  metaGraph: Draft<'MetaGraphDef'>,
  files: Record<string, Uint8Array> = {},
): Promise<string> {
  const model = { saved_model_schema_version: 1, meta_graphs: [metaGraph] }
  const set = fileSetOf({ ...files, 'm/saved_model.pb': encodeSavedModel(model) })
  return (await refusalOf(() => readSavedModel(set))).reason
}

t.test('48: models that contradict themselves are refused', async (t) => {
  const signature = { inputs: new Map([['x', { name: 'y:0' }]]) }
  const signature_def = new Map([['s', signature]])
  t.equal(await reasonOf({ graph_def: graphDef, signature_def }), 'saved-model/bad-signature')
  for (const filename of ['../x', '/x', 'a/../../x', '', 'missing', 'a\\..\\x']) {
    const asset_file_def = [{ filename, tensor_info: { name: 'x:0' } }]
    const files = { 'm/assets/a': new Uint8Array() }
    t.equal(await reasonOf({ graph_def: graphDef, asset_file_def }, files), 'saved-model/bad-asset')
  }
  const saver_def = { restore_op_name: 'nowhere' }
  t.equal(await reasonOf({ graph_def: graphDef, saver_def }), 'saved-model/bad-restore')
  t.equal(await reasonOf({}), 'saved-model/unreadable')
  const main = (...value: string[]) => new Map([['legacy_init_op', { node_list: { value } }]])
  t.equal(
    await reasonOf({ graph_def: graphDef, collection_def: main('x', 'x') }),
    'saved-model/main-op',
  )
  const same = { graph_def: graphDef, meta_info_def: { tags: ['serve'] } }
  const twice = { saved_model_schema_version: 1, meta_graphs: [same, same] }
  const files = fileSetOf({ 'saved_model.pb': encodeSavedModel(twice) })
  t.equal((await refusalOf(() => readSavedModel(files))).reason, 'saved-model/duplicate-tags')
})

t.test('36: a model cut at any byte is refused', async (t) => {
  const model = { saved_model_schema_version: 1, meta_graphs: [{ graph_def: graphDef }] }
  const bytes = encodeSavedModel(model)
  const codes = new Set<string>()
  for (let length = 0; length < bytes.byteLength; length++) {
    const files = fileSetOf({ 'saved_model.pb': bytes.subarray(0, length) })
    codes.add((await refusalOf(() => readSavedModel(files))).code)
  }
  t.strictSame([...codes], ['DATA_LOSS'])
})

t.test(
  'the root is the shallowest folder with a model; two at one depth are refused',
  async (t) => {
    const model = { saved_model_schema_version: 1, meta_graphs: [{ graph_def: graphDef }] }
    const bytes = encodeSavedModel(model)
    const nested = fileSetOf({ 'a/saved_model.pb': bytes, 'a/b/saved_model.pb': bytes })
    t.equal((await readSavedModel(nested)).root, 'a/')
    const two = fileSetOf({ 'a/saved_model.pb': bytes, 'b/saved_model.pb': bytes })
    t.equal((await refusalOf(() => readSavedModel(two))).reason, 'saved-model/ambiguous-root')
    t.equal((await refusalOf(() => readSavedModel(fileSetOf({})))).code, 'NOT_FOUND')
  },
)

function strings(name: string, ...values: readonly string[]): Draft<'NodeDef'> {
  const tensor = {
    dtype: 7,
    tensor_shape: { dim: [{ size: values.length }] },
    string_val: values.map((value) => new TextEncoder().encode(value)),
  }
  return { name, op: 'Const', attr: new Map([['value', { tensor }]]) }
}

t.test('partitions and tables that a restore fills are told apart', async (t) => {
  const graph = decodeGraphDef(
    encodeGraphDef({
      node: [
        { name: 'v/part_0', op: 'VariableV2' },
        { name: 'table', op: 'MutableHashTableV2' },
        strings('names', 'v', 't-keys', 't-values'),
        strings('specs', '4 2 0,2:-', '', ''),
        { name: 'restore', op: 'RestoreV2', input: ['prefix', 'names', 'specs'] },
        { name: 'assign', op: 'Assign', input: ['v/part_0', 'restore'] },
        {
          name: 'import',
          op: 'LookupTableImportV2',
          input: ['table', 'restore:1', 'restore:2'],
        },
        { name: 'other', op: 'Assign', input: ['v/part_0', 'names'] },
        { name: 'all', op: 'NoOp', input: ['^assign', '^import', '^other'] },
      ],
    }),
  )
  t.strictSame(restoreMapOf(graph, 'all'), {
    variables: [
      { checkpointKey: 'v', sliceSpec: '4 2 0,2:-', variable: 'v/part_0', node: 'v/part_0' },
    ],
    tables: [{ keysKey: 't-keys', valuesKey: 't-values', node: 'table' }],
    unresolved: ['other'],
  })
})

t.test('a restore that calls itself is refused, not followed for ever', async (t) => {
  const call = {
    name: 'call',
    op: 'PartitionedCall',
    attr: new Map([['f', { func: { name: 'f' } }]]),
  }
  const graph = decodeGraphDef(
    encodeGraphDef({
      node: [call],
      library: { function: [{ signature: { name: 'f' }, node_def: [call] }] },
    }),
  )
  t.equal((await refusalOf(() => restoreMapOf(graph, 'call'))).reason, 'saved-model/bad-restore')
})
