// How graphs name tensors, nodes and inputs: `w`, `w:1`, `^w`, and `w:output:1` in function bodies.
import { Refusal } from '../tensor/index.ts'

/** One output of a node, by the node's name. */
export interface TensorName {
  readonly node: string
  readonly index: number
}

/** An input of a node as written in a NodeDef. `port` is '' outside function bodies. */
export interface InputName {
  readonly control: boolean
  readonly node: string
  readonly port: string
  readonly index: number
}

const nodeName = /^[A-Za-z0-9._][A-Za-z0-9_.\\/>-]*$/
const wholeNumber = /^(0|[1-9][0-9]{0,8})$/

/** Whether `name` is one that a node may have (graph_constructor.cc; internal names start with `_`). */
export function isNodeName(name: string): boolean {
  return nodeName.test(name)
}

/**
 * Reads `w` or `w:1`; `w` means `w:0`. Refuses (INVALID_ARGUMENT, `graph/tensor-name`) anything else,
 * such as a control input.
 */
export function parseTensorName(text: string): TensorName {
  const parts = text.split(':')
  const [node, index] = parts
  const valid =
    parts.length <= 2 && isNodeName(node) && (index === undefined || wholeNumber.test(index))
  if (!valid) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      'graph/tensor-name',
      `"${shorten(text)}" is not the name of a tensor; wanted a form such as "scope/node:0".`,
      { names: { tensor: shorten(text) } },
    )
  }
  return { node, index: index === undefined ? 0 : Number(index) }
}

/** Reads an input of a NodeDef; undefined where it has none of the forms. */
export function parseInputName(text: string): InputName | undefined {
  if (text.startsWith('^')) {
    const node = text.slice(1)
    return isNodeName(node) ? { control: true, node, port: '', index: 0 } : undefined
  }
  const parts = text.split(':')
  const node = parts[0]
  const last = parts[parts.length - 1]
  if (!isNodeName(node) || parts.length > 3) return undefined
  if (parts.length === 1) return { control: false, node, port: '', index: 0 }
  if (!wholeNumber.test(last)) return undefined
  return { control: false, node, port: parts.length === 3 ? parts[1] : '', index: Number(last) }
}

/** A name fit for a message: cut where it is very long. */
export function shorten(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}..`
}
