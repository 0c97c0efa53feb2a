// Reads of the catalogue on the read-only connection of whichever thread asks. Each call sees one
// committed state. Everything that can be long is paged by an index.
import type {
  ChunkRecord,
  Committed,
  GraphRecord,
  Json,
  ModelVersionRecord,
  Page,
  PageRequest,
  ValueId,
  ValueRecord,
  VariableFilter,
  VariableRecord,
} from '../port.ts'
import type { Connection, Parameter } from './connection.ts'
import {
  checkLimit,
  type GraphRow,
  graphOf,
  hexOf,
  keyOfCursor,
  pageOf,
  type ValueRow,
  type VariableRow,
  valueColumns,
  valueRecordOf,
  variableColumns,
  variableOf,
} from './records.ts'
import { damagedCountOf } from './scrub-rows.ts'
import { looseByteLengthOf } from './sweep.ts'
import { variableListQuery } from './variable-list.ts'

interface ModelRow {
  readonly model: string
  readonly version: number
  readonly created_at: number
  readonly description: string
}

/** What `StoreStatus` takes from the tables. */
export interface CatalogueSizes {
  readonly catalogueBytes: number
  readonly catalogueFreeBytes: number
  readonly packCount: number
  readonly packBytes: number
  readonly packLiveBytes: number
  readonly looseBytes: number
  readonly sequence: number
  readonly damaged: number
}

/** Names that are looked up without a pause. */
export const namesPerTurn = 1_000

/** Reads on one connection. */
export class CatalogueReader {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  variable(container: string, name: string): VariableRecord | undefined {
    const row = this.#connection.get<VariableRow>(
      `SELECT ${variableColumns} FROM variable LEFT JOIN value USING (value_id)
       WHERE container = ? AND name = ?`,
      container,
      name,
    )
    return row === undefined ? undefined : variableOf(row)
  }

  /** Those that exist, in the order asked, from one snapshot; for a bounded number of names. */
  variables(container: string, names: readonly string[]): VariableRecord[] {
    return this.#connection.snapshot(() => this.#named(container, names))
  }

  /**
   * The same for any number of names: in turns, so that others have the thread in between. The
   * connection must be one that nobody else reads from meanwhile.
   */
  async manyVariables(container: string, names: readonly string[]): Promise<VariableRecord[]> {
    const found: VariableRecord[] = []
    this.#connection.run('BEGIN')
    try {
      for (let begin = 0; begin < names.length; begin += namesPerTurn) {
        found.push(...this.#named(container, names.slice(begin, begin + namesPerTurn)))
        await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      this.#connection.run('COMMIT')
    }
    return found
  }

  #named(container: string, names: readonly string[]): VariableRecord[] {
    // JSON text in SQLite ends at a NUL, which a name may hold.
    if (names.some((name) => name.includes('\0'))) {
      return names.flatMap((name) => this.variable(container, name) ?? [])
    }
    const rows = this.#connection.all<VariableRow>(
      `SELECT ${variableColumns} FROM json_each(?) AS asked
       CROSS JOIN variable ON variable.container = ? AND variable.name = asked.value
       LEFT JOIN value ON value.value_id = variable.value_id ORDER BY asked.key`,
      JSON.stringify(names),
      container,
    )
    return rows.map(variableOf)
  }

  listVariables(filter: VariableFilter, page: PageRequest): Page<VariableRecord> {
    checkLimit(page)
    const after = keyOfCursor(page.cursor)
    const { sql, parameters } = variableListQuery(filter, after, page.limit + 1)
    const rows = this.#connection.all<VariableRow>(sql, ...parameters)
    return pageOf(rows, page.limit, variableOf, (row) => row.name)
  }

  /** Containers that hold anything, sorted; by jumping through indexes, not by reading it all. */
  containers(): string[] {
    const found = ['variable', 'partitioned_variable', 'collection', 'scope'].flatMap((table) =>
      this.#connection.all<{ container: string }>(
        `WITH RECURSIVE found (container) AS (
           SELECT min(container) FROM ${table}
           UNION ALL
           SELECT (SELECT min(container) FROM ${table} WHERE ${table}.container > found.container)
           FROM found WHERE found.container IS NOT NULL
         ) SELECT container FROM found WHERE container IS NOT NULL`,
      ),
    )
    const containers = new Set(found.map(({ container }) => container))
    return [...containers].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }

  graph(id: string): GraphRecord | undefined {
    const row = this.#connection.get<GraphRow>(
      `SELECT graph_id, created_at, summary, ${valueColumns}
       FROM graph JOIN value USING (value_id) WHERE graph_id = ?`,
      id,
    )
    return row === undefined ? undefined : graphOf(row)
  }

  listGraphs(page: PageRequest): Page<GraphRecord> {
    checkLimit(page)
    const rows = this.#connection.all<GraphRow>(
      `SELECT graph_id, created_at, summary, ${valueColumns}
       FROM graph JOIN value USING (value_id) WHERE graph_id > ? ORDER BY graph_id LIMIT ?`,
      keyOfCursor(page.cursor) ?? '',
      page.limit + 1,
    )
    return pageOf(rows, page.limit, graphOf, (row) => row.graph_id)
  }

  modelVersions(model?: string, version?: number): ModelVersionRecord[] {
    const where = ['1']
    const parameters: Parameter[] = []
    if (model !== undefined) {
      where.push('model = ?')
      parameters.push(model)
    }
    if (version !== undefined) {
      where.push('version = ?')
      parameters.push(version)
    }
    return this.#connection.snapshot(() =>
      this.#connection
        .all<ModelRow>(
          `SELECT model, version, created_at, description FROM model_version
           WHERE ${where.join(' AND ')} ORDER BY model, version`,
          ...parameters,
        )
        .map((row) => this.#modelVersionOf(row)),
    )
  }

  #modelVersionOf(row: ModelRow): ModelVersionRecord {
    const files = this.#connection.all<ValueRow & { readonly path: string }>(
      `SELECT path, ${valueColumns} FROM model_file JOIN value USING (value_id)
       WHERE model = ? AND version = ? ORDER BY path`,
      row.model,
      row.version,
    )
    return {
      model: row.model,
      version: row.version,
      files: files.map((file) => ({ path: file.path, value: required(valueRecordOf(file)) })),
      description: JSON.parse(row.description) as Json,
      createdAt: row.created_at,
    }
  }

  idempotent(
    key: string,
    now: number,
  ): { readonly digest: string; readonly committed: Committed } | undefined {
    const row = this.#connection.get<{ digest: string; outcome: string }>(
      'SELECT digest, outcome FROM idempotency WHERE key = ? AND expires_at > ?',
      key,
      now,
    )
    if (row === undefined) return undefined
    const committed = { ...(JSON.parse(row.outcome) as Committed), replayed: true }
    return { digest: row.digest, committed }
  }

  record(valueId: ValueId): ValueRecord | undefined {
    const row = this.#connection.get<ValueRow>(
      `SELECT ${valueColumns} FROM value WHERE value_id = ?`,
      valueId,
    )
    return row === undefined ? undefined : valueRecordOf(row)
  }

  /** Bytes that lie inline, with the checksum that they should have. */
  inlineContent(
    valueId: ValueId,
  ): { readonly bytes: Uint8Array; readonly crc32c: number } | undefined {
    const row = this.#connection.get<{ bytes: Uint8Array; crc32c: number }>(
      'SELECT bytes, crc32c FROM inline_content WHERE value_id = ?',
      valueId,
    )
    if (row === undefined) return undefined
    // A plain view: what SQLite gives is a Buffer, whose slice() shares memory.
    const { buffer, byteOffset, byteLength } = row.bytes
    return { bytes: new Uint8Array(buffer, byteOffset, byteLength), crc32c: row.crc32c }
  }

  /** A value with the digests of its chunks in order (none for an inline one). */
  base(
    valueId: ValueId,
  ): { readonly record: ValueRecord; readonly chunks: readonly Uint8Array[] } | undefined {
    return this.#connection.snapshot(() => {
      const record = this.record(valueId)
      if (record === undefined) return undefined
      const chunks = this.#connection
        .all<{ digest: Uint8Array }>(
          `SELECT digest FROM value_chunk JOIN chunk USING (chunk_id)
           WHERE value_id = ? ORDER BY ordinal`,
          valueId,
        )
        .map(({ digest }) => new Uint8Array(digest))
      return { record, chunks }
    })
  }

  /** The chunks of a value in order; none for an inline one. */
  chunks(valueId: ValueId): ChunkRecord[] {
    const rows = this.#connection.all<{ digest: Uint8Array; byte_length: number }>(
      `SELECT digest, byte_length FROM value_chunk JOIN chunk USING (chunk_id)
       WHERE value_id = ? ORDER BY ordinal`,
      valueId,
    )
    return rows.map((row) => ({ digest: hexOf(row.digest), byteLength: row.byte_length }))
  }

  sizes(): CatalogueSizes {
    return this.#connection.snapshot(() => {
      const packs = this.#connection.get<{ count: number; bytes: number; live: number }>(
        `SELECT count(*) AS count, coalesce(sum(total_bytes), 0) AS bytes,
           coalesce(sum(live_bytes), 0) AS live FROM pack`,
      )
      const state = this.#connection.get<{ sequence: number }>('SELECT sequence FROM store_state')
      const pages = this.#connection.pragma('page_count') as number
      const freePages = this.#connection.pragma('freelist_count') as number
      const pageByteLength = this.#connection.pragma('page_size') as number
      return {
        catalogueBytes: pages * pageByteLength,
        catalogueFreeBytes: freePages * pageByteLength,
        packCount: packs?.count ?? 0,
        packBytes: packs?.bytes ?? 0,
        packLiveBytes: packs?.live ?? 0,
        looseBytes: looseByteLengthOf(this.#connection),
        sequence: state?.sequence ?? 0,
        damaged: damagedCountOf(this.#connection),
      }
    })
  }
}

function required(value: ValueRecord | undefined): ValueRecord {
  if (value === undefined) throw new Error('an inner join found a value')
  return value
}
