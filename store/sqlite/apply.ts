// Applies one commit inside its savepoint: idempotency, then its changes in order.
import { Refusal } from '../../tensor/index.ts'
import type { Change, Committed, Idempotency, StoreEvent } from '../port.ts'
import type { Connection } from './connection.ts'
import { type CommitContext, checkText } from './context.ts'
import type { CommitRequest } from './messages.ts'
import {
  deleteCheckpoint,
  importCheckpoint,
  saveCheckpoint,
  updateCheckpoint,
} from './write-checkpoints.ts'
import { addToCollection, clearCollection } from './write-collections.ts'
import { keepFigures, putRetention } from './write-keeping.ts'
import { rollbackLabel, setLabel } from './write-labels.ts'
import {
  deleteGraph,
  deleteModelVersion,
  putGraph,
  putModelVersion,
  updateModelVersion,
} from './write-models.ts'
import { createPartitioned, deletePartitioned } from './write-partitioned.ts'
import { deleteScope, putScope } from './write-scopes.ts'
import type { ValueBinder } from './write-values.ts'
import {
  createVariable,
  deleteContainer,
  deleteVariable,
  updateVariable,
  writeValue,
} from './write-variables.ts'

/** What a commit did, and what the bus says of it. */
export interface Applied {
  readonly committed: Committed
  readonly events: readonly StoreEvent[]
}

/** Applies one change, or refuses. */
function applyChange(context: CommitContext, change: Change): void {
  switch (change.kind) {
    case 'create_variable':
      createVariable(context, change)
      break
    case 'write_value':
      writeValue(context, change)
      break
    case 'update_variable':
      updateVariable(context, change)
      break
    case 'delete_variable':
      deleteVariable(context, change)
      break
    case 'delete_container':
      deleteContainer(context, change)
      break
    case 'create_partitioned':
      createPartitioned(context, change)
      break
    case 'delete_partitioned':
      deletePartitioned(context, change)
      break
    case 'put_scope':
      putScope(context, change)
      break
    case 'delete_scope':
      deleteScope(context, change)
      break
    case 'add_to_collection':
      addToCollection(context, change)
      break
    case 'clear_collection':
      clearCollection(context, change)
      break
    case 'save_checkpoint':
      saveCheckpoint(context, change)
      break
    case 'import_checkpoint':
      importCheckpoint(context, change)
      break
    case 'delete_checkpoint':
      deleteCheckpoint(context, change)
      break
    case 'update_checkpoint':
      updateCheckpoint(context, change)
      break
    case 'set_label':
      setLabel(context, change)
      break
    case 'rollback_label':
      rollbackLabel(context, change)
      break
    case 'put_retention':
      putRetention(context, change)
      break
    case 'keep_figures':
      keepFigures(context, change)
      break
    case 'put_graph':
      putGraph(context, change)
      break
    case 'delete_graph':
      deleteGraph(context, change)
      break
    case 'put_model_version':
      putModelVersion(context, change)
      break
    case 'update_model_version':
      updateModelVersion(context, change)
      break
    case 'delete_model_version':
      deleteModelVersion(context, change)
      break
    default:
      change satisfies never
  }
}

interface OutcomeRow {
  readonly digest: string
  readonly expires_at: number
  readonly outcome: string
}

function earlierOutcome(
  connection: Connection,
  idempotency: Idempotency,
  now: number,
): Committed | undefined {
  checkText('idempotency key', idempotency.key)
  const row = connection.get<OutcomeRow>(
    'SELECT digest, expires_at, outcome FROM idempotency WHERE key = ?',
    idempotency.key,
  )
  if (row === undefined) return undefined
  if (row.expires_at <= now) {
    connection.run('DELETE FROM idempotency WHERE key = ?', idempotency.key)
    return undefined
  }
  if (row.digest !== idempotency.digest) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'idempotency/mismatch',
      `The Idempotency-Key ${JSON.stringify(idempotency.key)} was used for another request.`,
      { fix: 'Use a new key for every new request.' },
    )
  }
  return { ...(JSON.parse(row.outcome) as Committed), replayed: true }
}

/** Applies a commit under `sequence`. Refusals leave the undoing to the caller's savepoint. */
export function applyCommit(
  connection: Connection,
  request: CommitRequest,
  sequence: number,
  binder: ValueBinder,
): Applied {
  const { idempotency, now } = request
  if (idempotency !== undefined) {
    const earlier = earlierOutcome(connection, idempotency, now)
    if (earlier !== undefined) return { committed: earlier, events: [] }
  }
  const context: CommitContext = {
    connection,
    now,
    sequence,
    bind: (source) => binder.bind(source),
    variables: [],
    checkpoints: [],
    events: [],
    atEnd: [],
  }
  for (const change of request.changes) applyChange(context, change)
  for (const check of context.atEnd) check()
  const committed: Committed = {
    sequence,
    at: now,
    variables: context.variables,
    checkpoints: context.checkpoints,
    replayed: false,
    ...(idempotency?.note === undefined ? {} : { note: idempotency.note }),
  }
  if (idempotency !== undefined) {
    connection.run(
      'INSERT INTO idempotency (key, digest, expires_at, outcome) VALUES (?, ?, ?, ?)',
      idempotency.key,
      idempotency.digest,
      now + idempotency.keepMs,
      JSON.stringify(committed),
    )
  }
  return { committed, events: context.events }
}
