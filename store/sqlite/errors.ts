// What SQLite and the file system report, as Refusals. It knows error codes and nothing of tables.
import { Refusal, type RefusalRecord, recordOfError, refusalOfRecord } from '../../tensor/index.ts'

/** The code of a SQLite or system error (`SQLITE_FULL`, `ENOSPC`), or undefined. */
export function errorCodeOf(error: unknown): string | undefined {
  const code = (error as { readonly code?: unknown } | null)?.code
  return typeof code === 'string' && !(error instanceof Refusal) ? code : undefined
}

/**
 * Whether the error says that a sync failed. What was written before it may or may not be on the
 * disk, and a later sync that succeeds proves nothing: nothing may be promised any more.
 */
export function isSyncFailure(error: unknown): boolean {
  const code = errorCodeOf(error)
  return code === 'SQLITE_IOERR_FSYNC' || code === 'SQLITE_IOERR_DIR_FSYNC'
}

/** Whether the error says that the disk, or what the store may use of it, is full. */
export function isDiskFull(error: unknown): boolean {
  const code = errorCodeOf(error)
  // SHMSIZE: no room for the index of the write-ahead log.
  const full = ['SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE', 'ENOSPC', 'EDQUOT', 'EFBIG']
  return code !== undefined && full.includes(code)
}

/** Whether the error says that a database file does not hold what it should. */
export function isDamage(error: unknown): boolean {
  const code = errorCodeOf(error) ?? ''
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB'
}

/**
 * The Refusal for a failure of the disk or of a file while doing `what`; any other error (our own
 * mistake) is returned as it is.
 */
export function refusalOfFailure(error: unknown, what: string): unknown {
  const code = errorCodeOf(error)
  if (code === undefined) return error
  if (isDiskFull(error)) {
    return new Refusal(
      'RESOURCE_EXHAUSTED',
      'store/disk-full',
      `The disk is full: ${what} failed.`,
      {
        fix: 'Free space, or delete checkpoints and let the sweep finish, then send it again.',
        cause: error,
      },
    )
  }
  if (isDamage(error)) {
    return new Refusal(
      'DATA_LOSS',
      'store/catalogue-damaged',
      `The catalogue is damaged: ${what} failed.`,
      { fix: 'Restore the data directory from a backup.', cause: error },
    )
  }
  if (/^(SQLITE_(IOERR|BUSY|CANTOPEN|READONLY|PROTOCOL|LOCKED)|E[A-Z]+$)/.test(code)) {
    return new Refusal(
      'UNAVAILABLE',
      'store/disk-failed',
      `The disk failed (${code}): ${what} failed.`,
      {
        cause: error,
      },
    )
  }
  return error
}

/** An error in a form that crosses threads. Our own mistakes keep their text, for the log. */
export interface ErrorRecord {
  readonly refusal: RefusalRecord | undefined
  readonly message: string
  readonly stack: string | undefined
}

/** The plain form of any error. */
export function recordOf(error: unknown): ErrorRecord {
  const known = error instanceof Error ? error : new Error(String(error))
  return {
    refusal: error instanceof Refusal ? recordOfError(error) : undefined,
    message: known.message,
    stack: known.stack,
  }
}

/** The error that {@link recordOf} described. */
export function errorOf(record: ErrorRecord): Error {
  if (record.refusal !== undefined) return refusalOfRecord(record.refusal)
  const error = new Error(record.message)
  if (record.stack !== undefined) error.stack = record.stack
  return error
}
