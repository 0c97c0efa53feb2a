// Which form a kernel takes on a GPU, judged from its extents alone.
import t from 'tap'
import type { DeviceFacts } from '../../../engine/device/device.ts'
import { chooseWebgpuTiling, productAxesOf } from '../../../engine/tile/webgpu.ts'
import { apply, denseKernel, mapKernel, rowKernel } from '../device/webgpu/kernels.ts'

const facts = (invocations = 256): DeviceFacts => ({
  name: '/device:GPU:0',
  kind: 'webgpu',
  description: 'none',
  types: new Set(['float32']),
  maxBufferBytes: 2 ** 30,
  maxBuffersPerKernel: 8,
  memoryBytes: 2 ** 30,
  limits: { maxComputeInvocationsPerWorkgroup: invocations },
})

t.test('a sum of a million elements is spread over a workgroup', async (t) => {
  const kernel = rowKernel('sum', 'float32', 1, 1000, 1000)
  t.same(chooseWebgpuTiling(kernel, facts()), { form: 'workgroup', workgroupSize: 256, tile: [] })
  t.equal(chooseWebgpuTiling(kernel, facts(128)).workgroupSize, 128)
})

t.test('many short rows take an invocation each', async (t) => {
  const tiling = chooseWebgpuTiling(rowKernel('sum', 'float32', 100_000, 2, 5), facts())
  t.same(tiling, { form: 'invocation', workgroupSize: 256, tile: [] })
})

t.test('a workgroup is no larger than its row', async (t) => {
  const forced = { form: 'workgroup' } as const
  const kernel = rowKernel('sum', 'float32', 4, 3, 3)
  t.equal(chooseWebgpuTiling(kernel, facts(), forced).workgroupSize, 8)
})

t.test('a large matrix product gets a tile of 4 by 4, a small one none', async (t) => {
  t.same(chooseWebgpuTiling(denseKernel(512, 64, 512), facts()), {
    form: 'invocation',
    workgroupSize: 64,
    tile: [
      { axis: 0, outputs: 4, invocations: 8 },
      { axis: 1, outputs: 4, invocations: 8 },
    ],
  })
  t.same(chooseWebgpuTiling(denseKernel(8, 64, 8), facts()).tile, [])
})

t.test('one row of outputs is not tiled downwards', async (t) => {
  const { tile } = chooseWebgpuTiling(denseKernel(1, 64, 100_000), facts())
  t.same(tile, [])
  const two = chooseWebgpuTiling(denseKernel(2, 64, 100_000), facts())
  t.same(
    two.tile.map(({ outputs }) => outputs),
    [2, 2],
  )
})

t.test('product axes are those that one factor knows and the other does not', async (t) => {
  t.same(productAxesOf(denseKernel(5, 6, 7)), [0, 1])
  t.equal(productAxesOf(rowKernel('sum', 'float32', 5, 6, 7)), undefined)
  t.equal(productAxesOf(mapKernel('float32', 5, 2, (a, b) => apply('mul', [a, b]))), undefined)
})

t.test('elements take an invocation each, and a choice can be forced', async (t) => {
  const kernel = mapKernel('float32', 10, 1, (a) => a)
  t.same(chooseWebgpuTiling(kernel, facts()), { form: 'invocation', workgroupSize: 64, tile: [] })
  t.equal(chooseWebgpuTiling(kernel, facts(), { workgroupSize: 32 }).workgroupSize, 32)
})
