// The CPU device, and the assembler for routines that are no kernels.
export {
  type AssembledFunction,
  assemble,
  type Instruction,
  type ValueType,
} from './assembler.ts'
export * from './code.ts'
export { compileOptimizedAtOnce, type WasmDeviceOptions, wasmDevice } from './device.ts'
