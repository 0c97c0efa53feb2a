import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'

const root = resolve(import.meta.dirname, '..')

interface Entry {
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly resolved?: string
  readonly gypfile?: boolean
}

t.test('the lock has every platform package and names no host', async (t) => {
  const text = readFileSync(join(root, 'package-lock.json'), 'utf8')
  const { packages } = JSON.parse(text) as { readonly packages: Readonly<Record<string, Entry>> }
  for (const [place, { optionalDependencies, resolved }] of Object.entries(packages)) {
    t.equal(resolved, undefined, place)
    for (const name of Object.keys(optionalDependencies ?? {})) {
      const places = [`${place}/node_modules/${name}`, `node_modules/${name}`]
      t.ok(
        places.some((one) => one in packages),
        `${name}: run scripts/complete-lock.ts`,
      )
    }
  }
  t.equal(packages['node_modules/better-sqlite3']?.gypfile, false, 'no build at installation')
})
