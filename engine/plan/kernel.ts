// From computes to kernels: writes the expressions of one or more outputs over one iteration space, with
// inlined producers in place of loads. Which are inlined is fuse.ts's decision.

import {
  elementArrayOf,
  elementCountOf,
  type NumericTensor,
  readElement,
  type Shape,
  sameShape,
  type Tensor,
} from '../../tensor/index.ts'
import {
  type Expression,
  expressionBuilder,
  type Kernel,
  type KernelBuffer,
  type Reduction,
  type Scalar,
  type ScalarType,
  typeOfReduction,
  zeroOf,
} from '../ir/index.ts'
import {
  Builder,
  type Compute,
  type ComputeCheck,
  type Read,
  type Source,
  type TensorValue,
} from '../ops/index.ts'

/** What a kernel binds: a source, or a tensor that the planner knows. */
export type KernelOperand = Source | NumericTensor

/** A check of a kernel with what its report needs. */
export interface CheckRecord {
  readonly compute: Compute
  readonly check: ComputeCheck
}

/** A kernel, and what its buffers stand for. */
export interface PlannedKernel {
  readonly kernel: Kernel
  readonly inputs: readonly KernelOperand[]
  readonly outputs: readonly Compute[]
  /** By code. */
  readonly checks: readonly CheckRecord[]
}

/** How the computes of a plan are put into kernels. */
export interface Fusion {
  readonly splats: Splats
  /** Whether reads of the compute are replaced by its body. */
  isInlined(compute: Compute): boolean
  /** The reduction that a kernel with this output runs, where it is another compute's. */
  hostedBy(compute: Compute): Compute | undefined
}

/** No compute is put into another. */
export function unfused(splats: Splats): Fusion {
  return { splats, isInlined: () => false, hostedBy: () => undefined }
}

/** The kernel that stores `outputs`, which have one iteration space (as many elements each). */
export function buildKernel(outputs: readonly Compute[], fusion: Fusion): PlannedKernel {
  const builder = new Builder(expressionBuilder())
  const writer = new KernelWriter(builder, fusion)
  const first = outputs[0]
  const reducing = fusion.hostedBy(first) ?? (first.reduce === undefined ? undefined : first)
  const space = reducing?.shape ?? first.shape
  const loops = space.map((extent, axis) => builder.build.loop(axis, extent))
  const reductions = reducing === undefined ? [] : [writer.reduction(reducing, loops)]
  const flat = builder.flatten(loops, space)
  const stores = outputs.map((output, place) => ({
    output: place,
    index: flat,
    value: writer.bodyOf(output, remapPositions(builder, loops, space, output.shape)),
  }))
  const records: CheckRecord[] = []
  const checks = outputs.flatMap((output) =>
    writer.checksOf(output, remapPositions(builder, loops, space, output.shape)).map((check) => {
      records.push({ compute: output, check })
      return { ok: check.ok, code: records.length - 1 }
    }),
  )
  const kernel: Kernel = {
    inputs: writer.buffers,
    outputs: outputs.map(({ dtype, shape }) => ({ dtype, elementCount: elementCountOf(shape) })),
    loops: space,
    reduced: reducing?.reduce?.extents ?? [],
    reductions,
    stores,
    checks,
  }
  return { kernel, inputs: writer.inputs, outputs, checks: records }
}

/** Writes expressions of one kernel and collects what they load. */
class KernelWriter {
  readonly inputs: KernelOperand[] = []
  readonly buffers: KernelBuffer[] = []
  readonly #builder: Builder
  readonly #fusion: Fusion
  readonly #places = new Map<KernelOperand, number>()
  readonly #written = new Map<Compute, Map<string, Expression>>()
  readonly #ids = new Map<Expression, number>()
  #reducing: Compute | undefined

  constructor(builder: Builder, fusion: Fusion) {
    this.#builder = builder
    this.#fusion = fusion
  }

  /** The reduction of a compute whose parallel positions are `axes`, the first loops. */
  reduction(compute: Compute, axes: readonly Expression[]): Reduction {
    const { reduce } = compute
    if (reduce === undefined) throw new Error('a reduction is wanted')
    this.#reducing = compute
    const reduced = reduce.extents.map((extent, axis) =>
      this.#builder.build.loop(axes.length + axis, extent),
    )
    const body = reduce.body({ b: this.#builder, axes, reduced, read: this.#readerOf(compute) })
    return { combine: reduce.combine, dtype: reduce.dtype, body }
  }

  /** `outer`: where the element is wanted at all; what it reads is read only there. */
  bodyOf(compute: Compute, axes: readonly Expression[], outer?: Expression): Expression {
    const body = compute.body({
      b: this.#builder,
      axes,
      read: this.#readerOf(compute, outer),
      total: this.#totalOf(compute),
    })
    if (body.dtype !== compute.dtype) {
      throw new Error(`${compute.op}: its body is ${body.dtype}, its result ${compute.dtype}`)
    }
    return body
  }

  checksOf(compute: Compute, axes: readonly Expression[]): readonly ComputeCheck[] {
    const scope = { b: this.#builder, axes, read: this.#readerOf(compute), total: this.#none() }
    return compute.checks?.(scope) ?? []
  }

  #none(): Expression {
    return this.#builder.index(0)
  }

  #totalOf(compute: Compute): Expression {
    if (compute.reduce === undefined) return this.#none()
    if (compute !== this.#reducing) throw new Error(`${compute.op}: its reduction is elsewhere`)
    return this.#builder.build.accumulator(typeOfReduction(compute.reduce), 0)
  }

  #readerOf(compute: Compute, outer?: Expression): Read {
    return (input, positions, guard) => this.#read(compute.inputs[input], positions, guard, outer)
  }

  #read(
    value: TensorValue,
    positions: readonly Expression[],
    guard: Expression | undefined,
    outer: Expression | undefined,
  ): Expression {
    const b = this.#builder
    const both = guard === undefined || outer === undefined ? (guard ?? outer) : b.and(outer, guard)
    if (value.kind === 'known') return this.#readKnown(value.tensor, positions, guard, both)
    const { source } = value
    const isWritten =
      source.kind === 'compute' && (this.#fusion.isInlined(source) || source === this.#reducing)
    if (!isWritten) {
      const place = this.#placeOf(source)
      const index = b.flatten(positions, value.shape)
      return b.build.load(source.dtype as ScalarType, place, index, both)
    }
    const own = remapPositions(b, positions, value.shape, source.shape)
    const expression = this.#inlined(source, own, both)
    if (guard === undefined) return expression
    return b.select(guard, expression, b.constant(source.dtype, zeroOf(source.dtype)))
  }

  /** Memoized: a value that is read twice at one place is written once. */
  #inlined(compute: Compute, axes: readonly Expression[], outer?: Expression): Expression {
    const where = outer === undefined ? '' : this.#idOf(outer)
    const key = `${axes.map((axis) => this.#idOf(axis)).join(' ')} ${where}`
    let byPosition = this.#written.get(compute)
    if (byPosition === undefined) {
      byPosition = new Map()
      this.#written.set(compute, byPosition)
    }
    let expression = byPosition.get(key)
    if (expression === undefined) {
      expression = this.bodyOf(compute, axes, outer)
      byPosition.set(key, expression)
    }
    return expression
  }

  #idOf(expression: Expression): number {
    let id = this.#ids.get(expression)
    if (id === undefined) {
      id = this.#ids.size
      this.#ids.set(expression, id)
    }
    return id
  }

  #readKnown(
    tensor: Tensor,
    positions: readonly Expression[],
    guard: Expression | undefined,
    both: Expression | undefined,
  ): Expression {
    const b = this.#builder
    if (tensor.dtype === 'string') throw new Error('strings are read by host steps only')
    const dtype = tensor.dtype as ScalarType
    const index = b.flatten(positions, tensor.shape)
    const scalar =
      index.kind === 'constant'
        ? scalarAt(tensor, Number(index.value))
        : this.#fusion.splats.of(tensor)
    if (scalar === undefined) return b.build.load(dtype, this.#placeOf(tensor), index, both)
    const constant = b.constant(dtype, scalar)
    return guard === undefined
      ? constant
      : b.select(guard, constant, b.constant(dtype, zeroOf(dtype)))
  }

  #placeOf(operand: KernelOperand): number {
    const known = this.#places.get(operand)
    if (known !== undefined) return known
    const place = this.inputs.length
    this.#places.set(operand, place)
    this.inputs.push(operand)
    this.buffers.push({
      dtype: operand.dtype as ScalarType,
      elementCount: elementCountOf(operand.shape),
    })
    return place
  }
}

/** Remembers which tensors hold one value throughout, so that large ones are looked through once. */
export class Splats {
  readonly #seen = new WeakMap<Tensor, Scalar | 'various'>()

  /** The value that all elements of a tensor have; undefined where they differ. */
  of(tensor: NumericTensor): Scalar | undefined {
    let seen = this.#seen.get(tensor)
    if (seen === undefined) {
      const array = elementArrayOf(tensor.dtype, tensor.bytes)
      const same = array.every((element: number | bigint) => Object.is(element, array[0]))
      seen = same ? scalarAt(tensor, 0) : 'various'
      this.#seen.set(tensor, seen)
    }
    return seen === 'various' ? undefined : seen
  }
}

function scalarAt(tensor: NumericTensor, index: number): Scalar {
  return readElement(tensor.dtype, elementArrayOf(tensor.dtype, tensor.bytes), index) as Scalar
}

/**
 * Positions in a shape of as many elements: dimensions that both shapes share stay apart, the others
 * go by way of their flat position.
 */
function remapPositions(
  b: Builder,
  positions: readonly Expression[],
  from: Shape,
  to: Shape,
): readonly Expression[] {
  if (sameShape(from, to)) return positions
  const mapped: Expression[] = []
  let at = 0
  let into = 0
  while (at < from.length || into < to.length) {
    const fromStart = at
    const toStart = into
    let fromProduct = at < from.length ? from[at++] : 1
    let toProduct = into < to.length ? to[into++] : 1
    while (fromProduct !== toProduct) {
      if (fromProduct < toProduct) fromProduct *= from[at++]
      else toProduct *= to[into++]
    }
    const group = from.slice(fromStart, at)
    const flat = b.flatten(positions.slice(fromStart, at), group)
    mapped.push(...b.unflatten(flat, to.slice(toStart, into)))
  }
  return mapped
}
