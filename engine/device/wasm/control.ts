// Where in the reserved start of the memory the threads meet: the current job, the gate that lets workers into
// it, failures and arguments. Main thread and workers both go by it.

/** Indices of 32-bit words. */
export const controlWords = {
  /** Counts up with every call to wake; workers wait on it. */
  call: 0,
  /** Workers inside of the current job, and {@link gateClosed} when no more may enter. */
  gate: 16,
  /** Next piece of the job to take. */
  next: 32,
  /** The job: kernel, iterations of its outermost loop, iterations in a piece. */
  kernel: 48,
  extent: 49,
  piece: 50,
  /** Set when the workers are to end. */
  stop: 51,
  /** Set when a worker's call failed. */
  fault: 52,
} as const

/** Words that the threads share. */
export const controlLength = 2048

/** Bit of the gate. */
export const gateClosed = 1 << 30

/** Most threads of one device. */
export const maxThreads = 64

/** Byte address of the thread's least failure, an i64 of ones where there is none. */
export function failureAddress(thread: number): number {
  return 1024 + 64 * thread
}

/** Index of the word with the address of the thread's scratch bytes. */
export function scratchWord(thread: number): number {
  return 1536 + thread
}

/** Byte address of the addresses of the current job's buffers. */
export const argumentsAddress = 8192

/** The function of a compiled kernel. */
export type KernelFunction = (
  buffers: number,
  begin: number,
  end: number,
  failureAddress: number,
  scratchAddress: number,
) => void

/** What a worker is told of a new module: its functions are named by their kernels' numbers. */
export interface ModuleMessage {
  readonly module: WebAssembly.Module
  readonly kernels: readonly number[]
}

/** The module's functions by kernel number, on the memory given. */
export function instantiate(
  { module, kernels }: ModuleMessage,
  memory: WebAssembly.Memory,
): ReadonlyMap<number, KernelFunction> {
  const { exports } = new WebAssembly.Instance(module, { environment: { memory } })
  return new Map(kernels.map((kernel) => [kernel, exports[`kernel${kernel}`] as KernelFunction]))
}

/** Takes pieces of the current job until there are none left. */
export function takePieces(control: Int32Array, run: KernelFunction, thread: number): void {
  const extent = control[controlWords.extent]!
  const piece = control[controlWords.piece]!
  const failure = failureAddress(thread)
  const scratch = control[scratchWord(thread)]!
  for (;;) {
    const begin = Atomics.add(control, controlWords.next, 1) * piece
    if (begin >= extent) return
    run(argumentsAddress, begin, Math.min(extent, begin + piece), failure, scratch)
  }
}
