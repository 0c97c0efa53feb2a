// WebAssembly's instructions by their names in the text format: their bytes, and what immediates follow.
// It knows nothing of modules or of kernels. Source: the core specification's index of instructions,
// with the threads and relaxed SIMD proposals (both are in the 3.0 draft).

/** What follows an opcode: how many and which kinds of immediates. */
type Immediates =
  | 'none'
  /** A structured block's result type. */
  | 'block'
  /** One unsigned index (local, function, label depth). */
  | 'index'
  /** Alignment and offset of an access of `bytes`. */
  | 'memory'
  /** An access, then a lane number. */
  | 'memory-lane'
  | 'lane'
  | 'i32'
  | 'i64'
  | 'f32'
  | 'f64'
  /** Sixteen bytes: a v128 constant. */
  | 'v128'
  /** Sixteen lane numbers: a shuffle. */
  | 'shuffle'

/** One instruction: the prefix (0: none), the number after it, and its immediates. */
export interface Opcode {
  readonly prefix: number
  readonly code: number
  readonly immediates: Immediates
  /** Bytes accessed in memory, for the alignment; 0 where it is no access. */
  readonly accessBytes: number
}

// Runs of consecutive opcodes; `_` is an unused number, `.x` continues the type of the name before it.
const core: readonly (readonly [start: number, names: string])[] = [
  [0x00, 'unreachable nop'],
  [0x45, 'i32.eqz .eq .ne .lt_s .lt_u .gt_s .gt_u .le_s .le_u .ge_s .ge_u'],
  [0x50, 'i64.eqz .eq .ne .lt_s .lt_u .gt_s .gt_u .le_s .le_u .ge_s .ge_u'],
  [0x5b, 'f32.eq .ne .lt .gt .le .ge f64.eq .ne .lt .gt .le .ge'],
  [0x67, 'i32.clz .ctz .popcnt .add .sub .mul .div_s .div_u .rem_s .rem_u .and .or .xor'],
  [0x74, 'i32.shl .shr_s .shr_u .rotl .rotr'],
  [0x79, 'i64.clz .ctz .popcnt .add .sub .mul .div_s .div_u .rem_s .rem_u .and .or .xor'],
  [0x86, 'i64.shl .shr_s .shr_u .rotl .rotr'],
  [0x8b, 'f32.abs .neg .ceil .floor .trunc .nearest .sqrt .add .sub .mul .div .min .max .copysign'],
  [0x99, 'f64.abs .neg .ceil .floor .trunc .nearest .sqrt .add .sub .mul .div .min .max .copysign'],
  [0xa7, 'i32.wrap_i64 .trunc_f32_s .trunc_f32_u .trunc_f64_s .trunc_f64_u'],
  [0xac, 'i64.extend_i32_s .extend_i32_u .trunc_f32_s .trunc_f32_u .trunc_f64_s .trunc_f64_u'],
  [0xb2, 'f32.convert_i32_s .convert_i32_u .convert_i64_s .convert_i64_u .demote_f64'],
  [0xb7, 'f64.convert_i32_s .convert_i32_u .convert_i64_s .convert_i64_u .promote_f32'],
  [0xbc, 'i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64'],
  [0xc0, 'i32.extend8_s .extend16_s i64.extend8_s .extend16_s .extend32_s'],
]

const saturating: readonly (readonly [start: number, names: string])[] = [
  [0, 'i32.trunc_sat_f32_s .trunc_sat_f32_u .trunc_sat_f64_s .trunc_sat_f64_u'],
  [4, 'i64.trunc_sat_f32_s .trunc_sat_f32_u .trunc_sat_f64_s .trunc_sat_f64_u'],
]

const vector: readonly (readonly [start: number, names: string])[] = [
  [14, 'i8x16.swizzle .splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat'],
  [35, 'i8x16.eq .ne .lt_s .lt_u .gt_s .gt_u .le_s .le_u .ge_s .ge_u'],
  [45, 'i16x8.eq .ne .lt_s .lt_u .gt_s .gt_u .le_s .le_u .ge_s .ge_u'],
  [55, 'i32x4.eq .ne .lt_s .lt_u .gt_s .gt_u .le_s .le_u .ge_s .ge_u'],
  [65, 'f32x4.eq .ne .lt .gt .le .ge f64x2.eq .ne .lt .gt .le .ge'],
  [77, 'v128.not .and .andnot .or .xor .bitselect .any_true'],
  [94, 'f32x4.demote_f64x2_zero f64x2.promote_low_f32x4'],
  [96, 'i8x16.abs .neg .popcnt .all_true .bitmask .narrow_i16x8_s .narrow_i16x8_u'],
  [103, 'f32x4.ceil .floor .trunc .nearest'],
  [107, 'i8x16.shl .shr_s .shr_u .add .add_sat_s .add_sat_u .sub .sub_sat_s .sub_sat_u'],
  [116, 'f64x2.ceil .floor i8x16.min_s .min_u .max_s .max_u f64x2.trunc i8x16.avgr_u'],
  [124, 'i16x8.extadd_pairwise_i8x16_s .extadd_pairwise_i8x16_u'],
  [126, 'i32x4.extadd_pairwise_i16x8_s .extadd_pairwise_i16x8_u'],
  [128, 'i16x8.abs .neg .q15mulr_sat_s .all_true .bitmask .narrow_i32x4_s .narrow_i32x4_u'],
  [135, 'i16x8.extend_low_i8x16_s .extend_high_i8x16_s .extend_low_i8x16_u .extend_high_i8x16_u'],
  [139, 'i16x8.shl .shr_s .shr_u .add .add_sat_s .add_sat_u .sub .sub_sat_s .sub_sat_u'],
  [148, 'f64x2.nearest i16x8.mul .min_s .min_u .max_s .max_u _ .avgr_u'],
  [156, 'i16x8.extmul_low_i8x16_s .extmul_high_i8x16_s .extmul_low_i8x16_u .extmul_high_i8x16_u'],
  [160, 'i32x4.abs .neg _ .all_true .bitmask'],
  [167, 'i32x4.extend_low_i16x8_s .extend_high_i16x8_s .extend_low_i16x8_u .extend_high_i16x8_u'],
  [171, 'i32x4.shl .shr_s .shr_u .add _ _ .sub _ _ _ .mul .min_s .min_u .max_s .max_u'],
  [186, 'i32x4.dot_i16x8_s'],
  [188, 'i32x4.extmul_low_i16x8_s .extmul_high_i16x8_s .extmul_low_i16x8_u .extmul_high_i16x8_u'],
  [192, 'i64x2.abs .neg _ .all_true .bitmask'],
  [199, 'i64x2.extend_low_i32x4_s .extend_high_i32x4_s .extend_low_i32x4_u .extend_high_i32x4_u'],
  [203, 'i64x2.shl .shr_s .shr_u .add _ _ .sub _ _ _ .mul .eq .ne .lt_s .gt_s .le_s .ge_s'],
  [220, 'i64x2.extmul_low_i32x4_s .extmul_high_i32x4_s .extmul_low_i32x4_u .extmul_high_i32x4_u'],
  [224, 'f32x4.abs .neg _ .sqrt .add .sub .mul .div .min .max .pmin .pmax'],
  [236, 'f64x2.abs .neg _ .sqrt .add .sub .mul .div .min .max .pmin .pmax'],
  [248, 'i32x4.trunc_sat_f32x4_s .trunc_sat_f32x4_u f32x4.convert_i32x4_s .convert_i32x4_u'],
  [252, 'i32x4.trunc_sat_f64x2_s_zero .trunc_sat_f64x2_u_zero'],
  [254, 'f64x2.convert_low_i32x4_s .convert_low_i32x4_u'],
  [256, 'i8x16.relaxed_swizzle i32x4.relaxed_trunc_f32x4_s .relaxed_trunc_f32x4_u'],
  [259, 'i32x4.relaxed_trunc_f64x2_s_zero .relaxed_trunc_f64x2_u_zero'],
  [261, 'f32x4.relaxed_madd .relaxed_nmadd f64x2.relaxed_madd .relaxed_nmadd'],
  [265, 'i8x16.relaxed_laneselect i16x8.relaxed_laneselect i32x4.relaxed_laneselect'],
  [268, 'i64x2.relaxed_laneselect f32x4.relaxed_min .relaxed_max f64x2.relaxed_min .relaxed_max'],
]

// Instructions with immediates: name, prefix, code, immediates, bytes accessed.
const others: readonly (readonly [string, number, number, Immediates, number?])[] = [
  ['block', 0, 0x02, 'block'],
  ['loop', 0, 0x03, 'block'],
  ['if', 0, 0x04, 'block'],
  ['else', 0, 0x05, 'none'],
  ['end', 0, 0x0b, 'none'],
  ['br', 0, 0x0c, 'index'],
  ['br_if', 0, 0x0d, 'index'],
  ['return', 0, 0x0f, 'none'],
  ['call', 0, 0x10, 'index'],
  ['drop', 0, 0x1a, 'none'],
  ['select', 0, 0x1b, 'none'],
  ['local.get', 0, 0x20, 'index'],
  ['local.set', 0, 0x21, 'index'],
  ['local.tee', 0, 0x22, 'index'],
  ['i32.const', 0, 0x41, 'i32'],
  ['i64.const', 0, 0x42, 'i64'],
  ['f32.const', 0, 0x43, 'f32'],
  ['f64.const', 0, 0x44, 'f64'],
  ['v128.const', 0xfd, 12, 'v128'],
  ['i8x16.shuffle', 0xfd, 13, 'shuffle'],
]

const accesses: readonly (readonly [
  prefix: number,
  start: number,
  bytes: string,
  names: string,
])[] = [
  [0, 0x28, '4 8 4 8', 'i32.load i64.load f32.load f64.load'],
  [0, 0x2c, '1 1 2 2', 'i32.load8_s .load8_u .load16_s .load16_u'],
  [0, 0x30, '1 1 2 2 4 4', 'i64.load8_s .load8_u .load16_s .load16_u .load32_s .load32_u'],
  [0, 0x36, '4 8 4 8', 'i32.store i64.store f32.store f64.store'],
  [0, 0x3a, '1 2 1 2 4', 'i32.store8 .store16 i64.store8 .store16 .store32'],
  [0xfd, 0, '16 8 8 8 8', 'v128.load .load8x8_s .load8x8_u .load16x4_s .load16x4_u'],
  [0xfd, 5, '8 8', 'v128.load32x2_s .load32x2_u'],
  [0xfd, 7, '1 2 4 8', 'v128.load8_splat .load16_splat .load32_splat .load64_splat'],
  [0xfd, 11, '16', 'v128.store'],
  [0xfd, 92, '4 8', 'v128.load32_zero .load64_zero'],
  [0xfe, 0x00, '4 4 8', 'memory.atomic.notify .atomic.wait32 .atomic.wait64'],
  [0xfe, 0x10, '4 8', 'i32.atomic.load i64.atomic.load'],
  [0xfe, 0x17, '4 8', 'i32.atomic.store i64.atomic.store'],
  [0xfe, 0x1e, '4 8', 'i32.atomic.rmw.add i64.atomic.rmw.add'],
  [0xfe, 0x48, '4 8', 'i32.atomic.rmw.cmpxchg i64.atomic.rmw.cmpxchg'],
]

const lanes: readonly (readonly [start: number, names: string])[] = [
  [21, 'i8x16.extract_lane_s .extract_lane_u .replace_lane'],
  [24, 'i16x8.extract_lane_s .extract_lane_u .replace_lane'],
  [27, 'i32x4.extract_lane .replace_lane i64x2.extract_lane .replace_lane'],
  [31, 'f32x4.extract_lane .replace_lane f64x2.extract_lane .replace_lane'],
]

function* unfold(start: number, names: string): Generator<readonly [string, number]> {
  let type = ''
  let code = start
  for (const word of names.split(' ')) {
    if (word.startsWith('.')) yield [type + word, code]
    else if (word !== '_') {
      const dot = word.indexOf('.')
      type = dot < 0 ? '' : word.slice(0, dot)
      yield [word, code]
    }
    code++
  }
}

function readTable(): ReadonlyMap<string, Opcode> {
  const table = new Map<string, Opcode>()
  const add = (name: string, prefix: number, code: number, immediates: Immediates, bytes = 0) =>
    table.set(name, { prefix, code, immediates, accessBytes: bytes })
  for (const [prefix, runs] of [
    [0, core],
    [0xfc, saturating],
    [0xfd, vector],
  ] as const) {
    for (const [start, names] of runs) {
      for (const [name, code] of unfold(start, names)) add(name, prefix, code, 'none')
    }
  }
  for (const [start, names] of lanes) {
    for (const [name, code] of unfold(start, names)) add(name, 0xfd, code, 'lane')
  }
  for (const [prefix, start, bytes, names] of accesses) {
    const sizes = bytes.split(' ').map(Number)
    for (const [name, code] of unfold(start, names)) {
      add(name, prefix, code, 'memory', sizes[code - start])
    }
  }
  for (const [index, bytes] of [1, 2, 4, 8].entries()) {
    add(`v128.load${8 * bytes}_lane`, 0xfd, 84 + index, 'memory-lane', bytes)
    add(`v128.store${8 * bytes}_lane`, 0xfd, 88 + index, 'memory-lane', bytes)
  }
  for (const [name, prefix, code, immediates, bytes] of others) {
    add(name, prefix, code, immediates, bytes)
  }
  return table
}

/** Every instruction that the assembler knows, by its text name. */
export const opcodes: ReadonlyMap<string, Opcode> = readTable()
