// The text of a few kernels, so that a change of the generator shows what it changes. To record again:
// TAP_SNAPSHOT=1 node test/engine/device/wasm/text.test.ts
import t from 'tap'
import { disassemble } from '../../../../engine/device/wasm/assembler.ts'
import { compileKernel } from '../../../../engine/device/wasm/compile.ts'
import type { Kernel } from '../../../../engine/ir/index.ts'
import { chain, convolution, gather, product, rowSum } from './kernels.ts'

const textOf = (kernel: Kernel): string => {
  const { code } = compileKernel(kernel, { name: 'kernel', relaxedSimd: true })
  return code === undefined ? '' : disassemble(code)
}

t.test('the code of kernels is what it was', async (t) => {
  t.matchSnapshot(textOf(product(12, 5, 8)), 'a product of matrices')
  t.matchSnapshot(textOf(rowSum(3, 16)), 'sums of rows')
  t.matchSnapshot(textOf(chain(2, 10, 'bfloat16')), 'a chain in bfloat16')
  t.matchSnapshot(textOf(gather(5, 4, 6)), 'a gather with a check')
})

t.test(
  'a product runs in fused vectors, and its loop adds to two pointers and a counter only',
  async (t) => {
    const lines = textOf(product(12, 5, 8))
      .split('\n')
      .map((line) => line.trim())
    const loop = lines.slice(lines.lastIndexOf('loop'), lines.indexOf('br_if 0'))
    const count = (name: string) => loop.filter((line) => line.startsWith(name)).length
    t.equal(count('f32x4.relaxed_madd'), 12)
    t.equal(count('v128.load32_splat'), 6)
    t.equal(count('v128.load '), 2)
    t.equal(count('i32.add'), 3)
  },
)

t.test('inside of an image a convolution asks no guard in its inner loop', async (t) => {
  const text = textOf(convolution(16, 16, 16, 8))
  const loops = text.split('loop').filter((part) => part.includes('relaxed_madd'))
  t.ok(loops.some((loop) => !loop.slice(0, loop.indexOf('br_if')).includes('v128.and')))
  t.ok(loops.some((loop) => loop.slice(0, loop.indexOf('br_if')).includes('v128.and')))
})

t.test('the same kernel always gives the same text', async (t) => {
  t.equal(textOf(product(13, 9, 30)), textOf(product(13, 9, 30)))
})
