// The WebGPU device: kernels as WGSL, run by Dawn in a process of its own.
export { listAdapters, type WebgpuDevice, type WebgpuOptions, webgpuDevice } from './device.ts'
export type { Adapter } from './protocol.ts'
