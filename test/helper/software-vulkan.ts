// A software Vulkan driver for tests: SwiftShader, taken out of an npm package that carries it for a
// headless browser. Only that one archive of the package is used, so the package's own engine
// and module rules do not matter. Nothing needs to be installed on the machine.
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'

const modules = resolve(import.meta.dirname, '../../node_modules')
const archivePath = join(modules, '@sparticuz/chromium/bin/swiftshader.tar.br')
const cachePath = join(modules, '.cache/holdfast-swiftshader')
const wanted = ['libvk_swiftshader.so', 'libvulkan.so.1', 'vk_swiftshader_icd.json'] as const

/**
 * Environment for a process that is to see SwiftShader as its only Vulkan driver; unpacks it once
 * (7 MB) into a cache folder, safely with other tests doing the same. Undefined where the archive is
 * not installed, or the machine is not the kind (x86-64 Linux) that it is built for.
 */
export async function softwareVulkan(): Promise<Record<string, string> | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined
  if (!existsSync(cachePath)) {
    if (!existsSync(archivePath)) return undefined
    await unpack()
  }
  const driver = join(cachePath, 'vk_swiftshader_icd.json')
  return { VK_ICD_FILENAMES: driver, VK_DRIVER_FILES: driver, LD_LIBRARY_PATH: cachePath }
}

/** Unpacks beside the cache folder and renames: whoever is second finds it there and drops its own. */
async function unpack(): Promise<void> {
  await mkdir(join(modules, '.cache'), { recursive: true })
  const fresh = await mkdtemp(`${cachePath}-`)
  try {
    const files = filesOfTar(brotliDecompressSync(await readFile(archivePath)))
    for (const name of wanted) {
      const bytes = files.get(name)
      if (!bytes) throw new Error(`${archivePath} holds no ${name}`)
      await writeFile(join(fresh, name), bytes, { mode: 0o755 })
    }
    await rename(fresh, cachePath)
  } catch (error) {
    await rm(fresh, { recursive: true, force: true })
    if (!existsSync(cachePath)) throw error
  }
}

/** Plain files of a ustar archive by name. Source: POSIX.1-1988, the tar interchange format. */
function filesOfTar(archive: Buffer): Map<string, Buffer> {
  const blockLength = 512
  const files = new Map<string, Buffer>()
  for (let offset = 0; offset + blockLength <= archive.length; ) {
    const name = textOf(archive.subarray(offset, offset + 100))
    if (name === '') break
    const byteLength = Number.parseInt(textOf(archive.subarray(offset + 124, offset + 136)), 8)
    const start = offset + blockLength
    const type = textOf(archive.subarray(offset + 156, offset + 157))
    if (type === '0' || type === '') files.set(name, archive.subarray(start, start + byteLength))
    offset = start + Math.ceil(byteLength / blockLength) * blockLength
  }
  return files
}

/** Text up to the first NUL. */
function textOf(field: Buffer): string {
  const end = field.indexOf(0)
  return field.toString('latin1', 0, end < 0 ? field.length : end).trim()
}
