// Variable records in memory, so that reading one that nobody writes asks SQLite nothing. A record is
// given out only while no commit that could change it is on its way, so every read sees the last
// commit just as a read of the catalogue would. It knows changes, and neither threads nor SQL.
import type {
  Change,
  Committed,
  ValueRecord,
  VariableDeclaration,
  VariableRecord,
} from '../port.ts'
import type { StagedContent } from './messages.ts'
import { hexOf } from './records.ts'

/** Records kept at most; the least recently used one goes first. */
const recordCount = 8_192
/** Larger records (a long initializer, many collections) are not kept. In UTF-16 units. */
const recordTextLength = 4_096

/** The changes of a commit, and the staged values that they name. */
interface Request {
  readonly changes: readonly Change[]
  readonly staged: ReadonlyMap<number, StagedContent>
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** A variable that a commit on its way changes. */
interface Subject {
  readonly key: string
  /** Its state before, where that is known: no other commit that touches it is on its way then. */
  readonly before: VariableRecord | undefined
  /** How often containers had been dropped then. */
  readonly drops: number
  /** The one value that it gets, where the change says so. */
  readonly value: StagedContent | undefined
  readonly isDeclaring: boolean
}

/** Commits that touch a variable: on their way, and since there was none. */
interface Busy {
  count: number
  turns: number
  /** Of those on their way, how many may change more than the value. */
  declaring: number
}

/** Tells that a commit has settled; with what it did, where it did something. */
export type CommitSettled = (committed?: Committed) => void

/** The records of one catalogue. */
export class VariableCache {
  readonly #records = new Map<string, VariableRecord>()
  /** What values of variables have to be, which commits that only write values leave as it is. */
  readonly #declarations = new Map<string, VariableDeclaration>()
  readonly #busy = new Map<string, Busy>()
  /** Commits that change variables without naming them (dropped containers): on their way, and ever. */
  #dropping = 0
  #drops = 0

  /** The variable as it is now, where that is in memory. */
  known(container: string, name: string): VariableRecord | undefined {
    return this.#dropping > 0 ? undefined : this.#records.get(keyOf(container, name))
  }

  /** The variable as it is now: from memory, else from `read`. */
  variable(
    container: string,
    name: string,
    read: () => VariableRecord | undefined,
  ): VariableRecord | undefined {
    if (this.#dropping > 0) return read()
    const key = keyOf(container, name)
    const known = this.#records.get(key)
    if (known !== undefined) {
      this.#records.delete(key)
      this.#records.set(key, known)
      return known
    }
    const record = read()
    if (record !== undefined && !this.#busy.has(key) && isSmall(record)) this.#set(key, record)
    return record
  }

  /** What a value of the variable has to be: from memory, else from `read`. */
  declaration(
    container: string,
    name: string,
    read: () => VariableRecord | undefined,
  ): VariableDeclaration | undefined {
    if (this.#dropping > 0) return read()
    const key = keyOf(container, name)
    const known = this.#declarations.get(key)
    if (known !== undefined) return known
    const record = this.variable(container, name, read)
    if (record === undefined || (this.#busy.get(key)?.declaring ?? 0) > 0) return record
    const { dtype, shape, slice } = record
    if (this.#declarations.size >= recordCount) this.#declarations.clear()
    this.#declarations.set(key, { dtype, shape, slice })
    return record
  }

  /** A commit is about to be sent: what it may change is read from the catalogue until it settled. */
  begin(request: Request): CommitSettled {
    const drops = request.changes.some(changesUnnamed)
    if (drops) {
      this.#dropping += 1
      this.#drops += 1
      this.#records.clear()
      this.#declarations.clear()
    }
    const subjects = this.#subjectsOf(request)
    return (committed) => {
      if (drops) this.#dropping -= 1
      for (const subject of subjects) this.#end(subject, committed, request.now)
    }
  }

  #subjectsOf({ changes, staged }: Request): Subject[] {
    const subjects: Subject[] = []
    for (const change of changes) {
      if (!('container' in change)) continue
      if ('name' in change) {
        const key = keyOf(change.container, change.name)
        subjects.push(this.#subject(key, stagedValueOf(change, staged), isDeclaring(change)))
      } else if (change.kind === 'add_to_collection') {
        for (const member of change.members) {
          if ('variable' in member) {
            subjects.push(this.#subject(keyOf(change.container, member.variable), undefined, false))
          }
        }
      }
    }
    return subjects
  }

  #subject(key: string, value: StagedContent | undefined, isDeclaring: boolean): Subject {
    const busy = this.#busy.get(key) ?? { count: 0, turns: 0, declaring: 0 }
    busy.count += 1
    busy.turns += 1
    if (isDeclaring) {
      busy.declaring += 1
      this.#declarations.delete(key)
    }
    this.#busy.set(key, busy)
    const before = this.#records.get(key)
    this.#records.delete(key)
    return { key, before, drops: this.#drops, value, isDeclaring }
  }

  #end(subject: Subject, committed: Committed | undefined, now: number): void {
    const { key, before, value } = subject
    const busy = this.#busy.get(key)
    if (busy === undefined) return
    busy.count -= 1
    if (subject.isDeclaring) busy.declaring -= 1
    if (busy.count > 0) return
    this.#busy.delete(key)
    const isAlone = busy.turns === 1 && subject.drops === this.#drops
    if (!isAlone || before === undefined || value === undefined) return
    if (committed === undefined || committed.replayed) return
    const written = committed.variables.find(
      (one) => one.container === before.container && one.name === before.name,
    )
    if (written?.valueId === undefined) return
    const record: ValueRecord = {
      valueId: written.valueId,
      dtype: value.dtype,
      shape: value.shape,
      byteLength: value.byteLength,
      digest: hexOf(value.digest),
    }
    this.#set(key, { ...before, version: written.version, value: record, updatedAt: now })
  }

  #set(key: string, record: VariableRecord): void {
    this.#records.set(key, record)
    if (this.#records.size <= recordCount) return
    for (const oldest of this.#records.keys()) {
      this.#records.delete(oldest)
      return
    }
  }
}

function keyOf(container: string, name: string): string {
  return `${container.length}:${container}${name}`
}

/** The staged value that a change gives to a variable and that changes nothing else of it. */
function stagedValueOf(
  change: Change,
  staged: ReadonlyMap<number, StagedContent>,
): StagedContent | undefined {
  if (change.kind !== 'write_value' || change.redeclareShape === true) return undefined
  const { value } = change
  return value !== null && 'token' in value ? staged.get(value.token) : undefined
}

/** Whether a change to a variable may be to more than its value. */
function isDeclaring(change: Change): boolean {
  return change.kind !== 'write_value' || change.redeclareShape === true
}

/** Whether a change touches variables that it does not name. */
function changesUnnamed({ kind }: Change): boolean {
  return kind === 'delete_container' || kind === 'delete_partitioned' || kind === 'clear_collection'
}

function isSmall({ initializer, collections, slice }: VariableRecord): boolean {
  return (
    [initializer, collections, slice].reduce((sum: number, json) => sum + textLengthOf(json), 0) <=
    recordTextLength
  )
}

function textLengthOf(json: unknown): number {
  return JSON.stringify(json)?.length ?? 0
}
