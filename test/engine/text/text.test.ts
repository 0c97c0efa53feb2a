// Fingerprints, printf's numbers, and code points.
import t from 'tap'
import {
  codesOf,
  fingerprint64,
  formatFloat,
  formatWhole,
  hash64,
  invalidByte,
  parseFloatText,
  sipHash,
} from '../../../engine/text/index.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

t.test('fingerprints are those of FarmHash, for every length of its five ways', async (t) => {
  // BigQuery's FARM_FINGERPRINT of that many letters a, signed.
  const signed = (count: number): bigint =>
    BigInt.asIntN(64, fingerprint64(bytes('a'.repeat(count))))
  t.equal(signed(126), 6261940804893177895n)
  t.equal(signed(127), 7531535164187061522n)
  t.equal(signed(128), -4747627967806356490n)
  t.equal(signed(129), -266561011801984384n)
  t.equal(signed(130), 7135893960687184995n)
  t.equal(fingerprint64(bytes('')), 0x9ae16a3b2f90404fn)
  t.equal(fingerprint64(bytes('foo')), 6150913649986995171n)
  t.equal(fingerprint64(bytes('hello')), 13009744463427800296n)
  t.equal(fingerprint64(bytes('a'.repeat(20))), 15065261471293997870n)
  t.equal(fingerprint64(bytes('a'.repeat(40))), 2168401864796137711n)
  t.equal(fingerprint64(bytes('a'.repeat(200))), 14721331430260164897n)
})

t.test('SipHash gives the vector of its paper', async (t) => {
  const key = [0x0706050403020100n, 0x0f0e0d0c0b0a0908n] as const
  const message = Uint8Array.from({ length: 15 }, (_, place) => place)
  t.equal(sipHash(message, key), 0xa129ca6149be45e5n)
})

t.test('hashes look at every byte', async (t) => {
  const seen = new Set<bigint>()
  for (let length = 1; length < 20; length++) {
    for (let place = 0; place < length; place++) {
      const one = new Uint8Array(length)
      one[place] = 1
      seen.add(hash64(one))
      seen.add(fingerprint64(one))
    }
  }
  t.equal(seen.size, (2 * (19 * 20)) / 2)
})

t.test('floats are written exactly, a tie to even', async (t) => {
  const plain = { flag: '', width: -1 }
  t.equal(formatFloat(0.125, 'f', 2, plain), '0.12')
  t.equal(formatFloat(0.375, 'f', 2, plain), '0.38')
  t.equal(formatFloat(2.5, 'f', 0, plain), '2')
  t.equal(formatFloat(-1e22, 'f', -1, plain), '-10000000000000000000000.000000')
  t.equal(formatFloat(9.9996, 'e', 3, plain), '1.000e+01')
  t.equal(formatFloat(5e-324, 'e', 3, plain), '4.941e-324')
  t.equal(formatFloat(100000, 'g', -1, plain), '100000')
  t.equal(formatFloat(1e6, 'g', -1, plain), '1e+06')
  t.equal(formatFloat(0.0001, 'g', -1, plain), '0.0001')
  t.equal(formatFloat(0, 'g', -1, plain), '0')
  t.equal(formatFloat(Number.NaN, 'f', -1, { flag: '0', width: 6 }), '   nan')
  t.equal(formatFloat(-1.5, 'f', 1, { flag: '0', width: 7 }), '-0001.5')
  t.equal(formatFloat(1.5, 'f', 1, { flag: '-', width: 6 }), '1.5   ')
  t.equal(formatWhole(-7n, { flag: '0', width: 4 }), '-007')
  t.equal(formatWhole(7n, { flag: '+', width: 4 }), '  +7')
})

t.test('texts of numbers are read whole or not at all', async (t) => {
  t.equal(parseFloatText(' -2e3\n'), -2000)
  t.equal(parseFloatText('0x1F'), 31)
  t.equal(parseFloatText('-Infinity'), Number.NEGATIVE_INFINITY)
  t.ok(Number.isNaN(parseFloatText('NaN')))
  for (const text of ['', ' ', '1.5x', '1e', '.', '--1', '1 2', '0x']) {
    t.equal(parseFloatText(text), undefined, JSON.stringify(text))
  }
})

t.test('code points, and bytes that are none, begin where their bytes do', async (t) => {
  const odd = Uint8Array.of(
    0x61,
    0xc0,
    0x80,
    0xe2,
    0x82,
    0xac,
    0xed,
    0xa0,
    0x80,
    0xf0,
    0x9f,
    0x98,
    0x80,
    0xe2,
  )
  const { codes, offsets } = codesOf(odd)
  t.same(
    [...codes],
    [
      0x61,
      invalidByte + 0xc0,
      invalidByte + 0x80,
      0x20ac,
      invalidByte + 0xed,
      invalidByte + 0xa0,
      invalidByte + 0x80,
      0x1f600,
      invalidByte + 0xe2,
    ],
  )
  t.equal(offsets[3], 3)
  t.equal(offsets[codes.length], odd.length)
})
