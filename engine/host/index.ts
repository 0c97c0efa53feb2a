// The engine's thread and its messages.
export type { CoreOptions } from './core.ts'
export { createEngineInThread } from './in-thread.ts'
