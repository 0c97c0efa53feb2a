// Memory for small contents on their way to the store worker: cut from larger pieces, because a piece
// of memory of its own costs more than what most small contents hold.

/** Bytes of a piece. It lives as long as anything that was cut from it. */
const pieceByteLength = 1024 * 1024

/** Cuts pieces up. */
export class SmallMemory {
  #piece = new ArrayBuffer(0)
  #taken = 0

  /** Memory of that many bytes, at most a piece; what is in it is of no meaning. */
  take(byteLength: number): Uint8Array<ArrayBuffer> {
    if (byteLength > this.#piece.byteLength - this.#taken) {
      this.#piece = new ArrayBuffer(pieceByteLength)
      this.#taken = 0
    }
    const bytes = new Uint8Array(this.#piece, this.#taken, byteLength)
    this.#taken += byteLength
    return bytes
  }
}
