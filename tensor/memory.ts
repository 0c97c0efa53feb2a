// Giving memory back before it is collected.

/** Below this, collecting memory later costs less than freeing it now. */
const freedByteLength = 16 * 1024

/**
 * Frees the memory of bytes that are nobody else's, so that megabytes do not pile up until memory is next
 * collected; the bytes are gone then. Leaves alone what is small, a part of more, shared, or freed already.
 */
export function freeMemory({ buffer, byteLength }: Uint8Array): void {
  const isWhole = byteLength === buffer.byteLength && byteLength >= freedByteLength
  if (isWhole && buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0)
}
