// Operations: what is told of long work while it goes on, and at its end.
import t from 'tap'
import { createOperations, type OperationRecord, type Progress } from '../../service/operations.ts'
import { Refusal } from '../../tensor/index.ts'
import { refused } from '../helper/refused.ts'

const never = new AbortController().signal
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function statesOf(records: AsyncIterable<OperationRecord>): Promise<readonly string[]> {
  const states: string[] = []
  for await (const { state, progress } of records) states.push(`${state} ${progress.bytesDone}`)
  return states
}

t.test('an operation is followed from where it is to its end', async (t) => {
  const operations = createOperations(
    () => 7,
    (message) => t.fail(message),
  )
  const steps = Promise.withResolvers<void>()
  const { id } = operations.start('copy', async (report) => {
    report({ bytesDone: 1, bytesTotal: 3 })
    await steps.promise
    for (const bytesDone of [2, 3]) report({ bytesDone, bytesTotal: 3 })
    return 'copied'
  })
  const first = statesOf(operations.follow(id, 10_000, never))
  const second = statesOf(operations.follow(id, 10_000, never))
  await later(5)
  steps.resolve()
  t.same(await first, ['running 1', 'done 3'], 'what came together is told as one')
  t.same(await second, ['running 1', 'done 3'])
  t.same(await statesOf(operations.follow(id, 10_000, never)), ['done 3'])
  t.match(operations.get(id), { result: 'copied', progress: { bytesTotal: 3 }, endedAt: 7 })
})

t.test('nothing is told faster than it can be looked at, and the last word always', async (t) => {
  const operations = createOperations(Date.now, (message) => t.fail(message))
  let report: (progress: Progress) => void = t.fail
  const end = Promise.withResolvers<void>()
  const { id } = operations.start('copy', (given) => {
    report = given
    return end.promise
  })
  const told = statesOf(operations.follow(id, 10_000, never))
  for (let bytesDone = 1; bytesDone <= 300; bytesDone++) {
    report({ bytesDone, bytesTotal: 300 })
    if (bytesDone % 10 === 0) await later(1)
  }
  end.resolve()
  const states = await told
  t.ok(states.length < 20, `${states.length} times`)
  t.equal(states.at(-1), 'done 300')
  report({ bytesDone: 0, bytesTotal: 300 })
  t.equal(operations.get(id).progress.bytesDone, 300, 'nothing changes after the end')
})

t.test('a failure is told as a refusal, and only our own mistakes are logged', async (t) => {
  const logged: string[] = []
  const operations = createOperations(Date.now, (message) => logged.push(message))
  const fail = async (error: Error) => {
    const { id } = operations.start('copy', () => Promise.reject(error))
    await statesOf(operations.follow(id, 1_000, never))
    return operations.get(id)
  }
  const full = new Refusal('RESOURCE_EXHAUSTED', 'store/full', 'The disk is full.')
  t.match(await fail(full), { state: 'failed', error: { reason: 'store/full' } })
  t.same(logged, [])
  const internal = await fail(new Error('/secret/path'))
  t.match(internal, { state: 'failed', error: { reason: 'internal' } })
  t.notMatch(internal.error?.message, /secret/)
  t.equal(logged.length, 1)
})

t.test('a silent operation is told again, and a list ends with its reader', async (t) => {
  const operations = createOperations(Date.now, (message) => t.fail(message))
  const end = Promise.withResolvers<void>()
  const { id } = operations.start('copy', () => end.promise)
  const gone = new AbortController()
  let count = 0
  for await (const { state } of operations.follow(id, 5, gone.signal)) {
    t.equal(state, 'running')
    if (++count === 3) gone.abort()
  }
  t.equal(count, 3)
  t.throws(() => operations.follow('99', 5, never), refused({ reason: 'operation/unknown' }))
  end.resolve()
  await operations.idle()
})

/** Work that goes on until it is told to stop. */
const untilStopped = (_: unknown, signal: AbortSignal): Promise<void> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('stopped')))
  })

t.test('what is told to stop is cancelled, unless it comes to its end all the same', async (t) => {
  const operations = createOperations(
    () => 7,
    (message) => t.fail(message),
  )
  const stopped = operations.start('copy', untilStopped)
  t.match(await operations.cancel(stopped.id), { state: 'cancelled', endedAt: 7, error: undefined })
  const end = Promise.withResolvers<string>()
  const going = operations.start('copy', () => end.promise)
  const cancelling = operations.cancel(going.id)
  t.match(operations.get(going.id), { state: 'running', isCancelling: true })
  end.resolve('copied')
  t.match(await cancelling, { state: 'done', isCancelling: false, result: 'copied' })
  await t.rejects(operations.cancel(going.id), refused({ reason: 'operation/ended' }))
  await t.rejects(operations.cancel('99'), refused({ reason: 'operation/unknown' }))
})

t.test('a key begins its work once, until that fails or is cancelled', async (t) => {
  const operations = createOperations(Date.now, () => undefined)
  const begin = (described: string, work = untilStopped) =>
    operations.start('copy', work, { key: 'k', described: [described] })
  const first = begin('a')
  t.equal(begin('a').id, first.id)
  t.throws(() => begin('b'), refused({ reason: 'idempotency/mismatch' }))
  await operations.cancel(first.id)
  const second = begin('b', () => Promise.reject(new Refusal('ABORTED', 'a/b', 'No.')))
  t.not(second.id, first.id)
  await operations.idle()
  const third = begin('c', async () => undefined)
  await operations.idle()
  t.equal(begin('c').id, third.id, 'what is done is done')
  t.equal(operations.list().length, 3)
})

t.test('at the end, what is not done in time is told to stop', async (t) => {
  const operations = createOperations(Date.now, (message) => t.fail(message))
  const { id } = operations.start('copy', untilStopped)
  const quick = operations.start('copy', () => later(5))
  await operations.idle(50)
  t.match([operations.get(id).state, operations.get(quick.id).state], ['cancelled', 'done'])
})
