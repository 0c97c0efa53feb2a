// The protobuf wire format: protobufjs' reader and writer, narrowed to what the codec needs. It adds
// bigints, bounds of nested messages, the refusal of what protobufjs lets pass, and WireError for all
// that is malformed. It knows nothing of messages; codec.ts does. The only file that knows protobufjs.
// Source: https://protobuf.dev/programming-guides/encoding/
import protobuf from 'protobufjs/minimal.js'

/** Bytes or text that are no message of the wanted kind. `offset` is where it was noticed. */
export class WireError extends Error {
  override readonly name = 'WireError'
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.offset = offset
  }
}

/** The wire types that a field of a schema can have. */
export const wireTypes = {
  varint: 0,
  fixed64: 1,
  lengthDelimited: 2,
  fixed32: 5,
} as const

/** Messages may nest this deep; protobuf's own default, and protobufjs' for groups. */
export const maxDepth = 100

/** A varint of 64 bits takes so many bytes, the last of which holds one bit. */
const longestVarint = 10

/**
 * What `read` makes of `bytes`. Whatever is truncated or malformed comes out as {@link WireError}.
 */
export function readWire<Result>(bytes: Uint8Array, read: (reader: WireReader) => Result): Result {
  const reader = new protobuf.Reader(bytes)
  try {
    return read(new WireReader(reader))
  } catch (error) {
    throw wireErrorOf(error, reader.pos)
  }
}

/** What protobufjs throws for malformed bytes (an Error or RangeError, no other class) as our own. */
function wireErrorOf(error: unknown, offset: number): unknown {
  if (error instanceof RangeError) {
    return new WireError(`At byte ${offset} a value runs past the end.`, offset)
  }
  if (error instanceof Error && error.constructor === Error) {
    return new WireError(`At byte ${offset} the encoding is broken: ${error.message}.`, offset)
  }
  return error
}

/**
 * Reads wire primitives, up to the end of the message that it is in. Made by {@link readWire}, which
 * turns what these methods throw into {@link WireError}.
 */
export class WireReader {
  readonly #reader: protobuf.Reader

  constructor(reader: protobuf.Reader) {
    this.#reader = reader
  }

  /** Whether the message that is being read has bytes left. */
  get hasMore(): boolean {
    return this.#reader.pos < this.#reader.len
  }

  /** Steps into a length-delimited field: nothing past its end can be read. Gives the outer end. */
  enter(): number {
    const length = this.#reader.size()
    const outerEnd = this.#reader.len
    const end = this.#reader.pos + length
    if (end > outerEnd) throw this.error(`a field of ${length} bytes runs past the end`)
    this.#reader.len = end
    return outerEnd
  }

  /** Steps out of the field that {@link enter} gave `outerEnd` for. */
  leave(outerEnd: number): void {
    this.#reader.len = outerEnd
  }

  /** A field's number (shifted left by three) and wire type. */
  tag(): number {
    const tag = this.#reader.tag()
    if (tag >>> 3 === 0) throw this.error('a field number is out of range')
    return tag
  }

  /** A varint cut to its low 32 bits, signed: protobuf's rule for int32 and enumerations. */
  int32(): number {
    return this.uint32() | 0
  }

  /** A varint cut to its low 32 bits, unsigned. */
  uint32(): number {
    const start = this.#reader.pos
    const value = this.#reader.uint32()
    this.#checkVarint(start)
    return value
  }

  /** Whether a varint is other than zero. */
  bool(): boolean {
    const start = this.#reader.pos
    const value = this.#reader.bool()
    this.#checkVarint(start)
    return value
  }

  /** A signed 64-bit varint, exact. */
  int64(): bigint {
    const start = this.#reader.pos
    const { low, high } = this.#reader.int64()
    this.#checkVarint(start)
    return high === 0 ? BigInt(low >>> 0) : (BigInt(high) << 32n) | BigInt(low >>> 0)
  }

  /** An unsigned 64-bit varint, exact. */
  uint64(): bigint {
    return BigInt.asUintN(64, this.int64())
  }

  /** A signed 64-bit varint as a number; throws where a double could not hold it exactly. */
  int53(): number {
    const start = this.#reader.pos
    const { low, high } = this.#reader.int64()
    this.#checkVarint(start)
    const value = high * 2 ** 32 + (low >>> 0)
    if (!Number.isSafeInteger(value)) throw this.error('a size is beyond 2^53')
    return value
  }

  /** Refuses the varint begun at `start` if it holds more than 64 bits, which protobufjs cuts off. */
  #checkVarint(start: number): void {
    const { pos, buf } = this.#reader
    if (pos - start === longestVarint && buf[pos - 1] > 1) {
      throw this.error('a varint holds more than 64 bits')
    }
  }

  fixed32(): number {
    return this.#reader.fixed32()
  }

  float(): number {
    return this.#reader.float()
  }

  double(): number {
    return this.#reader.double()
  }

  /** Length-delimited bytes, as a view into the input. */
  bytes(): Uint8Array {
    return this.#reader.bytes()
  }

  /** Length-delimited UTF-8 text; throws where it is not UTF-8. */
  string(): string {
    try {
      return this.#reader.stringVerify()
    } catch (error) {
      // TextDecoder's own error; the others are for readWire.
      if (error instanceof TypeError) throw this.error('there is text that is not UTF-8')
      throw error
    }
  }

  /** Steps over the value of the field with that tag; of groups, at most `depth` levels. */
  skip(tag: number, depth: number): void {
    if ((tag & 7) === wireTypes.varint) this.uint32()
    else this.#reader.skipType(tag & 7, maxDepth - depth, tag >>> 3)
  }

  /** An error that says `problem` of the present place. */
  error(problem: string): WireError {
    const { pos } = this.#reader
    return new WireError(`At byte ${pos} ${problem}.`, pos)
  }
}

/** `value` as protobufjs takes 64-bit numbers: a number where that is exact, which is quicker. */
function longOf(value: bigint) {
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  const word = (bits: bigint) => Number(BigInt.asIntN(32, bits))
  return new protobuf.util.Long(word(value), word(value >> 32n))
}

/** Writes wire primitives into a buffer that grows. */
export class WireWriter {
  readonly #writer = protobuf.Writer.create()

  get byteLength(): number {
    return this.#writer.pos
  }

  tag(number: number, wireType: number): void {
    this.#writer.uint32((number << 3) | wireType)
  }

  uint32(value: number): void {
    this.#writer.uint32(value)
  }

  /** A negative int32 takes ten bytes on the wire, like the int64 of the same value. */
  int32(value: number): void {
    this.#writer.int32(value)
  }

  int53(value: number): void {
    if (!Number.isSafeInteger(value)) throw new Error(`${value} is not a whole number`)
    this.#writer.int64(value)
  }

  int64(value: bigint): void {
    this.#writer.int64(longOf(value))
  }

  uint64(value: bigint): void {
    this.#writer.uint64(longOf(value))
  }

  bool(value: boolean): void {
    this.#writer.bool(value)
  }

  fixed32(value: number): void {
    this.#writer.fixed32(value)
  }

  float(value: number): void {
    this.#writer.float(value)
  }

  double(value: number): void {
    this.#writer.double(value)
  }

  /** The bytes as they are. */
  raw(value: Uint8Array): void {
    this.#writer.raw(value)
  }

  /** Length, then the bytes. */
  bytes(value: Uint8Array): void {
    this.#writer.bytes(value)
  }

  /** Length, then UTF-8; a surrogate without its pair becomes U+FFFD, as protobufjs would not do. */
  string(value: string): void {
    this.#writer.string(value.toWellFormed())
  }

  /** Writes what `body` writes, preceded by its length. */
  lengthDelimited(body: () => void): void {
    this.#writer.fork()
    body()
    this.#writer.ldelim()
  }

  /** The bytes written so far, as a copy that shares its memory with nothing. */
  finish(): Uint8Array {
    return this.#writer.finishInto(new Uint8Array(this.#writer.pos))
  }
}
