// The CPU device.
export { compileOptimizedAtOnce, type WasmDeviceOptions, wasmDevice } from './device.ts'
