// Symbolic gradients of graphs.
export { dense, type Gradient, type IndexedSlices, isSparse } from './gradient.ts'
export { addGradients, type GradientRequest } from './gradients.ts'
export { differentiableOps } from './table.ts'
