// Lookup tables: state of the engine, by container and shared name. A table is an immutable map that
// an insertion replaces, so that a failed run leaves it as it was.
import {
  type DType,
  elementsOf,
  isNumeric,
  type NumericDType,
  Refusal,
  type Shape,
  stringTensor,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { invalid } from './shapes.ts'
import type { StepState, Table } from './value.ts'

/** A key or value of a table: strings as bytes. */
type Item = number | bigint | boolean | Uint8Array

interface Entry {
  readonly key: Item
  readonly value: readonly Item[]
}

/** What a table holds, by the text of its keys. */
type Entries = ReadonlyMap<string, Entry>

function itemsOf(tensor: Tensor): readonly Item[] {
  return tensor.dtype === 'string' ? tensor.strings : (elementsOf(tensor) as Item[])
}

function tensorOfItems(dtype: DType, shape: Shape, items: readonly Item[]): Tensor {
  if (dtype === 'string') return stringTensor(shape, items as readonly Uint8Array[])
  if (!isNumeric(dtype)) throw invalid('graph/type', `A table cannot hold ${dtype}.`)
  return tensorOfElements(dtype as NumericDType, shape, items as readonly (number | bigint)[])
}

/** Text that is equal for equal keys. */
function keyText(key: Item): string {
  if (key instanceof Uint8Array) return Buffer.from(key).toString('latin1')
  return String(key)
}

function tableOf(at: Lowering, input: string): Table {
  const [value] = at.rawInputs(input)
  if (value.kind === 'handle' && value.target.kind === 'table') return value.target
  throw invalid('graph/type', `Input "${input}" is no table.`)
}

function entriesOf(state: StepState, table: Table): Entries | undefined {
  return state.get(table.key) as Entries | undefined
}

/** What a lookup reads; refuses a table that was never filled, if it must be. */
function readable(state: StepState, table: Table): Entries {
  const entries = entriesOf(state, table)
  if (entries !== undefined) return entries
  if (table.mutable) return new Map()
  throw new Refusal('FAILED_PRECONDITION', 'table/uninitialized', 'Table not initialized.', {
    names: { table: table.node },
    fix: "Run the model's table initializer first.",
  })
}

function declare(
  name: string,
  options: { readonly mutable: boolean; readonly tensors: boolean },
): OpDefinition {
  return defineOp({
    name,
    outputs: ['table_handle: resource'],
    attributes: [
      "container: string = ''",
      "shared_name: string = ''",
      'use_node_name_sharing: bool = false',
      'key_dtype: type',
      'value_dtype: type',
      ...(options.tensors ? ['value_shape: shape = []'] : []),
    ],
    stateful: true,
    always: false,
    lower: (at) => {
      const shared = at.attributes.text('shared_name')
      const container = at.attributes.text('container')
      const shape = options.tensors ? at.attributes.shape('value_shape') : []
      return [
        at.handle({
          kind: 'table',
          key: shared === '' ? at.stateKey('table') : at.sharedKey(container, `table ${shared}`),
          node: at.node.name,
          keyDtype: at.attributes.type('key_dtype'),
          valueDtype: at.attributes.type('value_dtype'),
          valueShape: shape?.includes(-1) === true ? [] : (shape ?? []),
          mutable: options.mutable,
        }),
      ]
    },
  })
}

/** Puts keys and values into the table, which keeps what it has (`insert`) or begins anew (`import`). */
function filling(
  name: string,
  inputs: readonly [string, string, string],
  attributes: readonly string[],
  keeps: boolean,
): OpDefinition {
  const [handle, keysInput, valuesInput] = inputs
  const nameOf = (text: string): string => text.split(':')[0]
  return defineOp({
    name,
    inputs: [handle, keysInput, valuesInput],
    attributes: [...attributes],
    stateful: true,
    lower: (at) => {
      const table = tableOf(at, nameOf(handle))
      const keys = at.input(nameOf(keysInput))
      const values = at.input(nameOf(valuesInput))
      checkTypes(table, keys.dtype, values.dtype)
      at.step({
        inputs: [keys, values],
        outputs: [],
        stateful: true,
        run: ([keyTensor, valueTensor], state) => {
          const entries = new Map(keeps ? entriesOf(state, table) : undefined)
          const keyItems = itemsOf(keyTensor)
          const valueItems = itemsOf(valueTensor)
          const width = keyItems.length === 0 ? 0 : valueItems.length / keyItems.length
          for (const [place, key] of keyItems.entries()) {
            const text = keyText(key)
            const value = valueItems.slice(place * width, (place + 1) * width)
            const before = entries.get(text)
            if (!table.mutable && before !== undefined && !sameItems(before.value, value)) {
              throw new Refusal(
                'FAILED_PRECONDITION',
                'table/duplicate-key',
                `HashTable has different value for same key. Key ${shownKey(key)} is given twice.`,
                { names: { table: table.node } },
              )
            }
            entries.set(text, { key, value })
          }
          state.set(table.key, entries)
          return []
        },
      })
      return []
    },
  })
}

function shownKey(key: Item): string {
  return key instanceof Uint8Array ? new TextDecoder().decode(key) : String(key)
}

function sameItems(a: readonly Item[], b: readonly Item[]): boolean {
  return a.length === b.length && a.every((item, place) => keyText(item) === keyText(b[place]))
}

function checkTypes(table: Table, keyDtype: DType, valueDtype: DType): void {
  if (keyDtype === table.keyDtype && valueDtype === table.valueDtype) return
  throw invalid(
    'graph/type',
    `Table "${table.node}" maps ${table.keyDtype} to ${table.valueDtype}; ${keyDtype} to ${valueDtype} was given.`,
  )
}

const find = defineOp({
  name: 'LookupTableFindV2',
  inputs: ['table_handle: resource', 'keys: Tin', 'default_value: Tout'],
  outputs: ['values: Tout'],
  attributes: ['Tin: type', 'Tout: type'],
  stateful: true,
  always: false,
  lower: (at) => {
    const table = tableOf(at, 'table_handle')
    const [keys, fallback] = [at.input('keys'), at.input('default_value')]
    checkTypes(table, keys.dtype, fallback.dtype)
    const shape = [...keys.shape, ...table.valueShape]
    return at.step({
      inputs: [keys, fallback],
      outputs: [{ dtype: table.valueDtype, shape }],
      stateful: true,
      run: ([keyTensor, fallbackTensor], state) => {
        const entries = readable(state, table)
        const others = itemsOf(fallbackTensor)
        const items = itemsOf(keyTensor).flatMap(
          (key) => entries.get(keyText(key))?.value ?? others,
        )
        return [tensorOfItems(table.valueDtype, shape, items)]
      },
    })
  },
})

const size = defineOp({
  name: 'LookupTableSizeV2',
  inputs: ['table_handle: resource'],
  outputs: ['size: int64'],
  stateful: true,
  always: false,
  lower: (at) => {
    const table = tableOf(at, 'table_handle')
    return at.step({
      inputs: [],
      outputs: [{ dtype: 'int64', shape: [] }],
      stateful: true,
      run: (_inputs, state) => [
        tensorOfElements('int64', [], [BigInt(entriesOf(state, table)?.size ?? 0)]),
      ],
    })
  },
})

const exported = defineOp({
  name: 'LookupTableExportV2',
  inputs: ['table_handle: resource'],
  outputs: ['keys: Tkeys', 'values: Tvalues'],
  attributes: ['Tkeys: type', 'Tvalues: type'],
  stateful: true,
  always: false,
  lower: (at) => {
    const table = tableOf(at, 'table_handle')
    return at.step({
      inputs: [],
      outputs: [
        { dtype: table.keyDtype, shape: undefined },
        { dtype: table.valueDtype, shape: undefined },
      ],
      stateful: true,
      run: (_inputs, state) => {
        const entries = [...readable(state, table).values()]
        const values = entries.flatMap((entry) => entry.value)
        return [
          tensorOfItems(
            table.keyDtype,
            [entries.length],
            entries.map((entry) => entry.key),
          ),
          tensorOfItems(table.valueDtype, [entries.length, ...table.valueShape], values),
        ]
      },
    })
  },
})

const removal = defineOp({
  name: 'LookupTableRemoveV2',
  inputs: ['table_handle: resource', 'keys: Tin'],
  attributes: ['Tin: type'],
  stateful: true,
  lower: (at) => {
    const table = tableOf(at, 'table_handle')
    at.step({
      inputs: [at.input('keys')],
      outputs: [],
      stateful: true,
      run: ([keys], state) => {
        const entries = new Map(entriesOf(state, table))
        for (const key of itemsOf(keys)) entries.delete(keyText(key))
        state.set(table.key, entries)
        return []
      },
    })
    return []
  },
})

/** Lookup tables. */
export const lookupOps: readonly OpDefinition[] = [
  declare('HashTableV2', { mutable: false, tensors: false }),
  declare('MutableHashTableV2', { mutable: true, tensors: false }),
  declare('MutableHashTableOfTensorsV2', { mutable: true, tensors: true }),
  filling(
    'LookupTableImportV2',
    ['table_handle: resource', 'keys: Tin', 'values: Tout'],
    ['Tin: type', 'Tout: type'],
    false,
  ),
  filling(
    'InitializeTableV2',
    ['table_handle: resource', 'keys: Tkey', 'values: Tval'],
    ['Tkey: type', 'Tval: type'],
    false,
  ),
  filling(
    'LookupTableInsertV2',
    ['table_handle: resource', 'keys: Tin', 'values: Tout'],
    ['Tin: type', 'Tout: type'],
    true,
  ),
  find,
  size,
  exported,
  removal,
]
