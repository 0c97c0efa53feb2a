// Labels of checkpoints: names that move, each turn kept with who turned it. Turning compares and sets in
// one commit, so that of several who want to turn a label at once each knows what it turned it from.
import type {
  CheckpointRecord,
  LabelChange,
  LabelRecord,
  Page,
  PageRequest,
} from '../store/index.ts'
import { Refusal } from '../tensor/index.ts'
import type { Context } from './context.ts'
import { checkLabel } from './names.ts'
import { unknownCheckpoint } from './unknown-checkpoint.ts'

/** How a label is turned. */
export interface TurnWishes {
  /** Id of the checkpoint where it must point now; null: nowhere. */
  readonly expect?: string | null | undefined
  /** Who turns it, as the history is to say. */
  readonly actor?: string | undefined
}

/** A label with (a page of) its history. */
export interface LabelView {
  readonly label: string
  /** Where it points now; undefined: nowhere. */
  readonly now: LabelRecord | undefined
  /** Newest first. */
  readonly history: Page<LabelChange>
}

export interface Labels {
  list(page: PageRequest): Promise<Page<LabelRecord>>
  /** Refuses (NOT_FOUND `label/unknown`) a label that never was. */
  get(label: string, page: PageRequest): Promise<LabelView>
  /** Points it at a checkpoint by id, label or `latest`. Refuses `label/mismatch` where it is not as expected. */
  set(ref: string, label: string, wishes: TurnWishes): Promise<CheckpointRecord>
  /** Refuses a label that points elsewhere. */
  remove(ref: string, label: string, wishes: TurnWishes): Promise<void>
  /** Points it where it pointed before its last turn. Refuses where that is nowhere, or gone. */
  rollback(label: string, wishes: TurnWishes): Promise<LabelRecord>
}

/** The labels of a store. */
export function createLabels(context: Context): Labels {
  const { catalogue } = context.store

  async function find(ref: string): Promise<CheckpointRecord> {
    const record = await catalogue.checkpoint(ref)
    if (record === undefined) throw unknownCheckpoint(ref)
    return record
  }

  return {
    list: (page) => catalogue.listLabels(page),
    async get(label, page) {
      checkLabel(label, context.limits)
      const [now, history] = [
        await catalogue.label(label),
        await catalogue.labelHistory(label, page),
      ]
      if (now === undefined && history.items.length === 0 && page.cursor === undefined) {
        throw unknownLabel(label)
      }
      return { label, now, history }
    },
    async set(ref, label, { expect, actor }) {
      checkLabel(label, context.limits)
      const { id } = await find(ref)
      await catalogue.commit([
        {
          kind: 'set_label',
          label,
          checkpoint: id,
          actor,
          ...(expect === undefined ? {} : { expect }),
        },
      ])
      return find(id)
    },
    async remove(ref, label, { expect, actor }) {
      const record = await find(ref)
      if (expect !== undefined && expect !== record.id) {
        throw elsewhere(label, record.id, expect)
      }
      if (!record.labels.includes(label)) {
        throw new Refusal(
          'NOT_FOUND',
          'checkpoint/unknown-label',
          `Checkpoint ${record.id} has no label "${label}".`,
          {
            fix: `GET /v1/checkpoints/labels/${label} says where it points.`,
            names: { label, checkpoint: record.id },
          },
        )
      }
      await catalogue.commit([
        { kind: 'set_label', label, checkpoint: null, expect: record.id, actor },
      ])
    },
    async rollback(label, { expect, actor }) {
      checkLabel(label, context.limits)
      await catalogue.commit([
        { kind: 'rollback_label', label, actor, ...(expect === undefined ? {} : { expect }) },
      ])
      const record = await catalogue.label(label)
      if (record === undefined) throw unknownLabel(label)
      return record
    },
  }
}

function unknownLabel(label: string): Refusal {
  return new Refusal('NOT_FOUND', 'label/unknown', `There is no label "${label}".`, {
    fix: 'GET /v1/checkpoints/labels lists them.',
    names: { label },
  })
}

function elsewhere(label: string, found: string, expect: string | null): Refusal {
  return new Refusal(
    'FAILED_PRECONDITION',
    'label/mismatch',
    `The label "${label}" is to be taken off checkpoint ${found}, but ${expect === null ? 'nothing' : `checkpoint ${expect}`} was expected there.`,
    { names: { label, checkpoint: found } },
  )
}
