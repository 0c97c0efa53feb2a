// Ways to spoil what lies on the disk, in files that nobody has open.
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'

/** Flips one bit in the middle of a blob, found by SQL. */
export function flipBlob(file: string, table: string, column: string, where = '1'): void {
  const database = new Database(file)
  const row = database
    .prepare(`SELECT rowid AS id, ${column} AS bytes FROM ${table} WHERE ${where} LIMIT 1`)
    .get() as { id: number; bytes: Buffer }
  row.bytes[Math.floor(row.bytes.length / 2)] ^= 4
  database.prepare(`UPDATE ${table} SET ${column} = ? WHERE rowid = ?`).run(row.bytes, row.id)
  database.close()
}

/** Flips the bits of `mask` in one byte of a file. */
export function flipByte(path: string, place: number, mask = 0x55): void {
  const file = openSync(path, 'r+')
  const byte = Buffer.alloc(1)
  readSync(file, byte, 0, 1, place)
  byte[0] ^= mask
  writeSync(file, byte, 0, 1, place)
  closeSync(file)
}

/** The file of the pack that holds a chunk of the variable. */
export function packOfVariable(directory: string, name: string): string {
  const catalogue = new Database(join(directory, 'catalog.db'))
  const found = catalogue
    .prepare(
      `SELECT pack.name FROM pack JOIN chunk USING (pack_id) JOIN value_chunk USING (chunk_id)
       JOIN variable USING (value_id) WHERE variable.name = ? LIMIT 1`,
    )
    .get(name) as { name: string }
  catalogue.close()
  return join(directory, 'packs', `${found.name}.pack`)
}
