// Base64 as RFC 4648 has it, strict: padded, no line breaks. The URL-safe alphabet is read too.

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const codes = Uint8Array.from(alphabet, (letter) => letter.charCodeAt(0))
const values = new Uint8Array(128).fill(0xff)
for (let value = 0; value < 64; value++) values[codes[value]] = value
values['-'.charCodeAt(0)] = 62
values['_'.charCodeAt(0)] = 63

const asciiDecoder = new TextDecoder('latin1')

/** The base64 text of `bytes`, padded. */
export function base64OfBytes(bytes: Uint8Array): string {
  const text = new Uint8Array(4 * Math.ceil(bytes.byteLength / 3)).fill('='.charCodeAt(0))
  const whole = bytes.byteLength - (bytes.byteLength % 3)
  let out = 0
  for (let at = 0; at < whole; at += 3) {
    const group = (bytes[at] << 16) | (bytes[at + 1] << 8) | bytes[at + 2]
    text[out++] = codes[group >>> 18]
    text[out++] = codes[(group >>> 12) & 63]
    text[out++] = codes[(group >>> 6) & 63]
    text[out++] = codes[group & 63]
  }
  const rest = bytes.byteLength - whole
  if (rest > 0) {
    const group = (bytes[whole] << 16) | ((rest === 2 ? bytes[whole + 1] : 0) << 8)
    text[out++] = codes[group >>> 18]
    text[out++] = codes[(group >>> 12) & 63]
    if (rest === 2) text[out] = codes[(group >>> 6) & 63]
  }
  return asciiDecoder.decode(text)
}

/** The bytes of base64 text, or undefined where it is not base64. Padding may be left out. */
export function bytesOfBase64(text: string): Uint8Array | undefined {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const length = text.length - padding
  if (padding > 0 && text.length % 4 !== 0) return undefined
  if (length % 4 === 1) return undefined
  const bytes = new Uint8Array(Math.floor((length * 3) / 4))
  let bits = 0
  let held = 0
  let out = 0
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at)
    const value = code < 128 ? values[code] : 0xff
    if (value === 0xff) return undefined
    held = ((held << 6) | value) & 0xffffff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes[out++] = (held >>> bits) & 0xff
    }
  }
  return (held & ((1 << bits) - 1)) === 0 ? bytes : undefined
}
