// How the commands of this folder end: with a line for a person, never with a stack where a refusal or a
// wrong option is the cause.
import { parseArgs } from 'node:util'
import { Refusal } from '../tensor/index.ts'

/** A command that was called in a way that cannot be. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Options of a command: those that take a value, and those that do not. */
export interface CommandOptions {
  readonly usage: string
  readonly values: readonly string[]
  readonly flags: readonly string[]
  /** Names that may stand beside the options, at most. */
  readonly names: number
}

/** What a command was called with. */
export interface CommandLine {
  readonly names: readonly string[]
  value(option: string): string | undefined
  flag(option: string): boolean
}

/** Runs a command on its arguments. Exit codes: 1 refused, 2 called wrongly. */
export async function runCommand(
  options: CommandOptions,
  argv: readonly string[],
  work: (line: CommandLine) => Promise<void>,
): Promise<void> {
  try {
    if (argv.includes('--help')) process.stdout.write(`${options.usage}\n`)
    else await work(lineOf(options, argv))
  } catch (error) {
    const isUsage = error instanceof UsageError
    process.stderr.write(`holdfast: ${textOf(error)}\n${isUsage ? `${options.usage}\n` : ''}`)
    process.exitCode = isUsage ? 2 : 1
  }
}

function lineOf(options: CommandOptions, argv: readonly string[]): CommandLine {
  const known = Object.fromEntries([
    ...options.values.map((name) => [name, { type: 'string' as const }]),
    ...options.flags.map((name) => [name, { type: 'boolean' as const }]),
  ])
  try {
    const parsed = parseArgs({ args: [...argv], options: known, allowPositionals: true })
    const names = parsed.positionals
    const values = new Map<string, unknown>(Object.entries(parsed.values))
    if (names.length > options.names) {
      throw new Error(`"${names[options.names]}" is one name too many.`)
    }
    return {
      names,
      value: (option) => {
        const value = values.get(option)
        return typeof value === 'string' ? value : undefined
      },
      flag: (option) => values.get(option) === true,
    }
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function textOf(error: unknown): string {
  if (error instanceof Refusal) {
    return error.fix === undefined ? error.message : `${error.message} ${error.fix}`
  }
  return error instanceof Error ? error.message : String(error)
}

/** Says on one line of a terminal how far something is; says nothing where it is no terminal. */
export function tellProgress(bytesDone: number, bytesTotal: number | null): void {
  if (!process.stderr.isTTY) return
  const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0)
  const total = bytesTotal === null ? '' : ` of ${mebibytes(bytesTotal)}`
  const end = bytesDone === bytesTotal ? '\n' : ''
  process.stderr.write(`\r${mebibytes(bytesDone)}${total} MiB${end}`)
}
