// What `child.ts` writes, and how a test sees that it is all there: content that is known from the
// index of a pair and its version.
import type { Store } from '../../store/index.ts'
import { contentOf } from '../helper/store.ts'

const sizes = [10, 40_000, 300_000, 2_500_000]

/** Content of the first variable of a pair: inline, inline, loose or in a pack. */
export function pairContent(index: number, version: number): Uint8Array {
  return contentOf(sizes[index], index * 1_000_003 + version)
}

/** Content of the second: which pair, which version. */
export function generation(index: number, version: number): Uint8Array {
  return new Uint8Array(new Int32Array([index, version]).buffer)
}

/** A line of the child's, as far as the tests look into it. */
export interface Line {
  readonly kind: string
  readonly name?: string
  readonly version?: number
  readonly id?: string
  readonly code?: string
  readonly reason?: string
  readonly writable?: boolean
}

/** The whole lines of an output; the last may be cut off. */
export function linesOf(output: string): Line[] {
  return output
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line)
}

/** Highest acknowledged version of each pair. */
export function acknowledgedOf(lines: readonly Line[]): Map<string, number> {
  const versions = new Map<string, number>()
  for (const { kind, name, version } of lines) {
    if (kind === 'acknowledged' && name !== undefined) versions.set(name, version ?? 0)
  }
  return versions
}

/** What is wrong with the pairs of a store, given what was acknowledged; nothing, one hopes. */
export async function problemsOfPairs(
  store: Store,
  acknowledged: ReadonlyMap<string, number>,
): Promise<string[]> {
  const problems: string[] = []
  for (const [index] of sizes.entries()) {
    const name = `pair${index}`
    const [a, b] = await Promise.all(
      ['a', 'b'].map((half) => store.catalogue.variable('', `${name}/${half}`)),
    )
    const version = a?.version ?? 0
    if (version < (acknowledged.get(name) ?? 0)) {
      problems.push(`${name} lost version ${acknowledged.get(name)}: it has ${version}`)
    }
    if ((b?.version ?? 0) !== version) problems.push(`half of ${name} was committed`)
    if (a?.value === undefined || b?.value === undefined) continue
    if (!same(await store.values.bytes(a.value.valueId), pairContent(index, version))) {
      problems.push(`${name}/a has other bytes than were written`)
    }
    if (!same(await store.values.bytes(b.value.valueId), generation(index, version))) {
      problems.push(`${name}/b has other bytes than were written`)
    }
  }
  return problems
}

/** What is wrong with the checkpoints of a store: half ones, or pairs of two versions. */
export async function problemsOfCheckpoints(store: Store): Promise<string[]> {
  const problems: string[] = []
  const { items } = await store.catalogue.listCheckpoints({}, { limit: 1_000 })
  for (const { id, tensorCount } of items) {
    const entries = (await store.catalogue.checkpointEntries(id)).items
    if (entries.length !== tensorCount) problems.push(`checkpoint ${id} is not whole`)
    const values = new Map(entries.map(({ name, value }) => [name, value]))
    for (const [index] of sizes.entries()) {
      const [a, b] = [values.get(`pair${index}/a`), values.get(`pair${index}/b`)]
      if (a === undefined && b === undefined) continue
      if (a === undefined || b === undefined) {
        problems.push(`checkpoint ${id} has half of pair ${index}`)
        continue
      }
      const bytes = await store.values.bytes(b.valueId)
      const version = new Int32Array(bytes.slice().buffer)[1]
      if (!same(await store.values.bytes(a.valueId), pairContent(index, version))) {
        problems.push(`checkpoint ${id} mixes versions of pair ${index}`)
      }
    }
  }
  return problems
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(b)
}
