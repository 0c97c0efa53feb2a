// Graph-building programs with variable scopes: missing until scopes exist.
import { readFileSync } from 'node:fs'
import type { FileResult } from './outcome.ts'

/** Counts every wanted program as missing: there are no variable scopes to build graphs with yet. */
export async function runScopes(
  path: string,
  wanted: (name: string) => boolean,
): Promise<FileResult> {
  const programs = JSON.parse(readFileSync(path, 'utf8')) as readonly { readonly name: string }[]
  const cases = programs
    .filter(({ name }) => wanted(name))
    .map(({ name }) => ({ name, outcome: { kind: 'missing', what: 'variable scopes' } as const }))
  return { file: 'scopes.json', device: '-', cases }
}
