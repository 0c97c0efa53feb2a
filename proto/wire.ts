// The protobuf wire format: varints, fixed-width numbers and length-delimited fields, every read
// checked against the end. It knows nothing of messages; codec.ts does.
// Source: https://protobuf.dev/programming-guides/encoding/

/** Bytes or text that are no message of the wanted kind. `offset` is where it was noticed. */
export class WireError extends Error {
  override readonly name = 'WireError'
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.offset = offset
  }
}

/** The wire types that protobuf 3 knows. */
export const wireTypes = {
  varint: 0,
  fixed64: 1,
  lengthDelimited: 2,
  startGroup: 3,
  endGroup: 4,
  fixed32: 5,
} as const

const textDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const textEncoder = new TextEncoder()
const longestPlainText = 32

/** Reads wire primitives from bytes. A place past the end throws {@link WireError}. */
export class WireReader {
  readonly bytes: Uint8Array
  offset = 0
  readonly #view: DataView
  #varintLow = 0
  #varintHigh = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Reads a varint of up to 64 bits into its low and high 32-bit words. */
  #readVarint(end: number): void {
    let low = 0
    let high = 0
    for (let index = 0; index < 10; index++) {
      if (this.offset >= end) throw this.error('a varint runs past the end')
      const byte = this.bytes[this.offset++]
      const bits = byte & 0x7f
      if (index < 4) low |= bits << (7 * index)
      else if (index === 4) {
        low |= bits << 28
        high = bits >>> 4
      } else high |= bits << (7 * index - 32)
      if (byte < 0x80) {
        if (index === 9 && byte > 1) throw this.error('a varint holds more than 64 bits')
        this.#varintLow = low
        this.#varintHigh = high
        return
      }
    }
    throw this.error('a varint is longer than 10 bytes')
  }

  /** A varint cut to its low 32 bits, signed: protobuf's rule for int32, bool and enumerations. */
  int32(end: number): number {
    if (this.offset < end && this.bytes[this.offset] < 0x80) return this.bytes[this.offset++]
    this.#readVarint(end)
    return this.#varintLow
  }

  /** A varint cut to its low 32 bits, unsigned. */
  uint32(end: number): number {
    return this.int32(end) >>> 0
  }

  /** Whether a varint is other than zero. */
  bool(end: number): boolean {
    this.#readVarint(end)
    return (this.#varintLow | this.#varintHigh) !== 0
  }

  /** A signed 64-bit varint, exact. */
  int64(end: number): bigint {
    this.#readVarint(end)
    if (this.#varintHigh === 0) return BigInt(this.#varintLow >>> 0)
    return (BigInt(this.#varintHigh | 0) << 32n) | BigInt(this.#varintLow >>> 0)
  }

  /** An unsigned 64-bit varint, exact. */
  uint64(end: number): bigint {
    return BigInt.asUintN(64, this.int64(end))
  }

  /** A signed 64-bit varint as a number; throws where a double could not hold it exactly. */
  int53(end: number): number {
    this.#readVarint(end)
    const value = (this.#varintHigh | 0) * 2 ** 32 + (this.#varintLow >>> 0)
    if (!Number.isSafeInteger(value)) throw this.error('a size is beyond 2^53')
    return value
  }

  fixed32(end: number): number {
    const at = this.#take(4, end)
    return this.#view.getUint32(at, true)
  }

  float(end: number): number {
    const at = this.#take(4, end)
    return this.#view.getFloat32(at, true)
  }

  double(end: number): number {
    const at = this.#take(8, end)
    return this.#view.getFloat64(at, true)
  }

  /** The end of a length-delimited field whose length comes next. */
  lengthDelimited(end: number): number {
    this.#readVarint(end)
    const length = (this.#varintHigh >>> 0) * 2 ** 32 + (this.#varintLow >>> 0)
    if (length > end - this.offset) {
      throw this.error(`a field of ${length} bytes runs past the end`)
    }
    return this.offset + length
  }

  /** Length-delimited bytes, as a view into the input. */
  bytesField(end: number): Uint8Array {
    const fieldEnd = this.lengthDelimited(end)
    const value = this.bytes.subarray(this.offset, fieldEnd)
    this.offset = fieldEnd
    return value
  }

  /** Length-delimited UTF-8 text; throws where it is not UTF-8. */
  string(end: number): string {
    const fieldEnd = this.lengthDelimited(end)
    const start = this.offset
    this.offset = fieldEnd
    if (fieldEnd - start <= longestPlainText) {
      let text = ''
      let at = start
      while (at < fieldEnd && this.bytes[at] < 0x80) text += String.fromCharCode(this.bytes[at++])
      if (at === fieldEnd) return text
    }
    try {
      return textDecoder.decode(this.bytes.subarray(start, fieldEnd))
    } catch {
      throw new WireError(`The text at byte ${start} is not UTF-8.`, start)
    }
  }

  /** A field's number and wire type. */
  tag(end: number): { readonly number: number; readonly wireType: number } {
    this.#readVarint(end)
    const number = this.#varintLow >>> 3
    if (this.#varintHigh !== 0 || number === 0) throw this.error('a field number is out of range')
    return { number, wireType: this.#varintLow & 7 }
  }

  /** Steps over one field's value, groups included, to at most `depth` levels. */
  skip(number: number, wireType: number, end: number, depth: number): void {
    switch (wireType) {
      case wireTypes.varint:
        this.#readVarint(end)
        return
      case wireTypes.fixed64:
        this.#take(8, end)
        return
      case wireTypes.fixed32:
        this.#take(4, end)
        return
      case wireTypes.lengthDelimited:
        this.offset = this.lengthDelimited(end)
        return
      case wireTypes.startGroup:
        this.#skipGroup(number, end, depth)
        return
      default:
        throw this.error(`wire type ${wireType} does not exist here`)
    }
  }

  #skipGroup(number: number, end: number, depth: number): void {
    const open = [number]
    while (open.length > 0) {
      if (open.length > depth) throw this.error('groups are nested too deep')
      const tag = this.tag(end)
      if (tag.wireType === wireTypes.startGroup) open.push(tag.number)
      else if (tag.wireType !== wireTypes.endGroup) this.skip(tag.number, tag.wireType, end, 0)
      else if (open.pop() !== tag.number) throw this.error('a group ends with another number')
    }
  }

  #take(length: number, end: number): number {
    const at = this.offset
    if (length > end - at) throw this.error('a number runs past the end')
    this.offset = at + length
    return at
  }

  error(problem: string): WireError {
    return new WireError(`At byte ${this.offset} ${problem}.`, this.offset)
  }
}

/** Writes wire primitives into a buffer that grows. */
export class WireWriter {
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  #reserve(extra: number): number {
    const at = this.#length
    const wanted = at + extra
    if (wanted > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(wanted, this.#bytes.byteLength * 2))
      grown.set(this.#bytes.subarray(0, at))
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    this.#length = wanted
    return at
  }

  get byteLength(): number {
    return this.#length
  }

  tag(number: number, wireType: number): void {
    this.uint32(((number << 3) | wireType) >>> 0)
  }

  uint32(value: number): void {
    let rest = value >>> 0
    let at = this.#reserve(5)
    while (rest >= 0x80) {
      this.#bytes[at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[at++] = rest
    this.#length = at
  }

  /** A negative int32 takes ten bytes on the wire, like the int64 of the same value. */
  int32(value: number): void {
    if (value >= 0) this.uint32(value)
    else this.uint64(BigInt.asUintN(64, BigInt(value)))
  }

  int64(value: bigint): void {
    this.uint64(BigInt.asUintN(64, value))
  }

  uint64(value: bigint): void {
    if (value <= 0xffffffffn) {
      this.uint32(Number(value))
      return
    }
    let rest = value
    let at = this.#reserve(10)
    while (rest >= 0x80n) {
      this.#bytes[at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#bytes[at++] = Number(rest)
    this.#length = at
  }

  fixed32(value: number): void {
    const at = this.#reserve(4)
    this.#view.setUint32(at, value, true)
  }

  float(value: number): void {
    const at = this.#reserve(4)
    this.#view.setFloat32(at, value, true)
  }

  double(value: number): void {
    const at = this.#reserve(8)
    this.#view.setFloat64(at, value, true)
  }

  /** The bytes as they are. */
  raw(value: Uint8Array): void {
    const at = this.#reserve(value.byteLength)
    this.#bytes.set(value, at)
  }

  /** Length, then the bytes. */
  bytesField(value: Uint8Array): void {
    this.uint32(value.byteLength)
    this.raw(value)
  }

  string(value: string): void {
    this.bytesField(textEncoder.encode(value))
  }

  /** Writes what `body` writes, preceded by its length. */
  lengthDelimited(body: () => void): void {
    const start = this.#length
    this.#reserve(1)
    body()
    const length = this.#length - start - 1
    const extra = varintLength(length) - 1
    if (extra > 0) {
      this.#reserve(extra)
      this.#bytes.copyWithin(start + 1 + extra, start + 1, start + 1 + length)
    }
    let rest = length
    for (let at = start; at < start + extra; at++) {
      this.#bytes[at] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[start + extra] = rest
  }

  /** The bytes written so far, as a copy. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}

/** Bytes that `value` (a whole number from 0 to 2^53) takes as a varint. */
function varintLength(value: number): number {
  let length = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) length++
  return length
}
