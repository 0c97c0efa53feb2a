// Optimizers as writers of graphs.
export {
  addMinimize,
  type Minimization,
  type MinimizeRequest,
  type TrainingVariable,
} from './minimize.ts'
export type { OptimizerSettings } from './settings.ts'
export { isVariable } from './variables.ts'
