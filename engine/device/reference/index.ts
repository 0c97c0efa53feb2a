// The reference device.
export { type ReferenceOptions, referenceDevice } from './reference.ts'
