/** Wakes its owner at a time that may change at any moment. */
import { Effect, type Fiber } from "effect"

export interface Alarm {
  /** It rings then, and not when it was to ring before. Later costs nothing: this is asked for every message and datagram. */
  readonly at: (timeMs: number) => void
}

/** `ring` runs in a fiber of `fork`, once for each time that comes. */
export const make = (
  fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>,
  nowMs: () => number,
  ring: () => Effect.Effect<void>
): Alarm => {
  let timeMs = Infinity
  /** At most one sleeps, never longer than until the alarm. */
  let sleeper: Fiber.Fiber<void> | undefined
  let wakesAtMs = Infinity

  const sleep: Effect.Effect<void> = Effect.suspend(() => {
    wakesAtMs = timeMs
    return Effect.andThen(Effect.sleep(Math.max(1, Math.ceil(timeMs - nowMs()))), wake)
  })
  const wake = Effect.suspend(() => {
    if (nowMs() < timeMs && timeMs < Infinity) return sleep
    const isDue = timeMs < Infinity
    timeMs = Infinity
    wakesAtMs = Infinity
    sleeper = undefined
    return isDue ? ring() : Effect.void
  })

  return {
    at: (wantedMs) => {
      timeMs = wantedMs
      if (wantedMs >= wakesAtMs) return
      sleeper?.interruptUnsafe()
      sleeper = fork(sleep)
    }
  }
}
