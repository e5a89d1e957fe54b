import { Effect, Exit, Scope } from "effect"
import type { CastUser } from "../Casting.ts"

/** Opens something in a scope of its own and closes the one before; what fails stays closed. */
export const make = (fork: CastUser["fork"], scope: Scope.Scope) => {
  let open: Scope.Closeable | undefined
  const close = (): void => {
    const closing = open
    open = undefined
    if (closing !== undefined) fork(Scope.close(closing, Exit.void))
  }
  return {
    close,
    open: <A, E>(effect: Effect.Effect<A, E, Scope.Scope>, opened: (value: A) => void): void => {
      close()
      fork(Effect.gen(function*() {
        const own = yield* Scope.fork(scope)
        open = own
        const value = yield* Effect.option(Scope.provide(effect, own))
        if (value._tag === "Some" && open === own) opened(value.value)
      }))
    }
  }
}
