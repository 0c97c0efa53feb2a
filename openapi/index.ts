// What routes and the OpenAPI document share.
export * from './document.ts'
export * from './schemas/checkpoints.ts'
export * from './schemas/graphs.ts'
export * from './schemas/models.ts'
export * from './schemas/reads.ts'
export * from './schemas/shared.ts'
export * from './schemas/system.ts'
export * from './schemas/variables.ts'
