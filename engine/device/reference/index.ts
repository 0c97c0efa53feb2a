// The reference device.
export { type Elements, interpret } from './interpret.ts'
export { referenceDevice } from './reference.ts'
