// A crowd of clients that all do random things to few variables at once, each over a connection of its
// own, some going away without an answer.
import { type Chance, chanceFrom } from './chance.ts'
import { type Connection, connectionTo } from './connection.ts'
import { createHistory, type History, type Input } from './variable-history.ts'

/** How large the crowd is and what it does. */
export interface Crowd {
  readonly seed: number
  readonly clients: number
  /** Operations of each client. */
  readonly operations: number
  readonly names: readonly string[]
  /** Probability that a client goes away before it is answered. */
  readonly abandoned: number
  /** Which variables are judged together; each by itself unless given. */
  readonly keyOf?: (name: string) => string
  /** The next operation of a client; `seen` gives the version it saw last. */
  choose(chance: Chance, seen: (name: string) => number | undefined): Input
}

/** The history of a crowd on the server at `base`. Variables are made first, with the value 0. */
export async function historyOf(base: string, crowd: Crowd): Promise<History> {
  const history = createHistory(crowd.keyOf)
  const first = connectionTo(base)
  for (const name of crowd.names) {
    await history.ask(first, { verb: 'create', name })
    await history.ask(first, { verb: 'assign', name, value: 0 })
  }
  first.close()
  await Promise.all(
    Array.from({ length: crowd.clients }, (_, index) => beClient(base, crowd, history, index)),
  )
  return history
}

async function beClient(
  base: string,
  crowd: Crowd,
  history: History,
  index: number,
): Promise<void> {
  const chance = chanceFrom(crowd.seed * 1_000_003 + index)
  const seen = new Map<string, number>()
  const connection = connectionTo(base)
  for (let round = 0; round < crowd.operations; round++) {
    const input = crowd.choose(chance, (name) => seen.get(name))
    await askOnce(
      history,
      connection,
      input,
      chance.happens(crowd.abandoned) ? chance : undefined,
    ).then((versions) => {
      for (const [name, version] of versions) seen.set(name, version)
    })
  }
  connection.close()
}

/** Asks, and answers with the versions that the reply told. With `leaving`, goes away at its moment. */
async function askOnce(
  history: History,
  connection: Connection,
  input: Input,
  leaving: Chance | undefined,
): Promise<readonly (readonly [string, number])[]> {
  const output = await history.ask(connection, input, leaving?.whole(8))
  if (output === undefined) return []
  const names =
    input.verb === 'snapshot'
      ? input.names
      : input.verb === 'batch'
        ? [...new Set(input.writes.map(({ name }) => name))]
        : [input.name]
  return output.versions.map((version, index) => [names[index], version] as const)
}
