// Restores against a simple oracle: random stored tensors, variables and requests. The oracle works on lists
// of numbers; it knows what goes where, what fits, and what has to stay as it was.
import fc from 'fast-check'
import t from 'tap'
import type { RestoreRequest } from '../../service/restore.ts'
import type { RestoreReport } from '../../service/restore-report.ts'
import type { Change } from '../../store/index.ts'
import { Refusal } from '../../tensor/index.ts'
import { create, stage } from '../helper/store.ts'
import { openWatched } from './watched-service.ts'

type Type = 'uint8' | 'int8'

interface Numbers {
  readonly dtype: Type
  readonly shape: readonly number[]
  readonly numbers: readonly number[]
}

const vector = (first: number, length: number, dtype: Type = 'uint8'): Numbers => ({
  dtype,
  shape: [length],
  numbers: Array.from({ length }, (_, index) => first + index),
})

/** Everything that can be stored; `w` in two parts. */
const storable: Readonly<Record<string, Numbers>> = {
  a: vector(10, 4),
  b: vector(20, 4),
  's/a': vector(30, 2),
  's/b': vector(40, 4, 'int8'),
  w: vector(50, 4),
  m: { ...vector(60, 8), shape: [2, 4] },
}
const partsOfW = ['w/part_0', 'w/part_1']

/** A part of each tensor, as its slice says. */
const slices: Readonly<Record<string, readonly (readonly [slice: string, part: Numbers])[]>> = {
  a: [
    ['1:3', vector(11, 2)],
    [':', vector(10, 4)],
    ['::-1', { ...vector(10, 4), numbers: [13, 12, 11, 10] }],
  ],
  w: [['1:3', vector(51, 2)]],
  m: [
    ['1', vector(64, 4)],
    ['0,1:3', vector(61, 2)],
    ['...', { ...vector(60, 8), shape: [2, 4] }],
  ],
  z: [[':', vector(0, 4)]],
}

/** A variable before the restore; of `form` whole or in two parts. */
interface Variable {
  readonly name: string
  readonly dtype: Type
  readonly length: number | undefined
  readonly isGlobal: boolean
  readonly isInParts: boolean
}

const rules = [
  { from: 's/', to: ['t/'] },
  { from: 'a', to: ['x', 'b'] },
  { from: 'm', to: [] },
  { pattern: '(.*)/(.)', to: ['$1/$2', 't/$2'] },
  { pattern: 'w|b', to: ['x'] },
]

const names = ['a', 'b', 's/a', 's/b', 't/a', 't/b', 'w', 'x']

const variableArbitrary: fc.Arbitrary<Variable> = fc.record({
  name: fc.constantFrom(...names, ...names, 's/x', 's/s/a', 'local'),
  dtype: fc.constantFrom<Type>(...new Array<Type>(9).fill('uint8'), 'int8'),
  length: fc.constantFrom(4, 4, 4, 4, 2, undefined, undefined),
  isGlobal: fc.boolean(),
  isInParts: fc.boolean(),
})

const targetsArbitrary = fc.uniqueArray(fc.constantFrom('x', 'b', 't/a', 'new', ...partsOfW), {
  maxLength: 2,
})

const sliceArbitrary = fc
  .constantFrom(...Object.keys(slices))
  .chain((tensor) => fc.constantFrom(...slices[tensor]).map(([slice]) => ({ tensor, slice })))

const requestArbitrary: fc.Arbitrary<RestoreRequest> = fc.record({
  names: fc.option(fc.subarray(['a', 'b', 's/a', 'w', 'w/part_1', 'z']), {
    nil: undefined,
    freq: 1,
  }),
  rename: fc.option(
    fc.dictionary(fc.constantFrom('a', 's/a', 'w', 'w/part_0', 'z'), targetsArbitrary),
    { nil: undefined, freq: 1 },
  ),
  rules: fc.option(fc.subarray(rules, { maxLength: 2 }), { nil: undefined, freq: 1 }),
  slices: fc.option(fc.dictionary(fc.constantFrom('x', 'w', 'new'), sliceArbitrary), {
    nil: undefined,
  }),
  scope: fc.constantFrom(undefined, undefined, undefined, undefined, 's', 's/'),
  onlyMapped: fc.constantFrom(true, false, false, false),
  strict: fc.constantFrom(true, false, false),
  allowMissing: fc.constantFrom(undefined, true, false),
  dryRun: fc.constantFrom(false, false, true),
  create: fc.constantFrom(true, false, false),
})

/** What a restore should find and do, or the reason why it should be refused. */
type Outcome =
  | { readonly refused: string }
  | {
      readonly report: Partial<RestoreReport>
      /** Numbers by variable after the restore, parts by themselves. */
      readonly after: ReadonlyMap<string, string>
    }

const shown = (numbers: readonly number[]) => numbers.join(' ')

/** What is stored under a name, parts too. */
function lookUp(stored: ReadonlySet<string>, name: string): Numbers | undefined {
  if (stored.has(name)) return storable[name]
  const part = partsOfW.indexOf(name)
  return part < 0 || !stored.has('w') ? undefined : vector(50 + 2 * part, 2)
}

/** Where a name is sent; undefined where nothing is said of it. */
function sentTo(name: string, { rename, rules = [] }: RestoreRequest): string[] | undefined {
  const exact = Object.entries(rename ?? {}).find(([key]) => key === name)
  if (exact !== undefined) return [...exact[1]]
  for (const { from, pattern, to } of rules) {
    if (from !== undefined && name.startsWith(from)) {
      return to.map((target) => target + name.slice(from.length))
    }
    const whole = new RegExp(`^(?:${pattern})$`)
    if (pattern !== undefined && whole.test(name)) {
      return to.map((target) => name.replace(whole, target))
    }
  }
  return undefined
}

/** Pairs of a stored name and a variable, in any order, and stored names that go nowhere. */
function claimsOf(stored: ReadonlySet<string>, request: RestoreRequest) {
  const explicit = new Set([...(request.names ?? []), ...Object.keys(request.rename ?? {})])
  const isCut = (name: string) =>
    Object.values(request.slices ?? {}).some(({ tensor }) => tensor === name)
  const partsNamed = partsOfW.filter((part) => explicit.has(part))
  const candidates = [...stored].flatMap((name) => {
    if (name !== 'w' || partsNamed.length === 0) return [name]
    return explicit.has('w') ? ['w', ...partsNamed] : partsOfW
  })
  const claims: (readonly [tensor: string, variable: string])[] = []
  const skipped: string[] = []
  for (const name of candidates) {
    if (request.names !== undefined && !explicit.has(name)) continue
    const targets = sentTo(name, request)
    const isOwn = !request.onlyMapped && (request.names !== undefined || !isCut(name))
    if (targets?.length === 0) skipped.push(name)
    for (const target of targets ?? (isOwn ? [name] : [])) claims.push([name, target])
  }
  return { claims, skipped, explicit }
}

/** A stored tensor that is to go somewhere, and whether as it is, in two parts. */
interface Wanted {
  readonly tensor: string
  readonly value: Numbers
  readonly isInParts: boolean
}

function expectedOf(
  stored: ReadonlySet<string>,
  variables: ReadonlyMap<string, Variable>,
  request: RestoreRequest,
): Outcome {
  const prefix = request.scope === undefined ? '' : 's/'
  const { claims, skipped, explicit } = claimsOf(stored, request)
  const wanted = new Map<string, Wanted>()
  const absent = new Map<string, string[]>()
  let isTwice = false
  const want = (variable: string, one: Wanted) => {
    if (wanted.has(prefix + variable)) isTwice = true
    wanted.set(prefix + variable, one)
  }
  for (const [tensor, variable] of claims) {
    const value = lookUp(stored, tensor) as Numbers
    want(variable, { tensor, value, isInParts: tensor === 'w' })
  }
  for (const [variable, { tensor, slice }] of Object.entries(request.slices ?? {})) {
    const part = slices[tensor].find(([text]) => text === slice)?.[1] as Numbers
    if (lookUp(stored, tensor) !== undefined)
      want(variable, { tensor, value: part, isInParts: false })
    else absent.set(tensor, [...(absent.get(tensor) ?? []), prefix + variable])
  }
  for (const name of explicit) {
    if (lookUp(stored, name) !== undefined) continue
    const targets = (sentTo(name, request) ?? [name]).map((target) => prefix + target)
    absent.set(name, [...(absent.get(name) ?? []), ...targets])
  }
  if (isTwice) return { refused: 'checkpoint/ambiguous-selection' }

  const after = numbersBefore(variables)
  const restored: string[] = []
  const created: string[] = []
  const unexpected = new Set<string>()
  const mismatches: Record<'shape' | 'dtype', string[]> = { shape: [], dtype: [] }
  const written: string[] = []
  for (const [name, { tensor, value, isInParts }] of wanted) {
    const target = declaredAs(variables, name)
    if (target === undefined) {
      if (!request.create) {
        unexpected.add(tensor)
        continue
      }
      created.push(name)
      put(after, name, value.numbers, isInParts)
      written.push(...namesWritten(name, isInParts, true))
    } else if (target.dtype !== value.dtype) {
      mismatches.dtype.push(name)
      continue
    } else if (
      target.length !== undefined &&
      (value.shape.length !== 1 || value.shape[0] !== target.length)
    ) {
      mismatches.shape.push(name)
      continue
    } else {
      put(after, name, value.numbers, target.isInParts)
      written.push(...namesWritten(name, target.isInParts, false))
    }
    restored.push(name)
  }
  if (new Set(written).size < written.length) return { refused: 'checkpoint/ambiguous-selection' }

  const missing = [...absent.keys()]
  const told = new Set([...absent.values()].flat())
  if (request.names === undefined && !request.onlyMapped) {
    for (const { name, isGlobal, isInParts } of variables.values()) {
      if (!isGlobal || !name.startsWith(prefix)) continue
      const parts = isInParts ? partsOf(name) : []
      const isApart = !wanted.has(name) && parts.some((part) => wanted.has(part))
      for (const one of isApart ? parts : [name]) {
        if (!wanted.has(one) && !told.has(one)) missing.push(one)
      }
    }
  }
  const isRefused =
    (request.allowMissing === false ? missing.length : absent.size) > 0 ||
    unexpected.size + mismatches.shape.length + mismatches.dtype.length > 0
  if (request.strict && !request.dryRun && isRefused) {
    return { refused: 'checkpoint/restore-mismatch' }
  }
  const report = { restored, created, missing, unexpected: [...unexpected], skipped }
  return { report, after: request.dryRun ? numbersBefore(variables) : after }
}

const partsOf = (name: string) => [`${name}/part_0`, `${name}/part_1`]

function namesWritten(name: string, isInParts: boolean, isMade: boolean): string[] {
  if (!isInParts) return [name]
  return isMade ? [name, ...partsOf(name)] : partsOf(name)
}

function put(
  after: Map<string, string>,
  name: string,
  numbers: readonly number[],
  isInParts: boolean,
): void {
  if (!isInParts) {
    after.set(name, shown(numbers))
    return
  }
  for (const [place, part] of partsOf(name).entries()) {
    after.set(part, shown(numbers.slice(2 * place, 2 * place + 2)))
  }
}

/** What a name is in the container: a variable, a whole, or a part of one. */
function declaredAs(
  variables: ReadonlyMap<string, Variable>,
  name: string,
): Pick<Variable, 'dtype' | 'length' | 'isInParts'> | undefined {
  const known = variables.get(name)
  if (known !== undefined) return known
  const whole = [...variables.values()].find(
    (one) => one.isInParts && partsOf(one.name).includes(name),
  )
  return whole && { dtype: whole.dtype, length: 2, isInParts: false }
}

/** Every variable holds ones at first. */
function numbersBefore(variables: ReadonlyMap<string, Variable>): Map<string, string> {
  const numbers = new Map<string, string>()
  for (const { name, length = 3, isInParts } of variables.values()) {
    put(numbers, name, new Array(length).fill(1), isInParts)
  }
  return numbers
}

/** A whole has four elements; two variables of one name are one. */
function distinct(variables: readonly Variable[]): ReadonlyMap<string, Variable> {
  return new Map(
    variables.map((one) => [one.name, one.isInParts ? { ...one, length: 4 } : one] as const),
  )
}

t.test('restores do what a simple oracle says, or nothing', { timeout: 120_000 }, async (t) => {
  const { service, store } = await openWatched(t)
  const bytes = (numbers: readonly number[]) => Uint8Array.from(numbers)
  const staged = (numbers: readonly number[], dtype: Type, shape = [numbers.length]) =>
    stage(store, bytes(numbers), { dtype, shape })

  async function variableChanges(
    container: string,
    { name, dtype, length, isGlobal, isInParts }: Variable,
  ): Promise<Change[]> {
    const more = { container, dtype, collections: isGlobal ? ['variables'] : ['mine'] }
    if (!isInParts) {
      const value = await staged(new Array(length ?? 3).fill(1), dtype)
      return [create(name, value, { ...more, shape: length === undefined ? undefined : [length] })]
    }
    const parts = await Promise.all(
      partsOf(name).map(async (part, place) =>
        create(part, await staged([1, 1], dtype), {
          ...more,
          shape: [2],
          slice: { fullName: name, fullShape: [4], offset: [2 * place] },
        }),
      ),
    )
    const kind = 'create_partitioned'
    const whole = { kind, container, name, dtype, shape: [4], partitions: [2] } as const
    return [...parts, { ...whole, parts: partsOf(name) }]
  }

  async function importChange(stored: readonly string[]): Promise<Change> {
    const entries = await Promise.all(
      stored.flatMap((name) => {
        const { dtype, shape, numbers } = storable[name]
        if (name !== 'w') {
          return [staged(numbers, dtype, [...shape]).then((value) => ({ name, value }))]
        }
        return partsOfW.map(async (part, place) => ({
          name: part,
          value: await staged(numbers.slice(2 * place, 2 * place + 2), dtype),
          slice: { fullName: 'w', fullShape: [4], offset: [2 * place] },
        }))
      }),
    )
    return { kind: 'import_checkpoint', container: 'from', entries, metadata: {}, labels: [] }
  }

  async function numbersNow(container: string): Promise<Map<string, string>> {
    const { items } = await store.catalogue.listVariables({ container }, { limit: 1000 })
    const numbers = new Map<string, string>()
    for (const { name, value } of items) {
      if (value !== undefined)
        numbers.set(name, shown([...(await store.values.bytes(value.valueId))]))
    }
    return numbers
  }

  const sorted = (texts: readonly string[] | undefined) => [...(texts ?? [])].sort()
  let count = 0
  const seen = { refused: 0, restored: 0, created: 0 }
  await fc.assert(
    fc.asyncProperty(
      fc.subarray(Object.keys(storable), { minLength: 1 }),
      fc.array(variableArbitrary, { minLength: 2, maxLength: 9, size: 'max' }),
      requestArbitrary,
      async (stored, given, request) => {
        const container = `run/${++count}`
        const variables = distinct(given)
        const made = await Promise.all(
          [...variables.values()].map((one) => variableChanges(container, one)),
        )
        const { checkpoints } = await store.catalogue.commit([
          await importChange(stored),
          ...made.flat(),
        ])
        const expected = expectedOf(new Set(stored), variables, request)
        const before = numbersBefore(variables)
        const result = await service
          .restore(checkpoints[0], { ...request, container })
          .catch((error: unknown) => error)
        const now = await numbersNow(container)
        if ('refused' in expected) {
          seen.refused++
          if (!(result instanceof Refusal)) throw new Error(`not refused: ${expected.refused}`)
          if (result.reason !== expected.refused) throw result
          equalMaps(now, before)
          return
        }
        if (result instanceof Error) throw result
        const report = result as RestoreReport
        for (const list of ['restored', 'created', 'missing', 'unexpected', 'skipped'] as const) {
          const [found, wanted] = [sorted(report[list]), sorted(expected.report[list])]
          if (found.join() !== wanted.join()) throw new Error(`${list}: ${found}, not ${wanted}`)
        }
        equalMaps(now, expected.after)
        seen.restored += report.restored.length - report.created.length
        seen.created += report.created.length
        const isWritten = request.dryRun ? [] : report.restored
        if (sorted(Object.keys(report.versions)).join() !== sorted(isWritten).join()) {
          throw new Error(`versions of ${Object.keys(report.versions)}, not of ${isWritten}`)
        }
      },
    ),
    { numRuns: 400 },
  )
  t.ok(Math.min(seen.refused, seen.restored, seen.created) > 40, JSON.stringify(seen))
})

function equalMaps(found: ReadonlyMap<string, string>, wanted: ReadonlyMap<string, string>): void {
  const text = (map: ReadonlyMap<string, string>) =>
    [...map]
      .map(([name, numbers]) => `${name}: ${numbers}`)
      .sort()
      .join('; ')
  if (text(found) !== text(wanted)) throw new Error(`${text(found)}, not ${text(wanted)}`)
}
