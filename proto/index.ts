// The TensorFlow wire messages: types, and their binary, text and JSON forms. Imports nothing of ours.
export * from './base64.ts'
export { type DecodeLimits, decode, encode, maxDepth } from './codec.ts'
export { type EnumName, enums, nameOfEnum, numberOfEnum } from './enums.ts'
export type { Draft, Message } from './message.ts'
export * from './messages.ts'
export type { MessageName } from './schema.ts'
export { varintLength, WireError, WireReader, WireWriter } from './wire.ts'
