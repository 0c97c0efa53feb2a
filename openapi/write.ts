// Writes openapi.json from the running application: its routes are the only source.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildApp, openApiOf } from '../server/index.ts'
import { openService } from '../service/index.ts'

/** The OpenAPI document of an application on an empty store, as text. */
export async function documentText(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-openapi-'))
  const service = await openService({
    directory,
    clock: Date.now,
    device: 'reference',
    threads: 1,
    allowSoftwareGpu: false,
    demo: false,
    log: () => undefined,
  })
  const app = await buildApp({ service, logLevel: 'silent' })
  try {
    await app.ready()
    return `${JSON.stringify(openApiOf(app), null, 2)}\n`
  } finally {
    await app.close()
    await service.close()
    await rm(directory, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  await writeFile(join(import.meta.dirname, 'openapi.json'), await documentText())
}
