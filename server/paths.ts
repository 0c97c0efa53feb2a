// TensorFlow names hold slashes and the router's parameters do not: before routing, the slashes of a
// name are percent-encoded. A verb follows the last colon, which no name can hold; only names of devices
// hold colons, which are encoded too.

// Collections whose members' names may hold slashes, and what stands before such a name.
const devices = '/v1/devices/'
const prefixes = ['/v1/variables/', '/v1/containers/', '/v1/collections/', '/v1/scopes/', devices]
const ofCheckpoint = /^\/v1\/checkpoints\/(?:labels|[^/?]+\/(?:tensors|labels))\//

/** The URL with the slashes of the name in its path as `%2F`; any other URL as it is. */
export function encodeNameSlashes(url: string): string {
  if (!url.startsWith('/v1/')) return url
  const start = nameStart(url)
  if (start === undefined) return url
  const question = url.indexOf('?', start)
  const end = question === -1 ? url.length : question
  const path = url.slice(start, end)
  const colon = path.lastIndexOf(':')
  if (!path.includes('/') && path.indexOf(':') === colon) return url
  const name = colon === -1 ? path : path.slice(0, colon)
  const rest = url.slice(start + name.length)
  const encoded = name.replaceAll('/', '%2F')
  const isDevice = url.startsWith(devices)
  return url.slice(0, start) + (isDevice ? encoded.replaceAll(':', '%3A') : encoded) + rest
}

function nameStart(url: string): number | undefined {
  for (const prefix of prefixes) if (url.startsWith(prefix)) return prefix.length
  if (url.startsWith('/v1/checkpoints/')) return ofCheckpoint.exec(url)?.[0].length
  return undefined
}
