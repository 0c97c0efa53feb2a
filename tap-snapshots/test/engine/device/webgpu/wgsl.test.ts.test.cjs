/* IMPORTANT
 * This snapshot file is auto-generated, but designed for humans.
 * It should be checked into source control and tracked carefully.
 * Re-generate by setting TAP_SNAPSHOT=1 and running tests.
 * Make sure to inspect the output below.  Do not ignore changes!
 */
'use strict'
exports[`test/engine/device/webgpu/wgsl.test.ts > TAP > a checked gather > must match snapshot 1`] = `
@group(0) @binding(0) var<storage, read> in0: array<f32>;
@group(0) @binding(1) var<storage, read> in1: array<i32>;
@group(0) @binding(2) var<storage, read_write> out0: array<f32>;
@group(1) @binding(0) var<storage, read_write> status: array<atomic<u32>>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let flat = (group.y * 1u + group.x) * 64u + local;
  if (flat >= 10u) { return; }
  let i0 = i32(flat);
  let v0 = in1[i0];
  let v1 = (v0 >= 0i);
  let v2 = (v0 < 4i);
  let v3 = (v1 && v2);
  if (!v3) { atomicMax(&status[0], 0xffffffffu - u32(i0)); }
  let v4 = in0[min(u32(v0), 3u)];
  out0[i0] = v4;
}

`

exports[`test/engine/device/webgpu/wgsl.test.ts > TAP > a dense layer in a register tile > must match snapshot 1`] = `
@group(0) @binding(0) var<storage, read> in0: array<f32>;
@group(0) @binding(1) var<storage, read> in1: array<f32>;
@group(0) @binding(2) var<storage, read> in2: array<f32>;
@group(0) @binding(3) var<storage, read_write> out0: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let flat = group.y * 6u + group.x;
  if (flat >= 6u) { return; }
  let b1 = (flat % 2u) * 8u + (local % 8u);
  if (b1 >= 16u) { return; }
  let i1_0 = i32(b1 + 0u);
  let i1_1 = i32(b1 + 16u);
  let b0 = ((flat / 2u) % 3u) * 8u + ((local / 8u) % 8u);
  if (b0 >= 17u) { return; }
  let i0_0 = i32(min(b0 + 0u, 32u));
  let i0_1 = i32(min(b0 + 17u, 32u));
  let v0 = (i0_0 * 5i);
  let v10 = (i0_1 * 5i);
  var sum0_0_0: f32 = 0.0f;
  var sum0_0_1: f32 = 0.0f;
  var sum0_1_0: f32 = 0.0f;
  var sum0_1_1: f32 = 0.0f;
  for (var i2 = 0i; i2 < 5i; i2++) {
    let v1 = (v0 + i2);
    let v2 = in0[v1];
    let v3 = (i2 * 32i);
    let v4 = (i1_0 + v3);
    let v5 = in1[v4];
    let v6 = (v2 * v5);
    let v7 = (i1_1 + v3);
    let v8 = in1[v7];
    let v9 = (v2 * v8);
    let v11 = (v10 + i2);
    let v12 = in0[v11];
    let v13 = (v12 * v5);
    let v14 = (v12 * v8);
    sum0_0_0 = (sum0_0_0 + v6);
    sum0_0_1 = (sum0_0_1 + v9);
    sum0_1_0 = (sum0_1_0 + v13);
    sum0_1_1 = (sum0_1_1 + v14);
  }
  let v15 = (i0_0 * 32i);
  let v16 = (v15 + i1_0);
  let v17 = in2[i1_0];
  let v18 = (sum0_0_0 + v17);
  let v19 = select(select(max(v18, 0.0f), 0.0f, ((bitcast<u32>(0.0f) & 0x7fffffffu) > 0x7f800000u)), v18, ((bitcast<u32>(v18) & 0x7fffffffu) > 0x7f800000u));
  let v20 = (v15 + i1_1);
  let v21 = in2[i1_1];
  let v22 = (sum0_0_1 + v21);
  let v23 = select(select(max(v22, 0.0f), 0.0f, ((bitcast<u32>(0.0f) & 0x7fffffffu) > 0x7f800000u)), v22, ((bitcast<u32>(v22) & 0x7fffffffu) > 0x7f800000u));
  let v24 = (i0_1 * 32i);
  let v25 = (v24 + i1_0);
  let v26 = (sum0_1_0 + v17);
  let v27 = select(select(max(v26, 0.0f), 0.0f, ((bitcast<u32>(0.0f) & 0x7fffffffu) > 0x7f800000u)), v26, ((bitcast<u32>(v26) & 0x7fffffffu) > 0x7f800000u));
  let v28 = (v24 + i1_1);
  let v29 = (sum0_1_1 + v21);
  let v30 = select(select(max(v29, 0.0f), 0.0f, ((bitcast<u32>(0.0f) & 0x7fffffffu) > 0x7f800000u)), v29, ((bitcast<u32>(v29) & 0x7fffffffu) > 0x7f800000u));
  out0[v16] = v19;
  out0[v20] = v23;
  if (b0 + 17u < 33u) { out0[v25] = v27; }
  if (b0 + 17u < 33u) { out0[v28] = v30; }
}

`

exports[`test/engine/device/webgpu/wgsl.test.ts > TAP > an argmax by workgroups > must match snapshot 1`] = `
@group(0) @binding(0) var<storage, read> in0: array<f32>;
@group(0) @binding(1) var<storage, read_write> out0: array<i32>;
var<private> unknown_zero: u32;
var<workgroup> shared0: array<f32, 256>;
var<workgroup> shared_at0: array<i32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  unknown_zero = group.z;
  let flat = group.y * 3u + group.x;
  if (flat >= 3u) { return; }
  let i0 = i32(flat);
  let v0 = (i0 * 1000i);
  var sum0: f32 = bitcast<f32>(unknown_zero | 0xff800000u);
  var sum0_at: i32 = 0x7fffffffi;
  for (var at = local; at < 1000u; at += 256u) {
    let i1 = i32(at / 50u);
    let i2 = i32((at) % 50u);
    let v1 = (i1 * 50i);
    let v2 = (v0 + v1);
    let v3 = (v2 + i2);
    let v4 = in0[v3];
    if (v4 > sum0) { sum0 = v4; sum0_at = i32(at); }
  }
  shared0[local] = sum0;
  shared_at0[local] = sum0_at;
  for (var step = 128u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (local < step) {
      if (shared0[local + step] > shared0[local] || (shared0[local + step] == shared0[local] && shared_at0[local + step] < shared_at0[local])) { shared0[local] = shared0[local + step]; shared_at0[local] = shared_at0[local + step]; }
    }
  }
  if (local == 0u) {
    if (shared_at0[0] == 0x7fffffffi) { shared_at0[0] = 0i; }
    out0[i0] = shared_at0[0];
  }
}

`

exports[`test/engine/device/webgpu/wgsl.test.ts > TAP > halves are computed as f32 and rounded > must match snapshot 1`] = `
@group(0) @binding(0) var<storage, read> in0: array<u32>;
@group(0) @binding(1) var<storage, read> in1: array<u32>;
@group(0) @binding(2) var<storage, read_write> out0: array<u32>;
var<private> unknown_zero: u32;
fn float16_of_bits(half: u32) -> f32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = (half >> 10u) & 0x1fu;
  let mantissa = half & 0x3ffu;
  if (exponent == 0u) {
    return bitcast<f32>(sign | bitcast<u32>(f32(mantissa) * 5.9604644775390625e-8f));
  }
  let wide = select(exponent + 112u, 255u, exponent == 31u);
  return bitcast<f32>(sign | (wide << 23u) | (mantissa << 13u));
}
fn bits_of_float16(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x47800000u) { return sign | 0x7c00u; }
  if (size < 0x38800000u) { return sign | u32(bitcast<f32>(size) * 16777216.0f); }
  return sign | ((size >> 13u) - 0x1c000u);
}
fn to_float16(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  let sign = bits & 0x80000000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return value; }
  if (size >= 0x477ff000u) { return bitcast<f32>(sign | (unknown_zero | 0x7f800000u)); }
  if (size < 0x38800000u) {
    let drop = min(126u - min(size >> 23u, 126u), 25u);
    let mantissa = (size & 0x7fffffu) | 0x800000u;
    let kept = mantissa >> drop;
    let rest = mantissa & ((1u << drop) - 1u);
    let half = 1u << (drop - 1u);
    let up = rest > half || (rest == half && (kept & 1u) == 1u);
    let whole = select(kept, kept + 1u, up);
    return bitcast<f32>(sign | bitcast<u32>(f32(whole) * 5.9604644775390625e-8f));
  }
  return bitcast<f32>(sign | ((size + 0xfffu + ((size >> 13u) & 1u)) & 0xffffe000u));
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  unknown_zero = group.z;
  let flat = (group.y * 1u + group.x) * 64u + local;
  if (flat >= 10u) { return; }
  let i0 = i32(flat);
  let v0 = float16_of_bits(in0[i0]);
  let v1 = float16_of_bits(in1[i0]);
  let v2 = to_float16((v0 * v1));
  out0[i0] = bits_of_float16(v2);
}

`
