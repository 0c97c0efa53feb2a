// The engine's thread and its messages.
export { createEngine } from './client.ts'
export type { CoreOptions } from './core.ts'
export { createEngineInThread } from './in-thread.ts'
