// Gives the few locals of a function to its many temporary values: a local is free again after the last
// use of its value. It knows local.get, .set, .tee and the nesting of blocks, nothing else.
import type { AssembledFunction, Instruction, ValueType } from './assembler.ts'

interface Life {
  first: number
  last: number
}

/**
 * The function with as few locals as live at once, of each type. Each local must be set before it is read
 * on every way through the code; a local that lives into a loop from outside lives to the loop's end.
 */
export function shareLocals(assembled: AssembledFunction): AssembledFunction {
  const fixed = assembled.parameters.length
  const lives = livesOf(assembled.code, fixed)
  const ends = new Map<number, number[]>()
  for (const [local, life] of lives) {
    const list = ends.get(life.last)
    if (list) list.push(local)
    else ends.set(life.last, [local])
  }
  const free = new Map<ValueType, number[]>()
  const locals: ValueType[] = []
  const place = new Map<number, number>()
  const code = assembled.code.map((instruction, at): Instruction => {
    let placed = instruction
    if (isLocal(instruction) && Number(instruction[1]) >= fixed) {
      const local = Number(instruction[1])
      const type = assembled.locals[local - fixed]!
      let to = place.get(local)
      if (to === undefined) {
        to = free.get(type)?.pop() ?? fixed + locals.push(type) - 1
        place.set(local, to)
      }
      placed = [instruction[0], to]
    }
    for (const local of ends.get(at) ?? []) {
      const type = assembled.locals[local - fixed]!
      const list = free.get(type)
      if (list) list.push(place.get(local)!)
      else free.set(type, [place.get(local)!])
    }
    return placed
  })
  return { ...assembled, locals, code }
}

function isLocal([name]: Instruction): boolean {
  return name === 'local.get' || name === 'local.set' || name === 'local.tee'
}

/** First and last instruction of each local's life, loops considered. */
function livesOf(code: readonly Instruction[], fixed: number): ReadonlyMap<number, Life> {
  const lives = new Map<number, Life>()
  /** Blocks around the instruction: where each began, and the outer locals used in it if it is a loop. */
  const open: { readonly start: number; readonly outer: Set<number> | undefined }[] = []
  for (const [at, instruction] of code.entries()) {
    const [name] = instruction
    if (name === 'block' || name === 'if' || name === 'loop') {
      open.push({ start: at, outer: name === 'loop' ? new Set() : undefined })
    } else if (name === 'end') {
      const closed = open.pop()
      if (closed?.outer === undefined) continue
      const around = open.findLast((block) => block.outer !== undefined)
      for (const local of closed.outer) {
        const life = lives.get(local)!
        life.last = at
        if (around !== undefined && life.first < around.start) around.outer!.add(local)
      }
    } else if (isLocal(instruction) && Number(instruction[1]) >= fixed) {
      const local = Number(instruction[1])
      const life = lives.get(local)
      if (life === undefined) lives.set(local, { first: at, last: at })
      else {
        life.last = at
        const loop = open.findLast((block) => block.outer !== undefined)
        if (loop !== undefined && life.first < loop.start) loop.outer!.add(local)
      }
    }
  }
  return lives
}
