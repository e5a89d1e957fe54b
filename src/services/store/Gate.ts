/**
 * Many may pass at once, or one alone.
 *
 * Who wants to be alone stops newcomers first, so a steady stream of readers cannot keep it out; a semaphore would let
 * them.
 */
import { Effect, Latch, Semaphore } from "effect"

export interface Gate {
  /** Whether `shared` would not wait: what is over in one turn may be done without it. */
  readonly isOpen: () => boolean
  readonly shared: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Never inside `shared` of the same gate. */
  readonly alone: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export const makeUnsafe = (): Gate => {
  /** Open while nobody is alone or waits to be. */
  const entrance = Latch.makeUnsafe(true)
  /** Open while nobody is inside. */
  const empty = Latch.makeUnsafe(true)
  const oneAlone = Semaphore.makeUnsafe(1)
  let closed = false
  let inside = 0

  const enter: Effect.Effect<void> = Effect.suspend(() => {
    if (closed) return Effect.andThen(entrance.await, enter)
    inside++
    empty.closeUnsafe()
    return Effect.void
  })
  const leave = Effect.sync(() => {
    inside--
    if (inside === 0) empty.openUnsafe()
  })
  const shut = Effect.sync(() => {
    closed = true
    entrance.closeUnsafe()
  })
  const reopen = Effect.sync(() => {
    closed = false
    entrance.openUnsafe()
  })

  return {
    isOpen: () => !closed,
    shared: (effect) => Effect.acquireUseRelease(enter, () => effect, () => leave),
    alone: (effect) =>
      oneAlone.withPermits(1)(
        Effect.acquireUseRelease(shut, () => Effect.andThen(empty.await, effect), () => reopen)
      )
  }
}
