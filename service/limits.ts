// Every limit that a request can meet, in one place; `GET /v1/limits` shows them as they are.

/** Stated limits. Bytes and milliseconds by suffix; counts otherwise. */
export interface Limits {
  /** Elements of one tensor written or read as JSON; above it a binary type is wanted. */
  readonly jsonElements: number
  /** Bytes of a JSON body. */
  readonly jsonBodyBytes: number
  /** Bytes of one tensor in a binary body. */
  readonly tensorBytes: number
  /** Bytes of an uploaded file or archive. */
  readonly uploadBytes: number
  /** Bytes that an uploaded archive may unpack to. */
  readonly unpackedBytes: number
  /** Members of an uploaded archive. */
  readonly archiveMembers: number
  /** Tensors of one checkpoint. */
  readonly checkpointTensors: number
  /** Bytes of a serialized graph or saved_model.pb. */
  readonly graphBytes: number
  /** Bytes that the feeds of one run may hold together. */
  readonly feedBytes: number
  /** Characters of a variable's, container's or model's name. */
  readonly nameLength: number
  /** Entries of one page of a list. */
  readonly pageEntries: number
  /** Names that one request may list. */
  readonly namesPerRequest: number
  /** How long the outcome of a request with an Idempotency-Key is kept. */
  readonly idempotencyKeepMs: number
  /** Operations of one batch. */
  readonly batchOperations: number
  /** Bytes that the values of one batch may hold together. */
  readonly batchBytes: number
  /** How long a run may take. */
  readonly runTimeoutMs: number
  /** How long a read waits for a version unless it says so .. */
  readonly waitDefaultMs: number
  /** .. and at most: shorter than an idle connection is kept. */
  readonly waitMostMs: number
  /** Requests that may wait for versions at once. */
  readonly waits: number
  /** Streams of events that may be open at once. */
  readonly eventStreams: number
  /** Events that wait for a slow listener in memory; beyond them it is served from the store's log. */
  readonly eventsQueued: number
  /** Time after which a stream that has nothing to tell says that it is alive. */
  readonly eventHeartbeatMs: number
  /** Members that one request may add to a collection. */
  readonly collectionMembersPerRequest: number
  /** Bytes of JSON of one member of a collection. */
  readonly collectionMemberBytes: number
  /** Bins of a histogram. */
  readonly statisticsBins: number
  /** Large values that may wait for their statistics at once. */
  readonly statisticsQueued: number
}

/** Limits that are the same for every server; `GET /v1/limits` shows them with the others. */
export const fixedLimits = {
  /** Characters of an Idempotency-Key. */
  idempotencyKeyLength: 255,
  /** Lists and objects within each other in a member: whoever reads deeper ones might not get through. */
  collectionMemberDepth: 100,
  /** Expressions within each other in an initializer. */
  initializerDepth: 16,
} as const

const mebibyte = 2 ** 20
const gibibyte = 2 ** 30

/** The limits in force unless a caller of {@link createService} hands in others. */
export const defaultLimits: Limits = {
  jsonElements: 131_072,
  jsonBodyBytes: 4 * mebibyte,
  tensorBytes: 4 * gibibyte,
  uploadBytes: 64 * gibibyte,
  unpackedBytes: 64 * gibibyte,
  archiveMembers: 10_000,
  checkpointTensors: 100_000,
  graphBytes: 256 * mebibyte,
  feedBytes: 512 * mebibyte,
  nameLength: 1024,
  pageEntries: 1000,
  namesPerRequest: 10_000,
  idempotencyKeepMs: 24 * 60 * 60 * 1000,
  batchOperations: 1000,
  batchBytes: 64 * mebibyte,
  runTimeoutMs: 120_000,
  waitDefaultMs: 30_000,
  waitMostMs: 100_000,
  waits: 10_000,
  eventStreams: 1_000,
  eventsQueued: 1_000,
  eventHeartbeatMs: 15_000,
  collectionMembersPerRequest: 10_000,
  collectionMemberBytes: 16_384,
  statisticsBins: 1024,
  statisticsQueued: 64,
}
