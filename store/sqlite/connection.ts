// One SQLite connection with its prepared statements. It knows how a connection is set up and
// nothing of what the tables mean.
import Database from 'better-sqlite3'

/** What a parameter of a statement may be. */
export type Parameter = null | number | string | Uint8Array

/** A connection to one database file; lives until `close`. */
export class Connection {
  readonly #database: Database.Database
  readonly #statements = new Map<string, Database.Statement<Parameter[]>>()
  #writeCount = 0

  constructor(file: string, options: { readonly readonly: boolean; readonly mustExist?: boolean }) {
    this.#database = new Database(file, {
      readonly: options.readonly,
      fileMustExist: options.mustExist ?? options.readonly,
      timeout: 5_000,
    })
    this.#database.pragma('trusted_schema = OFF')
    this.#database.pragma('cell_size_check = ON')
  }

  /** Statements run so far that may have written. */
  get writeCount(): number {
    return this.#writeCount
  }

  /** The first row, or undefined. */
  get<Row>(sql: string, ...parameters: Parameter[]): Row | undefined {
    return this.#statement(sql).get(...parameters) as Row | undefined
  }

  /** Every row. */
  all<Row>(sql: string, ...parameters: Parameter[]): Row[] {
    return this.#statement(sql).all(...parameters) as Row[]
  }

  /** Number of rows changed, and the row id of the last one inserted. */
  run(
    sql: string,
    ...parameters: Parameter[]
  ): { readonly changes: number; readonly rowId: number } {
    const result = this.#statement(sql).run(...parameters)
    return { changes: result.changes, rowId: Number(result.lastInsertRowid) }
  }

  /** Runs statements that are not worth keeping prepared. */
  exec(sql: string): void {
    this.#database.exec(sql)
  }

  /** The single answer of a pragma. */
  pragma(source: string): unknown {
    return this.#database.pragma(source, { simple: true })
  }

  /** Every row of a pragma's answer. */
  pragmaRows(source: string): unknown {
    return this.#database.pragma(source)
  }

  get inTransaction(): boolean {
    return this.#database.inTransaction
  }

  /** Reads inside one snapshot. */
  snapshot<T>(read: () => T): T {
    this.run('BEGIN')
    try {
      return read()
    } finally {
      this.run('COMMIT')
    }
  }

  /**
   * Copies the database page by page into a new file, `pages` at a time; what the copy is like in
   * between is of no use. Inside a read transaction it is as that transaction sees it.
   */
  async copyTo(
    file: string,
    pages: number,
    report: (pagesDone: number, pagesTotal: number) => void,
  ): Promise<void> {
    await this.#database.backup(file, {
      progress: ({ totalPages, remainingPages }) => {
        report(totalPages - remainingPages, totalPages)
        return pages
      },
    })
  }

  close(): void {
    this.#statements.clear()
    this.#database.close()
  }

  #statement(sql: string): Database.Statement<Parameter[]> {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare<Parameter[]>(sql)
      this.#statements.set(sql, statement)
    }
    if (!statement.readonly) this.#writeCount += 1
    return statement
  }
}
