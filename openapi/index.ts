// What routes and the OpenAPI document share.
export * from './document.ts'
export * from './schemas.ts'
