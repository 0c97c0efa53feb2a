// All gradients, by op; and the ops through which nothing flows.
import { arrayGradients } from './array.ts'
import { callGradients } from './calls.ts'
import { controlGradients } from './control.ts'
import type { GradientFunction } from './gradient.ts'
import { linalgGradients } from './linalg.ts'
import { listGradients } from './lists.ts'
import { mathGradients } from './math.ts'
import { nnGradients } from './nn.ts'
import { reductionGradients } from './reductions.ts'
import { whileGradients } from './while.ts'

const gradients: ReadonlyMap<string, GradientFunction> = new Map(
  [
    mathGradients,
    reductionGradients,
    linalgGradients,
    arrayGradients,
    nnGradients,
    listGradients,
    controlGradients,
    callGradients,
    whileGradients,
  ].flatMap((table) => Object.entries(table)),
)

/**
 * Ops whose outputs do not change with their inputs, or only in steps: TensorFlow registers them as
 * not differentiable, and nothing flows through them.
 */
const constants: ReadonlySet<string> = new Set(
  `StopGradient Floor Ceil Round Rint FloorDiv TruncateDiv Less LessEqual Greater GreaterEqual Equal
  NotEqual ApproximateEqual LogicalAnd LogicalOr LogicalNot All Any IsNan IsInf IsFinite Range LinSpace
  Const ZerosLike OnesLike Shape ShapeN Rank Size ArgMax ArgMin OneHot InvertPermutation ConcatOffset
  BroadcastGradientArgs Bitcast EditDistance Placeholder PlaceholderV2 Variable VariableV2 VarHandleOp
  VariableShape IsVariableInitialized VarIsInitializedOp Assign AssignAdd AssignSub AssignVariableOp
  AssignAddVariableOp AssignSubVariableOp ScatterUpdate ScatterAdd ScatterSub ScatterMul ScatterDiv
  ScatterNdUpdate ScatterNdAdd ScatterNdSub RandomUniform RandomUniformInt RandomStandardNormal
  ParameterizedTruncatedNormal TruncatedNormal RandomShuffle RandomPoisson RandomPoissonV2 Multinomial
  StatelessRandomUniform StatelessRandomNormal StatelessTruncatedNormal StatelessMultinomial
  StatelessRandomUniformV2 StatelessRandomNormalV2 StatelessTruncatedNormalV2 Where Bucketize
  Histogram HistogramFixedWidth Bincount InTopK InTopKV2 SparseReshape Assert NoOp ControlTrigger
  LoopCond TensorArray TensorArrayV2 TensorArrayV3 TensorArrayGrad TensorArrayGradV2 TensorArrayGradV3
  TensorArraySize TensorArraySizeV2 TensorArraySizeV3 TensorArrayClose TensorArrayCloseV2
  TensorArrayCloseV3 TensorListReserve EmptyTensorList TensorListLength TensorListElementShape
  NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 SampleDistortedBoundingBox
  SampleDistortedBoundingBoxV2 ExtractGlimpse HashTableV2 HashTable LookupTableFind LookupTableFindV2
  LookupTableSize LookupTableSizeV2 ScalarSummary HistogramSummary ImageSummary AudioSummary
  MergeSummary DecodeRaw StringToNumber ParseTensor DrawBoundingBoxes`.split(/\s+/),
)

/** The gradient of an op; `'none'` where nothing flows through it, undefined where none is known. */
export function gradientOf(op: string): GradientFunction | 'none' | undefined {
  return gradients.get(op) ?? (constants.has(op) ? 'none' : undefined)
}

/** Ops that have a gradient, sorted. */
export function differentiableOps(): readonly string[] {
  return [...gradients.keys()].sort()
}
