// The checker of histories against histories made by hand, and against trying every order.
import fc from 'fast-check'
import t from 'tap'
import { checkLinearizable, type Operation, type Specification } from '../helper/linearizable.ts'

type Input = { readonly write: number } | { readonly add: number } | 'read'
/** What a read gave; the others answer nothing. */
type Output = number | 'done'
type Made = Operation<Input, Output>

const register: Specification<number, Input, Output> = {
  initial: 0,
  apply(state, input, output) {
    if (input === 'read') return output === undefined || output === state ? state : undefined
    return 'write' in input ? input.write : state + input.add
  },
  textOf: String,
}

function operation(
  invoked: number,
  responded: number,
  input: Input,
  output: Output | undefined = 'done',
  key = 'x',
): Made {
  return { key, input, output, invoked, responded }
}

/** Never answered. */
function lost(invoked: number, input: Input): Made {
  return { key: 'x', input, output: undefined, invoked, responded: 0 }
}

function verdictOf(history: readonly Made[]): string {
  return checkLinearizable(history, register).kind
}

t.test('histories that one register could have given', async (t) => {
  const right: Readonly<Record<string, readonly Made[]>> = {
    'an empty one': [],
    'one after the other': [operation(1, 2, { write: 5 }), operation(3, 4, 'read', 5)],
    'a read during a write sees the old value': [
      operation(1, 4, { write: 5 }),
      operation(2, 3, 'read', 0),
    ],
    'a read during a write sees the new value': [
      operation(1, 4, { write: 5 }),
      operation(2, 3, 'read', 5),
    ],
    'two writes at once end in either order': [
      operation(1, 4, { write: 5 }),
      operation(2, 3, { write: 6 }),
      operation(5, 6, 'read', 5),
    ],
    'a call at the moment of an answer may go before it': [
      operation(1, 2, 'read', 5),
      operation(2, 3, { write: 5 }),
    ],
    'what was never answered happened': [lost(1, { write: 5 }), operation(8, 9, 'read', 5)],
    'what was never answered did not happen': [lost(1, { write: 5 }), operation(8, 9, 'read', 0)],
    'what was never answered happened late': [
      lost(1, { write: 5 }),
      operation(2, 3, 'read', 0),
      operation(4, 5, { write: 6 }),
      operation(6, 7, 'read', 5),
    ],
    'sums whatever their order': [
      operation(1, 9, { add: 1 }),
      operation(2, 8, { add: 2 }),
      operation(3, 7, { add: 4 }),
      operation(4, 5, 'read', 5),
      operation(10, 11, 'read', 7),
    ],
  }
  for (const [name, history] of Object.entries(right)) {
    t.equal(verdictOf(history), 'linearizable', name)
    t.equal(verdictOf(history.toReversed()), 'linearizable', `${name}, told backwards`)
  }
})

t.test('histories that no register could have given', async (t) => {
  const wrong: Readonly<Record<string, readonly Made[]>> = {
    'a value that nobody wrote': [operation(1, 2, 'read', 7)],
    'a stale read': [operation(1, 2, { write: 5 }), operation(3, 4, 'read', 0)],
    'a read from the future': [operation(1, 2, 'read', 5), operation(3, 4, { write: 5 })],
    'new, then old': [
      operation(1, 9, { write: 5 }),
      operation(2, 3, 'read', 5),
      operation(4, 5, 'read', 0),
    ],
    'two readers see two writes in different orders': [
      operation(1, 9, { write: 5 }),
      operation(1, 9, { write: 6 }),
      operation(2, 3, 'read', 5),
      operation(4, 5, 'read', 6),
      operation(6, 7, 'read', 5),
    ],
    'a lost update': [
      operation(1, 4, { add: 1 }),
      operation(2, 3, { add: 2 }),
      operation(5, 6, 'read', 2),
    ],
    'what was never answered happened twice': [
      lost(1, { add: 1 }),
      operation(2, 3, 'read', 1),
      operation(4, 5, 'read', 2),
    ],
    'what was never answered happened before it was asked': [
      operation(1, 2, 'read', 5),
      lost(3, { write: 5 }),
    ],
  }
  for (const [name, history] of Object.entries(wrong)) {
    t.equal(verdictOf(history), 'not-linearizable', name)
    t.equal(verdictOf(history.toReversed()), 'not-linearizable', `${name}, told backwards`)
  }
})

t.test('a refusal names the key, the longest order and what cannot follow', async (t) => {
  const first = operation(1, 2, { write: 5 }, 'done', 'b')
  const stale = operation(3, 4, 'read', 0, 'b')
  const fine = operation(1, 4, { write: 1 }, 'done', 'a')
  t.same(checkLinearizable([fine, first, stale], register), {
    kind: 'not-linearizable',
    key: 'b',
    longest: [first],
    stuck: [stale],
  })
})

t.test('keys are judged apart', async (t) => {
  const history = [
    operation(1, 2, { write: 5 }, 'done', 'a'),
    operation(3, 4, 'read', 0, 'b'),
    operation(5, 6, 'read', 5, 'a'),
  ]
  t.equal(verdictOf(history), 'linearizable')
})

t.test('a search that grows beyond its bounds says so instead of guessing', async (t) => {
  const many = Array.from({ length: 14 }, (_, index) => operation(1, 99, { add: 2 ** index }))
  const history = [...many, operation(100, 101, 'read', -1)]
  const bounds = { operations: 100, configurations: 1_000 }
  t.same(checkLinearizable(history, register, bounds), { kind: 'undecided', key: 'x' })
  t.equal(checkLinearizable(history, register, { ...bounds, operations: 5 }).kind, 'undecided')
  const wrong = [...history, operation(1, 2, 'read', 7, 'y')]
  t.match(checkLinearizable(wrong, register, bounds), { kind: 'not-linearizable', key: 'y' })
})

t.test('ten thousand operations of eight clients take no stack and little time', async (t) => {
  const history: Made[] = []
  for (let index = 0; index < 10_000; index++) {
    const invoked = index * 10
    const input = index % 2 === 0 ? { write: index } : ('read' as const)
    history.push(operation(invoked, invoked + 75, input, index % 2 === 0 ? 'done' : index - 1))
  }
  t.equal(verdictOf(history), 'linearizable')
})

/** Tries every order of every choice of the operations that were never answered. */
function isLinearizableByTrial(history: readonly Made[]): boolean {
  const answered = history.filter(({ output }) => output !== undefined).length
  const place = (state: number, left: readonly Made[], answeredLeft: number): boolean => {
    if (answeredLeft === 0) return true
    return left.some((one) => {
      const mustWait = left.some(
        (other) => other.output !== undefined && other.responded < one.invoked,
      )
      const next = mustWait ? undefined : register.apply(state, one.input, one.output)
      if (next === undefined) return false
      const rest = left.filter((other) => other !== one)
      return place(next, rest, answeredLeft - (one.output === undefined ? 0 : 1))
    })
  }
  return place(register.initial, history, answered)
}

t.test('it judges as trying every order does', async (t) => {
  const small = fc.integer({ min: 0, max: 2 })
  const input: fc.Arbitrary<Input> = fc.oneof(
    fc.constant('read' as const),
    small.map((write) => ({ write })),
    small.map((add) => ({ add })),
  )
  const made = fc
    .tuple(input, fc.nat(12), fc.nat(8), small, fc.nat(4))
    .map(([given, invoked, length, seen, chance]): Made => {
      if (chance === 0) return lost(invoked, given)
      return operation(invoked, invoked + length, given, given === 'read' ? seen : 'done')
    })
  const counts = { right: 0, wrong: 0 }
  fc.assert(
    fc.property(fc.array(made, { maxLength: 7 }), (history) => {
      const expected = isLinearizableByTrial(history)
      counts[expected ? 'right' : 'wrong'] += 1
      return verdictOf(history) === (expected ? 'linearizable' : 'not-linearizable')
    }),
    { numRuns: 3_000 },
  )
  t.ok(counts.right > 300 && counts.wrong > 300, JSON.stringify(counts))
})
