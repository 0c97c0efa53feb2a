// Ops by name, and the ops that are refused because they would touch the host.
import { activationOps } from './activations.ts'
import { arrayOps } from './array.ts'
import { bitcastOps } from './bitcast.ts'
import { blockOps } from './blocks.ts'
import { colorOps } from './colors.ts'
import { complexOps } from './complex-ops.ts'
import { complexSumOps } from './complex-sums.ts'
import { controlOps } from './control.ts'
import { convolutionOps } from './convolutions.ts'
import { coreOps } from './core.ts'
import { decompositionOps } from './decompositions.ts'
import type { OpDefinition } from './definition.ts'
import { detectionOps } from './detection.ts'
import { diagonalOps } from './diagonals.ts'
import { einsumOps } from './einsum.ts'
import { elementwiseOps } from './elementwise.ts'
import { equationOps } from './equations.ts'
import { fakeQuantizationOps } from './fake-quantization.ts'
import { fourierOps } from './fourier.ts'
import { gatherOps } from './gather.ts'
import { imageGradientOps } from './image-gradients.ts'
import { linalgOps } from './linalg.ts'
import { listArithmeticOps } from './list-arithmetic.ts'
import { listOps } from './lists.ts'
import { lookupOps } from './lookup.ts'
import { movementOps } from './movement.ts'
import { nnOps } from './nn.ts'
import { normalizationOps } from './normalization.ts'
import { parsingOps } from './parsing.ts'
import { partitionOps } from './partitions.ts'
import { poolOps } from './pools.ts'
import { raggedOps } from './ragged.ts'
import { randomOps } from './random.ts'
import { randomRateOps } from './random-rates.ts'
import { recurrentOps } from './recurrent.ts'
import { reductionOps } from './reductions.ts'
import { resizeOps } from './resize.ts'
import { resizeGradientOps } from './resize-gradients.ts'
import { scatterOps } from './scatter-ops.ts'
import { searchOps } from './searches.ts'
import { segmentOps } from './segments.ts'
import { sequenceOps } from './sequences.ts'
import { setOps } from './sets.ts'
import { shapeOps } from './shape-ops.ts'
import { sliceAssignOps } from './slice-assign.ts'
import { sortingOps } from './sorting.ts'
import { sparseOps } from './sparse.ts'
import { sparseStructureOps } from './sparse-structure.ts'
import { specialOps } from './special-ops.ts'
import { codecOps } from './string-codecs.ts'
import { hashOps } from './string-hashes.ts'
import { patternOps } from './string-patterns.ts'
import { stringOps } from './strings.ts'
import { temporaryOps } from './temporary.ts'
import { tensorArrayOps } from './tensor-arrays.ts'
import { trainingOps } from './training.ts'
import { uniqueOps } from './uniques.ts'
import { variableOps } from './variables.ts'

const families = [
  coreOps,
  shapeOps,
  elementwiseOps,
  activationOps,
  movementOps,
  blockOps,
  sequenceOps,
  arrayOps,
  gatherOps,
  reductionOps,
  linalgOps,
  nnOps,
  convolutionOps,
  poolOps,
  normalizationOps,
  variableOps,
  parsingOps,
  lookupOps,
  randomOps,
  controlOps,
  listOps,
  tensorArrayOps,
  scatterOps,
  sliceAssignOps,
  temporaryOps,
  trainingOps,
  segmentOps,
  sortingOps,
  diagonalOps,
  einsumOps,
  decompositionOps,
  stringOps,
  patternOps,
  hashOps,
  codecOps,
  bitcastOps,
  resizeOps,
  colorOps,
  detectionOps,
  recurrentOps,
  uniqueOps,
  partitionOps,
  searchOps,
  complexOps,
  fourierOps,
  specialOps,
  fakeQuantizationOps,
  sparseOps,
  sparseStructureOps,
  setOps,
  raggedOps,
  resizeGradientOps,
  equationOps,
  randomRateOps,
  imageGradientOps,
  // In place of plain ones.
  listArithmeticOps,
  complexSumOps,
]

const definitions: ReadonlyMap<string, OpDefinition> = new Map(
  families.flat().map((definition) => [definition.name, definition]),
)

/** The definition of the op, or undefined where there is none. */
export function definitionOf(op: string): OpDefinition | undefined {
  return definitions.get(op)
}

/** Ops that reach the machine's files, processes or network: never run, whoever asks. */
const refused: ReadonlySet<string> = new Set([
  'ReadFile',
  'WriteFile',
  'PyFunc',
  'PyFuncStateless',
  'EagerPyFunc',
  'MatchingFiles',
  'Save',
  'SaveSlices',
  'SaveV2',
  'Restore',
  'RestoreSlice',
  'RestoreV2',
  'MergeV2Checkpoints',
  'ShardedFilespec',
  'WholeFileReader',
  'WholeFileReaderV2',
  'TextLineReader',
  'TextLineReaderV2',
  'TFRecordReader',
  'TFRecordReaderV2',
  'FixedLengthRecordReader',
  'FixedLengthRecordReaderV2',
  'TextLineDataset',
  'TFRecordDataset',
  'FixedLengthRecordDataset',
  'MatchingFilesDataset',
  'CacheDataset',
  'SaveDataset',
  'LoadDataset',
  'PrintV2Stream',
  'CreateSummaryFileWriter',
  'CreateSummaryDbWriter',
  'DebugIdentity',
  'DebugIdentityV2',
  'DebugGradientIdentity',
  'LoadLibrary',
  'InitializeTableFromTextFile',
  'InitializeTableFromTextFileV2',
])

/** Whether the op is refused with PERMISSION_DENIED. */
export function isRefusedOp(op: string): boolean {
  return refused.has(op)
}
