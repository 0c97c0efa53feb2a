// Ops on strings.
import t from 'tap'
import { stringTensor } from '../../../tensor/index.ts'
import { floats, ints, numbers, outputsOf, texts, valuesOf, withEngine } from './bench.ts'

t.test('ops on strings', (t) =>
  withEngine('reference', async (open) => {
    const of = async (
      op: string,
      inputs: Parameters<typeof outputsOf>[2],
      attributes: Parameters<typeof outputsOf>[3] = {},
    ): Promise<unknown> => valuesOf((await outputsOf(open, op, inputs, attributes))[0])

    await t.test('joining takes scalars for every element', async (t) => {
      const parts = [texts([2], ['a', 'b']), texts([], ['-'])]
      t.same(await of('StringJoin', parts, { N: 2, separator: '/' }), ['a/-', 'b/-'])
      await t.rejects(of('StringJoin', [parts[0], texts([3], ['', '', ''])], { N: 2 }), {
        code: 'INVALID_ARGUMENT',
      })
    })

    await t.test('length counts bytes or characters', async (t) => {
      const input = [texts([3], ['wörld', '', '日本'])]
      t.same(await of('StringLength', input), [6, 0, 6])
      t.same(await of('StringLength', input, { unit: 'UTF8_CHAR' }), [5, 0, 2])
    })

    await t.test('case changes in ASCII alone unless the encoding says UTF-8', async (t) => {
      const input = [texts([1], ['aÖZ'])]
      t.same(await of('StringLower', input), ['aÖz'])
      t.same(await of('StringLower', input, { encoding: 'utf-8' }), ['aöz'])
      t.same(await of('StringUpper', [texts([1], ['aö'])], { encoding: 'utf-8' }), ['AÖ'])
      await t.rejects(of('StringUpper', input, { encoding: 'latin-1' }), {
        code: 'INVALID_ARGUMENT',
      })
    })

    await t.test('parts of strings, from either end, in bytes or characters', async (t) => {
      const type = { T: { type: 'int32' } } as const
      const cut = (text: string, pos: number, len: number, more = {}): Promise<unknown> =>
        of('Substr', [texts([1], [text]), ints([1], [pos]), ints([1], [len])], { ...type, ...more })
      t.same(await cut('hello', 1, 3), ['ell'])
      t.same(await cut('hello', -2, 9), ['lo'])
      t.same(await cut('wörld', 1, 2, { unit: 'UTF8_CHAR' }), ['ör'])
      t.same(await cut('abc', 3, 1), [''])
      await t.rejects(cut('abc', 4, 1), { message: /^pos 4 out of range for string b'abc'/ })
    })

    await t.test('splitting at a separator, at white space, at any of several bytes', async (t) => {
      const split = async (
        op: string,
        rows: string[],
        sep: string,
        more = {},
      ): Promise<unknown[]> => {
        const inputs = [texts([rows.length], rows), texts([], [sep])]
        const outputs = await outputsOf(open, op, inputs, more, 3)
        return [valuesOf(outputs[1]), valuesOf(outputs[2]).map(Number)]
      }
      t.same(await split('StringSplitV2', ['a,,b', ''], ','), [
        ['a', '', 'b', ''],
        [2, 3],
      ])
      t.same(await split('StringSplitV2', [' a  b '], ''), [
        ['a', 'b'],
        [1, 2],
      ])
      t.same(await split('StringSplitV2', [' a  b c '], '', { maxsplit: 1 }), [
        ['a', 'b c'],
        [1, 2],
      ])
      t.same(await split('StringSplitV2', ['a<>b<>c'], '<>', { maxsplit: 1 }), [
        ['a', 'b<>c'],
        [1, 2],
      ])
      t.same(await split('StringSplit', ['a,b c,'], ', '), [
        ['a', 'b', 'c'],
        [1, 3],
      ])
      t.same(await split('StringSplit', ['a,,'], ',', { skip_empty: false }), [
        ['a', '', ''],
        [1, 3],
      ])
      t.same(await split('StringSplit', ['ab', ''], ''), [
        ['a', 'b'],
        [2, 2],
      ])
      t.same(await split('StringSplitV2', [], ','), [[], [0, 0]])
    })

    await t.test('joins along axes go in the order of the axes', async (t) => {
      const grid = texts([2, 2], ['a', 'b', 'c', 'd'])
      t.same(await of('ReduceJoin', [grid, ints([1], [0])]), ['ac', 'bd'])
      t.same(await of('ReduceJoin', [grid, ints([2], [0, 1])]), ['abcd'])
      t.same(await of('ReduceJoin', [grid, ints([2], [1, 0])], { separator: '.' }), ['a.c.b.d'])
      const ids = [texts([3], ['x', 'y', 'z']), ints([3], [1, -1, 1]), ints([], [2])]
      const types = { Tindices: { type: 'int32' } } as const
      t.same(await of('UnsortedSegmentJoin', ids, { ...types, separator: '+' }), ['', 'x+z'])
    })

    await t.test('a rewrite puts groups in, also where nothing is matched', async (t) => {
      const replace = (
        text: string,
        pattern: string,
        rewrite: string,
        more = {},
      ): Promise<unknown> =>
        of('StaticRegexReplace', [texts([1], [text])], { pattern, rewrite, ...more })
      t.same(await replace('abc', 'x*', '-'), ['-a-b-c-'])
      t.same(await replace('a1b22', '([a-z])(\\d+)', '\\2\\1\\\\'), ['1a\\22b\\'])
      t.same(await replace('aab', 'a', 'x', { replace_global: false }), ['xab'])
      t.same(await replace('aab', 'a', '\\1'), ['aab'])
      t.same(await replace('wörld', '.', '<\\0>'), ['<w><ö><r><l><d>'])
      await t.rejects(replace('a', '(', ''), { message: /^Invalid pattern: \(, error: / })
      const given = [texts([2], ['ab', 'abc']), texts([], ['a.'])]
      t.same(await of('RegexFullMatch', given), [true, false])
      t.same(await of('RegexReplace', [...given, texts([], ['_'])]), ['_', '_c'])
    })

    await t.test('buckets and fingerprints', async (t) => {
      t.same(await of('StringToHashBucketFast', [texts([1], ['hello'])], { num_buckets: 1000 }), [
        296n,
      ])
      const [prints] = await outputsOf(
        open,
        'Fingerprint',
        [texts([1], ['hello']), texts([], ['farmhash64'])],
        { T: { type: 'string' } },
      )
      t.same(prints.shape, [1, 8])
      t.equal(
        Buffer.from((prints as { bytes: Uint8Array }).bytes).readBigUInt64LE(),
        13009744463427800296n,
      )
      await t.rejects(of('StringToHashBucketFast', [texts([0], [])], { num_buckets: 0 }), {
        code: 'INVALID_ARGUMENT',
      })
    })

    await t.test('base 64 for URLs and back', async (t) => {
      const odd = stringTensor([1], [Uint8Array.of(0xff, 0xfe, 0xfb, 0x01)])
      t.same(await of('EncodeBase64', [odd], { pad: true }), ['__77AQ=='])
      const [back] = await outputsOf(open, 'DecodeBase64', [texts([2], ['__77AQ==', '__77AQ'])])
      t.same(
        (back as typeof odd).strings.map((one) => [...one]),
        [
          [255, 254, 251, 1],
          [255, 254, 251, 1],
        ],
      )
      await t.rejects(of('DecodeBase64', [texts([1], ['a+b/'])]), { code: 'INVALID_ARGUMENT' })
    })

    await t.test('numbers as text and back', async (t) => {
      const wide = { out_type: { type: 'int64' } } as const
      t.same(await of('StringToNumber', [texts([2], ['-9223372036854775808', ' 7 '])], wide), [
        -(2n ** 63n),
        7n,
      ])
      const narrow = { out_type: { type: 'int32' } } as const
      await t.rejects(of('StringToNumber', [texts([1], ['2147483648'])], narrow), {
        message: /^StringToNumberOp could not correctly convert string: 2147483648/,
      })
      await t.rejects(of('StringToNumber', [texts([1], ['1.5'])], narrow), {
        code: 'INVALID_ARGUMENT',
      })
      const complex = numbers('complex64', [1], [[1, -2]])
      t.same(await of('AsString', [complex], { T: { type: 'complex64' }, precision: 1 }), [
        '(1.0,-2.0)',
      ])
      const float = { T: { type: 'float32' } } as const
      t.same(await of('AsString', [floats([2], [0.1, 1e10])], { ...float, shortest: true }), [
        '0.1',
        '1e+10',
      ])
      t.same(await of('AsString', [texts([1], ['ab'])], { T: { type: 'string' }, width: 4 }), [
        '  ab',
      ])
      await t.rejects(of('AsString', [ints([1], [1])], { T: { type: 'int32' }, precision: 2 }), {
        code: 'INVALID_ARGUMENT',
      })
    })

    await t.test('raw bytes become numbers of either order, of one length only', async (t) => {
      const raw = stringTensor([1], [Uint8Array.of(1, 2, 3, 4)])
      const short = { out_type: { type: 'int16' } } as const
      t.same(await of('DecodeRaw', [raw], short), [0x0201, 0x0403])
      t.same(await of('DecodeRaw', [raw], { ...short, little_endian: false }), [0x0102, 0x0304])
      await t.rejects(of('DecodeRaw', [texts([1], ['abc'])], short), {
        message: /^Input to DecodeRaw has length 3 that is not a multiple of 2/,
      })
      await t.rejects(of('DecodeRaw', [texts([2], ['ab', 'abcd'])], short), {
        message: /^DecodeRaw requires input strings to all be the same size/,
      })
      t.same(await of('DecodePaddedRaw', [raw, ints([], [6])], short), [0x0201, 0x0403, 0])
    })

    await t.test('a tensor serialized is itself again', async (t) => {
      const float = { T: { type: 'float32' } } as const
      const [text] = await outputsOf(open, 'SerializeTensor', [floats([1, 2], [1, 2])], float)
      const [back] = await outputsOf(open, 'ParseTensor', [text], { out_type: { type: 'float32' } })
      t.same(back.shape, [1, 2])
      t.same(valuesOf(back), [1, 2])
      await t.rejects(of('ParseTensor', [text], { out_type: { type: 'int32' } }), {
        code: 'INVALID_ARGUMENT',
      })
      await t.rejects(of('ParseTensor', [texts([], ['\u0001'])], { out_type: { type: 'int32' } }), {
        code: 'INVALID_ARGUMENT',
      })
    })
  }),
)
