// WebAssembly as nested pieces, for routines that are no kernels: an instruction after the pieces that
// push its operands. What they compute it does not know.
import type { AssembledFunction, Instruction, ValueType } from './assembler.ts'

/** Instructions that leave one value on the stack. */
export type Piece = readonly Instruction[]

/** An instruction and what it takes. */
export function op(name: string, ...operands: readonly Piece[]): Piece {
  return [...operands.flat(), [name]]
}

/** Applies an instruction of two operands from left to right over three or more. */
export function chain(name: string, first: Piece, ...others: readonly Piece[]): Piece {
  return others.reduce((left, right) => op(name, left, right), first)
}

/** A 32-bit number. */
export function word(value: number): Piece {
  return [['i32.const', value]]
}

/** Four lanes of the same word. */
export function words(value: number): Piece {
  return [['v128.const', new Uint8Array(Int32Array.of(value, value, value, value).buffer)]]
}

/** Four lanes of the same float32. */
export function floats(value: number): Piece {
  return [['v128.const', new Uint8Array(Float32Array.of(value, value, value, value).buffer)]]
}

/** Two lanes of the same float64. */
export function doubles(value: number): Piece {
  return [['v128.const', new Uint8Array(Float64Array.of(value, value).buffer)]]
}

/** Two lanes of the same 64 bits. */
export function longs(value: bigint): Piece {
  return [['v128.const', new Uint8Array(BigInt64Array.of(value, value).buffer)]]
}

/** Four words, picked by number out of the eight of both vectors. */
export function picked(places: readonly number[], first: Piece, second: Piece): Piece {
  const bytes = places.flatMap((place) => [0, 1, 2, 3].map((byte) => 4 * place + byte))
  return [...first, ...second, ['i8x16.shuffle', Uint8Array.from(bytes)]]
}

/** A function under construction. */
export class FunctionWriter {
  readonly #name: string
  readonly #parameters: readonly ValueType[]
  readonly #locals: ValueType[] = []
  readonly #code: Instruction[] = []

  constructor(name: string, parameters: readonly ValueType[]) {
    this.#name = name
    this.#parameters = parameters
  }

  /** The parameter at that place. */
  parameter(place: number): Piece {
    return [['local.get', place]]
  }

  /** A new local, not yet set. */
  local(type: ValueType): number {
    return this.#parameters.length + this.#locals.push(type) - 1
  }

  /** Keeps a value in a new local and answers with how to read it. */
  keep(type: ValueType, value: Piece): Piece {
    const local = this.local(type)
    this.set(local, value)
    return [['local.get', local]]
  }

  set(local: number, value: Piece): void {
    this.run(value, [['local.set', local]])
  }

  run(...pieces: readonly Piece[]): void {
    this.#code.push(...pieces.flat())
  }

  /** Runs `body` for the counter 0, `step`, .. below `end`, with the counter at hand. */
  repeat(end: Piece, step: number, body: (counter: Piece) => void): void {
    const counter = this.local('i32')
    const at: Piece = [['local.get', counter]]
    this.set(counter, word(0))
    this.run([['block'], ['loop']], op('i32.ge_u', at, end), [['br_if', 1]])
    body(at)
    this.set(counter, op('i32.add', at, word(step)))
    this.run([['br', 0], ['end'], ['end']])
  }

  /** The function. Vector constants are made once, before all else: making one takes several instructions. */
  finish(): AssembledFunction {
    const constants = new Map<string, number>()
    const before: Instruction[] = []
    const code = this.#code.map((instruction): Instruction => {
      const [name, bytes] = instruction
      if (name !== 'v128.const') return instruction
      const key = String(bytes)
      let local = constants.get(key)
      if (local === undefined) {
        local = this.local('v128')
        constants.set(key, local)
        before.push(instruction, ['local.set', local])
      }
      return ['local.get', local]
    })
    return {
      name: this.#name,
      parameters: this.#parameters,
      locals: this.#locals,
      code: [...before, ...code],
    }
  }
}
