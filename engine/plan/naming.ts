// Refusals that say at which node they arose.
import { Refusal } from '../../tensor/index.ts'

/** The refusal with the node and its op named, if it names none yet; another error as it is. */
export function namingNode(error: unknown, node: string, op: string): unknown {
  if (!(error instanceof Refusal) || 'node' in error.names) return error
  const { code, reason, message, fix } = error
  return new Refusal(code, reason, `${message} [node "${node}", op ${op}]`, {
    names: { ...error.names, node, op },
    ...(fix === undefined ? {} : { fix }),
    cause: error,
  })
}
