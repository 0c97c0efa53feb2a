// Nodes by what they compute: short forms for the ops that rewriters of graphs add most. Each adds one
// node, with the attributes that follow from its inputs, and answers with its first output.
import {
  type DType,
  isBigInt,
  isNumeric,
  kindOf,
  type Tensor,
  tensorOfElements,
} from '../../tensor/index.ts'
import { type AttributeDrafts, attribute } from './attributes.ts'
import type { BuiltNode, Output } from './built-node.ts'
import { type GraphBuilder, outputAt } from './graph-builder.ts'

/** Whether elements of the type are complex numbers. */
export function isComplex(dtype: DType): boolean {
  return kindOf(dtype) === 'complex'
}

/** Sizes, as a tensor or as numbers known now. */
type Sizes = Output | readonly number[]
type Index = Output | number

/** Short forms on one builder. */
export class Expressions {
  readonly builder: GraphBuilder

  constructor(builder: GraphBuilder) {
    this.builder = builder
  }

  /** A node of any op. */
  node(
    op: string,
    inputs: readonly Output[],
    attributes: AttributeDrafts = {},
    name?: string,
  ): BuiltNode {
    return this.builder.add({ op, inputs, attributes, name })
  }

  /** The first output of a new node. */
  op(
    op: string,
    inputs: readonly Output[],
    attributes: AttributeDrafts = {},
    name?: string,
  ): Output {
    return outputAt(this.node(op, inputs, attributes, name), 0)
  }

  /** An op whose only type attribute is `T`, the type of its first input. */
  t(op: string, ...inputs: readonly Output[]): Output {
    return this.op(op, inputs, { T: attribute.type(inputs[0].dtype) })
  }

  constant(tensor: Tensor, name = 'Const'): Output {
    const attributes = { dtype: attribute.type(tensor.dtype), value: attribute.tensor(tensor) }
    return this.op('Const', [], attributes, name)
  }

  scalar(value: number, dtype: DType, name?: string): Output {
    if (!isNumeric(dtype)) throw new Error(`no constant ${value} of ${dtype}`)
    const element = isBigInt(dtype)
      ? BigInt(value)
      : isComplex(dtype)
        ? ([value, 0] as const)
        : value
    const known = dtype === 'bool' ? value !== 0 : element
    return this.constant(tensorOfElements(dtype, [], [known]), name)
  }

  /** A vector of whole numbers. */
  integers(values: readonly number[], dtype: 'int32' | 'int64' = 'int32'): Output {
    const elements = dtype === 'int64' ? values.map(BigInt) : values
    return this.constant(tensorOfElements(dtype, [values.length], elements))
  }

  #sizes(sizes: Sizes): Output {
    return 'node' in sizes ? sizes : this.integers(sizes)
  }

  #index(index: Index): Output {
    return typeof index === 'number' ? this.scalar(index, 'int32') : index
  }

  identity(x: Output, name = 'Identity'): Output {
    return this.op('Identity', [x], { T: attribute.type(x.dtype) }, name)
  }

  add(x: Output, y: Output): Output {
    return this.t('AddV2', x, y)
  }

  sub(x: Output, y: Output): Output {
    return this.t('Sub', x, y)
  }

  mul(x: Output, y: Output): Output {
    return this.t('Mul', x, y)
  }

  div(x: Output, y: Output): Output {
    return this.t('RealDiv', x, y)
  }

  floorDiv(x: Output, y: Output): Output {
    return this.t('FloorDiv', x, y)
  }

  neg(x: Output): Output {
    return this.t('Neg', x)
  }

  /** `x` times a number. */
  scaled(x: Output, factor: number): Output {
    return this.mul(this.scalar(factor, x.dtype), x)
  }

  /** `x` plus a number. */
  plus(x: Output, addend: number): Output {
    return this.add(x, this.scalar(addend, x.dtype))
  }

  square(x: Output): Output {
    return this.t('Square', x)
  }

  /** The complex conjugate; `x` itself where it is real. */
  conj(x: Output): Output {
    return isComplex(x.dtype) ? this.t('Conj', x) : x
  }

  zerosLike(x: Output): Output {
    return this.t('ZerosLike', x)
  }

  onesLike(x: Output): Output {
    return this.t('OnesLike', x)
  }

  shape(x: Output, outType: 'int32' | 'int64' = 'int32'): Output {
    return this.op('Shape', [x], {
      T: attribute.type(x.dtype),
      out_type: attribute.type(outType),
    })
  }

  size(x: Output, outType: 'int32' | 'int64' = 'int32'): Output {
    return this.op('Size', [x], { T: attribute.type(x.dtype), out_type: attribute.type(outType) })
  }

  rank(x: Output): Output {
    return this.op('Rank', [x], { T: attribute.type(x.dtype) })
  }

  reshape(x: Output, shape: Sizes): Output {
    const sizes = this.#sizes(shape)
    return this.op('Reshape', [x, sizes], {
      T: attribute.type(x.dtype),
      Tshape: attribute.type(sizes.dtype),
    })
  }

  cast(x: Output, dtype: DType): Output {
    if (x.dtype === dtype) return x
    return this.op('Cast', [x], { SrcT: attribute.type(x.dtype), DstT: attribute.type(dtype) })
  }

  /** Sum, Prod, Max and their kin over axes. */
  reduce(op: string, x: Output, axes: Sizes, keepDims = false): Output {
    const places = this.#sizes(axes)
    return this.op(op, [x, places], {
      T: attribute.type(x.dtype),
      Tidx: attribute.type(places.dtype),
      keep_dims: attribute.bool(keepDims),
    })
  }

  sum(x: Output, axes: Sizes, keepDims = false): Output {
    return this.reduce('Sum', x, axes, keepDims)
  }

  concat(values: readonly Output[], axis: Index): Output {
    if (values.length === 1) return values[0]
    const place = this.#index(axis)
    return this.op('ConcatV2', [...values, place], {
      N: attribute.int(values.length),
      T: attribute.type(values[0].dtype),
      Tidx: attribute.type(place.dtype),
    })
  }

  pack(values: readonly Output[], axis = 0): Output {
    return this.op('Pack', values, {
      N: attribute.int(values.length),
      T: attribute.type(values[0].dtype),
      axis: attribute.int(axis),
    })
  }

  unpack(value: Output, count: number, axis: number): readonly Output[] {
    return this.node('Unpack', [value], {
      num: attribute.int(count),
      T: attribute.type(value.dtype),
      axis: attribute.int(axis),
    }).outputs
  }

  slice(x: Output, begin: Sizes, size: Sizes): Output {
    const from = this.#sizes(begin)
    return this.op('Slice', [x, from, this.#sizes(size)], {
      T: attribute.type(x.dtype),
      Index: attribute.type(from.dtype),
    })
  }

  /** Elements `begin` to `end` of a vector; negative places count from the end, undefined is the end. */
  part(x: Output, begin: Index, end?: Index): Output {
    const bound = (index: Index): Output =>
      typeof index === 'number' ? this.integers([index]) : this.reshape(index, [1])
    const inputs = [x, bound(begin), bound(end ?? 0), this.integers([1])]
    return this.op('StridedSlice', inputs, {
      T: attribute.type(x.dtype),
      Index: attribute.type('int32'),
      end_mask: attribute.int(end === undefined ? 1 : 0),
    })
  }

  /** One element of a vector. */
  element(x: Output, index: number): Output {
    const inputs = [x, this.integers([index]), this.integers([index + 1]), this.integers([1])]
    return this.op('StridedSlice', inputs, {
      T: attribute.type(x.dtype),
      Index: attribute.type('int32'),
      shrink_axis_mask: attribute.int(1),
      end_mask: attribute.int(index === -1 ? 1 : 0),
    })
  }

  gather(params: Output, indices: Output, axis: Index = 0): Output {
    const place = this.#index(axis)
    return this.op('GatherV2', [params, indices, place], {
      Tparams: attribute.type(params.dtype),
      Tindices: attribute.type(indices.dtype),
      Taxis: attribute.type(place.dtype),
    })
  }

  gatherNd(params: Output, indices: Output): Output {
    return this.op('GatherNd', [params, indices], {
      Tparams: attribute.type(params.dtype),
      Tindices: attribute.type(indices.dtype),
    })
  }

  scatterNd(indices: Output, updates: Output, shape: Output): Output {
    return this.op('ScatterNd', [indices, updates, this.cast(shape, indices.dtype)], {
      T: attribute.type(updates.dtype),
      Tindices: attribute.type(indices.dtype),
    })
  }

  unsortedSegmentSum(values: Output, ids: Output, count: Output): Output {
    return this.op('UnsortedSegmentSum', [values, ids, count], {
      T: attribute.type(values.dtype),
      Tindices: attribute.type(ids.dtype),
      Tnumsegments: attribute.type(count.dtype),
    })
  }

  range(start: Index, limit: Index, delta: Index = 1): Output {
    const places = [start, limit, delta].map((index) => this.#index(index))
    return this.op('Range', places, { Tidx: attribute.type(places[0].dtype) })
  }

  fill(shape: Output, value: Output, name = 'Fill'): Output {
    const attributes = { T: attribute.type(value.dtype), index_type: attribute.type(shape.dtype) }
    return this.op('Fill', [shape, value], attributes, name)
  }

  broadcastTo(x: Output, shape: Output): Output {
    return this.op('BroadcastTo', [x, shape], {
      T: attribute.type(x.dtype),
      Tidx: attribute.type(shape.dtype),
    })
  }

  transpose(x: Output, permutation: Sizes): Output {
    const places = this.#sizes(permutation)
    return this.op('Transpose', [x, places], {
      T: attribute.type(x.dtype),
      Tperm: attribute.type(places.dtype),
    })
  }

  expandDims(x: Output, axis: Index): Output {
    const place = this.#index(axis)
    return this.op('ExpandDims', [x, place], {
      T: attribute.type(x.dtype),
      Tdim: attribute.type(place.dtype),
    })
  }

  squeeze(x: Output, axes: readonly number[]): Output {
    return this.op('Squeeze', [x], {
      T: attribute.type(x.dtype),
      squeeze_dims: { list: { i: axes.map(BigInt) } },
    })
  }

  /** `x` where `condition` holds, `y` elsewhere; all three are broadcast. */
  select(condition: Output, x: Output, y: Output): Output {
    return this.op('SelectV2', [condition, x, y], { T: attribute.type(x.dtype) })
  }

  /** The product of two matrices, each of them transposed or not. */
  matMul(x: Output, y: Output, transposeX = false, transposeY = false): Output {
    return this.op('MatMul', [x, y], {
      T: attribute.type(x.dtype),
      transpose_a: attribute.bool(transposeX),
      transpose_b: attribute.bool(transposeY),
    })
  }

  /** Products of the innermost matrices, each of them adjoint or not. */
  batchMatMul(x: Output, y: Output, adjointX = false, adjointY = false): Output {
    return this.op('BatchMatMulV2', [x, y], {
      T: attribute.type(x.dtype),
      adj_x: attribute.bool(adjointX),
      adj_y: attribute.bool(adjointY),
    })
  }

  /** The axes over which two shapes were broadcast, of the first and of the second. */
  broadcastAxes(x: Output, y: Output): readonly [Output, Output] {
    const { outputs } = this.node('BroadcastGradientArgs', [x, y], { T: attribute.type(x.dtype) })
    return [outputs[0], outputs[1]]
  }

  real(x: Output): Output {
    return this.#ofComplex('Real', x)
  }

  imaginary(x: Output): Output {
    return this.#ofComplex('Imag', x)
  }

  #ofComplex(op: string, x: Output): Output {
    const real: DType = x.dtype === 'complex128' ? 'float64' : 'float32'
    return this.op(op, [x], { T: attribute.type(x.dtype), Tout: attribute.type(real) })
  }

  complex(real: Output, imaginary: Output): Output {
    const dtype: DType = real.dtype === 'float64' ? 'complex128' : 'complex64'
    return this.op('Complex', [real, imaginary], {
      T: attribute.type(real.dtype),
      Tout: attribute.type(dtype),
    })
  }

  noOp(controls: readonly BuiltNode[], name: string): BuiltNode {
    return this.builder.add({ op: 'NoOp', name, controls })
  }
}
