// The SQLite driver keeps the contract of every store: values and what keeps them.
import t from 'tap'
import { openStore } from '../../store/index.ts'
import { contentContract } from '../contract/store.ts'
import { temporaryFolder } from '../helper/store.ts'

contentContract(t, {
  place: (t) => temporaryFolder(t),
  open: (directory, clock) => openStore({ directory, clock }),
})
