// Field names as TensorFlow spells them: what the inside calls `liveBuffers` goes out as `live_buffers`.

/**
 * A value of JSON with every field's name in snake_case, at every depth. For records of our own only:
 * names that users gave must not be spelled anew.
 */
export function snakeCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCased)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeCased(member),
    ]),
  )
}
