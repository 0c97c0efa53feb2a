// The messages by name: their types, and a decoder and an encoder for those that stand alone.
import { type DecodeLimits, decode, encode } from './codec.ts'
import type { Draft, Message } from './message.ts'
import type { MessageName } from './schema.ts'

export type AssetFileDef = Message<'AssetFileDef'>
export type BundleEntryProto = Message<'BundleEntryProto'>
export type Example = Message<'Example'>
export type Feature = Message<'Feature'>
export type FunctionDef = Message<'FunctionDef'>
export type GraphDef = Message<'GraphDef'>
export type MetaGraphDef = Message<'MetaGraphDef'>
export type NodeDef = Message<'NodeDef'>
export type PredictRequest = Message<'PredictRequest'>
export type PredictResponse = Message<'PredictResponse'>
export type SavedModel = Message<'SavedModel'>
export type SavedObjectGraph = Message<'SavedObjectGraph'>
export type SaverDef = Message<'SaverDef'>
export type SignatureDef = Message<'SignatureDef'>
export type SlicedTensorProto = Message<'SlicedTensorProto'>
export type TensorInfo = Message<'TensorInfo'>
export type TensorProto = Message<'TensorProto'>
export type TensorShapeProto = Message<'TensorShapeProto'>
export type TensorSliceProto = Message<'TensorSliceProto'>
export type TrackableObjectGraph = Message<'TrackableObjectGraph'>
export type VersionDef = Message<'VersionDef'>

type Decoder<Name extends MessageName> = (bytes: Uint8Array, limits?: DecodeLimits) => Message<Name>
type Encoder<Name extends MessageName> = (message: Draft<Name>) => Uint8Array

function decoderOf<Name extends MessageName>(name: Name): Decoder<Name> {
  return (bytes, limits) => decode(name, bytes, limits)
}

function encoderOf<Name extends MessageName>(name: Name): Encoder<Name> {
  return (message) => encode(name, message)
}

// Each decoder throws WireError for bytes that are no such message; see decode. Each encoder is
// deterministic; see encode.
export const decodeAssetFileDef = decoderOf('AssetFileDef')
export const decodeBundleEntryProto = decoderOf('BundleEntryProto')
export const decodeBundleHeaderProto = decoderOf('BundleHeaderProto')
export const decodeExample = decoderOf('Example')
export const decodeGraphDef = decoderOf('GraphDef')
export const decodePredictRequest = decoderOf('PredictRequest')
export const decodePredictResponse = decoderOf('PredictResponse')
export const decodeSavedModel = decoderOf('SavedModel')
export const decodeSavedTensorSlices = decoderOf('SavedTensorSlices')
export const decodeTensorProto = decoderOf('TensorProto')
export const decodeTrackableObjectGraph = decoderOf('TrackableObjectGraph')
export const decodeVariableDef = decoderOf('VariableDef')
export const encodeBundleEntryProto = encoderOf('BundleEntryProto')
export const encodeBundleHeaderProto = encoderOf('BundleHeaderProto')
export const encodeExample = encoderOf('Example')
export const encodeGraphDef = encoderOf('GraphDef')
export const encodePredictRequest = encoderOf('PredictRequest')
export const encodePredictResponse = encoderOf('PredictResponse')
export const encodeSavedModel = encoderOf('SavedModel')
export const encodeTensorProto = encoderOf('TensorProto')
