// The reference device.
export { type Elements, interpret } from './interpret.ts'
export { type ReferenceOptions, referenceDevice } from './reference.ts'
