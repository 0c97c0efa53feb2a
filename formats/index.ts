// Bytes <-> named tensors: the file formats that are read and written. No `node:` module and no native
// package: checksums and decompression are handed in.
export type { BundleEntry } from './bundle-entry.ts'
export * from './bundle-reader.ts'
export * from './bundle-writer.ts'
export { byteSourceOf, collect, readAll, sliceSource } from './byte-source.ts'
export * from './checkpoint-state.ts'
export { maskCrc, unmaskCrc } from './masked-crc.ts'
export * from './object-graph.ts'
export * from './restore-map.ts'
export * from './saved-model.ts'
export * from './tensor-proto.ts'
export type { ArchiveTools, ChecksumTools, Crc } from './tools.ts'
