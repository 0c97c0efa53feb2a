// Keeping the order of commits that touch the same variables, although one of them first brings
// packs to stable storage and the other could overtake it.
import type { Change } from '../port.ts'

/** What a commit touches, as far as its order against others matters. */
export interface Subjects {
  /** `container NUL name` of variables, and ids and labels under names of their own. */
  readonly exact: ReadonlySet<string>
  /** Containers in which it touches single variables. */
  readonly partly: ReadonlySet<string>
  /** Containers that it reads or drops as a whole. */
  readonly wholly: ReadonlySet<string>
}

/** What the changes touch. */
export function subjectsOf(changes: readonly Change[]): Subjects {
  const exact = new Set<string>()
  const partly = new Set<string>()
  const wholly = new Set<string>()
  for (const change of changes) {
    switch (change.kind) {
      case 'create_variable':
      case 'write_value':
      case 'update_variable':
      case 'delete_variable':
        exact.add(`variable\0${change.container}\0${change.name}`)
        partly.add(change.container)
        break
      case 'create_partitioned':
        for (const name of [change.name, ...change.parts]) {
          exact.add(`variable\0${change.container}\0${name}`)
        }
        partly.add(change.container)
        break
      case 'put_scope':
      case 'delete_scope':
        exact.add(`scope\0${change.container}\0${change.path}`)
        partly.add(change.container)
        break
      case 'add_to_collection':
        exact.add(`collection\0${change.container}\0${change.collection}`)
        for (const member of change.members) {
          if ('variable' in member) exact.add(`variable\0${change.container}\0${member.variable}`)
        }
        partly.add(change.container)
        break
      // What these touch is known only once they are applied.
      case 'clear_collection':
      case 'delete_partitioned':
      case 'delete_container':
      case 'save_checkpoint':
        wholly.add(change.container)
        break
      case 'put_graph':
      case 'delete_graph':
        exact.add(`graph\0${change.id}`)
        break
      case 'put_model_version':
      case 'update_model_version':
      case 'delete_model_version':
        exact.add(`model\0${change.model}\0${change.version}`)
        break
      case 'import_checkpoint':
        for (const label of change.labels) exact.add(`label\0${label}`)
        break
      case 'set_label':
      case 'rollback_label':
        exact.add(`label\0${change.label}`)
        break
      case 'delete_checkpoint':
      case 'update_checkpoint':
      case 'put_retention':
      case 'keep_figures':
        break
      default:
        change satisfies never
    }
  }
  return { exact, partly, wholly }
}

/** Whether the second of two commits must not overtake the first. */
export function meet(a: Subjects, b: Subjects): boolean {
  return (
    !a.exact.isDisjointFrom(b.exact) ||
    !a.wholly.isDisjointFrom(b.wholly) ||
    !a.wholly.isDisjointFrom(b.partly) ||
    !a.partly.isDisjointFrom(b.wholly)
  )
}
