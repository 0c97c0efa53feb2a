// The engine without a worker: for tests, and for programs that bring their own thread.
import type { Engine } from '../engine.ts'
import { type CoreOptions, EngineCore } from './core.ts'

/** An engine on the calling thread, over devices that the caller made; it closes them. */
export function createEngineInThread(options: CoreOptions): Engine {
  return new EngineCore(options)
}
