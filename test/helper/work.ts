// How much work this process has done: unlike the time of day, other processes do not add to it.

/** Milliseconds of processor time that the process has used since `before`, in all of its threads. */
export function workMs(before?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
