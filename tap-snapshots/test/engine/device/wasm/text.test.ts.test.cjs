/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`test/engine/device/wasm/text.test.ts > TAP > the code of kernels is what it was > a chain in bfloat16 1`] = `
(func $kernel (param i32 i32 i32 i32 i32)
  local.get 0
  i32.load 0
  local.set 5
  local.get 0
  i32.load 4
  local.set 6
  v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
  local.set 7
  local.get 0
  i32.load 8
  local.set 8
  local.get 1
  i32.const 0
  i32.le_s
  i32.const 0
  local.get 2
  i32.lt_s
  i32.and
  if
    local.get 5
    v128.load16x4_u 0
    i32.const 16
    i32x4.shl
    local.set 9
    local.get 6
    v128.load16x4_u 0
    i32.const 16
    i32x4.shl
    local.set 10
    local.get 9
    local.get 10
    f32x4.mul
    local.set 10
    local.get 10
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 11
    local.get 10
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 12
    local.get 10
    local.get 12
    i32x4.add
    local.set 12
    local.get 10
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 10
    local.get 11
    local.get 12
    local.get 10
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 10
    local.get 10
    local.get 9
    f32x4.add
    local.set 9
    local.get 9
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 10
    local.get 9
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 12
    local.get 9
    local.get 12
    i32x4.add
    local.set 12
    local.get 9
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 9
    local.get 10
    local.get 12
    local.get 9
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 9
    local.get 9
    local.get 7
    f32x4.max
    local.set 9
    local.get 8
    local.get 9
    i32.const 16
    i32x4.shr_u
    local.tee 9
    local.get 9
    i8x16.shuffle 0 1 4 5 8 9 12 13 0 0 0 0 0 0 0 0
    v128.store64_lane 0 0
    local.get 5
    v128.load16x4_u 8
    i32.const 16
    i32x4.shl
    local.set 9
    local.get 6
    v128.load16x4_u 8
    i32.const 16
    i32x4.shl
    local.set 12
    local.get 9
    local.get 12
    f32x4.mul
    local.set 12
    local.get 12
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 10
    local.get 12
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 11
    local.get 12
    local.get 11
    i32x4.add
    local.set 11
    local.get 12
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 12
    local.get 10
    local.get 11
    local.get 12
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 12
    local.get 12
    local.get 9
    f32x4.add
    local.set 9
    local.get 9
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 12
    local.get 9
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 11
    local.get 9
    local.get 11
    i32x4.add
    local.set 11
    local.get 9
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 9
    local.get 12
    local.get 11
    local.get 9
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 9
    local.get 9
    local.get 7
    f32x4.max
    local.set 9
    local.get 8
    local.get 9
    i32.const 16
    i32x4.shr_u
    local.tee 9
    local.get 9
    i8x16.shuffle 0 1 4 5 8 9 12 13 0 0 0 0 0 0 0 0
    v128.store64_lane 8 0
    local.get 5
    v128.load16x4_u 16
    i32.const 16
    i32x4.shl
    local.set 9
    local.get 6
    v128.load16x4_u 16
    i32.const 16
    i32x4.shl
    local.set 11
    local.get 9
    local.get 11
    f32x4.mul
    local.set 11
    local.get 11
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 12
    local.get 11
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 10
    local.get 11
    local.get 10
    i32x4.add
    local.set 10
    local.get 11
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 11
    local.get 12
    local.get 10
    local.get 11
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 11
    local.get 11
    local.get 9
    f32x4.add
    local.set 9
    local.get 9
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 11
    local.get 9
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 10
    local.get 9
    local.get 10
    i32x4.add
    local.set 10
    local.get 9
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 9
    local.get 11
    local.get 10
    local.get 9
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 9
    local.get 9
    local.get 7
    f32x4.max
    local.set 9
    local.get 8
    local.get 9
    i32.const 16
    i32x4.shr_u
    local.tee 9
    local.get 9
    i8x16.shuffle 0 1 4 5 8 9 12 13 0 0 0 0 0 0 0 0
    v128.store64_lane 16 0
    local.get 5
    v128.load16x4_u 24
    i32.const 16
    i32x4.shl
    local.set 9
    local.get 6
    v128.load16x4_u 24
    i32.const 16
    i32x4.shl
    local.set 10
    local.get 9
    local.get 10
    f32x4.mul
    local.set 10
    local.get 10
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 11
    local.get 10
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 12
    local.get 10
    local.get 12
    i32x4.add
    local.set 12
    local.get 10
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 10
    local.get 11
    local.get 12
    local.get 10
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 10
    local.get 10
    local.get 9
    f32x4.add
    local.set 9
    local.get 9
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 10
    local.get 9
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 12
    local.get 9
    local.get 12
    i32x4.add
    local.set 12
    local.get 9
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 9
    local.get 10
    local.get 12
    local.get 9
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 9
    local.get 9
    local.get 7
    f32x4.max
    local.set 9
    local.get 8
    local.get 9
    i32.const 16
    i32x4.shr_u
    local.tee 9
    local.get 9
    i8x16.shuffle 0 1 4 5 8 9 12 13 0 0 0 0 0 0 0 0
    v128.store64_lane 24 0
  end
  local.get 1
  i32.const 16
  i32.le_s
  i32.const 16
  local.get 2
  i32.lt_s
  i32.and
  if
    local.get 5
    v128.load16x4_u 32
    i32.const 16
    i32x4.shl
    local.set 9
    local.get 6
    v128.load16x4_u 32
    i32.const 16
    i32x4.shl
    local.set 12
    local.get 9
    local.get 12
    f32x4.mul
    local.set 12
    local.get 12
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 10
    local.get 12
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 11
    local.get 12
    local.get 11
    i32x4.add
    local.set 11
    local.get 12
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 12
    local.get 10
    local.get 11
    local.get 12
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 12
    local.get 12
    local.get 9
    f32x4.add
    local.set 9
    local.get 9
    v128.const 0 0 64 0 0 0 64 0 0 0 64 0 0 0 64 0
    v128.or
    local.set 12
    local.get 9
    i32.const 16
    i32x4.shr_u
    v128.const 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0 0
    v128.and
    v128.const 255 127 0 0 255 127 0 0 255 127 0 0 255 127 0 0
    i32x4.add
    local.set 11
    local.get 9
    local.get 11
    i32x4.add
    local.set 11
    local.get 9
    v128.const 255 255 255 127 255 255 255 127 255 255 255 127 255 255 255 127
    v128.and
    v128.const 1 0 128 127 1 0 128 127 1 0 128 127 1 0 128 127
    i32x4.ge_s
    local.set 9
    local.get 12
    local.get 11
    local.get 9
    v128.bitselect
    v128.const 0 0 255 255 0 0 255 255 0 0 255 255 0 0 255 255
    v128.and
    local.set 9
    local.get 9
    local.get 7
    f32x4.max
    local.set 7
    local.get 8
    local.get 7
    i32.const 16
    i32x4.shr_u
    local.tee 7
    local.get 7
    i8x16.shuffle 0 1 4 5 8 9 12 13 0 0 0 0 0 0 0 0
    v128.store64_lane 32 0
  end
)
`

exports[`test/engine/device/wasm/text.test.ts > TAP > the code of kernels is what it was > a gather with a check 1`] = `
(func $kernel (param i32 i32 i32 i32 i32)
  local.get 1
  i32.const 0
  local.get 1
  i32.const 0
  i32.gt_s
  select
  local.set 5
  local.get 2
  i32.const 6
  local.get 2
  i32.const 6
  i32.lt_s
  select
  local.set 6
  local.get 0
  i32.load 4
  local.set 7
  local.get 7
  local.get 5
  i32.const 4
  i32.mul
  i32.add
  local.set 7
  local.get 0
  i32.load 0
  local.set 8
  local.get 0
  i32.load 8
  local.set 9
  local.get 9
  local.get 5
  i32.const 16
  i32.mul
  i32.add
  local.set 9
  local.get 5
  local.get 6
  i32.lt_s
  if
    local.get 5
    local.set 5
    loop
      local.get 7
      i32.load 0
      local.set 10
      local.get 10
      i32.const 5
      i32.lt_s
      local.set 11
      local.get 10
      i32.const 0
      i32.ge_s
      local.set 12
      local.get 12
      local.get 11
      i32.and
      local.set 11
      local.get 11
      i32.eqz
      if
        i64.const 0
        i64.const 6
        i64.mul
        local.get 5
        i32.const 0
        i32.add
        i64.extend_i32_u
        i64.add
        i64.const 4
        i64.mul
        i64.const 1
        i64.mul
        i64.const 0
        i64.add
        local.set 13
        local.get 3
        local.get 13
        local.get 3
        i64.load 0
        local.get 13
        local.get 3
        i64.load 0
        i64.lt_u
        select
        i64.store 0
      end
      local.get 8
      local.get 10
      i32.const 4
      i32.mul
      local.set 10
      local.get 10
      i32.const 0
      i32.gt_s
      local.set 11
      local.get 10
      i32.const 0
      local.get 11
      select
      local.set 11
      local.get 11
      i32.const 16
      i32.lt_s
      local.set 10
      local.get 11
      i32.const 16
      local.get 10
      select
      local.set 10
      local.get 10
      i32.const 4
      i32.mul
      i32.add
      local.set 10
      local.get 10
      v128.load 0
      local.set 14
      local.get 9
      local.get 14
      v128.store 0
      local.get 7
      i32.const 4
      i32.add
      local.set 7
      local.get 9
      i32.const 16
      i32.add
      local.set 9
      local.get 5
      i32.const 1
      i32.add
      local.tee 5
      local.get 6
      i32.lt_s
      br_if 0
    end
  end
)
`

exports[`test/engine/device/wasm/text.test.ts > TAP > the code of kernels is what it was > a product of matrices 1`] = `
(func $kernel (param i32 i32 i32 i32 i32)
  local.get 1
  i32.const 0
  local.get 1
  i32.const 0
  i32.gt_s
  select
  local.set 5
  local.get 2
  i32.const 12
  local.get 2
  i32.const 12
  i32.lt_s
  select
  local.set 6
  local.get 0
  i32.load 0
  local.set 7
  local.get 7
  local.get 5
  i32.const 20
  i32.mul
  i32.add
  local.set 7
  local.get 0
  i32.load 4
  local.set 8
  local.get 0
  i32.load 8
  local.set 9
  local.get 9
  local.get 5
  i32.const 32
  i32.mul
  i32.add
  local.set 9
  local.get 5
  local.get 6
  i32.lt_s
  if
    local.get 5
    local.set 5
    loop
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 10
      local.get 7
      local.set 11
      local.get 8
      local.set 12
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 13
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 14
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 15
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 16
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 17
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 18
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 19
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 20
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 21
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 22
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 23
      i32.const 0
      local.set 24
      loop
        local.get 11
        v128.load32_splat 0
        local.set 25
        local.get 12
        v128.load 0
        local.set 26
        local.get 25
        local.get 26
        local.get 10
        f32x4.relaxed_madd
        local.set 10
        local.get 12
        v128.load 16
        local.set 27
        local.get 25
        local.get 27
        local.get 13
        f32x4.relaxed_madd
        local.set 13
        local.get 11
        v128.load32_splat 20
        local.set 25
        local.get 25
        local.get 26
        local.get 14
        f32x4.relaxed_madd
        local.set 14
        local.get 25
        local.get 27
        local.get 15
        f32x4.relaxed_madd
        local.set 15
        local.get 11
        v128.load32_splat 40
        local.set 25
        local.get 25
        local.get 26
        local.get 16
        f32x4.relaxed_madd
        local.set 16
        local.get 25
        local.get 27
        local.get 17
        f32x4.relaxed_madd
        local.set 17
        local.get 11
        v128.load32_splat 60
        local.set 25
        local.get 25
        local.get 26
        local.get 18
        f32x4.relaxed_madd
        local.set 18
        local.get 25
        local.get 27
        local.get 19
        f32x4.relaxed_madd
        local.set 19
        local.get 11
        v128.load32_splat 80
        local.set 25
        local.get 25
        local.get 26
        local.get 20
        f32x4.relaxed_madd
        local.set 20
        local.get 25
        local.get 27
        local.get 21
        f32x4.relaxed_madd
        local.set 21
        local.get 11
        v128.load32_splat 100
        local.set 25
        local.get 25
        local.get 26
        local.get 22
        f32x4.relaxed_madd
        local.set 22
        local.get 25
        local.get 27
        local.get 23
        f32x4.relaxed_madd
        local.set 23
        local.get 11
        i32.const 4
        i32.add
        local.set 11
        local.get 12
        i32.const 32
        i32.add
        local.set 12
        local.get 24
        i32.const 1
        i32.add
        local.tee 24
        i32.const 5
        i32.lt_s
        br_if 0
      end
      local.get 9
      local.get 10
      v128.store 0
      local.get 9
      local.get 13
      v128.store 16
      local.get 9
      local.get 14
      v128.store 32
      local.get 9
      local.get 15
      v128.store 48
      local.get 9
      local.get 16
      v128.store 64
      local.get 9
      local.get 17
      v128.store 80
      local.get 9
      local.get 18
      v128.store 96
      local.get 9
      local.get 19
      v128.store 112
      local.get 9
      local.get 20
      v128.store 128
      local.get 9
      local.get 21
      v128.store 144
      local.get 9
      local.get 22
      v128.store 160
      local.get 9
      local.get 23
      v128.store 176
      local.get 7
      i32.const 120
      i32.add
      local.set 7
      local.get 9
      i32.const 192
      i32.add
      local.set 9
      local.get 5
      i32.const 6
      i32.add
      local.tee 5
      local.get 6
      i32.lt_s
      br_if 0
    end
  end
)
`

exports[`test/engine/device/wasm/text.test.ts > TAP > the code of kernels is what it was > sums of rows 1`] = `
(func $kernel (param i32 i32 i32 i32 i32)
  local.get 1
  i32.const 0
  local.get 1
  i32.const 0
  i32.gt_s
  select
  local.set 5
  local.get 2
  i32.const 3
  local.get 2
  i32.const 3
  i32.lt_s
  select
  local.set 6
  local.get 0
  i32.load 0
  local.set 7
  local.get 7
  local.get 5
  i32.const 64
  i32.mul
  i32.add
  local.set 7
  local.get 0
  i32.load 4
  local.set 8
  local.get 8
  local.get 5
  i32.const 4
  i32.mul
  i32.add
  local.set 8
  local.get 5
  local.get 6
  i32.lt_s
  if
    local.get 5
    local.set 5
    loop
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 9
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 10
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 11
      v128.const 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      local.set 12
      local.get 7
      v128.load 0
      local.set 13
      local.get 9
      local.get 13
      f32x4.add
      local.set 9
      local.get 7
      v128.load 16
      local.set 13
      local.get 10
      local.get 13
      f32x4.add
      local.set 10
      local.get 7
      v128.load 32
      local.set 13
      local.get 11
      local.get 13
      f32x4.add
      local.set 11
      local.get 7
      v128.load 48
      local.set 13
      local.get 12
      local.get 13
      f32x4.add
      local.set 12
      f32.const 0
      local.set 14
      local.get 9
      local.get 10
      f32x4.add
      local.set 9
      local.get 9
      local.get 11
      f32x4.add
      local.set 9
      local.get 9
      local.get 12
      f32x4.add
      local.set 9
      local.get 9
      f32x4.extract_lane 0
      local.set 15
      local.get 14
      local.get 15
      f32.add
      local.set 14
      local.get 9
      f32x4.extract_lane 1
      local.set 15
      local.get 14
      local.get 15
      f32.add
      local.set 14
      local.get 9
      f32x4.extract_lane 2
      local.set 15
      local.get 14
      local.get 15
      f32.add
      local.set 14
      local.get 9
      f32x4.extract_lane 3
      local.set 15
      local.get 14
      local.get 15
      f32.add
      local.set 14
      local.get 8
      local.get 14
      f32.store 0
      local.get 7
      i32.const 64
      i32.add
      local.set 7
      local.get 8
      i32.const 4
      i32.add
      local.set 8
      local.get 5
      i32.const 1
      i32.add
      local.tee 5
      local.get 6
      i32.lt_s
      br_if 0
    end
  end
)
`
