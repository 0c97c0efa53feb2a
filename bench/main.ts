// `npm run bench`: every row against its rival or limit, as a table and as JSON under bench/results/.
// Needs `npm ci --prefix bench` once, for the rivals.
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Measured, measure, type Row, tableOf } from './frame.ts'
import { checkpointRows } from './rows/checkpoint.ts'
import { checkpointsManyRows } from './rows/checkpoints-many.ts'
import { fileRows } from './rows/files.ts'
import { gigabyteRows } from './rows/gigabyte.ts'
import { httpRows } from './rows/http.ts'
import { initializeRows } from './rows/initialize.ts'
import { largeRows } from './rows/large.ts'
import { predictRows } from './rows/predict.ts'
import { scaleRows } from './rows/scale.ts'
import { startService } from './service-process.ts'

const help = `Measures Holdfast against rivals and physical limits; ratios within one run are what counts.

  npm ci --prefix bench        installs the rivals
  npm run bench [-- options]

  --only TEXT     only rows whose name holds TEXT (may be repeated)
  --group NAME    http, large, checkpoint, gigabyte, files, initialize, scale, checkpoints or
                  predict (may be repeated)
  --keep NAME     writes bench/results/NAME.md and NAME.json
`

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    group: { type: 'string', multiple: true },
    keep: { type: 'string' },
    help: { type: 'boolean' },
  },
})

async function main(): Promise<void> {
  if (options.help) {
    process.stdout.write(help)
    return
  }
  const grouped = (name: string): boolean => options.group?.includes(name) ?? true
  const results: Measured[] = []
  const notes: string[] = []
  const run = async (rows: readonly Row[]): Promise<void> => {
    for (const row of rows) {
      if (options.only !== undefined && !options.only.some((text) => row.name.includes(text)))
        continue
      const measured = await measure(row)
      results.push(measured)
      process.stderr.write(`${row.name}: ${measured.ratio.toFixed(2)} of ${row.against.name}\n`)
    }
  }
  if (['http', 'large', 'checkpoint', 'gigabyte', 'files', 'initialize'].some(grouped)) {
    const service = await startService()
    try {
      if (grouped('http')) {
        const { rows, close } = await httpRows(service)
        await run(rows).finally(close)
      }
      if (grouped('large')) {
        const { rows, growth, close } = await largeRows(service)
        await run(rows).finally(close)
        notes.push(await growth())
      }
      if (grouped('checkpoint')) await run(await checkpointRows(service))
      if (grouped('gigabyte')) {
        const { rows, growth } = await gigabyteRows(service)
        await run(rows)
        notes.push(await growth())
      }
      if (grouped('files')) {
        const { rows, growth, close } = await fileRows(service)
        await run(rows).finally(close)
        notes.push(await growth())
      }
      if (grouped('initialize')) {
        const { rows, growth } = await initializeRows(service)
        await run(rows)
        notes.push(await growth())
      }
    } finally {
      await service.stop()
    }
  }
  if (grouped('scale')) {
    const { rows, close } = await scaleRows()
    await run(rows).finally(close)
  }
  if (grouped('checkpoints')) {
    const { rows, close } = await checkpointsManyRows()
    await run(rows).finally(close)
  }
  if (grouped('predict')) {
    const { rows, close } = await predictRows()
    await run(rows).finally(close)
  }
  report(results, notes)
}

function report(results: readonly Measured[], notes: readonly string[]): void {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const processor = cpus()
  const about = {
    date: new Date().toISOString(),
    commit,
    node: process.version,
    processor: `${processor.length} × ${processor[0]?.model ?? 'unknown'}`,
  }
  const heading = `${about.date.slice(0, 10)}, commit ${commit}, Node ${about.node}, ${about.processor}`
  const text = [heading, '', tableOf(results), ...notes].join('\n')
  process.stdout.write(`\n${text}\n`)
  if (options.keep === undefined) return
  const folder = join(import.meta.dirname, 'results')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${options.keep}.md`), `${text}\n`)
  writeFileSync(
    join(folder, `${options.keep}.json`),
    `${JSON.stringify({ ...about, results, notes }, null, 2)}\n`,
  )
}

await main()
