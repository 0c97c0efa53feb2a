// The OpenAPI document: its head, and how the schemas with a title become named components. The
// paths themselves come from the running app's routes.

type JsonObject = { readonly [key: string]: unknown }

/** Head of the document: title, version and what each tag holds. */
export const documentHead = {
  openapi: '3.1.0',
  info: {
    title: 'Holdfast',
    version: '0.1.0',
    description:
      'A checkpoint-centric variable store and serving service with TensorFlow 1 semantics. Names may hold slashes; a verb follows a colon.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  tags: [
    { name: 'variables', description: 'Named, versioned tensors' },
    { name: 'scopes', description: 'Defaults of variables, inherited downwards' },
    { name: 'collections', description: 'Named lists of variables and JSON values' },
    { name: 'checkpoints', description: 'Saved sets of values' },
    { name: 'backups', description: 'Copies of the whole store' },
    { name: 'graphs', description: 'GraphDefs and runs' },
    { name: 'models', description: 'Served models, compatible with TensorFlow Serving' },
    { name: 'events', description: 'What changed, as it is committed' },
    { name: 'service', description: 'Devices, operations, health, limits' },
  ],
}

/**
 * The document with every titled schema moved to `components.schemas` and referred to by name.
 * Two different schemas under one title are our mistake, and throw.
 */
export function nameSchemas(document: JsonObject): JsonObject {
  const components = new Map<string, unknown>()
  const walk = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(walk)
    if (typeof node !== 'object' || node === null) return node
    const copy = Object.fromEntries(
      Object.entries(node).map(([key, value]) => [
        key,
        walk(key === 'content' ? asFiles(value) : value),
      ]),
    )
    if (copy.description === 'Default Response') copy.description = 'Done'
    const { title } = copy
    if (typeof title !== 'string' || !/^[A-Z][A-Za-z]+$/.test(title) || 'license' in copy)
      return copy
    const known = components.get(title)
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(copy)) {
      throw new Error(`Two schemas are called ${title}.`)
    }
    components.set(title, copy)
    return { $ref: `#/components/schemas/${title}` }
  }
  const walked = walk(document) as { components?: JsonObject }
  const sorted = [...components].sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    ...walked,
    components: { ...walked.components, schemas: Object.fromEntries(sorted) },
  }
}

const readableTypes = /json|^text\//

/** Bodies by media type: those that are no text become files, whatever their schema says. */
function asFiles(content: unknown): unknown {
  if (typeof content !== 'object' || content === null) return content
  return Object.fromEntries(
    Object.entries(content).map(([type, body]) => {
      const isText = readableTypes.test(type) || !type.includes('/')
      if (isText) return [type, body]
      return [type, { schema: { type: 'string', format: 'binary', contentMediaType: type } }]
    }),
  )
}
