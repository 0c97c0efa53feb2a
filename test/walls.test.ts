// The walls of the house: who may import whom, and what belongs in one place only.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import t from 'tap'

const root = resolve(import.meta.dirname, '..')

/** Folders with code, and the folders that each may import (from outside: through index.ts only). */
const mayImport: Record<string, readonly string[]> = {
  tensor: [],
  proto: [],
  formats: ['tensor', 'proto'],
  graph: ['tensor', 'proto', 'formats'],
  store: ['tensor', 'formats'],
  engine: ['tensor', 'proto', 'graph', 'formats'],
  service: ['tensor', 'proto', 'formats', 'graph', 'store', 'engine'],
  openapi: ['tensor', 'service', 'server'],
  server: ['tensor', 'proto', 'formats', 'service', 'openapi'],
  conformance: ['tensor', 'proto', 'formats', 'graph', 'engine', 'service', 'store'],
  client: ['graph', 'tensor', 'formats', 'proto'],
}
const browserSafe = ['tensor', 'proto', 'graph', 'formats', 'client']

interface Source {
  readonly path: string
  readonly folder: string
  readonly text: string
  readonly imports: readonly string[]
}

function sources(): Source[] {
  return Object.keys(mayImport).flatMap((folder) => {
    let entries: string[]
    try {
      entries = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    } catch {
      return []
    }
    return entries
      .filter((entry) => entry.endsWith('.ts'))
      .map((entry) => {
        const path = join(folder, entry)
        const text = readFileSync(join(root, path), 'utf8')
        const imports = [
          ...text.matchAll(/^\s*(?:import|export)\b[^'"`;]*?\bfrom\s+'([^']+)'/gm),
          ...text.matchAll(/^\s*import\s+'([^']+)'/gm),
          ...text.matchAll(/\bimport\(\s*'([^']+)'/g),
          ...text.matchAll(/new URL\(\s*'(\.[^']+\.ts)'/g),
        ].map((match) => match[1])
        return { path, folder, text, imports }
      })
  })
}

const all = sources()
const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')

t.test('there is code to look at', async (t) => {
  t.ok(all.length > 30)
  t.ok(all.some((source) => source.imports.length > 0))
})

t.test('folders import only whom they may, and only through index.ts', async (t) => {
  for (const { path, folder, imports } of all) {
    for (const specifier of imports.filter((one) => one.startsWith('.'))) {
      const target = relative(root, resolve(root, dirname(path), specifier))
      const targetFolder = target.split('/')[0]
      if (targetFolder === folder || !(targetFolder in mayImport)) continue
      if (!mayImport[folder].includes(targetFolder)) {
        t.fail(`${path} imports ${target}: ${folder} may not import ${targetFolder}`)
      } else if (target !== `${targetFolder}/index.ts`) {
        t.fail(`${path} imports ${target}: enter ${targetFolder} through its index.ts`)
      }
    }
  }
})

t.test('no file imports itself in a circle', async (t) => {
  const importsOf = new Map(
    all.map(({ path, imports }) => [
      path,
      imports
        .filter((one) => one.startsWith('.'))
        .map((one) => relative(root, resolve(root, dirname(path), one))),
    ]),
  )
  const state = new Map<string, 'open' | 'done'>()
  const circles: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return
    if (state.get(path) === 'open') {
      circles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '))
      return
    }
    state.set(path, 'open')
    for (const next of importsOf.get(path) ?? []) visit(next, [...trail, path])
    state.set(path, 'done')
  }
  // `import type` is erased and so makes no circle at run time; Biome counts those too and decides.
  for (const path of importsOf.keys()) visit(path, [])
  t.same(circles, [])
})

t.test('what must run in a browser holds no node: and no native import', async (t) => {
  for (const { path, folder, imports } of all) {
    if (!browserSafe.includes(folder)) continue
    const offending = imports.filter((one) => /^(node:|better-sqlite3|webgpu|@node-rs)/.test(one))
    t.same(offending, [], path)
  }
})

t.test('each thing that belongs in one place is only there', async (t) => {
  const rules: readonly (readonly [string, RegExp, (path: string) => boolean])[] = [
    [
      'SQL',
      /\b(SELECT .+ FROM|INSERT (OR \w+ )?INTO|CREATE TABLE|PRAGMA \w)/,
      (path) => path.startsWith('store/'),
    ],
    [
      'WGSL',
      /@compute|@workgroup_size|var<storage/,
      (path) => path.startsWith('engine/device/webgpu/') || path.startsWith('engine/ir/rows'),
    ],
    ['protobufjs', /from 'protobufjs/, (path) => path.startsWith('proto/')],
    ['process.env', /process\.env\b/, (path) => path === 'server/config.ts'],
    ['better-sqlite3', /from 'better-sqlite3'/, (path) => path.startsWith('store/')],
    [
      'the webgpu package',
      /(from|import\()\s*'webgpu'/,
      (path) => path.startsWith('engine/device/webgpu/'),
    ],
    [
      'HTTP status numbers',
      /\.(code|status)\(\s*[1-5]\d\d\b|statusCode\s*[:=]+\s*[1-5]\d\d\b/,
      (path) => path === 'server/errors.ts' || path.startsWith('server/routes/'),
    ],
  ]
  for (const { path, text } of all) {
    const code = withoutComments(text)
    for (const [what, pattern, allowed] of rules) {
      if (!allowed(path) && pattern.test(code))
        t.fail(`${path} holds ${what}: ${pattern.exec(code)?.[0]}`)
    }
  }
})
