import fc from 'fast-check'
import t from 'tap'
import {
  type DeviceScope,
  deviceOfOperation,
  formatDevice,
  mergeDeviceTexts,
  parseDevice,
  replicaDeviceSetter,
} from '../../../graph/index.ts'

const canonical = (text: string): string => formatDevice(parseDevice(text))
const place = (scopes: readonly DeviceScope[], type = 'VarHandleOp', device = ''): string =>
  deviceOfOperation(scopes, { type, name: 'v', device })

t.test('a device is written in canonical order, its index or a star at the end', async (t) => {
  t.equal(canonical(''), '')
  t.equal(canonical('/replica:1/task:0/cpu:0'), '/replica:1/task:0/device:CPU:0')
  t.equal(canonical('/cpu:0/job:a'), '/job:a/device:CPU:0')
  t.equal(canonical('/gpu'), '/device:GPU:*')
  t.equal(canonical('/gpu:*'), '/device:GPU:*')
  t.equal(canonical('/device:gpu:3'), '/device:GPU:3')
  t.equal(canonical('device:Foo:3'), '/device:Foo:3')
  t.equal(canonical('/TpU:1'), '/device:TPU:1')
  t.equal(canonical('/job:a/replica:012/task:3'), '/job:a/replica:12/task:3')
})

t.test('a device that TensorFlow refuses is refused in its words', async (t) => {
  const refusals: readonly (readonly [string, string])[] = [
    ['/gpu:x', "invalid literal for int() with base 10: 'x'"],
    ['/device:GPU:x', "invalid literal for int() with base 10: 'x'"],
    ['/task:', "invalid literal for int() with base 10: ''"],
    ["/replica:it's", 'invalid literal for int() with base 10: "it\'s"'],
    [
      '/job:muu/device:GPU:2/cpu:0',
      'Multiple device types are not allowed while parsing the device spec: /job:muu/device:GPU:2/cpu:0.',
    ],
    [
      '/barcpugpu:muu/baz:2',
      "Unknown attribute 'barcpugpu' is encountered while parsing the device spec: '/barcpugpu:muu/baz:2'.",
    ],
    [
      '/device:GPU',
      "Unknown attribute 'device' is encountered while parsing the device spec: '/device:GPU'.",
    ],
    [
      '/job:a:b',
      "Unknown attribute 'job' is encountered while parsing the device spec: '/job:a:b'.",
    ],
    [
      '/task:x/what:1',
      "Unknown attribute 'what' is encountered while parsing the device spec: '/task:x/what:1'.",
    ],
  ]
  for (const [device, message] of refusals) {
    const wanted = { code: 'INVALID_ARGUMENT', reason: 'device/invalid', message }
    t.throws(() => parseDevice(device), wanted, device)
  }
})

t.test('merging fills what the inner device leaves open, type and index apart', async (t) => {
  t.equal(mergeDeviceTexts('/cpu:0', '/job:ps/task:1'), '/job:ps/task:1/device:CPU:0')
  t.equal(mergeDeviceTexts('/gpu:2', '/gpu:0'), '/device:GPU:2')
  t.equal(mergeDeviceTexts('/cpu', '/gpu:2'), '/device:CPU:2')
  t.equal(mergeDeviceTexts('/job:a', '/job:b/task:1'), '/job:a/task:1')
})

t.test(
  'the canonical text of a device parses to itself, and merging with itself changes nothing',
  async () => {
    const field = fc.constantFrom(
      'job:a',
      'job:b',
      'replica:1',
      'task:0',
      'cpu',
      'gpu:2',
      'device:TPU:*',
    )
    fc.assert(
      fc.property(fc.uniqueArray(field, { selector: (one) => one[0], maxLength: 4 }), (fields) => {
        const text = fields.map((one) => `/${one}`).join('')
        let once: string
        try {
          once = canonical(text)
        } catch {
          return true
        }
        return canonical(once) === once && mergeDeviceTexts(once, once) === once
      }),
    )
  },
)

t.test('null forgets outer device scopes, and an empty device changes nothing', async (t) => {
  t.equal(place(['/job:a', '/gpu:0']), '/job:a/device:GPU:0')
  t.equal(place(['/job:a', null, '/gpu:0']), '/device:GPU:0')
  t.equal(place(['/job:a', null]), '')
  t.equal(place(['/gpu:0', '']), '/device:GPU:0')
})

t.test('a device function sees what inner scopes asked for, and its answer stands', async (t) => {
  const asked: string[] = []
  const choose = ({ device }: { readonly device: string }): string => {
    asked.push(device)
    return '/device:CPU:7'
  }
  t.equal(place([choose, '/gpu:1']), '/device:CPU:7')
  t.same(asked, ['/device:GPU:1'])
})

t.test('variables go to parameter servers in turn and the rest to the worker', async (t) => {
  const setter = replicaDeviceSetter({ psTasks: 2 })
  const types = ['VarHandleOp', 'AddV2', 'VariableV2', 'VarHandleOp']
  t.same(
    types.map((type) => place([setter], type)),
    ['/job:ps/task:0', '/job:worker', '/job:ps/task:1', '/job:ps/task:0'],
  )
})

t.test('an operation with a job of its own keeps it, and no server is chosen for it', async (t) => {
  const setter = replicaDeviceSetter({ psTasks: 2 })
  t.equal(place([setter, '/job:other']), '/job:other')
  t.equal(place([setter, '/job:ps']), '/job:ps/task:0')
  t.equal(place([setter, '/task:5']), '/job:ps/task:5', 'a server is chosen in vain')
  t.equal(place([setter]), '/job:ps/task:0')
})

t.test('without merging, an operation with any device keeps just that', async (t) => {
  const setter = replicaDeviceSetter({ psTasks: 1, mergeDevices: false })
  t.equal(place([setter, '/gpu:0']), '/device:GPU:0')
  t.equal(place([setter]), '/job:ps/task:0')
})

t.test(
  'a cluster counts its parameter servers; one without them is no setter at all',
  async (t) => {
    t.equal(replicaDeviceSetter({}), null)
    t.equal(replicaDeviceSetter({ psTasks: 3, cluster: { worker: ['a'] } }), null)
    t.equal(replicaDeviceSetter({ cluster: { ps: [] } }), null)
    const setter = replicaDeviceSetter({ cluster: { ps: { 0: 'a', 1: 'b' }, worker: ['c'] } })
    t.same(
      [0, 1, 2].map(() => place([setter])),
      ['/job:ps/task:0', '/job:ps/task:1', '/job:ps/task:0'],
    )
    t.equal(place(['/gpu:0', replicaDeviceSetter({})]), '')
  },
)

t.test('devices of the setter and its strategy may be chosen', async (t) => {
  const setter = replicaDeviceSetter({
    psTasks: 4,
    psDevice: '/job:store/cpu:0',
    workerDevice: '',
    psStrategy: () => 3,
  })
  t.equal(place([setter]), '/job:store/task:3/device:CPU:0')
  t.equal(place([setter], 'AddV2'), '')
  t.equal(place([replicaDeviceSetter({ psTasks: 2, psDevice: '' })]), '/job:worker')
  t.throws(() => replicaDeviceSetter({ psTasks: 1.5 }), {
    code: 'INVALID_ARGUMENT',
    reason: 'device/ps-tasks',
  })
})
