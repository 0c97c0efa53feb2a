import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { definitionOf, isRefusedOp } from '../../../engine/ops/index.ts'
import { decodeSavedModel, type Message, parseText } from '../../../proto/index.ts'
import { sharedFolder } from '../../helper/shared.ts'

/** The op registry entries that TensorFlow wrote into recorded models, one for each op. */
function recordedDefinitions(folder: string): ReadonlyMap<string, Message<'OpDef'>> {
  const found = new Map<string, Message<'OpDef'>>()
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const isText = name.endsWith('/saved_model.pbtxt')
    if (!isText && !name.endsWith('/saved_model.pb')) continue
    const bytes = readFileSync(join(folder, name))
    const model = isText ? parseText('SavedModel', bytes.toString()) : decodeSavedModel(bytes)
    for (const { meta_info_def } of model.meta_graphs) {
      for (const op of meta_info_def?.stripped_op_list?.op ?? []) {
        const before = found.get(op.name)
        if (before === undefined || op.attr.length > before.attr.length) found.set(op.name, op)
      }
    }
  }
  return found
}

t.test('definitions have the inputs, outputs and attributes of TensorFlow’s own', async (t) => {
  const shared = sharedFolder(t)
  if (shared === undefined) return
  let compared = 0
  for (const part of ['conformance/saved_models', 'fixtures/saved_models']) {
    for (const [name, recorded] of recordedDefinitions(join(shared, part))) {
      const own = definitionOf(name)
      if (own === undefined) continue
      compared++
      const namesOf = (list: readonly { readonly name: string }[]): string[] =>
        list.map((one) => one.name)
      t.same(namesOf(own.inputs), namesOf(recorded.input_arg), `${name}: inputs`)
      t.same(namesOf(own.outputs), namesOf(recorded.output_arg), `${name}: outputs`)
      t.same(
        own.inputs.map((input) => input.reference),
        recorded.input_arg.map((input) => input.is_ref),
        `${name}: references`,
      )
      t.same(
        own.inputs.map((input) => input.countAttribute !== undefined),
        recorded.input_arg.map((input) => input.number_attr !== ''),
        `${name}: lists`,
      )
    }
  }
  t.ok(compared > 100, `${compared} ops were compared`)
})

t.test('ops that touch the host have no definition', async (t) => {
  for (const op of ['ReadFile', 'WriteFile', 'PyFunc', 'SaveV2', 'RestoreV2', 'MatchingFiles']) {
    t.ok(isRefusedOp(op), op)
    t.equal(definitionOf(op), undefined, op)
  }
})

t.test('names of object prototypes are no ops', async (t) => {
  for (const op of ['__proto__', 'constructor', 'toString']) t.equal(definitionOf(op), undefined)
})
