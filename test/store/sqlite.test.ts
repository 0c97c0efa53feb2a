// The SQLite driver keeps the contract of every store.
import t from 'tap'
import { openStore } from '../../store/index.ts'
import { storeContract } from '../contract/store.ts'
import { temporaryFolder } from '../helper/store.ts'

storeContract(t, {
  place: (t) => temporaryFolder(t),
  open: (directory, clock) => openStore({ directory, clock }),
})
