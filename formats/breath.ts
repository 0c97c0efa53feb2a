// Long work in small strokes: whoever shares the thread gets a turn in between.

const strokeMs = 10

/**
 * Says, when it is asked between two steps of long work, whether others should have a turn: then it gives
 * a promise to wait for, else undefined, so that short work never waits.
 */
export function breaths(): () => Promise<void> | undefined {
  let begun = performance.now()
  return () => {
    if (performance.now() - begun < strokeMs) return undefined
    return new Promise((resolve) => {
      setTimeout(() => {
        begun = performance.now()
        resolve()
      })
    })
  }
}
