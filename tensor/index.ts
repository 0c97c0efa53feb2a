// The words everyone shares: element types, shapes, tensors, and the Refusal.
export * from './bfloat16.ts'
export * from './dtype.ts'
export * from './elements.ts'
export * from './refusal.ts'
export * from './shape.ts'
export * from './source.ts'
export * from './strings.ts'
export * from './tensor.ts'
