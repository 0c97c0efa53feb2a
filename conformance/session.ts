// A TensorFlow session on the engine's port: variables keep their values from run to run, as handles
// that stay on the device. What the service does with a store, without a store.
import type { Engine, ValueBinding, VariableName } from '../engine/index.ts'
import type { Tensor } from '../tensor/index.ts'

export interface Session {
  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches: readonly string[],
    targets: readonly string[],
  ): Promise<readonly Tensor[]>
  close(): Promise<void>
}

const keyOf = (variable: VariableName): string => `${variable.container}\n${variable.name}`

/** A session on the graph `id`, loaded already; its state lives in `container`. */
export function openSession(
  engine: Engine,
  id: string,
  container: string,
  initial: ReadonlyMap<string, ValueBinding> = new Map(),
): Session {
  const bindings = new Map<string, ValueBinding>(initial)
  return {
    async run(feeds, fetches, targets) {
      const names = Object.keys(feeds)
      const effects = await engine.effects({ graph: id, feeds: names, fetches, targets, container })
      const named = new Map([...effects.reads, ...effects.writes].map((one) => [keyOf(one), one]))
      const variables = [...named].map(([key, variable]) => ({
        ...variable,
        binding: bindings.get(key) ?? null,
      }))
      const request = { graph: id, feeds, fetches, targets, container, variables, device: '' }
      const reply = await engine.run(request)
      for (const { container, name, handle, dtype, shape } of reply.assigned) {
        const key = keyOf({ container, name })
        const former = bindings.get(key)
        bindings.set(key, { dtype, shape, handle })
        if (former !== undefined && 'handle' in former) await engine.release(former.handle)
      }
      return reply.fetches
    },
    async close() {
      for (const binding of bindings.values()) {
        if ('handle' in binding) await engine.release(binding.handle)
      }
      bindings.clear()
      await engine.dropState(container)
      await engine.unload(id)
    },
  }
}
