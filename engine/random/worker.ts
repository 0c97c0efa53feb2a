// A thread that helps to draw: sleeps until a job is there, and takes pieces of it while there are any.
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { closedGate, crewWords, type DrawWorkerStart, type ToldJob } from './crew-words.ts'
import { PieceMaker } from './pieces.ts'
import { takePieces } from './take-pieces.ts'

function serve({ control, area, module, port }: DrawWorkerStart): void {
  const maker = new PieceMaker(module)
  let seen = 0
  while (Atomics.load(control, crewWords.stop) === 0) {
    Atomics.wait(control, crewWords.call, seen)
    seen = Atomics.load(control, crewWords.call)
    if (!enter(control)) continue
    try {
      // Who is inside keeps the job open, so that the number is the open job's.
      const job = told(port, Atomics.load(control, crewWords.call))
      if (job !== undefined) {
        takePieces(maker, job, area, () => Atomics.add(control, crewWords.next, 1))
      }
    } catch {
      Atomics.store(control, crewWords.fault, 1)
    }
    const left = Atomics.sub(control, crewWords.gate, 1)
    if (left === closedGate + 1) Atomics.notify(control, crewWords.gate)
  }
}

/** The job of that number; those before it are over. */
function told(port: MessagePort, number: number): ToldJob | undefined {
  for (let got = receiveMessageOnPort(port); got; got = receiveMessageOnPort(port)) {
    const job = got.message as ToldJob
    if (job.number === number) return job
  }
  return undefined
}

/** Enters the job, unless it is closed. */
function enter(control: Int32Array): boolean {
  for (;;) {
    const gate = Atomics.load(control, crewWords.gate)
    if ((gate & closedGate) !== 0) return false
    if (Atomics.compareExchange(control, crewWords.gate, gate, gate + 1) === gate) return true
  }
}

serve(workerData as DrawWorkerStart)
