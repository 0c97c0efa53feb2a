// The settings: from flags and HOLDFAST_* variables, and nowhere else. Flags win. It reads the
// environment and checks what it finds; it opens nothing.

/** What the server needs to know before it starts. */
export interface Config {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** The data directory. */
  readonly data: string
  /** Where backups lie; undefined: in the data directory. */
  readonly backups: string | undefined
  /** Bytes a second that the background scrub reads at most; 0: it does not run. */
  readonly scrubBytesPerSecond: number
  /** Default device: `auto`, `reference`, or a device name. */
  readonly device: string
  /** Bytes that values may take on the CPU device, and on each GPU; undefined: as the device says. */
  readonly cpuMemoryBytes: number | undefined
  readonly gpuMemoryBytes: number | undefined
  /** Whether to load the demonstration model at the first start. */
  readonly demo: boolean
  readonly logLevel: string
  /** Listen beyond this machine without tokens. */
  readonly insecure: boolean
  /** Whether a software Vulkan driver may stand in for a GPU. */
  readonly softwareGpu: boolean
}

/** A setting that cannot be. The message is one sentence for the terminal. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

interface Setting {
  readonly flag: string
  readonly variable: string
  readonly placeholder: string
  readonly fallback: string
  readonly help: string
}

const settings = {
  host: {
    flag: '--host',
    variable: 'HOLDFAST_HOST',
    placeholder: 'ADDRESS',
    fallback: '127.0.0.1',
    help: 'address to listen on',
  },
  port: {
    flag: '--port',
    variable: 'HOLDFAST_PORT',
    placeholder: 'NUMBER',
    fallback: '8501',
    help: 'port to listen on; 0 takes any free one',
  },
  data: {
    flag: '--data',
    variable: 'HOLDFAST_DATA',
    placeholder: 'FOLDER',
    fallback: './data',
    help: 'where everything is kept; made if missing',
  },
  backups: {
    flag: '--backups',
    variable: 'HOLDFAST_BACKUPS',
    placeholder: 'FOLDER',
    fallback: '',
    help: 'where backups go, for this server alone; backups in the data folder by default',
  },
  scrubRate: {
    flag: '--scrub-rate',
    variable: 'HOLDFAST_SCRUB_RATE',
    placeholder: 'SIZE',
    fallback: '8MiB',
    help: 'how much the background scrub reads a second at most; 0 turns it off',
  },
  device: {
    flag: '--device',
    variable: 'HOLDFAST_DEVICE',
    placeholder: 'NAME',
    fallback: 'auto',
    help: 'default device: auto, /device:CPU:0, /device:GPU:0, reference',
  },
  cpuMemory: {
    flag: '--cpu-memory',
    variable: 'HOLDFAST_CPU_MEMORY',
    placeholder: 'SIZE',
    fallback: '',
    help: 'most memory for values on the CPU, such as 512MiB; 4GiB by default and at most',
  },
  gpuMemory: {
    flag: '--gpu-memory',
    variable: 'HOLDFAST_GPU_MEMORY',
    placeholder: 'SIZE',
    fallback: '',
    help: 'most memory for values on each GPU; those used least recently make room',
  },
  demo: {
    flag: '--demo',
    variable: 'HOLDFAST_DEMO',
    placeholder: '0|1',
    fallback: '1',
    help: 'load the demonstration model at the first start',
  },
  logLevel: {
    flag: '--log-level',
    variable: 'HOLDFAST_LOG_LEVEL',
    placeholder: 'LEVEL',
    fallback: 'warn',
    help: 'fatal, error, warn, info, debug, trace or silent',
  },
  softwareGpu: {
    flag: '--software-gpu',
    variable: 'HOLDFAST_SOFTWARE_GPU',
    placeholder: '0|1',
    fallback: '0',
    help: 'let a software Vulkan driver stand in for a GPU (slow; for tests)',
  },
} as const satisfies Readonly<Record<string, Setting>>

type SettingName = keyof typeof settings

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']
const loopback = /^(localhost|127(\.\d{1,3}){3}|::1)$/

/** The environment of this process. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env
}

/** The text that `--help` prints. */
export function helpText(): string {
  const lines = (Object.keys(settings) as SettingName[]).map((name) => {
    const { flag, variable, placeholder, fallback, help } = settings[name]
    return `  ${`${flag} ${placeholder}`.padEnd(22)} ${help}\n${' '.repeat(25)}(${variable}${fallback === '' ? '' : `, default ${fallback}`})`
  })
  return `Holdfast: a checkpoint-centric variable store and serving service.

Usage: npm start -- [options]

${lines.join('\n')}
  --insecure             listen on an address that other machines reach, although anyone
                         there may then read and change everything (there are no tokens yet)
  --help                 show this
`
}

/**
 * The settings of a start: `'help'` where help was asked for. Throws {@link ConfigError} for unknown
 * flags, values that cannot be, and a host beyond loopback without `--insecure`.
 */
export function readConfig(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Config | 'help' {
  const given = new Map<string, string>()
  let insecure = false
  for (let index = 0; index < argv.length; index++) {
    const [flag, inline] = splitFlag(argv[index])
    if (flag === '--help' || flag === '-h') return 'help'
    if (flag === '--insecure') {
      insecure = true
      continue
    }
    if (!Object.values(settings).some((setting) => setting.flag === flag)) {
      throw new ConfigError(`There is no option ${argv[index]}; --help lists them.`)
    }
    const value = inline ?? argv[++index]
    if (value === undefined) throw new ConfigError(`The option ${flag} needs a value.`)
    given.set(flag, value)
  }
  const of = (name: SettingName): string => {
    const { flag, variable, fallback } = settings[name]
    const value = given.get(flag) ?? environment[variable]
    return value === undefined || value === '' ? fallback : value
  }
  return checked(of, insecure)
}

function checked(of: (name: SettingName) => string, insecure: boolean): Config {
  const host = of('host')
  if (!loopback.test(host) && !insecure) {
    throw new ConfigError(
      `${host} can be reached from other machines, and there are no tokens yet: anyone there could read and change everything. Listen on 127.0.0.1, or say --insecure.`,
    )
  }
  const port = Number(of('port'))
  if (!/^[0-9]{1,5}$/.test(of('port')) || port > 65_535) {
    throw new ConfigError(`A port is a number from 0 to 65535; "${of('port')}" was given.`)
  }
  const logLevel = of('logLevel')
  if (!logLevels.includes(logLevel)) {
    throw new ConfigError(`A log level is one of ${logLevels.join(', ')}; "${logLevel}" was given.`)
  }
  return {
    host,
    port,
    data: of('data'),
    backups: of('backups') === '' ? undefined : of('backups'),
    scrubBytesPerSecond: of('scrubRate') === '0' ? 0 : (size('scrubRate', of('scrubRate')) ?? 0),
    device: of('device'),
    cpuMemoryBytes: size('cpuMemory', of('cpuMemory')),
    gpuMemoryBytes: size('gpuMemory', of('gpuMemory')),
    demo: truth('demo', of('demo')),
    logLevel,
    insecure,
    softwareGpu: truth('softwareGpu', of('softwareGpu')),
  }
}

const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
}
/** Less would not hold the smallest model. */
const leastMemoryBytes = 2 ** 20

/** Bytes of a size such as `512MiB`; undefined where none was given. */
function size(name: SettingName, value: string): number | undefined {
  if (value === '') return undefined
  const [, digits, unit] = /^(\d{1,15})\s*([a-z]*)$/i.exec(value) ?? []
  const byteLength = Number(digits) * (unitBytes[unit?.toLowerCase() ?? ''] ?? Number.NaN)
  if (Number.isSafeInteger(byteLength) && byteLength >= leastMemoryBytes) return byteLength
  throw new ConfigError(
    `${settings[name].flag} is a size of at least 1MiB, such as 512MiB or 2GiB; "${value}" was given.`,
  )
}

function truth(name: SettingName, value: string): boolean {
  if (/^(1|true|yes|on)$/i.test(value)) return true
  if (/^(0|false|no|off)$/i.test(value)) return false
  throw new ConfigError(`${settings[name].flag} is 0 or 1; "${value}" was given.`)
}

function splitFlag(argument: string): [string, string | undefined] {
  const equals = argument.indexOf('=')
  if (!argument.startsWith('--') || equals === -1) return [argument, undefined]
  return [argument.slice(0, equals), argument.slice(equals + 1)]
}
