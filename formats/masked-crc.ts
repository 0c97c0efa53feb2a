// The masked form in which TensorFlow's files keep a CRC-32C: a CRC of data that holds CRCs is weak.
// Source: tensorflow/core/lib/hash/crc32c.h

const maskDelta = 0xa282ead8

/** The stored form of a CRC. */
export function maskCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + maskDelta) >>> 0
}

/** The CRC of a stored form. */
export function unmaskCrc(masked: number): number {
  const rotated = (masked - maskDelta) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}
