import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, FiberSet } from "effect"
import { TestClock } from "effect/testing"
import * as Alarm from "../../src/services/Alarm.ts"

/** An alarm, and when it has rung. */
const rung = Effect.gen(function*() {
  const fork = yield* FiberSet.makeRuntime()
  const clock = yield* Clock.Clock
  const times: Array<number> = []
  let sleepersCount = 0
  const counted = (effect: Effect.Effect<void>) => {
    sleepersCount++
    return fork(effect)
  }
  const nowMs = () => clock.currentTimeMillisUnsafe()
  const alarm = Alarm.make(counted, nowMs, () => Effect.sync(() => void times.push(nowMs())))
  return { alarm, times, sleepers: () => sleepersCount }
})

describe("Alarm", () => {
  it.effect("rings once, at the time that was asked for last", () =>
    Effect.gen(function*() {
      const { alarm, times } = yield* rung
      for (const atMs of [500, 200, 900, 300, 700]) alarm.at(atMs)
      yield* TestClock.adjust(699)
      assert.isEmpty(times)
      yield* TestClock.adjust(10_000)
      assert.deepEqual(times, [700])
    }))

  it.effect("does not ring when it is put off for ever, and rings when it is set again", () =>
    Effect.gen(function*() {
      const { alarm, times } = yield* rung
      alarm.at(100)
      alarm.at(Infinity)
      yield* TestClock.adjust(1_000)
      assert.isEmpty(times)
      alarm.at(1_300)
      yield* TestClock.adjust(1_000)
      assert.deepEqual(times, [1_300])
    }))

  it.effect("rings a moment later for a time that has passed", () =>
    Effect.gen(function*() {
      const { alarm, times } = yield* rung
      yield* TestClock.adjust(1_000)
      alarm.at(400)
      assert.isEmpty(times)
      yield* TestClock.adjust(1)
      assert.deepEqual(times, [1_001])
    }))

  it.effect("may be set again by whom it wakes", () =>
    Effect.gen(function*() {
      const fork = yield* FiberSet.makeRuntime()
      const clock = yield* Clock.Clock
      const times: Array<number> = []
      const nowMs = () => clock.currentTimeMillisUnsafe()
      const alarm: Alarm.Alarm = Alarm.make(fork, nowMs, () =>
        Effect.sync(() => {
          times.push(nowMs())
          alarm.at(nowMs() + 250)
        }))
      alarm.at(100)
      yield* TestClock.adjust(900)
      assert.deepEqual(times, [100, 350, 600, 850])
    }))

  it.effect("has one that sleeps, however often it is set earlier", () =>
    Effect.gen(function*() {
      const fibers = yield* FiberSet.make<void>()
      const fork = yield* FiberSet.runtime(fibers)<never>()
      const clock = yield* Clock.Clock
      const times: Array<number> = []
      const nowMs = () => clock.currentTimeMillisUnsafe()
      const alarm = Alarm.make(fork, nowMs, () => Effect.sync(() => void times.push(nowMs())))
      for (let atMs = 1_000; atMs > 500; atMs -= 100) {
        alarm.at(atMs)
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* FiberSet.size(fibers), 1)
      }
      yield* TestClock.adjust(10_000)
      assert.deepEqual(times, [600])
    }))

  it.effect("costs nothing when it is put off, however often", () =>
    Effect.gen(function*() {
      const { alarm, sleepers, times } = yield* rung
      alarm.at(100)
      for (let i = 1; i <= 1_000; i++) {
        yield* TestClock.adjust(1)
        alarm.at(i + 100)
      }
      assert.isEmpty(times)
      assert.strictEqual(sleepers(), 1)
      yield* TestClock.adjust(100)
      assert.deepEqual(times, [1_100])
    }))
})
