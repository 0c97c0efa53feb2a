// The SQLite driver keeps the contract of every store: names and commits.
import t from 'tap'
import { openStore } from '../../store/index.ts'
import { catalogueContract } from '../contract/store.ts'
import { temporaryFolder } from '../helper/store.ts'

catalogueContract(t, {
  place: (t) => temporaryFolder(t),
  open: (directory, clock) => openStore({ directory, clock }),
})
