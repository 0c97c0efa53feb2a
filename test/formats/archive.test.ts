import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32, deflateRawSync, gzipSync } from 'node:zlib'
import t from 'tap'
import {
  type ArchiveLimits,
  byteSourceOf,
  type OutputFile,
  openArchive,
  openTar,
  openZip,
  writeTar,
} from '../../formats/index.ts'
import type { FileSet } from '../../tensor/index.ts'
import { bytesOfChunks, refusalOf, tools } from '../helper/tools.ts'

const text = (value: string) => new TextEncoder().encode(value)

function outputFile(name: string, bytes: Uint8Array): OutputFile {
  return {
    name,
    byteLength: bytes.byteLength,
    async *chunks() {
      yield bytes
    },
  }
}

async function tarOf(files: Readonly<Record<string, Uint8Array>>): Promise<Uint8Array> {
  const outputs = Object.entries(files).map(([name, bytes]) => outputFile(name, bytes))
  return bytesOfChunks(writeTar(outputs).chunks())
}

async function contentsOf(files: FileSet): Promise<Record<string, string>> {
  const contents: Record<string, string> = {}
  for (const name of files.names) {
    const source = files.open(name)
    contents[name] = Buffer.from(await source.read(0, source.byteLength)).toString()
  }
  return contents
}

async function read(bytes: Uint8Array, limits?: ArchiveLimits): Promise<Record<string, string>> {
  return contentsOf(await openArchive(byteSourceOf(bytes), tools, limits))
}

async function reasonOf(bytes: Uint8Array, limits?: ArchiveLimits): Promise<string> {
  return (await refusalOf(() => read(bytes, limits))).reason.replace('archive/', '')
}

const long = `${'folder/'.repeat(30)}é`

t.test('tar: what is written is read back, long names too, gzipped or not', async (t) => {
  const files = { a: text('1'), 'b/c': text('x'.repeat(513)), [long]: text(''), d: text('4') }
  const bytes = await tarOf(files)
  t.equal(bytes.byteLength % 512, 0)
  const wanted = { a: '1', 'b/c': 'x'.repeat(513), [long]: '', d: '4' }
  t.strictSame(await read(bytes), wanted)
  t.strictSame(await read(gzipSync(bytes)), wanted)
  const outputs = Object.entries(files).map(([name, body]) => outputFile(name, body))
  t.equal(writeTar(outputs).byteLength, bytes.byteLength)
})

t.test('tar: the system tar reads ours, and we read its, in every format', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'archive-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const tar = await tarOf({ 'b/c': text('hello'), [long]: text('deep') })
  execFileSync('tar', ['-xf', '-', '-C', folder], { input: tar })
  for (const format of ['gnu', 'ustar', 'pax', 'v7']) {
    const members = format === 'v7' ? ['./b'] : ['.']
    const args = ['-C', folder, `--format=${format}`, '-cf', '-', ...members]
    const read = await contentsOf(await openTar(byteSourceOf(execFileSync('tar', args))))
    t.equal(read['b/c'], 'hello', format)
    if (format !== 'v7') t.equal(read[long], 'deep', format)
  }
})

/** A tar header as given, its checksum right. */
function tarHeader(name: string, size: number, type: string, magic = 'ustar\u000000'): Uint8Array {
  const block = new Uint8Array(512)
  block.set(text(name).subarray(0, 100))
  block.set(text('0000644\0'), 100)
  block.set(text(size.toString(8).padStart(11, '0')), 124)
  block.set(text('        '), 148)
  block.set(text(type), 156)
  block.set(text(magic), 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.set(text(`${sum.toString(8).padStart(6, '0')}\0 `), 148)
  return block
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

const end = new Uint8Array(1024)

t.test('35: tar members that are no plain files, or have such names, are refused', async (t) => {
  for (const type of ['1', '2', '3', '4', '6', 'S', 'V', 'D']) {
    t.equal(await reasonOf(joined(tarHeader('a', 0, type), end)), 'unsupported-member', type)
  }
  for (const name of ['../a', '/a', 'a/../b', 'a\\b', 'C:a', 'a//b', '..', 'a/./b']) {
    t.equal(await reasonOf(joined(tarHeader(name, 0, '0'), end)), 'bad-name', name)
  }
  const twice = joined(tarHeader('a', 0, '0'), tarHeader('./a', 0, '0'), end)
  t.equal(await reasonOf(twice), 'duplicate-name')
  t.strictSame(await read(joined(tarHeader('d/', 0, '5'), tarHeader('./d/a', 0, '0'), end)), {
    'd/a': '',
  })
  const proto = await openTar(byteSourceOf(joined(tarHeader('__proto__', 0, '0'), end)))
  t.strictSame(proto.names, ['__proto__'])
  const sparse = text('26 GNU.sparse.major=1\n'.replace('26', '22'))
  const pax = joined(
    tarHeader('p', sparse.byteLength, 'x'),
    sparse,
    new Uint8Array(512 - sparse.byteLength),
  )
  t.equal(await reasonOf(joined(pax, tarHeader('a', 0, '0'), end)), 'unsupported-member')
  const broken = text('99 path=x\n')
  const bad = joined(
    tarHeader('p', broken.byteLength, 'x'),
    broken,
    new Uint8Array(512 - broken.byteLength),
  )
  t.equal(await reasonOf(joined(bad, tarHeader('a', 0, '0'), end)), 'bad-header')
})

t.test('35: a tar cut before its end mark, or going on after it, is refused', async (t) => {
  const bytes = await tarOf({ a: text('1'), b: text('2') })
  const reasons = new Set<string>()
  for (let length = 600; length < bytes.byteLength; length += 7) {
    reasons.add(await reasonOf(bytes.subarray(0, length)))
  }
  t.strictSame([...reasons], ['truncated'])
  t.equal(await reasonOf(joined(bytes, Uint8Array.of(1))), 'trailing-bytes')
  const flipped = bytes.slice()
  flipped[3] ^= 1
  t.equal(await reasonOf(flipped), 'bad-header')
  const huge = tarHeader('a', 0, '0')
  huge.set(Uint8Array.of(0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255), 124)
  t.equal(await reasonOf(joined(huge, end)), 'bad-header')
})

t.test('35: gzip whose trailer lies, or with a second member, is refused', async (t) => {
  const packed = gzipSync(await tarOf({ a: text('1') }))
  for (const at of [packed.byteLength - 1, packed.byteLength - 5]) {
    const lying = Uint8Array.from(packed)
    lying[at] ^= 1
    t.equal(await reasonOf(lying), 'crc-mismatch')
  }
  t.equal(await reasonOf(joined(packed, packed)), 'bad-compression')
  const codes = new Set<string>()
  for (let length = 2; length < packed.byteLength; length++) {
    codes.add((await refusalOf(() => read(packed.subarray(0, length)))).code)
  }
  t.strictSame([...codes], ['DATA_LOSS'])
})

t.test('a bomb of zeros, and too many members, are refused', async (t) => {
  const bomb = gzipSync(await tarOf({ a: new Uint8Array(5_000_000) }))
  t.equal(await reasonOf(bomb, { maxUnpackedBytes: 1_000_000 }), 'too-large')
  const zipped = zipOf([{ name: 'a', body: new Uint8Array(5_000_000) }])
  t.equal(await reasonOf(zipped, { maxUnpackedBytes: 1_000_000 }), 'too-large')
  const many = zipOf([{ name: 'a' }, { name: 'b' }])
  t.equal(await reasonOf(many, { maxMembers: 1 }), 'too-large')
  t.equal(await reasonOf(await tarOf({ a: end, b: end }), { maxMembers: 1 }), 'too-large')
})

interface ZipMember {
  readonly name: string
  readonly body?: Uint8Array
  readonly isStored?: boolean
  readonly flags?: number
  readonly method?: number
  readonly mode?: number
  readonly crc?: number
  readonly length?: number
  readonly localName?: string
  readonly offset?: number
}

function fields(...values: readonly (readonly [number, 2 | 4])[]): Uint8Array {
  const bytes: number[] = []
  for (const [value, width] of values) {
    for (let byte = 0; byte < width; byte++) bytes.push(Math.floor(value / 256 ** byte) % 256)
  }
  return Uint8Array.from(bytes)
}

/** A zip file, with whatever a member says wrongly. */
function zipOf(members: readonly ZipMember[]): Uint8Array {
  const parts: Uint8Array[] = []
  const directory: Uint8Array[] = []
  let offset = 0
  for (const member of members) {
    const body = member.body ?? text('hello hello hello')
    const packed = member.isStored ? body : new Uint8Array(deflateRawSync(body))
    const common = fields(
      [20, 2],
      [member.flags ?? 0, 2],
      [member.method ?? (member.isStored ? 0 : 8), 2],
      [0, 4],
      [member.crc ?? crc32(body), 4],
      [packed.byteLength, 4],
      [member.length ?? body.byteLength, 4],
    )
    const name = text(member.name)
    const localName = text(member.localName ?? member.name)
    const local = joined(
      fields([0x04034b50, 4]),
      common,
      fields([localName.byteLength, 2], [0, 2]),
      localName,
      packed,
    )
    directory.push(
      joined(
        fields([0x02014b50, 4], [0x0314, 2]),
        common,
        fields([name.byteLength, 2], [0, 2], [0, 2], [0, 2], [0, 2]),
        fields([(member.mode ?? 0o100644) * 65_536, 4], [member.offset ?? offset, 4]),
        name,
      ),
    )
    parts.push(local)
    offset += local.byteLength
  }
  const central = joined(...directory)
  const count = members.length
  const tail = fields(
    [0x06054b50, 4],
    [0, 4],
    [count, 2],
    [count, 2],
    [central.byteLength, 4],
    [offset, 4],
    [0, 2],
  )
  return joined(...parts, central, tail)
}

t.test('zip: stored and deflated members are read', async (t) => {
  const bytes = zipOf([
    { name: 'a/b', body: text('stored'), isStored: true },
    { name: 'c', body: text('deflated '.repeat(100)) },
    { name: 'folder/', body: new Uint8Array(), isStored: true },
    { name: 'empty', body: new Uint8Array() },
  ])
  const wanted = { 'a/b': 'stored', c: 'deflated '.repeat(100), empty: '' }
  t.strictSame(await read(bytes), wanted)
})

t.test('34: members that lie, hide or climb are refused', async (t) => {
  const cases: readonly [ZipMember, string][] = [
    [{ name: '../a' }, 'bad-name'],
    [{ name: '/a' }, 'bad-name'],
    [{ name: 'a\\b' }, 'bad-name'],
    [{ name: 'a', flags: 1 }, 'unsupported-member'],
    [{ name: 'a', method: 12 }, 'unsupported-member'],
    [{ name: 'a', mode: 0o120777 }, 'unsupported-member'],
    [{ name: 'a', localName: 'b' }, 'bad-header'],
    [{ name: 'a', offset: 5 }, 'bad-header'],
    [{ name: 'a', length: 0xffffffff }, 'bad-header'],
    [{ name: 'a', length: 1_000_000 }, 'bad-header'],
    [{ name: 'a', length: 18 }, 'crc-mismatch'],
    [{ name: 'a', length: 16 }, 'too-large'],
    [{ name: 'a', crc: 1 }, 'crc-mismatch'],
    [{ name: 'a', crc: 1, isStored: true }, 'crc-mismatch'],
    [{ name: 'a', length: 3, isStored: true }, 'bad-header'],
  ]
  for (const [member, wanted] of cases) {
    t.equal(await reasonOf(zipOf([member])), wanted, JSON.stringify(member))
  }
  t.equal(await reasonOf(zipOf([{ name: 'a' }, { name: 'a' }])), 'duplicate-name')
  t.equal(await reasonOf(zipOf([{ name: 'a' }, { name: 'a', offset: 0 }])), 'overlap')
})

t.test('34: a zip cut or changed anywhere is refused, or read as it was', async (t) => {
  const bytes = zipOf([
    { name: 'a', body: text('one') },
    { name: 'b', body: text('two'), isStored: true },
  ])
  const wanted = await read(bytes)
  for (let length = 1; length < bytes.byteLength; length++) {
    await refusalOf(() => read(bytes.subarray(0, length)))
  }
  let refused = 0
  for (let bit = 0; bit < 8 * bytes.byteLength; bit++) {
    const flipped = bytes.slice()
    flipped[bit >> 3] ^= 1 << (bit & 7)
    try {
      const found = await read(flipped)
      if (Object.values(found).join() !== Object.values(wanted).join()) t.fail(`bit ${bit}`)
    } catch (error) {
      if (!(error instanceof Error && error.name === 'Refusal')) throw error
      refused++
    }
  }
  t.ok(refused > 4 * bytes.byteLength, `${refused} refused`)
})

t.test('zip64 fields are read, and refused where they lie', async (t) => {
  const member = zipOf([{ name: 'a', body: text('x'), isStored: true }]).subarray(0, 32)
  const name = text('a')
  const crc = crc32(text('x'))
  const build = (length: number, count: number) => {
    const extra = fields([1, 2], [24, 2], [length, 4], [0, 4], [1, 4], [0, 4], [0, 4], [0, 4])
    const central = joined(
      fields([0x02014b50, 4], [45, 2], [20, 2], [0, 2], [0, 2], [0, 4], [crc, 4]),
      fields(
        [0xffffffff, 4],
        [0xffffffff, 4],
        [1, 2],
        [extra.byteLength, 2],
        [0, 2],
        [0, 2],
        [0, 2],
      ),
      fields([0, 4], [0xffffffff, 4]),
      name,
      extra,
    )
    const end64 = joined(
      fields([0x06064b50, 4], [44, 4], [0, 4], [45, 2], [45, 2], [0, 4], [0, 4]),
      fields(
        [count, 4],
        [0, 4],
        [count, 4],
        [0, 4],
        [central.byteLength, 4],
        [0, 4],
        [32, 4],
        [0, 4],
      ),
    )
    const at = 32 + central.byteLength
    const locator = fields([0x07064b50, 4], [0, 4], [at, 4], [0, 4], [1, 4])
    const tail = fields(
      [0x06054b50, 4],
      [0, 4],
      [0xffff, 2],
      [0xffff, 2],
      [0xffffffff, 4],
      [0xffffffff, 4],
      [0, 2],
    )
    return joined(member, central, end64, locator, tail)
  }
  const files = await openZip(byteSourceOf(build(1, 1)), tools)
  t.strictSame(await contentsOf(files), { a: 'x' })
  t.equal(await reasonOf(build(2, 1)), 'bad-header')
  t.equal(await reasonOf(build(1, 2)), 'bad-header')
  t.equal(await reasonOf(build(1, 2 ** 31)), 'too-large')
})

t.test('bytes that are no archive are told apart', async (t) => {
  t.equal(await reasonOf(text('hello')), 'unknown-kind')
  t.equal(await reasonOf(new Uint8Array()), 'unknown-kind')
  t.equal(await reasonOf(new Uint8Array(2000).fill(7)), 'bad-header')
})
