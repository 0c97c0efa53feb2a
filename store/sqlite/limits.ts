// Sizes and counts that the driver works by. What is part of the stored form is a constant; what
// only decides when work is done can be set smaller by a test.

/** Bytes of a full chunk. Part of the stored form: digests of large values are made over chunks. */
export const chunkByteLength = 1024 * 1024

/** Values up to this many bytes lie inline in the catalogue. */
export const inlineByteLength = 64 * 1024

/** When the driver does what. All bytes unless named otherwise. */
export interface StoreLimits {
  /** New chunks of a staging below this go into the catalogue, else into packs. */
  readonly looseByteLengthPerCommit: number
  /** A pack is sealed at this size and the next one begun. */
  readonly packByteLength: number
  /** Loose chunks are merged into a pack from this sum on. */
  readonly mergeLooseByteLength: number
  /** Small packs are merged from this count on. */
  readonly mergePackCount: number
  /** A pack under this size is small. */
  readonly smallPackByteLength: number
  /** Bytes that one step of merging moves at most. */
  readonly mergeStepByteLength: number
  /** Packs that all readers together hold open at most. */
  readonly openPackCount: number
  /** Values and chunks that one step of the sweep looks at. */
  readonly sweepStepCount: number
  /** How long a value stays after the sweep first saw that nothing names it, in milliseconds. */
  readonly sweepGraceMs: number
  /** Pause between steps of maintenance when there is nothing to do, in milliseconds. */
  readonly maintenanceIntervalMs: number
  /** Chunks that may be on their way to one bulk worker. */
  readonly chunksInFlight: number
  /** Commits that one sync may cover. */
  readonly batchCount: number
  /** Bytes of content that one sync may cover (the commit that passes it is the last). */
  readonly batchByteLength: number
  /** Commits whose events are kept, the newest ones; a tenth more before the oldest go. */
  readonly eventCommitCount: number
  /** Bytes of the log of events, where that is reached earlier. */
  readonly eventByteLength: number
  /** Bytes a second that the background scrub reads at most; 0: it does not run. */
  readonly scrubBytesPerSecond: number
  /** How long after the start of the store the scrub begins, in milliseconds. */
  readonly scrubFirstStepMs: number
  /** From the end of a pass of the scrub to the beginning of the next, in milliseconds. */
  readonly scrubIntervalMs: number
  /** The catalogue may not grow over this; undefined: as large as the disk. */
  readonly catalogueByteLength: number | undefined
}

/** What a served store uses. */
export const defaultLimits: StoreLimits = {
  looseByteLengthPerCommit: 2 * 1024 * 1024,
  packByteLength: 1024 * 1024 * 1024,
  mergeLooseByteLength: 64 * 1024 * 1024,
  mergePackCount: 32,
  smallPackByteLength: 16 * 1024 * 1024,
  mergeStepByteLength: 64 * 1024 * 1024,
  openPackCount: 64,
  sweepStepCount: 500,
  sweepGraceMs: 60_000,
  maintenanceIntervalMs: 1_000,
  chunksInFlight: 4,
  batchCount: 1_000,
  batchByteLength: 32 * 1024 * 1024,
  eventCommitCount: 100_000,
  eventByteLength: 256 * 1024 * 1024,
  scrubBytesPerSecond: 8 * 1024 * 1024,
  scrubFirstStepMs: 5_000,
  scrubIntervalMs: 24 * 60 * 60 * 1000,
  catalogueByteLength: undefined,
}
