// Where the recorded conformance files and fixtures are: beside the checkout, when they are there.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

interface Skippable {
  pass(message: string, extra: { readonly skip: string }): unknown
  fail(message: string): unknown
}

/**
 * Absolute path of the shared folder. Where it is missing the test fails under CI, and is skipped
 * with its reason elsewhere; undefined then.
 */
export function sharedFolder(t: Skippable): string | undefined {
  const folder = resolve(import.meta.dirname, '../../../shared')
  if (existsSync(join(folder, 'conformance/README.md'))) return folder
  if (process.env.CI) t.fail(`the shared folder is missing: ${folder}`)
  else t.pass('recorded files', { skip: 'the shared folder is not beside this checkout' })
  return undefined
}
