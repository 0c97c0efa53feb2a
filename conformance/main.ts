// `npm run conformance`: runs what real TensorFlow did on every device, prints a table, and keeps it in
// docs/conformance.md. `--device`, `--file` and `--name` narrow it (nothing is written then).
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { runCheckpoints } from './checkpoint-case.ts'
import { deviceNames, withDevice } from './devices.ts'
import { countsOf, type FileResult, markdownOf } from './outcome.ts'
import { runSavedModels } from './saved-model-case.ts'
import { runScopes } from './scope-case.ts'
import { runGradientFile, runSessionFile } from './session-file.ts'

const help = `Runs the recorded conformance cases.

  npm run conformance [-- options]

  --device NAME   one of ${deviceNames.join(', ')} (may be repeated; default: all)
  --file TEXT     only files whose path holds TEXT (may be repeated)
  --name TEXT     only cases whose name holds TEXT
  --failures      print each failed case
  --write         write docs/conformance.md although the run was narrowed
  --shared DIR    where the recordings are (default: ../shared)
`

const sessionFiles = [
  'ops/array.jsonl',
  'ops/elementwise.jsonl',
  'ops/linalg.jsonl',
  'ops/nn.jsonl',
  'ops/reductions.jsonl',
  'ops/strings.jsonl',
  'variables.jsonl',
  'control_flow.jsonl',
  'training.jsonl',
  'initializers.jsonl',
  'ops_in_the_wild.jsonl',
]

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', multiple: true },
    file: { type: 'string', multiple: true },
    name: { type: 'string' },
    failures: { type: 'boolean' },
    write: { type: 'boolean' },
    shared: { type: 'string' },
    help: { type: 'boolean' },
  },
})

async function main(): Promise<void> {
  if (options.help) {
    process.stdout.write(help)
    return
  }
  const root = resolve(import.meta.dirname, '..')
  const shared = resolve(options.shared ?? join(root, '../shared'))
  const folder = join(shared, 'conformance')
  if (!existsSync(folder)) {
    process.stderr.write(`No recorded cases at ${folder}; --shared DIR names another place.\n`)
    process.exitCode = 1
    return
  }
  const wanted = (file: string): boolean =>
    options.file === undefined || options.file.some((text) => file.includes(text))
  const named = (name: string): boolean => options.name === undefined || name.includes(options.name)
  const results: FileResult[] = []
  const note = (result: FileResult): void => {
    if (result.cases.length === 0) return
    results.push(result)
    printResult(result)
  }
  for (const device of options.device ?? deviceNames) {
    await withDevice(device, async (bench) => {
      for (const file of sessionFiles.filter(wanted)) {
        note(await runSessionFile(bench.engine, device, file, lines(join(folder, file)), named))
      }
      if (wanted('gradients.jsonl')) {
        const path = join(folder, 'gradients.jsonl')
        note(await runGradientFile(bench.engine, device, lines(path), named))
      }
      for (const place of ['conformance/saved_models', 'fixtures/saved_models'].filter(wanted)) {
        note(await runSavedModels(bench, device, join(shared, place), place, named))
      }
    })
  }
  for (const place of ['conformance/checkpoints'].filter(wanted)) {
    note(await runCheckpoints(join(shared, place), place, named))
  }
  if (wanted('scopes.json')) note(await runScopes(join(folder, 'scopes.json'), named))

  const narrowed = options.device ?? options.file ?? options.name
  if (narrowed === undefined || options.write) {
    const target = join(root, 'docs/conformance.md')
    writeFileSync(target, markdownOf(results))
    process.stdout.write(`\nWritten to ${relative(root, target)}.\n`)
  }
}

function lines(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').filter(Boolean)
}

function printResult(result: FileResult): void {
  const counts = countsOf(result)
  const missed = [...counts.missed.keys()].join(' ')
  process.stdout.write(
    `${result.file.padEnd(28)} ${result.device.padEnd(10)} ${counts.passed} passed, ` +
      `${counts.failed} failed, ${counts.missing} missing${missed === '' ? '' : `: ${missed}`}\n`,
  )
  if (!options.failures) return
  for (const { name, outcome } of result.cases) {
    if (outcome.kind === 'failed') process.stdout.write(`    ${name}: ${outcome.why}\n`)
  }
}

await main()
