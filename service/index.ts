// What the product does, without HTTP. The only place where the store and the engine meet.

export type { DeviceStatus } from '../engine/index.ts'
export type {
  BackupRecord,
  CheckpointEntry,
  CheckpointFilter,
  CheckpointRecord,
  CollectionMember,
  Json,
  LabelRecord,
  PageRequest,
  PartitionedRecord,
  ValueRecord,
  VariableRecord,
} from '../store/index.ts'
export { arrivingFile } from './arriving-file.ts'
export type { BatchOperation, BatchResult } from './batch.ts'
export type { DownloadFormat } from './checkpoint-files.ts'
export type { UploadForm } from './checkpoint-import.ts'
export type { Residence } from './devices.ts'
export type { CheckpointDiff, TensorDiff } from './diff.ts'
export { serverClosing } from './endings.ts'
export { type EventFilter, placeOfText, type Told, textOfPlace } from './events.ts'
export { archiveTools, zipTools } from './format-tools.ts'
export { type NamedGradient, putGradients, putMinimize } from './gradients.ts'
export type { FeedInput, GraphForm, LoadedGraph } from './graphs.ts'
export type { LabelView } from './labels.ts'
export { fixedLimits, type Limits } from './limits.ts'
export type { ModelStatus } from './models.ts'
export { collectionKey } from './names.ts'
export type { UpdateArguments } from './one-op.ts'
export { openService } from './open.ts'
export type { OperationRecord } from './operations.ts'
export { isPartitioned, type NamedVariable, partitionedView } from './partitioned.ts'
export type { ModelRef, ServingMethod } from './predict.ts'
export {
  type ByteRange,
  checkHeld,
  type ReadableValue,
  streamOfReadable,
  tensorOfReadable,
} from './readable.ts'
export type { RestoreReport } from './restore-report.ts'
export type { RetentionReport, RetentionView } from './retention.ts'
export type { RetentionRules } from './retention-rules.ts'
export type { RunOutcome } from './runs.ts'
export type { GivenScope, ScopeView } from './scopes.ts'
export type { Service } from './service.ts'
export type { Statistics } from './statistics.ts'
export type { GivenInitializer } from './stored-initializer.ts'
export type { StoredTensor } from './stored-tensors.ts'
export { contentOfTensor, type TensorContent } from './tensor-content.ts'
export {
  type Declaration,
  digestOfTensor,
  type TensorInput,
  tensorOfContent,
} from './tensor-input.ts'
export {
  isUpdateVerb,
  type UpdateVerbName,
  updateVerb,
  updateVerbs,
} from './update-verbs.ts'
export type { ReadWishes, VariableValue } from './variable-reads.ts'
export type { UpdateInput, ValueUpdated } from './variable-update.ts'
export type { CheckpointVerification, Damage, ScrubView } from './verification.ts'
export type { ValueWritten, WriteOptions } from './written.ts'
