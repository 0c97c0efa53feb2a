// The WGSL of a few kernels, word for word: a refactor must not change it unseen.
import t from 'tap'
import type { DeviceFacts } from '../../../../engine/device/device.ts'
import { programOf } from '../../../../engine/device/webgpu/wgsl.ts'
import type { Kernel } from '../../../../engine/ir/index.ts'
import { chooseWebgpuTiling, type WebgpuTiling } from '../../../../engine/tile/webgpu.ts'
import { apply, denseKernel, gatherKernel, mapKernel, rowKernel, updateKernel } from './kernels.ts'

const facts: DeviceFacts = {
  name: '/device:GPU:0',
  kind: 'webgpu',
  description: 'none',
  types: new Set(['float32']),
  maxBufferBytes: 2 ** 30,
  maxBuffersPerKernel: 8,
  memoryBytes: 2 ** 30,
  limits: { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupsPerDimension: 65_535 },
}
const program = (kernel: Kernel, forced?: Partial<WebgpuTiling>) =>
  programOf(kernel, chooseWebgpuTiling(kernel, facts, forced), facts)

t.test('a dense layer in a register tile', async (t) => {
  const tile = [
    { axis: 0, outputs: 2, invocations: 8 },
    { axis: 1, outputs: 2, invocations: 8 },
  ]
  t.matchSnapshot(program(denseKernel(33, 5, 32), { tile }).wgsl)
})

t.test('an argmax by workgroups', async (t) => {
  t.matchSnapshot(program(rowKernel('argmax', 'float32', 3, 20, 50)).wgsl)
})

t.test('a checked gather', async (t) => {
  const { wgsl, statusWords, bindings } = program(gatherKernel(4, 10))
  t.matchSnapshot(wgsl)
  t.equal(statusWords, 1)
  t.same(
    bindings.map(({ writable }) => writable),
    [false, false, true],
  )
})

t.test('halves are computed as f32 and rounded', async (t) => {
  t.matchSnapshot(program(mapKernel('float16', 10, 2, (a, b) => apply('mul', [a, b]))).wgsl)
})

t.test('what is updated in place is bound once, writable', async (t) => {
  const { bindings } = program(updateKernel(4))
  t.same(
    bindings.map(({ writable }) => writable),
    [true, true, false],
  )
})

t.test('more workgroups than one axis holds are folded over two', async (t) => {
  const identity = (count: number) => mapKernel('float32', count, 1, (a) => a)
  t.same(program(identity(65_535 * 256)).workgroups, [65_535, 1, 1])
  t.same(program(identity(65_535 * 256 + 1)).workgroups, [32_768, 2, 1])
  t.same(program(identity(0)).workgroups, [0, 0, 1])
})

t.test('more checked iterations than a status word counts are refused', async (t) => {
  const checked = { ...rowKernel('sum', 'float32', 2, 65_536, 65_536) }
  const { checks } = gatherKernel(4, 2)
  const kernel = { ...checked, inputs: [...checked.inputs, ...checked.inputs], checks }
  t.throws(() => program(kernel), { code: 'UNIMPLEMENTED', reason: 'device/kernel-too-large' })
})
