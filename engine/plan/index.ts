// From a graph and a request to stages of commands and host steps.
export { planStage, type StageTarget } from './build.ts'
export { type Donors, noDonors } from './donation.ts'
export { type Effects, effectsOf } from './effects.ts'
export { refusalOfCheck } from './fold.ts'
export { type KernelOperand, type PlannedKernel, Splats } from './kernel.ts'
export { namingNode } from './naming.ts'
export type { Answer, Need } from './need.ts'
export {
  type Finish,
  type Instruction,
  type Pause,
  Placement,
  type ResultPlace,
  type Slot,
  type SlotCommand,
  type SlotId,
  type Stage,
} from './stage.ts'
export { placeholderShape, summaryOf } from './summary.ts'
export { Trace, type Traced } from './trace.ts'
export { type TraceRequest, type TraceTools, variableKey } from './tracing.ts'
