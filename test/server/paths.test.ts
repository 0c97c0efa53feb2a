import t from 'tap'
import { chooseType } from '../../server/negotiate.ts'
import { encodeNameSlashes } from '../../server/paths.ts'
import { parseRange } from '../../server/range.ts'
import { refused } from '../helper/refused.ts'

t.test('slashes of a name are encoded, and nothing else is touched', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['/v1/variables/a/b:assign?x=/y', '/v1/variables/a%2Fb:assign?x=/y'],
    ['/v1/variables/a/b/c', '/v1/variables/a%2Fb%2Fc'],
    ['/v1/variables/a:assign', '/v1/variables/a:assign'],
    ['/v1/variables/a%2Fb/c:assign', '/v1/variables/a%2Fb%2Fc:assign'],
    ['/v1/variables:read_values?names=a/b', '/v1/variables:read_values?names=a/b'],
    ['/v1/variables?prefix=a/b', '/v1/variables?prefix=a/b'],
    ['/v1/containers/models/m/1', '/v1/containers/models%2Fm%2F1'],
    ['/v1/checkpoints/3/tensors/a/b?c=/', '/v1/checkpoints/3/tensors/a%2Fb?c=/'],
    ['/v1/checkpoints/3/labels/best', '/v1/checkpoints/3/labels/best'],
    ['/v1/checkpoints/3/labels/a/b', '/v1/checkpoints/3/labels/a%2Fb'],
    ['/v1/checkpoints/labels/a/b:rollback', '/v1/checkpoints/labels/a%2Fb:rollback'],
    ['/v1/models/m/versions/1:predict', '/v1/models/m/versions/1:predict'],
    ['/v1/devices/CPU:0:load', '/v1/devices/CPU%3A0:load'],
    ['/v1/devices//device:GPU:1:evict', '/v1/devices/%2Fdevice%3AGPU%3A1:evict'],
    ['/v1/variables/a:b:assign', '/v1/variables/a:b:assign'],
    ['/docs/static/x.js', '/docs/static/x.js'],
    ['/', '/'],
  ]
  for (const [given, wanted] of cases) t.equal(encodeNameSlashes(given), wanted)
})

t.test('the preferred offer is chosen, the first where nothing is preferred', async (t) => {
  const offers = ['application/json', 'application/x-npy', 'text/plain'] as const
  t.equal(chooseType(undefined, offers), 'application/json')
  t.equal(chooseType('*/*', offers), 'application/json')
  t.equal(chooseType('text/*', offers), 'text/plain')
  t.equal(chooseType('application/*;q=0.2, text/plain;q=0.1', offers), 'application/json')
  t.equal(chooseType('application/json;q=0, */*', offers), 'application/x-npy')
  t.equal(chooseType('APPLICATION/X-NPY', offers), 'application/x-npy')
  t.throws(() => chooseType('image/png', offers), refused({ reason: 'http/not-acceptable' }))
  t.throws(() => chooseType('*/*;q=0', offers), refused({ reason: 'http/not-acceptable' }))
})

t.test('one well-formed range is taken, others are as if none were asked for', async (t) => {
  t.same(parseRange('bytes=0-3', 10), { offset: 0, length: 4 })
  t.same(parseRange('bytes=7-', 10), { offset: 7, length: 3 })
  t.same(parseRange('bytes=-3', 10), { offset: 7, length: 3 })
  t.same(parseRange('bytes=-30', 10), { offset: 0, length: 10 })
  t.same(parseRange('bytes=8-99', 10), { offset: 8, length: 2 })
  for (const none of [
    undefined,
    'bytes=',
    'bytes=-',
    'bytes=5-2',
    'bytes=0-1,3-4',
    'lines=1-2',
    'bytes=a-b',
  ]) {
    t.equal(parseRange(none, 10), undefined)
  }
  for (const outside of ['bytes=10-', 'bytes=99-100', 'bytes=-0']) {
    t.throws(() => parseRange(outside, 10), refused({ reason: 'http/range' }))
  }
  t.throws(() => parseRange('bytes=0-', 0), refused({ reason: 'http/range' }))
})
