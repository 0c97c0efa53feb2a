// Which kernels a device has compiled, by their text: equal kernels of different plans are compiled once.
import type { Device, KernelId } from '../device/device.ts'
import { type Kernel, printKernel } from '../ir/index.ts'

/** The compiled kernels of one device. */
export class Kernels {
  readonly #device: Pick<Device, 'compile'>
  #ids = new WeakMap<Kernel, KernelId>()
  readonly #idsByText = new Map<string, KernelId>()

  constructor(device: Pick<Device, 'compile'>) {
    this.#device = device
  }

  /** Ids of the kernels, compiled where they are new to the device. */
  async compile(kernels: readonly Kernel[]): Promise<readonly KernelId[]> {
    const missing = new Map<string, Kernel>()
    for (const kernel of kernels) {
      if (this.#ids.has(kernel)) continue
      const text = printKernel(kernel)
      const id = this.#idsByText.get(text)
      if (id === undefined) missing.set(text, kernel)
      else this.#ids.set(kernel, id)
    }
    if (missing.size > 0) {
      const ids = await this.#device.compile([...missing.values()])
      for (const [place, text] of [...missing.keys()].entries()) {
        this.#idsByText.set(text, ids[place])
      }
      return this.compile(kernels)
    }
    return kernels.map((kernel) => this.#ids.get(kernel) as KernelId)
  }

  /** The device has lost them all. */
  clear(): void {
    this.#ids = new WeakMap()
    this.#idsByText.clear()
  }
}
