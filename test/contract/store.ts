// What every driver of the store must do, as one suite of facts. A driver's own test calls it.
import type { Test } from 'tap'
import type { Store } from '../../store/index.ts'
import { checkpointFacts, graphFacts, labelFacts } from './store-checkpoints.ts'
import { closeFacts, commitFacts, sweepFacts } from './store-commits.ts'
import type { StoreDriver, Suite } from './store-suite.ts'
import { stagingFacts, valueFacts } from './store-values.ts'
import { listFacts, variableFacts } from './store-variables.ts'

/** Runs the suite. */
export function storeContract(t: Test, driver: StoreDriver): void {
  const opened = async (t: Test, clock: () => number = () => 1_000): Promise<Store> => {
    const store = await driver.open(driver.place(t), clock)
    t.teardown(() => store.close())
    return store
  }
  const suite: Suite = { driver, opened }
  t.test('variables', async (t) => variableFacts(t, suite))
  t.test('lists of variables', async (t) => listFacts(t, suite))
  t.test('values', async (t) => valueFacts(t, suite))
  t.test('stagings', async (t) => stagingFacts(t, suite))
  t.test('checkpoints', async (t) => checkpointFacts(t, suite))
  t.test('labels', async (t) => labelFacts(t, suite))
  t.test('graphs and models', async (t) => graphFacts(t, suite))
  t.test('commits', async (t) => commitFacts(t, suite))
  t.test('the sweep', async (t) => sweepFacts(t, suite))
  t.test('closing', async (t) => closeFacts(t, suite))
}
