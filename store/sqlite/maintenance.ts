// Keeps the store tidy in the background: steps of the sweep in the store worker, merges in a bulk
// worker, each bounded, with a pause in between for those who wait.
import type { MaintenanceReport } from '../port.ts'
import type { BulkPool } from './bulk-pool.ts'
import type { WorkerClient } from './calls.ts'
import type { StoreLimits } from './limits.ts'
import type { MergePlan, SweepStep, WriterCalls, WriterNotice } from './messages.ts'

/** What maintenance needs of its store. */
export interface MaintenanceHost {
  readonly writer: WorkerClient<WriterCalls, WriterNotice>
  readonly bulk: BulkPool
  readonly limits: StoreLimits
  readonly clock: () => number
  nextPackName(): string
  /** Values were freed. */
  freed(): void
  log(message: string): void
}

/** Steps on a timer until `stop`; `run` does at once whatever there is to do. */
export class Maintenance {
  readonly #host: MaintenanceHost
  #timer: NodeJS.Timeout | undefined
  #step: Promise<unknown> = Promise.resolve()
  #isStopped = false

  constructor(host: MaintenanceHost) {
    this.#host = host
  }

  start(): void {
    this.#schedule(this.#host.limits.maintenanceIntervalMs)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#step
  }

  /** Sweeps and merges until nothing is left to do. `graceMs`: see `StoreLimits.sweepGraceMs`. */
  run(graceMs: number): Promise<MaintenanceReport> {
    // As a whole, because a step in between that minds the time of grace would use up its pass.
    return this.#exclusively(() => this.#run(graceMs))
  }

  async #run(graceMs: number): Promise<MaintenanceReport> {
    let report: MaintenanceReport = { values: 0, chunks: 0, packs: 0, mergedChunks: 0 }
    for (let isFirst = true; !this.#isStopped; isFirst = false) {
      const { step, mergedChunks } = await this.#one(graceMs, isFirst)
      report = {
        values: report.values + step.values,
        chunks: report.chunks + step.chunks,
        packs: report.packs + step.packs.length,
        mergedChunks: report.mergedChunks + mergedChunks,
      }
      if (!step.more && mergedChunks === 0) break
    }
    return report
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.#tick(), delayMs)
    this.#timer.unref()
  }

  async #tick(): Promise<void> {
    let isBusy = false
    try {
      const { limits } = this.#host
      const done = await this.#exclusively(() => this.#one(limits.sweepGraceMs, false))
      isBusy = done.step.more || done.mergedChunks > 0
    } catch (error) {
      this.#host.log(`maintenance failed: ${error instanceof Error ? error.message : error}`)
    }
    this.#schedule(isBusy ? 1 : this.#host.limits.maintenanceIntervalMs)
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#step.then(work)
    this.#step = result.catch(() => undefined)
    return result
  }

  async #one(
    graceMs: number,
    restart: boolean,
  ): Promise<{ step: SweepStep; mergedChunks: number }> {
    const { writer, bulk, clock } = this.#host
    const step = await writer.call('sweep', { now: clock(), graceMs, restart })
    if (step.values > 0) this.#host.freed()
    if (step.packs.length > 0) {
      await Promise.all(bulk.lanes.map((lane) => lane.call('forget', { packs: step.packs })))
    }
    const mergedChunks = step.merge === undefined ? 0 : await this.#merge(step.merge)
    return { step, mergedChunks }
  }

  async #merge(plan: MergePlan): Promise<number> {
    const { writer, bulk } = this.#host
    const packName = this.#host.nextPackName()
    const copied = await bulk.next().call('merge', { plan, packName })
    if (copied.damaged.length > 0) {
      this.#host.log(`merging found ${copied.damaged.length} damaged chunks`)
      await writer.call('damaged', { digests: copied.damaged, inline: [] })
    }
    if (copied.pack === undefined) return 0
    const { moved } = await writer.call('merged', { pack: copied.pack, plan: copied.plan })
    return moved
  }
}
