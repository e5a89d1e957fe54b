/** Test effects under a test clock: somebody has to move it while they wait. */
import { Effect, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { VirtualLab } from "../../src/simulator/VirtualLab.ts"

/**
 * Runs an effect in a scope of its own and closes it while time passes: saying goodbye takes time, and under a test
 * clock somebody has to move it.
 */
export const scopedInTime = <A, E, R>(
  effect: Effect.Effect<A, E, R | Scope.Scope>
): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const exit = yield* Effect.exit(Scope.provide(effect, scope))
    const closing = yield* Effect.forkChild(Scope.close(scope, exit), { startImmediately: true })
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.join(closing)
    return yield* exit
  }) as never

/** Lets time pass until `check` holds, looking every `everyMs`; fails the test after `withinMs`. */
export const until = Effect.fnUntraced(function*(check: () => boolean, withinMs: number, everyMs = 100) {
  for (let passed = 0; !check(); passed += everyMs) {
    if (passed >= withinMs) return yield* Effect.die(new Error(`not so after ${withinMs} ms of virtual time`))
    yield* TestClock.adjust(everyMs)
  }
})

/** Ends every device of a lab and lets the time pass that they need for it. */
export const stop = Effect.fnUntraced(function*(lab: VirtualLab) {
  yield* Effect.forkChild(
    Effect.forEach(lab.devices, (device) => device.stop(), { concurrency: "unbounded", discard: true }),
    { startImmediately: true }
  )
  yield* TestClock.adjust("5 seconds")
})
