// Checksums that files hold of content that the store has. Content never changes under its digest, so what
// was once read for its checksum need not be read for it again.
import type { ChecksumMemory } from '../formats/index.ts'

// About 8 MiB.
const mostRemembered = 65_536

/** A memory of those asked for or told last. */
export function createChecksumMemory(): ChecksumMemory {
  const known = new Map<string, number>()
  const keep = (content: string, crc: number): void => {
    known.delete(content)
    known.set(content, crc)
    if (known.size <= mostRemembered) return
    for (const oldest of known.keys()) {
      known.delete(oldest)
      return
    }
  }
  return {
    get(content) {
      const crc = known.get(content)
      if (crc !== undefined) keep(content, crc)
      return crc
    },
    set: keep,
  }
}
