// Start-up and end of the service: settings, store, engine, socket; one line once it answers, one
// line where it cannot start, and a graceful end on a signal.
import { availableParallelism } from 'node:os'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { openService, type Service } from '../service/index.ts'
import { Refusal } from '../tensor/index.ts'
import { buildApp } from './app.ts'
import { type Config, ConfigError, helpText, processEnvironment, readConfig } from './config.ts'

const closeDelayMs = 30_000
const refusedExitCode = 1
const usageExitCode = 2
const mostCpuThreads = 8

async function main(): Promise<void> {
  const config = readConfig(process.argv.slice(2), processEnvironment())
  if (config === 'help') {
    process.stdout.write(helpText())
    return
  }
  const service = await openService({
    directory: config.data,
    backupDirectory: config.backups,
    scrubBytesPerSecond: config.scrubBytesPerSecond,
    clock: Date.now,
    device: config.device,
    threads: Math.min(availableParallelism(), mostCpuThreads),
    memoryBytes: { cpu: config.cpuMemoryBytes, gpu: config.gpuMemoryBytes },
    allowSoftwareGpu: config.softwareGpu,
    demo: config.demo,
    log: logger(config),
  })
  const app = await buildApp({ service, logLevel: config.logLevel })
  // Installed before the socket opens: a signal may come at any time.
  closeWithGrace({ delay: closeDelayMs, logger: false }, async ({ err }) => {
    if (err !== undefined) complain(`An unexpected error ended the service: ${err.stack ?? err}`)
    await app.close()
    await service.close()
  })
  const address = await listen(app, service, config)
  process.stdout.write(`Holdfast answers at ${address} (try ${address}/docs)\n`)
}

async function listen(app: FastifyInstance, service: Service, config: Config): Promise<string> {
  try {
    return await app.listen({ host: config.host, port: config.port })
  } catch (error) {
    await app.close()
    await service.close()
    throw new ConfigError(whyNotListening(error, config))
  }
}

function whyNotListening(error: unknown, { host, port }: Config): string {
  const { code } = error as { code?: string }
  if (code === 'EADDRINUSE') {
    return `Port ${port} on ${host} is in use. Choose another with --port, or --port 0 for any free one.`
  }
  if (code === 'EACCES') return `This user may not listen on port ${port}. Choose one above 1023.`
  if (code === 'EADDRNOTAVAIL') return `${host} is no address of this machine.`
  return `Cannot listen on ${host} port ${port}: ${error instanceof Error ? error.message : error}`
}

function logger(config: Config) {
  const shown = { error: 1, warn: 2, info: 3 }
  const rank: Readonly<Record<string, number>> = {
    fatal: 0,
    silent: -1,
    ...shown,
    debug: 4,
    trace: 5,
  }
  return (level: 'info' | 'warn' | 'error', message: string): void => {
    if (shown[level] <= (rank[config.logLevel] ?? shown.warn)) complain(message)
  }
}

function complain(message: string): void {
  process.stderr.write(`holdfast: ${message}\n`)
}

main().catch((error: unknown) => {
  if (error instanceof ConfigError) {
    complain(error.message)
    process.exit(usageExitCode)
  }
  if (error instanceof Refusal) complain(`${error.message}${error.fix ? ` ${error.fix}` : ''}`)
  else complain(`It could not start: ${error instanceof Error ? (error.stack ?? error) : error}`)
  process.exit(refusedExitCode)
})
