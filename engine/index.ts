// Runs graphs on values, on three devices.
export type { Device, DeviceFacts, DeviceMemory } from './device/device.ts'
export * from './engine.ts'
export { type CoreOptions, createEngine, createEngineInThread } from './host/index.ts'
export { argumentsOfOp } from './ops/index.ts'
export { streamPlace } from './random/index.ts'
