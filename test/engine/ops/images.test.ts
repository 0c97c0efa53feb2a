// Resizing, colors and boxes, by numbers that can be checked by head.
import t from 'tap'
import { benchDevices, floats, ints, numbers, outputsOf, valuesOf, withEngine } from './bench.ts'

const float = { T: { type: 'float32' } } as const

function near(values: readonly unknown[]): number[] {
  return values.map((value) => Math.round(Number(value) * 1e5) / 1e5 + 0)
}

for (const device of benchDevices) {
  t.test(`images on ${device}`, (t) =>
    withEngine(device, async (open) => {
      const one = async (
        op: string,
        inputs: Parameters<typeof outputsOf>[2],
        attributes: Parameters<typeof outputsOf>[3] = float,
      ): Promise<unknown[]> => valuesOf((await outputsOf(open, op, inputs, attributes))[0])
      const line = floats([1, 1, 2, 1], [0, 4])
      const size = ints([2], [1, 4])

      await t.test('an axis is stretched from its corner, its ends or its centers', async (t) => {
        t.same(await one('ResizeBilinear', [line, size]), [0, 2, 4, 4])
        t.same(
          near(await one('ResizeBilinear', [line, size], { ...float, align_corners: true })),
          [0, 1.33333, 2.66667, 4],
        )
        t.same(
          await one('ResizeBilinear', [line, size], { ...float, half_pixel_centers: true }),
          [0, 1, 3, 4],
        )
        await t.rejects(
          one('ResizeBilinear', [line, size], {
            ...float,
            align_corners: true,
            half_pixel_centers: true,
          }),
          { message: /^If half_pixel_centers is True, align_corners must be False/ },
        )
      })

      await t.test('the nearest element, and the mean of all that are covered', async (t) => {
        t.same(await one('ResizeNearestNeighbor', [line, size]), [0, 0, 4, 4])
        const four = floats([1, 1, 4, 1], [1, 3, 5, 7])
        t.same(await one('ResizeArea', [four, ints([2], [1, 2])]), [2, 6])
      })

      await t.test('a constant image stays what it is under cubic weights', async (t) => {
        const flat = floats([1, 2, 2, 1], [3, 3, 3, 3])
        const made = await one('ResizeBicubic', [flat, ints([2], [3, 3])], {
          ...float,
          half_pixel_centers: true,
        })
        t.same(near(made), new Array(9).fill(3))
      })

      await t.test('what a resized image brings back adds up to what it got', async (t) => {
        const grads = floats([1, 1, 4, 1], [1, 2, 4, 8])
        t.same(await one('ResizeBilinearGrad', [grads, line]), [2, 13])
        t.same(await one('ResizeNearestNeighborGrad', [grads, ints([2], [1, 2])]), [3, 12])
        const cubic = await one('ResizeBicubicGrad', [grads, line])
        t.same(near([Number(cubic[0]) + Number(cubic[1])]), [15])
      })

      await t.test('crops take what lies outside from the attribute', async (t) => {
        const image = floats([1, 2, 2, 1], [1, 2, 3, 4])
        const crop = (owner: number) =>
          one(
            'CropAndResize',
            [image, floats([1, 4], [0, 0, 1, 2]), ints([1], [owner]), ints([2], [2, 2])],
            { ...float, extrapolation_value: { float: -1 } },
          )
        t.same(await crop(0), [1, -1, 3, -1])
        await t.rejects(crop(1), { message: /^box_index has values outside \[0, batch_size\)/ })
      })

      await t.test('patches become channels, zeros beyond the image', async (t) => {
        const image = floats([1, 2, 2, 1], [1, 2, 3, 4])
        const attributes = {
          ...float,
          ksizes: { ints: [1, 2, 2, 1] },
          strides: { ints: [1, 1, 1, 1] },
          rates: { ints: [1, 1, 1, 1] },
          padding: 'SAME',
        }
        t.same(
          await one('ExtractImagePatches', [image], attributes),
          [1, 2, 3, 4, 2, 0, 4, 0, 3, 4, 0, 0, 4, 0, 0, 0],
        )
      })

      await t.test('colors go to hue, saturation and value, and back', async (t) => {
        const red = floats([1, 1, 3], [2, 0, 0])
        t.same(await one('RGBToHSV', [red]), [0, 1, 2])
        t.same(near(await one('HSVToRGB', [floats([1, 1, 3], [1 / 3, 1, 2])])), [0, 2, 0])
        t.same(near(await one('AdjustHue', [red, floats([], [2 / 3])])), [0, 0, 2])
        t.same(near(await one('AdjustSaturation', [red, floats([], [0.5])])), [2, 1, 1])
        t.same(await one('AdjustContrastv2', [floats([1, 2, 1], [1, 3]), floats([], [2])]), [0, 4])
      })

      await t.test('of boxes that overlap the best stays', async (t) => {
        const boxes = floats([3, 4], [0, 0, 2, 2, 0, 0, 2, 1.5, 4, 4, 5, 5])
        const scores = floats([3], [0.5, 0.9, 0.1])
        const limits = [ints([], [3]), floats([], [0.5]), floats([], [0])]
        t.same(await one('NonMaxSuppressionV3', [boxes, scores, ...limits]), [1, 2])
        const padded = await outputsOf(
          open,
          'NonMaxSuppressionV4',
          [boxes, scores, ...limits],
          { ...float, pad_to_max_output_size: true },
          2,
        )
        t.same(padded.map(valuesOf), [[1, 2, 0], [2]])
      })

      await t.test('the same bytes are read as another type', async (t) => {
        const made = await outputsOf(open, 'Bitcast', [floats([1], [1])], {
          ...float,
          type: { type: 'uint8' },
        })
        t.same(made[0].shape, [1, 4])
        t.same(valuesOf(made[0]), [0, 0, 128, 63])
        await t.rejects(
          one('Bitcast', [numbers('uint8', [3], [1, 2, 3])], {
            T: { type: 'uint8' },
            type: { type: 'int32' },
          }),
          { message: /^Cannot bitcast from uint8 to int32: shape \[3\]/ },
        )
      })
    }),
  )
}
