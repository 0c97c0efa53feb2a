// Optimizer steps: `ApplyX` on variables and their slots, whole or where indices say, by reference or by
// handle. What a step does to one element is in optimizers.ts.
import { elementCountOf, formatShape, Refusal, type Shape, sameShape } from '../../tensor/index.ts'
import type { Expression } from '../ir/index.ts'
import type { Builder } from './builder.ts'
import { scalarType } from './common.ts'
import { defineOp, type Lowering, type OpDefinition } from './definition.ts'
import { placesWithin } from './indices.ts'
import { type Named, type Optimizer, type OptimizerFlags, optimizers } from './optimizers.ts'
import { picksOf, rowsOf } from './scatter.ts'
import { invalid } from './shapes.ts'
import { type PickRequest, rowPatch, touchedRows } from './touched-rows.ts'
import type { BodyScope, TensorValue, Variable } from './value.ts'
import { variableIn } from './variables.ts'

const flagDefaults: OptimizerFlags = {
  use_nesterov: false,
  update_slots: true,
  multiply_linear_by_lr: false,
}

/** Updates of one slice that one kernel makes, one after the other. */
const roundsPerPass = 8

/** Entries of the table of who updates what; a variable with so many updates of one slice is refused. */
const maxPicks = 2 ** 27

/** An op's inputs as tensors, by name, and its variables. */
interface Inputs {
  readonly variables: readonly Variable[]
  readonly slots: readonly TensorValue[]
  readonly others: readonly { readonly name: string; readonly value: TensorValue }[]
  readonly gradient: TensorValue
}

function slotValue(at: Lowering, variable: Variable): TensorValue {
  if (!variable.reference || at.peek(variable) !== undefined) return at.read(variable)
  throw new Refusal(
    'FAILED_PRECONDITION',
    'variable/uninitialized',
    `Attempting to use uninitialized variables: ${variable.name}`,
    { names: { variable: variable.name } },
  )
}

/** Reads the inputs; refuses slots of other shapes than the variable's, and rates that are no scalars. */
function inputsOf(at: Lowering, optimizer: Optimizer, gradientName: string): Inputs {
  const variables = optimizer.slots.map((slot) => variableIn(at, slot))
  const slots = variables.map((variable) => slotValue(at, variable))
  const dtype = at.attributes.type('T')
  for (const [place, { shape, dtype: own }] of slots.entries()) {
    const name = optimizer.slots[place]
    if (own !== dtype) {
      throw invalid('variable/type', `${name} holds ${own}; an update of ${dtype} was asked for.`)
    }
    if (!sameShape(shape, slots[0].shape)) {
      throw invalid(
        'shape/mismatch',
        `var and ${name} do not have the same shape${formatShape(slots[0].shape)} ${formatShape(shape)}`,
      )
    }
  }
  const others = optimizer.inputs
    .filter((name) => name !== 'grad')
    .map((name) => ({ name, value: at.input(name) }))
  for (const { name, value } of others) {
    if (elementCountOf(value.shape) !== 1) {
      throw invalid('shape/mismatch', `${name} is not a scalar: ${formatShape(value.shape)}`)
    }
  }
  return {
    variables,
    slots,
    others: others.map(({ name, value }) => ({ name, value: at.reshaped(value, []) })),
    gradient: at.input(gradientName),
  }
}

/** Rates and other scalars as expressions, the n-th input of a kernel from `first` on. */
function scalarsOf({ b, read }: BodyScope, inputs: Inputs, first: number): Named {
  const dtype = scalarType(inputs.slots[0].dtype)
  return Object.fromEntries(
    inputs.others.map(({ name }, place) => [name, b.cast(read(first + place, []), dtype)]),
  )
}

function flagsOf(at: Lowering, { flags = [] }: Optimizer): OptimizerFlags {
  return {
    ...flagDefaults,
    ...Object.fromEntries(flags.map((flag) => [flag, at.attributes.bool(flag)])),
  }
}

/** One step on whole variables. */
function applyDense(at: Lowering, optimizer: Optimizer, gradientName: string): void {
  const inputs = inputsOf(at, optimizer, gradientName)
  const { slots, gradient, variables, others } = inputs
  const { shape } = slots[0]
  if (!sameShape(gradient.shape, shape)) {
    throw invalid(
      'shape/mismatch',
      `var and ${gradientName} do not have the same shape${formatShape(shape)} ${formatShape(gradient.shape)}`,
    )
  }
  const flags = flagsOf(at, optimizer)
  const operands = [...slots, gradient, ...others.map(({ value }) => value)]
  const updated = optimizer.slots.map((slot) =>
    at.compute({
      shape,
      dtype: scalarType(slots[0].dtype),
      inputs: operands,
      body: (scope) => {
        const { axes, read } = scope
        const was: Record<string, Expression> = { ...scalarsOf(scope, inputs, slots.length + 1) }
        for (const [place, name] of optimizer.slots.entries()) was[name] = read(place, axes)
        was.grad = read(slots.length, axes)
        return optimizer.update(scope.b, was, flags)[slot] ?? was[slot]
      },
    }),
  )
  for (const [place, variable] of variables.entries()) at.assign(variable, updated[place])
}

function checkSparse(shape: Shape, gradient: TensorValue, indices: TensorValue): void {
  if (shape.length === 0) throw invalid('shape/mismatch', 'var must be at least 1 dimensional')
  if (indices.shape.length !== 1) {
    throw invalid('shape/mismatch', 'indices must be one-dimensional')
  }
  if (gradient.shape[0] !== indices.shape[0]) {
    throw invalid('shape/mismatch', 'grad must be the same size as indices in the first dimension.')
  }
  const axis = shape.findIndex((size, place) => place > 0 && gradient.shape[place] !== size)
  if (gradient.shape.length !== shape.length || axis > 0) {
    throw invalid('shape/mismatch', `var and grad must match in dimension ${Math.max(axis, 0)}`)
  }
}

/** One step on the slices that indices name; a slice named twice takes two steps, in their order. */
function applySparse(at: Lowering, optimizer: Optimizer): void {
  const inputs = inputsOf(at, optimizer, 'grad')
  const { variables, gradient } = inputs
  const { shape } = inputs.slots[0]
  const indices = at.input('indices')
  checkSparse(shape, gradient, indices)
  if (indices.shape[0] === 0) return
  const slices = shape[0]
  const flags = flagsOf(at, optimizer)
  if (at.isWorthPatching(inputs.slots[0], elementCountOf(gradient.shape))) {
    applyToRows(at, optimizer, inputs, flags, indices)
    return
  }
  const most = Math.max(roundsPerPass, Math.floor(maxPicks / Math.max(slices, 1)))
  const picks = picksOf(at, {
    ...picksFor(indices, slices),
    most,
  })
  const [rounds] = picks.shape
  if (rounds > most) throw tooManyRounds(most)
  let { slots } = inputs
  for (let first = 0; first < rounds; first += roundsPerPass) {
    const last = Math.min(first + roundsPerPass, rounds)
    slots = sparsePass(at, optimizer, { ...inputs, slots }, flags, { picks, first, last })
  }
  for (const [place, variable] of variables.entries()) at.assign(variable, slots[place])
}

function picksFor(indices: TensorValue, slices: number): Omit<PickRequest, 'most'> {
  return {
    indices,
    slicesOf: (content) =>
      placesWithin(
        content,
        slices,
        (place, index) => `Index ${index} at offset ${place} in indices is out of range`,
      ),
    count: indices.shape[0],
    slices,
    lastOnly: false,
  }
}

function tooManyRounds(most: number): Refusal {
  return new Refusal(
    'RESOURCE_EXHAUSTED',
    'run/too-large',
    `The indices name one slice more than ${most} times.`,
    { fix: 'Add up the gradients of equal indices first.' },
  )
}

/** One step on few rows of large variables: new content is made of those alone. */
function applyToRows(
  at: Lowering,
  optimizer: Optimizer,
  inputs: Inputs,
  flags: OptimizerFlags,
  indices: TensorValue,
): void {
  const { variables, slots } = inputs
  const [slices] = slots[0].shape
  const most = Math.max(roundsPerPass, 2 ** Math.floor(Math.log2(maxPicks / indices.shape[0])))
  const { rows, picks, rounds } = touchedRows(at, { ...picksFor(indices, slices), most })
  if (rounds === 0) throw tooManyRounds(most)
  let values = slots.map((slot) => rowsOf(at, slot, rows))
  for (let first = 0; first < rounds; first += roundsPerPass) {
    const last = Math.min(first + roundsPerPass, rounds)
    values = sparsePass(at, optimizer, { ...inputs, slots: values }, flags, { picks, first, last })
  }
  for (const [place, variable] of variables.entries()) {
    at.assign(variable, at.patched(slots[place], rowPatch(rows, values[place])))
  }
}

/** The slots after the updates of rounds `first` to `last - 1`. */
function sparsePass(
  at: Lowering,
  optimizer: Optimizer,
  inputs: Inputs,
  flags: OptimizerFlags,
  { picks, first, last }: { picks: TensorValue; first: number; last: number },
): TensorValue[] {
  const { slots, gradient, others } = inputs
  const [count] = gradient.shape
  const operands = [...slots, gradient, picks, ...others.map(({ value }) => value)]
  return optimizer.slots.map((slot) =>
    at.compute({
      shape: slots[0].shape,
      dtype: scalarType(slots[0].dtype),
      inputs: operands,
      body: (scope) => {
        const { b, axes, read } = scope
        const scalars = scalarsOf(scope, inputs, slots.length + 2)
        let was: Named = Object.fromEntries(
          optimizer.slots.map((name, place) => [name, read(place, axes)]),
        )
        for (let round = first; round < last; round++) {
          const pick = read(slots.length + 1, [b.index(round), axes[0]])
          const place = b.max(b.min(pick, count - 1), 0)
          const grad = read(slots.length, [place, ...axes.slice(1)])
          const next = optimizer.update(b, { ...scalars, ...was, grad }, flags)
          was = chosen(b, b.greaterEqual(pick, 0), next, was)
        }
        return was[slot]
      },
    }),
  )
}

/** What changes where the condition holds, else what was. */
function chosen(b: Builder, condition: Expression, next: Named, was: Named): Named {
  return Object.fromEntries(
    Object.entries(was).map(([name, value]) => {
      const changed = next[name]
      return [name, changed === undefined ? value : b.select(condition, changed, value)]
    }),
  )
}

/** Inputs in TensorFlow's notation. */
function argumentsOf(
  { slots, inputs }: Optimizer,
  isReference: boolean,
  gradientName: string,
  isSparse: boolean,
): string[] {
  return [
    ...slots.map((slot) => `${slot}: ${isReference ? 'Ref(T)' : 'resource'}`),
    ...inputs.flatMap((name) => {
      if (name === 'global_step') return ['global_step: int64']
      if (name !== 'grad') return [`${name}: T`]
      return [`${gradientName}: T`, ...(isSparse ? ['indices: Tindices'] : [])]
    }),
  ]
}

function attributesOf({ flags = [] }: Optimizer, isSparse: boolean): string[] {
  return [
    'T: type',
    ...(isSparse ? ['Tindices: {int32, int64}'] : []),
    'use_locking: bool = false',
    ...flags.map((flag) => `${flag}: bool = ${flagDefaults[flag]}`),
  ]
}

function applyOp(optimizer: Optimizer, isReference: boolean, isSparse: boolean): OpDefinition {
  const gradientName = optimizer.name.endsWith('GradientDescent') && !isSparse ? 'delta' : 'grad'
  const form = `${isReference ? '' : 'Resource'}${isSparse ? 'Sparse' : ''}`
  return defineOp({
    name: `${form}Apply${optimizer.name}`,
    inputs: argumentsOf(optimizer, isReference, gradientName, isSparse),
    outputs: isReference ? ['out: Ref(T)'] : [],
    attributes: attributesOf(optimizer, isSparse),
    writes: optimizer.slots,
    lower: (at) => {
      if (isSparse) applySparse(at, optimizer)
      else applyDense(at, optimizer, gradientName)
      return isReference ? [at.reference(variableIn(at, optimizer.slots[0]))] : []
    },
  })
}

/** Optimizer steps. */
export const trainingOps: readonly OpDefinition[] = optimizers.flatMap((optimizer) => {
  const forms = optimizer.resourceOnly ? [false] : [true, false]
  return forms.flatMap((isReference) => [
    applyOp(optimizer, isReference, false),
    ...(optimizer.sparse ? [applyOp(optimizer, isReference, true)] : []),
  ])
})
