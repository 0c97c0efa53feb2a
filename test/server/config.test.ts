import t from 'tap'
import { ConfigError, readConfig } from '../../server/config.ts'

t.test('without anything, it listens on loopback and keeps its data in ./data', async (t) => {
  t.same(readConfig([], {}), {
    host: '127.0.0.1',
    port: 8501,
    data: './data',
    backups: undefined,
    scrubBytesPerSecond: 8 * 2 ** 20,
    device: 'auto',
    cpuMemoryBytes: undefined,
    gpuMemoryBytes: undefined,
    demo: true,
    logLevel: 'warn',
    insecure: false,
    softwareGpu: false,
  })
})

t.test('flags win over variables, and both forms of a flag are read', async (t) => {
  const environment = { HOLDFAST_PORT: '9000', HOLDFAST_DEMO: '0', HOLDFAST_DEVICE: '' }
  t.match(readConfig([], environment), { port: 9000, demo: false, device: 'auto' })
  t.match(readConfig(['--port', '9001'], environment), { port: 9001 })
  t.match(readConfig(['--port=9002', '--demo=1'], environment), { port: 9002, demo: true })
  t.equal(readConfig(['--help'], {}), 'help')
})

t.test('the scrub can be slowed down and turned off', async (t) => {
  t.match(readConfig(['--scrub-rate', '2MiB'], {}), { scrubBytesPerSecond: 2 ** 21 })
  t.match(readConfig([], { HOLDFAST_SCRUB_RATE: '0' }), { scrubBytesPerSecond: 0 })
  t.match(readConfig(['--backups', '/mnt/b'], {}), { backups: '/mnt/b' })
  t.throws(() => readConfig(['--scrub-rate', 'fast'], {}), ConfigError)
})

t.test('memory is a size with a unit', async (t) => {
  t.match(readConfig(['--cpu-memory', '512MiB'], {}), { cpuMemoryBytes: 2 ** 29 })
  t.match(readConfig([], { HOLDFAST_GPU_MEMORY: '2 GB' }), { gpuMemoryBytes: 2e9 })
  t.match(readConfig(['--cpu-memory', '1048576'], {}), { cpuMemoryBytes: 2 ** 20 })
  for (const size of ['1KiB', '-1GiB', '2.5GiB', '3 parsecs', 'much']) {
    t.throws(() => readConfig(['--cpu-memory', size], {}), ConfigError, size)
  }
})

t.test('an address that others reach needs --insecure', async (t) => {
  for (const host of ['0.0.0.0', '::', '192.168.1.5', '127.0.0.1.example.org']) {
    t.throws(() => readConfig(['--host', host], {}), ConfigError, host)
    t.match(readConfig(['--host', host, '--insecure'], {}), { host, insecure: true })
  }
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) {
    t.match(readConfig(['--host', host], {}), { host })
  }
})

t.test('what cannot be is refused by name', async (t) => {
  for (const argv of [
    ['--port', '-1'],
    ['--port', '65536'],
    ['--port', '1e3'],
    ['--demo', 'x'],
    ['x'],
  ]) {
    t.throws(() => readConfig(argv, {}), ConfigError)
  }
})
