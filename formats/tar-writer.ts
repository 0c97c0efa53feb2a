// Writes tar, streamed: files of known lengths, pax headers where a name or a length needs one.
// Equal files give equal bytes: no owner, no time.
import { joinedOutputs, type OutputBytes, type OutputFile, outputOf } from './output.ts'
import { tarBlockLength } from './tar-reader.ts'

const longestName = 100
const largestSize = 8 ** 11 - 1
const encoder = new TextEncoder()

/** A tar archive of `files`, in their order. Names are taken as they are. */
export function writeTar(files: readonly OutputFile[]): OutputBytes {
  const parts = files.flatMap((file) => {
    const over = file.byteLength % tarBlockLength
    const padding = over === 0 ? [] : [outputOf(new Uint8Array(tarBlockLength - over))]
    return [outputOf(headOf(file)), file, ...padding]
  })
  return joinedOutputs([...parts, outputOf(new Uint8Array(2 * tarBlockLength))])
}

function headOf({ name, byteLength }: OutputFile): Uint8Array {
  const nameBytes = encoder.encode(name)
  const records: string[] = []
  if (nameBytes.byteLength > longestName) records.push(paxRecord('path', name))
  if (byteLength > largestSize) records.push(paxRecord('size', String(byteLength)))
  const short = nameBytes.subarray(0, longestName)
  const header = block(short, Math.min(byteLength, largestSize), '0')
  if (records.length === 0) return header
  const body = encoder.encode(records.join(''))
  const bodyLength = Math.ceil(body.byteLength / tarBlockLength) * tarBlockLength
  const head = new Uint8Array(2 * tarBlockLength + bodyLength)
  head.set(block(encoder.encode('pax_header'), body.byteLength, 'x'))
  head.set(body, tarBlockLength)
  head.set(header, tarBlockLength + bodyLength)
  return head
}

/** `<length> <key>=<value>\n`, where the length counts its own digits too. */
function paxRecord(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).byteLength
  let length = rest + String(rest).length
  length = rest + String(length).length
  return `${length} ${key}=${value}\n`
}

function block(name: Uint8Array, size: number, type: string): Uint8Array {
  const bytes = new Uint8Array(tarBlockLength)
  const put = (text: string, at: number) => bytes.set(encoder.encode(text), at)
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0')
  bytes.set(name)
  put(octal(0o644, 7), 100)
  put(octal(0, 7), 108)
  put(octal(0, 7), 116)
  put(octal(size, 11), 124)
  put(octal(0, 11), 136)
  put('        ', 148)
  put(type, 156)
  put('ustar\0', 257)
  put('00', 263)
  const sum = bytes.reduce((total, byte) => total + byte, 0)
  put(`${octal(sum, 6)}\0 `, 148)
  return bytes
}
