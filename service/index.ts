// What the product does, without HTTP. The only place where the store and the engine meet.

export type { DeviceStatus } from '../engine/index.ts'
export type {
  CheckpointEntry,
  CheckpointRecord,
  Json,
  Page,
  PageRequest,
  StoreStatus,
  ValueRecord,
  VariableRecord,
} from '../store/index.ts'
export type { RefusalRecord } from '../tensor/index.ts'
export type { CheckpointFiles, DownloadFormat, UploadRequest } from './checkpoint-files.ts'
export type { Checkpoints, SaveRequest } from './checkpoints.ts'
export type { Devices, Residence } from './devices.ts'
export type { FeedInput, GraphForm, GraphRunRequest, Graphs, LoadedGraph } from './graphs.ts'
export { contentOfTensor, type TensorContent } from './initial-values.ts'
export type { InitializerDescription } from './initializer.ts'
export { defaultLimits, type Limits } from './limits.ts'
export type { ModelStatus, Models, ServedModel } from './models.ts'
export type { UpdateOp } from './one-op.ts'
export { openService, type ServiceOptions } from './open.ts'
export type { OperationRecord, Operations } from './operations.ts'
export type { ModelRef, Predictions, ServingMethod } from './predict.ts'
export type { Mismatch, RestoreReport, RestoreRequest } from './restore.ts'
export type { RunOutcome } from './runs.ts'
export {
  createService,
  type Service,
  type ServiceParts,
} from './service.ts'
export { openSpool, type Spool, type SpoolFolder } from './spool.ts'
export type { TensorForm } from './stored-initializer.ts'
export type { StoredValues } from './stored-values.ts'
export type { Declaration, TensorInput } from './tensor-input.ts'
export type { CreateReply, CreateRequest } from './variable-create.ts'
export type { InitializedVariable } from './variable-values.ts'
export type { ValueWritten, WriteOptions, Written } from './written.ts'
