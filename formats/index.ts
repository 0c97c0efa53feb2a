// Bytes <-> named tensors: the file formats that are read and written. No `node:` module and no native
// package: checksums and decompression are handed in.

export type { ArchiveLimits } from './archive.ts'
export * from './archive-reader.ts'
export { breaths } from './breath.ts'
export * from './bundle-reader.ts'
export { checkTiling, joinSlices, type TensorSlice } from './bundle-slice.ts'
export * from './bundle-writer.ts'
export { byteSourceOf, collect } from './byte-source.ts'
export { findCheckpoint } from './checkpoint-finder.ts'
export { openCheckpoint } from './checkpoint-reader.ts'
export { formatCheckpointState, parseCheckpointState } from './checkpoint-state.ts'
export type { CheckpointSlice, CheckpointTensor } from './checkpoint-tensor.ts'
export { openCheckpointV1 } from './checkpoint-v1.ts'
export * from './json-tensor.ts'
export { maskCrc } from './masked-crc.ts'
export * from './npy.ts'
export { openNpz, tensorsOfNpz, writeNpz } from './npz.ts'
export * from './object-graph.ts'
export type * from './output.ts'
export { gathered } from './output.ts'
export * from './restore-map.ts'
export { openSafetensors } from './safetensors-reader.ts'
export * from './safetensors-writer.ts'
export * from './saved-model.ts'
export { readView, wholeItems } from './slice-read.ts'
export * from './slice-spec.ts'
export {
  type BasicIndex,
  parseBasicIndex,
  type StridedSliceSpec,
  stridedSliceOf,
} from './slice-text.ts'
export { shapeOfView, type View, viewOf } from './slice-view.ts'
export { looksLikeTable } from './table-reader.ts'
export { openTar } from './tar-reader.ts'
export * from './tar-writer.ts'
export { protoOfTensor, tensorOfProto } from './tensor-proto.ts'
export type { ArchiveTools, ChecksumMemory, ChecksumTools, ZipTools } from './tools.ts'
export { openZip } from './zip-reader.ts'
