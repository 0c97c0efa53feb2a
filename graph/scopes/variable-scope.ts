// Variable scopes: what a scope hands down to the variables and scopes inside it, and how the names of
// scopes are counted. It knows neither variables nor operations.
// Source: tensorflow/python/ops/variable_scope.py (VariableScope, _pure_variable_scope).
import type { DType, PartialShape } from '../../tensor/index.ts'
import { mergeDeviceTexts } from './device-spec.ts'
import type { Partitions } from './partition.ts'

/** `false`: variables are only made, `true`: only found, `auto`: either (TensorFlow's AUTO_REUSE). */
export type Reuse = boolean | 'auto'

/**
 * How a variable gets its first value. A constant (a tensor, or an expression of known type and shape)
 * fixes the variable's type and shape; a function is asked for both. `I` is what the caller keeps.
 */
export type Initializer<I> =
  | { readonly form: 'function'; readonly initializer: I }
  | {
      readonly form: 'constant'
      readonly initializer: I
      readonly dtype: DType
      readonly shape: PartialShape
    }

/** What a scope may be opened with; what is absent is inherited. `reuse: false` inherits as well. */
export interface ScopeArguments<I> {
  readonly reuse?: Reuse | undefined
  readonly initializer?: Initializer<I> | undefined
  readonly dtype?: DType | undefined
  readonly partitions?: Partitions | undefined
  readonly useResource?: boolean | undefined
  /** Of the scope's variables; merged with the outer scope's, field by field. Not TensorFlow's. */
  readonly device?: string | undefined
}

/** An open scope: what get_variable reads. */
export interface VariableScope<I> {
  /** Stands before the names of variables; empty at the root. */
  readonly name: string
  /** The name scope that was opened with it at first, with a slash at its end; empty at the root. */
  readonly originalNameScope: string
  readonly reuse: Reuse
  readonly initializer: Initializer<I> | undefined
  readonly dtype: DType
  readonly partitions: Partitions | undefined
  readonly useResource: boolean | undefined
  /** Canonical; empty where none was asked for. */
  readonly device: string
}

/** The scope outside all scopes: makes float32 variables, and finds none. */
export function rootScope<I>(): VariableScope<I> {
  return {
    name: '',
    originalNameScope: '',
    reuse: false,
    initializer: undefined,
    dtype: 'float32',
    partitions: undefined,
    useResource: undefined,
    device: '',
  }
}

/** `name` below the scope `scope`: `a/b`. */
export function nameBelow(scope: string, name: string): string {
  return scope === '' ? name : `${scope}/${name}`
}

/** The scope `name` inside `parent`. Refuses a device that cannot be parsed. */
export function openScope<I>(
  parent: VariableScope<I>,
  name: string,
  originalNameScope: string,
  given: ScopeArguments<I> = {},
): VariableScope<I> {
  return withArguments(
    { ...parent, name: nameBelow(parent.name, name), originalNameScope },
    given,
    parent.reuse,
  )
}

/** The same scope again, wherever one is, with some arguments anew. Refuses as {@link openScope}. */
export function reopenScope<I>(
  scope: VariableScope<I>,
  given: ScopeArguments<I> = {},
): VariableScope<I> {
  return withArguments(scope, given, scope.reuse)
}

function withArguments<I>(
  scope: VariableScope<I>,
  given: ScopeArguments<I>,
  inherited: Reuse,
): VariableScope<I> {
  return {
    ...scope,
    reuse: given.reuse || inherited,
    initializer: given.initializer ?? scope.initializer,
    dtype: given.dtype ?? scope.dtype,
    partitions: given.partitions ?? scope.partitions,
    useResource: given.useResource ?? scope.useResource,
    device: mergeDeviceTexts(given.device ?? '', scope.device),
  }
}

/**
 * The scope at `path` (`a/b`, or '' for the root) where scopes are kept with the arguments that each
 * was given: opened one in another from the root, those without arguments too.
 */
export function scopeAt<I>(
  path: string,
  argumentsOf: (path: string) => ScopeArguments<I> | undefined,
): VariableScope<I> {
  return scopePaths(path).reduce<VariableScope<I>>((parent, full) => {
    if (full === '') return reopenScope(parent, argumentsOf(''))
    const name = parent.name === '' ? full : full.slice(parent.name.length + 1)
    return openScope(parent, name, `${full}/`, argumentsOf(full))
  }, rootScope<I>())
}

/** The paths that {@link scopeAt} asks for, from the root: '', `a`, `a/b` for `a/b`. */
export function scopePaths(path: string): readonly string[] {
  const paths = ['']
  for (let slash = path.indexOf('/', 1); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    paths.push(path.slice(0, slash))
  }
  return path === '' ? paths : [...paths, path]
}

/** How often each scope was opened: what makes default names unique. */
export class ScopeCounts {
  #counts = new Map<string, number>()

  /** `prefix`, `prefix_1`, ..: the first below `scope` that is not open or was not opened yet. */
  uniqueName(scope: string, prefix: string): string {
    const full = nameBelow(scope, prefix)
    if (this.#countOf(full) === 0) return prefix
    let suffix = 1
    while (this.#countOf(`${full}_${suffix}`) > 0) suffix++
    return `${prefix}_${suffix}`
  }

  /** Runs `body` in the scope `name`, opened by that name; scopes inside count from 0 afterwards. */
  opened<T>(name: string, body: () => T): T {
    this.#counts.set(name, this.#countOf(name) + 1)
    try {
      return body()
    } finally {
      for (const one of this.#counts.keys()) {
        if (one.startsWith(`${name}/`)) this.#counts.set(one, 0)
      }
    }
  }

  /** Runs `body` in the scope `name`, entered as an object; counts are as before afterwards. */
  reopened<T>(name: string, body: () => T): T {
    this.#counts.set(name, this.#countOf(name) + 1)
    const former = new Map(this.#counts)
    try {
      return body()
    } finally {
      this.#counts = former
    }
  }

  #countOf(name: string): number {
    return this.#counts.get(name) ?? 0
  }
}
