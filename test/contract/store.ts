// What every driver of the store must do, as one suite of facts. A driver's own test calls it.
import type { Test } from 'tap'
import type { Store } from '../../store/index.ts'
import { checkpointFacts, graphFacts, labelFacts } from './store-checkpoints.ts'
import { collectionFacts } from './store-collections.ts'
import { closeFacts, commitFacts, sweepFacts } from './store-commits.ts'
import { eventFacts } from './store-events.ts'
import { keepingFacts, lookingFacts } from './store-keeping.ts'
import { partitionFacts, scopeFacts } from './store-partitions.ts'
import { patchFacts } from './store-patches.ts'
import type { StoreDriver, Suite } from './store-suite.ts'
import { stagingFacts, valueFacts } from './store-values.ts'
import { listFacts, variableFacts } from './store-variables.ts'

function suiteOf(driver: StoreDriver): Suite {
  return {
    driver,
    async opened(t: Test, clock: () => number = () => 1_000): Promise<Store> {
      const store = await driver.open(driver.place(t), clock)
      t.teardown(() => store.close())
      return store
    },
  }
}

/** Runs the facts of names: what is known by them, and what commits do. */
export function catalogueContract(t: Test, driver: StoreDriver): void {
  const suite = suiteOf(driver)
  t.test('variables', async (t) => variableFacts(t, suite))
  t.test('lists of variables', async (t) => listFacts(t, suite))
  t.test('scopes', async (t) => scopeFacts(t, suite))
  t.test('partitioned variables', async (t) => partitionFacts(t, suite))
  t.test('collections', async (t) => collectionFacts(t, suite))
  t.test('events', async (t) => eventFacts(t, suite))
  t.test('commits', async (t) => commitFacts(t, suite))
  t.test('closing', async (t) => closeFacts(t, suite))
}

/** Runs the facts of content: values, and what keeps them. */
export function contentContract(t: Test, driver: StoreDriver): void {
  const suite = suiteOf(driver)
  t.test('values', async (t) => valueFacts(t, suite))
  t.test('stagings', async (t) => stagingFacts(t, suite))
  t.test('patched values', async (t) => patchFacts(t, suite))
  t.test('checkpoints', async (t) => checkpointFacts(t, suite))
  t.test('labels', async (t) => labelFacts(t, suite))
  t.test('looking at checkpoints', async (t) => lookingFacts(t, suite))
  t.test('keeping checkpoints', async (t) => keepingFacts(t, suite))
  t.test('graphs and models', async (t) => graphFacts(t, suite))
  t.test('the sweep', async (t) => sweepFacts(t, suite))
}
