// Random numbers as TensorFlow makes them.
export * from './distributions.ts'
export { Philox, type PhiloxState, PhiloxWords, philoxOfSeeds, skipped } from './philox.ts'
export { fillGamma, fillPoisson } from './rates.ts'
