// Gamma and Poisson numbers, and stateless whole numbers: their streams and what they add up to.
import t from 'tap'
import {
  floats,
  ints,
  longs,
  numbers,
  outputsOf,
  placeholder,
  valuesOf,
  withEngine,
} from './bench.ts'

/** Mean and variance. */
function moments(values: readonly number[]): readonly [number, number] {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  return [mean, variance]
}

t.test('random numbers with parameters', (t) =>
  withEngine('reference', async (open) => {
    const draw = async (
      op: string,
      count: number,
      parameter: ReturnType<typeof floats>,
      more: Parameters<typeof outputsOf>[3],
    ): Promise<number[]> => {
      const attributes = { S: { type: 'int32' } as const, seed: 3, seed2: 5, ...more }
      const [output] = await outputsOf(open, op, [ints([1], [count]), parameter], attributes)
      return valuesOf(output).map(Number)
    }
    const float = { T: { type: 'float32' } } as const
    const counts = { R: { type: 'float32' }, dtype: { type: 'int32' } } as const

    await t.test('gamma numbers have their parameter as mean and as variance', async (t) => {
      for (const alpha of [0.3, 1, 4.5]) {
        const values = await draw('RandomGamma', 4000, floats([], [alpha]), float)
        t.ok(values.every((value) => value >= 0))
        const [mean, variance] = moments(values)
        // Four standard errors of the mean; the variance is looser.
        t.ok(Math.abs(mean - alpha) < 4 * Math.sqrt(alpha / 4000), `mean ${mean} of ${alpha}`)
        t.ok(Math.abs(variance - alpha) < 0.3 * alpha + 0.1, `variance ${variance} of ${alpha}`)
      }
    })

    await t.test('Poisson counts have their rate as mean and as variance', async (t) => {
      for (const rate of [0, 0.5, 7, 40]) {
        const values = await draw('RandomPoissonV2', 4000, floats([], [rate]), counts)
        t.ok(values.every((value) => Number.isInteger(value) && value >= 0))
        const [mean, variance] = moments(values)
        t.ok(Math.abs(mean - rate) <= 4 * Math.sqrt(rate / 4000), `mean ${mean} of ${rate}`)
        t.ok(Math.abs(variance - rate) <= 0.15 * rate, `variance ${variance} of ${rate}`)
      }
    })

    await t.test('a sample depends on its place, not on how many are drawn', async (t) => {
      const few = await draw('RandomGamma', 2, floats([], [2]), float)
      const many = await draw('RandomGamma', 9, floats([], [2]), float)
      t.same(many.slice(0, 2), few)
      t.not(few[0], few[1])
    })

    await t.test('parameters go along the last axes', async (t) => {
      const [output] = await outputsOf(
        open,
        'RandomPoissonV2',
        [ints([1], [3]), floats([2], [0, 30])],
        { S: { type: 'int32' }, seed: 1, ...counts },
      )
      t.same(output.shape, [3, 2])
      const values = valuesOf(output).map(Number)
      t.same([values[0], values[2], values[4]], [0, 0, 0])
      t.ok(values[1] > 5 && values[3] > 5 && values[5] > 5)
    })

    await t.test('the next run goes on in the stream, a new session begins anew', async (t) => {
      const nodes = [
        placeholder('n', 'int32'),
        placeholder('a'),
        {
          name: 'y',
          op: 'RandomGamma',
          inputs: ['n', 'a'],
          attributes: { S: { type: 'int32' }, ...float, seed: 8 },
        },
      ] as const
      const run = { feeds: { n: ints([1], [2]), a: floats([], [3]) }, fetches: ['y:0'] }
      const one = await open(nodes)
      const first = valuesOf((await one.run(run))[0])
      const second = valuesOf((await one.run(run))[0])
      t.notSame(first, second)
      const other = await open(nodes)
      t.same(valuesOf((await other.run(run))[0]), first)
    })

    await t.test('stateless whole numbers are a function of their seeds', async (t) => {
      const types = {
        dtype: { type: 'int32' },
        T: { type: 'int32' },
        Tseed: { type: 'int64' },
      } as const
      const inputs = [ints([1], [50]), longs([2], [1, 2]), ints([], [-3]), ints([], [4])]
      const of = async (): Promise<number[]> =>
        valuesOf((await outputsOf(open, 'StatelessRandomUniformInt', inputs, types))[0]).map(Number)
      const values = await of()
      t.same(await of(), values)
      t.same(
        [...new Set(values)].sort((a, b) => a - b),
        [-3, -2, -1, 0, 1, 2, 3],
      )
      const [wide] = await outputsOf(
        open,
        'StatelessRandomUniformFullInt',
        [ints([1], [2]), longs([2], [1, 2])],
        { dtype: { type: 'uint64' }, T: { type: 'int32' }, Tseed: { type: 'int64' } },
      )
      const [narrow] = await outputsOf(
        open,
        'StatelessRandomUniformFullInt',
        [ints([1], [4]), longs([2], [1, 2])],
        { dtype: { type: 'uint32' }, T: { type: 'int32' }, Tseed: { type: 'int64' } },
      )
      const words = valuesOf(narrow).map((word) => BigInt(word as number))
      t.same(valuesOf(wide), [words[0] | (words[1] << 32n), words[2] | (words[3] << 32n)])
    })

    await t.test('classes are drawn as often as their logits say', async (t) => {
      const logits = numbers(
        'float32',
        [1, 3],
        [Math.log(0.5), Number.NEGATIVE_INFINITY, Math.log(0.5)],
      )
      const [classes] = await outputsOf(
        open,
        'StatelessMultinomial',
        [logits, ints([], [400]), longs([2], [9, 9])],
        { T: { type: 'float32' }, Tseed: { type: 'int64' } },
      )
      const drawn = valuesOf(classes).map(Number)
      t.notOk(drawn.includes(1))
      const zeros = drawn.filter((place) => place === 0).length
      t.ok(zeros > 150 && zeros < 250, `${zeros} of 400`)
    })
  }),
)
