// Short ways to say what the store's tests say often: content from a seed, staged values, changes.
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type {
  Change,
  StagedValue,
  Staging,
  Store,
  ValueRecord,
  ValueSource,
} from '../../store/index.ts'
import type { DType, Shape } from '../../tensor/index.ts'

/** A folder of its own that is gone after the test. */
export function temporaryFolder(t: { teardown(callback: () => void): void }): string {
  const folder = join(tmpdir(), `holdfast-test-${randomUUID()}`)
  mkdirSync(folder, { recursive: true })
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Bytes that differ from chunk to chunk and from seed to seed. */
export function contentOf(byteLength: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(byteLength)
  let state = (seed * 2654435761 + 12345) >>> 0 || 1
  for (let index = 0; index < byteLength; index++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[index] = state
  }
  return bytes
}

/** A stream of uint8 over `bytes`, in pieces of `pieceByteLength`. */
export function streamOf(
  bytes: Uint8Array,
  type: { readonly dtype?: DType; readonly shape?: Shape; readonly byteLength?: number } = {},
  pieceByteLength = 300_000,
): Parameters<Staging['add']>[0] {
  return {
    dtype: type.dtype ?? 'uint8',
    shape: type.shape ?? [bytes.byteLength],
    byteLength: type.byteLength ?? bytes.byteLength,
    async *chunks() {
      for (let offset = 0; offset < bytes.byteLength; offset += pieceByteLength) {
        yield bytes.subarray(offset, offset + pieceByteLength)
      }
    },
  }
}

/** Stages one value in a staging of its own. */
export function stage(
  store: Store,
  bytes: Uint8Array,
  type: { readonly dtype?: DType; readonly shape?: Shape } = {},
): Promise<StagedValue> {
  return store.values.stage().add(streamOf(bytes, type))
}

/** Float32 scalar content. */
export function scalar(value: number): Uint8Array {
  return new Uint8Array(new Float32Array([value]).buffer)
}

/** A change that makes a variable of uint8 and any shape, unless said otherwise. */
export function create(
  name: string,
  value: ValueSource,
  more: Partial<Extract<Change, { kind: 'create_variable' }>> = {},
): Change {
  return {
    kind: 'create_variable',
    container: '',
    name,
    dtype: 'uint8',
    shape: undefined,
    trainable: true,
    collections: [],
    device: '',
    initializer: null,
    value,
    ...more,
  }
}

/** A change that writes a variable. */
export function write(
  name: string,
  value: ValueSource,
  more: Partial<Extract<Change, { kind: 'write_value' }>> = {},
): Change {
  return { kind: 'write_value', container: '', name, value, ...more }
}

/** A change that saves every variable of the default container. */
export function save(more: Partial<Extract<Change, { kind: 'save_checkpoint' }>> = {}): Change {
  return { kind: 'save_checkpoint', container: '', metadata: {}, labels: [], ...more }
}

/** The present value of a variable of the default container. */
export async function valueOfVariable(store: Store, name: string): Promise<ValueRecord> {
  const value = (await store.catalogue.variable('', name))?.value
  if (value === undefined) throw new Error(`${name} has no value`)
  return value
}

/** The bytes of a variable of the default container. */
export async function bytesOfVariable(store: Store, name: string): Promise<Uint8Array> {
  return store.values.bytes((await valueOfVariable(store, name)).valueId)
}

/** Everything that a stream yields, in one piece. */
export async function gather(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(piece)
  return new Uint8Array(Buffer.concat(pieces))
}
