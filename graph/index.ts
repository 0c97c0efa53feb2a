// Graphs: what a GraphDef says, verified; names; which nodes a run needs and in which order.
export * from './builder/index.ts'
export * from './gradients/index.ts'
export {
  type AttributeValue,
  type Body,
  type Edge,
  type FunctionValue,
  type Graph,
  type GraphFunction,
  type GraphNode,
  shapeOfProto,
} from './graph.ts'
export { type Loop, type Unit, unitsOf } from './loop.ts'
export { parseTensorName, type TensorName } from './name.ts'
export * from './optimizers/index.ts'
export { isBackEdge, runningOrder } from './order.ts'
export { type Pattern, patternOf } from './pattern.ts'
export * from './scopes/index.ts'
export { graphOf } from './verify.ts'
