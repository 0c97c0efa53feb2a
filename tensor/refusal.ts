// What a caller did wrong, as a value: every error that a request can cause is a Refusal.
// It knows TensorFlow's canonical codes and our stable reasons, and nothing of HTTP.

/** TensorFlow's canonical error codes. */
export type Code =
  | 'INVALID_ARGUMENT'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'ABORTED'
  | 'FAILED_PRECONDITION'
  | 'OUT_OF_RANGE'
  | 'RESOURCE_EXHAUSTED'
  | 'DATA_LOSS'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNKNOWN'
  | 'CANCELLED'
  | 'DEADLINE_EXCEEDED'
  | 'UNAVAILABLE'

/** What a {@link Refusal} may carry beside its sentence. */
export interface RefusalExtras {
  /** What the caller can do about it, as one sentence. */
  readonly fix?: string
  /** The names involved (variable, node, tensor, ..), kept apart so that programs can read them. */
  readonly names?: Readonly<Record<string, string | number | readonly string[]>>
  readonly cause?: unknown
}

/**
 * Thrown for whatever a caller can cause. `reason` is a stable word such as `variable/unknown`;
 * `message` says what was given and what was wanted. Our own mistakes are asserts, not Refusals.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: Code
  readonly reason: string
  readonly fix: string | undefined
  readonly names: Readonly<Record<string, string | number | readonly string[]>>

  constructor(code: Code, reason: string, message: string, extras: RefusalExtras = {}) {
    super(message, extras.cause === undefined ? undefined : { cause: extras.cause })
    this.code = code
    this.reason = reason
    this.fix = extras.fix
    this.names = extras.names ?? {}
  }
}

/** A Refusal as plain data, for crossing a thread or process boundary. */
export interface RefusalRecord {
  readonly code: Code
  readonly reason: string
  readonly message: string
  readonly fix?: string
  readonly names: Readonly<Record<string, string | number | readonly string[]>>
}

/** The plain form of a Refusal. An error of any other kind becomes INTERNAL without its text. */
export function recordOfError(error: unknown): RefusalRecord {
  if (error instanceof Refusal) {
    const { code, reason, message, fix, names } = error
    return fix === undefined
      ? { code, reason, message, names }
      : { code, reason, message, fix, names }
  }
  return { code: 'INTERNAL', reason: 'internal', message: 'An internal error occurred.', names: {} }
}

/** The Refusal that {@link recordOfError} described. */
export function refusalOfRecord(record: RefusalRecord): Refusal {
  const { code, reason, message, fix, names } = record
  return new Refusal(code, reason, message, fix === undefined ? { names } : { fix, names })
}
