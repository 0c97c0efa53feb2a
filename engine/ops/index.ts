// Every op that graphs may hold, one definition each, and the language that definitions are written in.

export { argumentsOfOp } from './arguments.ts'
export { Attributes, type Bindings, type FunctionReference } from './attributes.ts'
export { Builder } from './builder.ts'
export {
  type Call,
  type ComputeSpec,
  countOf,
  type Lowered,
  type Lowering,
  type OpDefinition,
  type PatchSpec,
  type StepSpec,
  typesOf,
  type VariableSpec,
} from './definition.ts'
export { definitionOf, isRefusedOp } from './registry.ts'
export type * from './value.ts'
