// Random numbers as TensorFlow makes them.
export {
  blocksPerElement,
  fillMultinomial,
  type RandomDType,
  shuffledPlaces,
  statelessState,
} from './distributions.ts'
export { Draws } from './draws.ts'
export { Philox, type PhiloxState, philoxOfSeeds, skipped } from './philox.ts'
export type { Draw } from './pieces.ts'
export { type StreamPlace, streamPlace } from './place.ts'
export { fillGamma, fillPoisson } from './rates.ts'
