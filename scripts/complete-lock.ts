// Completes package-lock.json after `npm install`: entries for the platform packages that the registry
// at hand does not offer (npm leaves them out then, and `npm ci` refuses the lock on every machine),
// and no build of better-sqlite3, whose package carries its binaries.
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

interface Entry {
  version?: string
  dev?: boolean
  license?: string
  engines?: Record<string, string>
  gypfile?: boolean
  optionalDependencies?: Record<string, string>
  [key: string]: unknown
}

/** Operating system, processor and C library, as platform packages spell them at the end of their names. */
const platform =
  /(android|darwin|linux|win32|freebsd|openharmony|sunos|openbsd|netbsd|aix)-([a-z0-9]+)(?:-([a-z]+))?$/

/** The entry of a package for another platform; undefined where its name does not tell the platform. */
function platformEntry(name: string, version: string, parent: Entry): Entry | undefined {
  const match = platform.exec(name)
  if (match === null) return undefined
  const [, os, cpu, abi] = match
  const entry: Entry = {
    version: version.replace(/^[~^]/, ''),
    cpu: [cpu],
    optional: true,
    os: [os],
  }
  if (abi?.startsWith('gnu')) entry.libc = ['glibc']
  if (abi?.startsWith('musl')) entry.libc = ['musl']
  if (parent.dev === true) entry.dev = true
  if (parent.license !== undefined) entry.license = parent.license
  if (parent.engines !== undefined) entry.engines = parent.engines
  return entry
}

const path = resolve(import.meta.dirname, '../package-lock.json')
const lock = JSON.parse(readFileSync(path, 'utf8')) as { packages: Record<string, Entry> }
const packages = lock.packages
let added = 0
for (const [place, parent] of Object.entries(packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const places = [`${place}/node_modules/${name}`, `node_modules/${name}`]
    if (places.some((one) => one in packages)) continue
    const entry = platformEntry(name, version, parent)
    if (entry === undefined) throw new Error(`cannot tell the platform of ${name}`)
    packages[`node_modules/${name}`] = entry
    added++
  }
}
packages['node_modules/better-sqlite3'].gypfile = false
lock.packages = Object.fromEntries(
  Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : Number(a > b))),
)
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
process.stdout.write(`${added} platform packages added to package-lock.json.\n`)
