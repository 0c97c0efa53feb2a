// What the package snappyjs exports, as far as it is used; it comes without types.
declare module 'snappyjs' {
  /** Decompresses; throws where the data is damaged or declares more than `maxLength` bytes. */
  export function uncompress(compressed: Uint8Array, maxLength?: number): Uint8Array
  /** Compresses. */
  export function compress(uncompressed: Uint8Array): Uint8Array
}
