// Tables of one data block for tests, so that any byte of the block can be wrong.
import { maskCrc } from '../../formats/index.ts'
import { writeTable } from '../../formats/table-writer.ts'
import { tools } from '../helper/tools.ts'

/** A table of one data block with these bytes, its checksums right. */
export function plainTable(block: Uint8Array, kind = 0): Uint8Array {
  const real = writeTable([], tools)
  const index = (size: number) => [0, 1, 2, 0x62, 0, ...varint(size)]
  const restarts = [0, 0, 0, 0, 1, 0, 0, 0]
  const blocks = [
    { bytes: [...block], kind },
    { bytes: restarts, kind: 0 },
    { bytes: [...index(block.byteLength), ...restarts], kind: 0 },
  ]
  const file: number[] = []
  const handles = blocks.map(({ bytes, kind: type }) => {
    const handle = [...varint(file.length), ...varint(bytes.length)]
    const crc = maskCrc(tools.crc32c(Uint8Array.from([...bytes, type])))
    file.push(...bytes, type, ...new Uint8Array(Uint32Array.of(crc).buffer))
    return handle
  })
  const footer = [...handles[1], ...handles[2]]
  while (footer.length < 40) footer.push(0)
  return Uint8Array.from([...file, ...footer, ...real.subarray(-8)])
}

/** The bytes of a varint. */
export function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest]
    bytes.push((rest % 128) | 0x80)
  }
}
