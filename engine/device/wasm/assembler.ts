// Assembles a WebAssembly module from functions whose code is a list of instructions in the words of
// the text format. It knows the binary format; what the functions compute it does not know.
import { opcodes } from './opcodes.ts'

/** Types of locals and parameters. */
export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128'

/**
 * One instruction: its text name and its immediates. Accesses take their offset (then the lane);
 * `block`, `loop` and `if` have no result; a `v128.const` takes 16 bytes, as does a shuffle.
 */
export type Instruction = readonly [name: string, ...immediates: (number | bigint | Uint8Array)[]]

/** A function to assemble. Locals are numbered after the parameters. */
export interface AssembledFunction {
  readonly name: string
  readonly parameters: readonly ValueType[]
  readonly locals: readonly ValueType[]
  readonly code: readonly Instruction[]
}

const typeBytes: Readonly<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
}

const emptyBlock = 0x40
const maxPages = 65_536

/** Bytes that grow. */
class ByteSink {
  #bytes = new Uint8Array(1024)
  #length = 0

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1)
    this.#bytes[this.#length++] = value
  }

  bytes(values: Uint8Array): void {
    if (this.#length + values.length > this.#bytes.length) this.#grow(values.length)
    this.#bytes.set(values, this.#length)
    this.#length += values.length
  }

  /** An unsigned LEB128 number, up to 2^32 - 1. */
  unsigned(value: number): void {
    let rest = value >>> 0
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    this.byte(rest)
  }

  /** A signed LEB128 number. */
  signed(value: number | bigint): void {
    let rest = BigInt(value)
    for (;;) {
      const low = Number(rest & 0x7fn)
      rest >>= 7n
      const done = (rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40)
      this.byte(done ? low : low | 0x80)
      if (done) return
    }
  }

  text(value: string): void {
    const bytes = new TextEncoder().encode(value)
    this.unsigned(bytes.length)
    this.bytes(bytes)
  }

  /** A section or a function body: its length first. */
  sized(write: (sink: ByteSink) => void): void {
    const inner = new ByteSink()
    write(inner)
    const bytes = inner.finish()
    this.unsigned(bytes.length)
    this.bytes(bytes)
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length)
  }

  #grow(by: number): void {
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + by))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

function writeOpcode(sink: ByteSink, prefix: number, code: number): void {
  if (prefix === 0) {
    sink.byte(code)
    return
  }
  sink.byte(prefix)
  sink.unsigned(code)
}

function writeFloat(sink: ByteSink, value: number, bytes: 4 | 8): void {
  const view = new DataView(new ArrayBuffer(bytes))
  if (bytes === 4) view.setFloat32(0, value, true)
  else view.setFloat64(0, value, true)
  sink.bytes(new Uint8Array(view.buffer))
}

function writeInstruction(sink: ByteSink, instruction: Instruction): void {
  const [name, first, second] = instruction
  const opcode = opcodes.get(name)
  if (!opcode) throw new Error(`There is no instruction named ${name}.`)
  writeOpcode(sink, opcode.prefix, opcode.code)
  switch (opcode.immediates) {
    case 'none':
      return
    case 'block':
      sink.byte(emptyBlock)
      return
    case 'index':
      sink.unsigned(Number(first))
      return
    case 'lane':
      sink.byte(Number(first))
      return
    case 'memory':
    case 'memory-lane':
      // Atomics demand their natural alignment; to the others it is a hint that costs nothing if wrong.
      sink.unsigned(opcode.prefix === 0xfe ? Math.log2(opcode.accessBytes) : 0)
      sink.unsigned(Number(first ?? 0))
      if (opcode.immediates === 'memory-lane') sink.byte(Number(second))
      return
    case 'i32':
      sink.signed(Number(first) | 0)
      return
    case 'i64':
      sink.signed(BigInt.asIntN(64, BigInt(first as bigint)))
      return
    case 'f32':
      writeFloat(sink, Number(first), 4)
      return
    case 'f64':
      writeFloat(sink, Number(first), 8)
      return
    case 'v128':
    case 'shuffle':
      sink.bytes(first as Uint8Array)
      return
    default:
      opcode.immediates satisfies never
  }
}

function writeFunction(sink: ByteSink, assembled: AssembledFunction): void {
  sink.sized((body) => {
    const runs: [ValueType, number][] = []
    for (const type of assembled.locals) {
      const last = runs.at(-1)
      if (last?.[0] === type) last[1]++
      else runs.push([type, 1])
    }
    body.unsigned(runs.length)
    for (const [type, count] of runs) {
      body.unsigned(count)
      body.byte(typeBytes[type])
    }
    for (const instruction of assembled.code) writeInstruction(body, instruction)
    body.byte(0x0b)
  })
}

function section(sink: ByteSink, id: number, write: (sink: ByteSink) => void): void {
  sink.byte(id)
  sink.sized(write)
}

/**
 * The bytes of a module that imports the shared memory `environment.memory` (up to 4 GiB) and exports
 * the functions by their names. Functions return nothing. Throws on an unknown instruction.
 */
export function assemble(functions: readonly AssembledFunction[]): Uint8Array<ArrayBuffer> {
  const sink = new ByteSink()
  sink.bytes(Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00))
  section(sink, 1, (types) => {
    types.unsigned(functions.length)
    for (const { parameters } of functions) {
      types.byte(0x60)
      types.unsigned(parameters.length)
      for (const type of parameters) types.byte(typeBytes[type])
      types.unsigned(0)
    }
  })
  section(sink, 2, (imports) => {
    imports.unsigned(1)
    imports.text('environment')
    imports.text('memory')
    imports.byte(0x02)
    imports.byte(0x03) // shared, with a maximum
    imports.unsigned(1)
    imports.unsigned(maxPages)
  })
  section(sink, 3, (declared) => {
    declared.unsigned(functions.length)
    for (let index = 0; index < functions.length; index++) declared.unsigned(index)
  })
  section(sink, 7, (exported) => {
    exported.unsigned(functions.length)
    for (const [index, { name }] of functions.entries()) {
      exported.text(name)
      exported.byte(0x00)
      exported.unsigned(index)
    }
  })
  section(sink, 10, (bodies) => {
    bodies.unsigned(functions.length)
    for (const assembled of functions) writeFunction(bodies, assembled)
  })
  return sink.finish()
}

/** The function as text, one instruction a line, indented by its blocks: for people and snapshots. */
export function disassemble(assembled: AssembledFunction): string {
  const lines = [`(func $${assembled.name} (param ${assembled.parameters.join(' ')})`]
  let depth = 1
  for (const [name, ...immediates] of assembled.code) {
    if (name === 'end' || name === 'else') depth--
    const words = immediates.map((word) =>
      word instanceof Uint8Array ? [...word].join(' ') : Object.is(word, -0) ? '-0' : String(word),
    )
    lines.push(`${'  '.repeat(depth)}${[name, ...words].join(' ')}`)
    if (name === 'block' || name === 'loop' || name === 'if' || name === 'else') depth++
  }
  lines.push(')')
  return lines.join('\n')
}
