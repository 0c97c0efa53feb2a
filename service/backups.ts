// Backups: copies of the whole store while it runs, listed, given out as an archive and deleted. Where
// they lie is a setting; clients name them by their ids.
import { type OutputBytes, writeTar } from '../formats/index.ts'
import type { BackupRecord } from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { checkGoing, type Watch } from './operations.ts'

export interface Backups {
  /** Makes one. `copy`: with packs of its own also where links to the store's would do. */
  create(wishes: { readonly copy: boolean }, watch?: Watch): Promise<BackupRecord>
  /** Newest first. */
  list(): Promise<readonly BackupRecord[]>
  /** Refuses (NOT_FOUND `backup/unknown`) one that is not there. */
  get(id: string): Promise<BackupRecord>
  /** All files of one as a tar, under a folder of its id. */
  archive(id: string): Promise<OutputBytes & { readonly tag: string }>
  remove(id: string): Promise<void>
}

/** The backups of a store. */
export function createBackups({ store: { backups } }: Context): Backups {
  async function get(id: string): Promise<BackupRecord> {
    const record = await backups.get(id)
    if (record === undefined) throw unknownBackup(id)
    return record
  }
  return {
    async create(wishes, watch) {
      checkGoing(watch?.signal)
      const report = (bytesDone: number, bytesTotal: number) =>
        watch?.report({ bytesDone, bytesTotal })
      return backups.create(wishes, report, watch?.signal)
    },
    list: () => backups.list(),
    get,
    async archive(id) {
      const { digest, state } = await get(id)
      if (state !== 'done' || digest === undefined) throw unfinished(id)
      const files = await backups.files(id)
      if (files === undefined) throw unknownBackup(id)
      const named = files.map((file) => ({ ...file, name: `${id}/${file.name}` }))
      return { ...writeTar(named), tag: digest }
    },
    async remove(id) {
      if (!(await backups.remove(id))) throw unknownBackup(id)
    },
  }
}

function unknownBackup(id: string): Refusal {
  return new Refusal('NOT_FOUND', 'backup/unknown', `There is no backup "${id}".`, {
    fix: 'List what is there with GET /v1/backups, or make one with POST /v1/backups.',
    names: { backup: id },
  })
}

function unfinished(id: string): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'backup/running',
    `The backup ${id} is still being made.`,
    { fix: 'Follow it at GET /v1/operations.', names: { backup: id } },
  )
}
