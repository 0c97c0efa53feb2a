// A kernel and its tiling as one WGSL module: the frame around what the emitter prints. A pure
// function; it knows no device. WGSL lets a compiler fuse a product into a sum anywhere and flush
// denormals: results outside of reductions may differ from the CPU's by that.
import { isPositional, type Kernel } from '../../ir/index.ts'
import type { WebgpuTiling } from '../../tile/webgpu.ts'
import type { DeviceFacts } from '../device.ts'
import { type Binding, type Program, storageOf } from './protocol.ts'
import { Emitter, type Lane } from './wgsl-emitter.ts'
import {
  decodeText,
  flatCounters,
  type Grid,
  gridOf,
  isRagged,
  lanesOf,
  productOf,
  tileCounters,
  tooLarge,
} from './wgsl-grid.ts'
import { lowerKernel } from './wgsl-lower.ts'
import { accumulatorTypeOf, identityText, mergeText, takeText } from './wgsl-reduction.ts'
import {
  declarationsFor,
  storedText,
  storedTypeOf,
  unknownZeroText,
  usesUnknownZero,
} from './wgsl-types.ts'

/** What the module leaves to the device: its number. */
export type NumberlessProgram = Omit<Program, 'id'>

/** Places where buffers are bound, and the name of each input's and output's. */
interface Layout {
  readonly bindings: readonly (Binding & { readonly name: string; readonly type: string })[]
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

/** Positions are 32-bit words in a status buffer where 0 stands for "none". */
const mostCheckedIterations = 2 ** 32 - 2

/**
 * The program of a kernel. Refuses with UNIMPLEMENTED (`device/kernel-too-large`) what no dispatch
 * or status word can span.
 */
export function programOf(
  kernel: Kernel,
  tiling: WebgpuTiling,
  facts: DeviceFacts,
): NumberlessProgram {
  const iterations = productOf(kernel.loops) * productOf(kernel.reduced)
  const checks = iterations === 0 ? [] : kernel.checks
  if (checks.length > 0 && iterations > mostCheckedIterations) {
    throw tooLarge(`${iterations} iterations with checks; at most ${mostCheckedIterations}`)
  }
  const lowered = lowerKernel({ ...kernel, checks })
  const grid = gridOf(kernel, tiling, Number(facts.limits.maxComputeWorkgroupsPerDimension))
  const layout = layoutOf(kernel)
  const body =
    tiling.form === 'workgroup'
      ? workgroupBody(lowered, tiling, grid, layout)
      : invocationBody(lowered, tiling, grid, layout)
  const buffers = layout.bindings.map(({ name, type, writable }, place) => {
    const access = writable ? 'read_write' : 'read'
    return `@group(0) @binding(${place}) var<storage, ${access}> ${name}: array<${type}>;`
  })
  if (checks.length > 0) {
    const type = 'array<atomic<u32>>'
    buffers.push(`@group(1) @binding(0) var<storage, read_write> status: ${type};`)
  }
  const wgsl = [...buffers, ...declarationsFor(body), body, ''].join('\n')
  const bindings = layout.bindings.map(({ storage, elementCount, writable }) => ({
    storage,
    elementCount,
    writable,
  }))
  return { wgsl, bindings, workgroups: [grid.x, grid.y, 1], statusWords: checks.length }
}

function layoutOf(kernel: Kernel): Layout {
  const written = new Set(kernel.outputs.map(({ inPlaceOf }) => inPlaceOf))
  const inputs = kernel.inputs.map((_, place) => `in${place}`)
  const outputs = kernel.outputs.map(({ inPlaceOf }, place) =>
    inPlaceOf === undefined ? `out${place}` : inputs[inPlaceOf],
  )
  const fresh = kernel.outputs.flatMap((output, place) =>
    output.inPlaceOf === undefined ? [{ ...output, name: outputs[place], writable: true }] : [],
  )
  const bindings = [
    ...kernel.inputs.map((input, place) => ({
      ...input,
      name: inputs[place],
      writable: written.has(place),
    })),
    ...fresh,
  ].map(({ name, dtype, elementCount, writable }) => ({
    name,
    type: storedTypeOf(dtype),
    storage: storageOf(dtype),
    elementCount,
    writable,
  }))
  return { bindings, inputs, outputs }
}

/** The entry point around its statements. */
function mainText(size: number, lines: readonly string[]): string {
  const start = usesUnknownZero(lines.join('\n')) ? [unknownZeroText] : []
  return `@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
${indent([...start, ...lines])}
}`
}

/** One invocation for each output, or for each tile of outputs; reductions in order. */
function invocationBody(kernel: Kernel, tiling: WebgpuTiling, grid: Grid, layout: Layout): string {
  const lanes = lanesOf(tiling)
  const suffixOf = (lane: Lane): string => (lane.length === 0 ? '' : `_${lane.join('_')}`)
  const emitter = new Emitter(kernel, {
    tile: tiling.tile,
    flatLoop: false,
    bufferOf: (input) => layout.inputs[input],
    accumulatorOf: (reduction, lane) =>
      `sum${reduction}${suffixOf(lane)}${isPositional(kernel.reductions[reduction].combine) ? '_at' : ''}`,
  })
  const starts: string[] = []
  const takes: string[] = []
  for (const lane of lanes) printChecks(kernel, emitter, lane)
  kernel.reductions.forEach((reduction, place) => {
    for (const lane of lanes) {
      const name = `sum${place}${suffixOf(lane)}`
      starts.push(`var ${name}: ${accumulatorTypeOf(reduction)} = ${identityText(reduction)};`)
      if (isPositional(reduction.combine)) starts.push(`var ${name}_at: i32 = 0;`)
      const value = emitter.valueOf(reduction.body, lane)
      takes.push(takeText(reduction, name, value, flatText(kernel.reduced, kernel.loops.length)))
    }
  })
  emitter.leaveLoops()
  const stores = lanes.flatMap((lane) => storesOf(kernel, emitter, lane, tiling, grid, layout))
  const lines = [
    ...(tiling.tile.length > 0
      ? tileCounters(kernel, tiling, grid)
      : flatCounters(kernel, tiling, grid)),
    ...emitter.levels[0],
    ...starts,
    ...loopNest(kernel, emitter, takes),
    ...emitter.after,
    ...stores,
  ]
  return mainText(tiling.workgroupSize, lines)
}

/** One workgroup for each output: its invocations stride over the row and combine in shared memory. */
function workgroupBody(kernel: Kernel, tiling: WebgpuTiling, grid: Grid, layout: Layout): string {
  const size = tiling.workgroupSize
  const nameOf = (place: number): string => `shared${place}[0]`
  const atOf = (place: number): string => `shared_at${place}[0]`
  const emitter = new Emitter(kernel, {
    tile: [],
    flatLoop: true,
    bufferOf: (input) => layout.inputs[input],
    accumulatorOf: (place) =>
      isPositional(kernel.reductions[place].combine) ? atOf(place) : nameOf(place),
  })
  printChecks(kernel, emitter, [])
  const shared: string[] = []
  const starts: string[] = []
  const takes: string[] = []
  const keeps: string[] = []
  const merges: string[] = []
  kernel.reductions.forEach((reduction, place) => {
    const type = accumulatorTypeOf(reduction)
    const name = `sum${place}`
    shared.push(`var<workgroup> shared${place}: array<${type}, ${size}>;`)
    starts.push(`var ${name}: ${type} = ${identityText(reduction)};`)
    keeps.push(`shared${place}[local] = ${name};`)
    if (isPositional(reduction.combine)) {
      shared.push(`var<workgroup> shared_at${place}: array<i32, ${size}>;`)
      // One that saw nothing must not win a tie.
      starts.push(`var ${name}_at: i32 = 0x7fffffffi;`)
      keeps.push(`shared_at${place}[local] = ${name}_at;`)
    }
    takes.push(takeText(reduction, name, emitter.valueOf(reduction.body, []), 'i32(at)'))
    const places = { own: `shared_at${place}[local]`, other: `shared_at${place}[local + step]` }
    const [own, other] = [`shared${place}[local]`, `shared${place}[local + step]`]
    merges.push(mergeText(reduction, own, other, places))
  })
  emitter.leaveLoops()
  kernel.reductions.forEach((reduction, place) => {
    if (isPositional(reduction.combine)) {
      emitter.after.push(`if (${atOf(place)} == 0x7fffffffi) { ${atOf(place)} = 0i; }`)
    }
  })
  const stores = storesOf(kernel, emitter, [], tiling, grid, layout)
  const lines = [
    `let flat = group.y * ${grid.x}u + group.x;`,
    `if (flat >= ${grid.count}u) { return; }`,
    ...decodeText('flat', kernel.loops, 0),
    ...emitter.levels[0],
    ...starts,
    `for (var at = local; at < ${productOf(kernel.reduced)}u; at += ${size}u) {`,
    indent([
      ...decodeText('at', kernel.reduced, kernel.loops.length),
      ...(emitter.levels[1] ?? []),
      ...takes,
    ]),
    '}',
    ...keeps,
    `for (var step = ${Math.floor(size / 2)}u; step > 0u; step >>= 1u) {`,
    indent(['workgroupBarrier();', 'if (local < step) {', indent(merges), '}']),
    '}',
    'if (local == 0u) {',
    indent([...emitter.after, ...stores]),
    '}',
  ]
  return [...shared, mainText(size, lines)].join('\n')
}

/** The reduction's loops around what each level prints. */
function loopNest(kernel: Kernel, emitter: Emitter, takes: readonly string[]): string[] {
  const nest = (place: number): string[] => {
    if (place === kernel.reduced.length) return [...takes]
    const axis = kernel.loops.length + place
    const extent = kernel.reduced[place]
    const body = [...emitter.levels[place + 1], ...nest(place + 1)]
    const counter = `var i${axis} = 0i; i${axis} < ${extent}i; i${axis}++`
    return body.length === 0 ? [] : [`for (${counter}) {`, indent(body), '}']
  }
  return nest(0)
}

/** Flat position (an i32) of the counters of such loops; axes count from `firstAxis`. */
function flatText(extents: readonly number[], firstAxis: number): string {
  return extents.reduce((text, extent, place) => {
    if (extent === 1) return text
    const counter = `i${firstAxis + place}`
    return text === '0i' ? counter : `(${text} * ${extent}i + ${counter})`
  }, '0i')
}

/** Checks of the kernel, each in the outermost loop where it can be told. */
function printChecks(kernel: Kernel, emitter: Emitter, lane: Lane): void {
  const extents = [...kernel.loops, ...kernel.reduced]
  kernel.checks.forEach((check, place) => {
    const ok = emitter.valueOf(check.ok, lane)
    const position = extents.reduce((text, extent, axis) => {
      if (extent === 1) return text
      // Loops inside of where the check stands are at their first iteration.
      const counter = emitter.isOpen(axis, emitter.levelOf(check.ok))
        ? `u32(${emitter.counterOf(axis, lane)})`
        : '0u'
      return text === '0u' ? counter : `(${text} * ${extent}u + ${counter})`
    }, '0u')
    const report = `atomicMax(&status[${place}], 0xffffffffu - ${position});`
    emitter.scopeOf(check.ok).push(`if (!${ok}) { ${report} }`)
  })
}

/**
 * Statements that store at one place of the tile; they go last, since what is updated in place may
 * be read by others of them. Positions from memory are stored only where they exist.
 */
function storesOf(
  kernel: Kernel,
  emitter: Emitter,
  lane: Lane,
  tiling: WebgpuTiling,
  grid: Grid,
  layout: Layout,
): string[] {
  const conditions = tiling.tile.flatMap(({ axis, outputs }, place) => {
    if (!isRagged(axis, outputs, kernel, grid) || lane[place] === 0) return []
    return `b${axis} + ${lane[place] * grid.blocks[axis]}u < ${kernel.loops[axis]}u`
  })
  return kernel.stores.map((store) => {
    const { dtype, elementCount } = kernel.outputs[store.output]
    const index = emitter.valueOf(store.index, lane)
    const value = storedText(dtype, emitter.valueOf(store.value, lane))
    const guards = [...conditions]
    if (emitter.dependsOnLoads(store.index)) guards.push(`u32(${index}) < ${elementCount}u`)
    const statement = `${layout.outputs[store.output]}[${index}] = ${value};`
    const guard = guards.join(' && ')
    return guard === '' ? statement : `if (${guard}) { ${statement} }`
  })
}

function indent(lines: readonly string[]): string {
  return lines
    .join('\n')
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n')
}
