// A worker thread of the CPU device: sleeps until it is called, learns new modules, and takes pieces of the
// current job. It holds nothing but functions; all data is in the shared memory.
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import {
  controlLength,
  controlWords,
  gateClosed,
  instantiate,
  type KernelFunction,
  type ModuleMessage,
  takePieces,
} from './control.ts'

/** What the device gives to a worker. */
export interface WorkerStart {
  readonly memory: WebAssembly.Memory
  readonly port: MessagePort
  readonly thread: number
}

/** Looks at the call word so often before going to sleep: some microseconds, the pause between dispatches. */
const spins = 2000

function serve({ memory, port, thread }: WorkerStart): void {
  const control = new Int32Array(memory.buffer, 0, controlLength)
  const functions = new Map<number, KernelFunction>()
  let seen = 0
  const learn = () => {
    for (let got = receiveMessageOnPort(port); got; got = receiveMessageOnPort(port)) {
      for (const [kernel, run] of instantiate(got.message as ModuleMessage, memory)) {
        functions.set(kernel, run)
      }
    }
  }
  while (Atomics.load(control, controlWords.stop) === 0) {
    for (let spin = 0; spin < spins; spin++) {
      if (Atomics.load(control, controlWords.call) !== seen) break
    }
    Atomics.wait(control, controlWords.call, seen)
    seen = Atomics.load(control, controlWords.call)
    if (!enter(control)) {
      learn()
      continue
    }
    try {
      const kernel = control[controlWords.kernel]!
      if (!functions.has(kernel)) learn()
      takePieces(control, functions.get(kernel)!, thread)
    } catch {
      Atomics.store(control, controlWords.fault, 1)
    }
    const left = Atomics.sub(control, controlWords.gate, 1)
    if (left === gateClosed + 1) Atomics.notify(control, controlWords.gate)
  }
}

/** Enters the current job, unless it is closed. */
function enter(control: Int32Array): boolean {
  for (;;) {
    const gate = Atomics.load(control, controlWords.gate)
    if ((gate & gateClosed) !== 0) return false
    if (Atomics.compareExchange(control, controlWords.gate, gate, gate + 1) === gate) return true
  }
}

serve(workerData as WorkerStart)
