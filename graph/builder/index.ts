// A small builder of GraphDef nodes, and short forms for the ops that rewriters add.
export { type AttributeDraft, type AttributeDrafts, attribute } from './attributes.ts'
export {
  type BuiltNode,
  nameOfOutput,
  type OpCatalogue,
  type Output,
  type Port,
} from './built-node.ts'
export { Expressions, isComplex } from './expressions.ts'
export {
  addArgument,
  addFunction,
  emptyBody,
  type FunctionBody,
  loadFunction,
} from './function-body.ts'
export { type BuildContext, GraphBuilder, outputAt } from './graph-builder.ts'
