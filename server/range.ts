// Byte ranges of a reply. Source: RFC 9110, section 14.
import type { ByteRange } from '../service/index.ts'
import { Refusal } from '../tensor/index.ts'

/** A range that lies outside; the reply also names the length (`content-range: bytes *` + `/length`). */
export class RangeRefusal extends Refusal {
  readonly byteLength: number

  constructor(header: string, byteLength: number) {
    super(
      'OUT_OF_RANGE',
      'http/range',
      `The range ${header} lies outside of the ${byteLength} bytes that there are.`,
    )
    this.byteLength = byteLength
  }
}

/**
 * The one range that a `Range` header asks for. Undefined where all is to be sent: no header, another
 * unit, several ranges, or one that is not well-formed, such as `5-2`. Refuses one that lies past the
 * end.
 */
export function parseRange(header: string | undefined, byteLength: number): ByteRange | undefined {
  if (header === undefined) return undefined
  // A list may have empty members.
  const found = /^bytes=[\s,]*(\d*)-(\d*)[\s,]*$/i.exec(header.trim())
  if (found === null) return undefined
  const [, first, last] = found
  if (first === '') {
    if (last === '') return undefined
    const length = Math.min(Number(last), byteLength)
    if (length === 0) throw new RangeRefusal(header, byteLength)
    return { offset: byteLength - length, length }
  }
  const offset = Number(first)
  if (last !== '' && isBelow(last, first)) return undefined
  const end = last === '' ? byteLength - 1 : Math.min(Number(last), byteLength - 1)
  if (offset >= byteLength) throw new RangeRefusal(header, byteLength)
  return { offset, length: end - offset + 1 }
}

/** Whether one run of digits is a smaller number than another, however long they are. */
function isBelow(a: string, b: string): boolean {
  return BigInt(a) < BigInt(b)
}
