/** What is hashed before it is offered: who sees it, for how long, and who can call it off. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Preparing from "../../src/services/Preparing.ts"
import type { SessionEvent } from "../../src/services/SessionEvent.ts"
import type { ImportProgress } from "../../src/services/store/Source.ts"

type Tell = (progress: ImportProgress) => Effect.Effect<void>

const start = Effect.gen(function*() {
  const events: Array<SessionEvent> = []
  const scope = yield* Scope.make()
  const preparing = yield* Preparing.make((event) => Effect.sync(() => void events.push(event))).pipe(
    Scope.provide(scope)
  )
  return { preparing, events, close: Scope.close(scope, Exit.void) }
})

/** Work of which the test is the disk. */
const work = Effect.gen(function*() {
  const end = yield* Deferred.make<string, "trouble">()
  const known: { tell: Tell; interrupted: boolean } = { tell: () => Effect.void, interrupted: false }
  const run = (tell: Tell) =>
    Effect.suspend(() => {
      known.tell = tell
      return Effect.interruptible(Deferred.await(end)).pipe(
        Effect.onInterrupt(() => Effect.sync(() => void (known.interrupted = true)))
      )
    })
  return {
    run,
    known,
    tell: (hashedBytes: number, totalBytes: number) => Effect.suspend(() => known.tell({ hashedBytes, totalBytes })),
    succeed: Deferred.succeed(end, "root"),
    fail: Deferred.fail(end, "trouble")
  }
})

const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

describe("what is being prepared", () => {
  it.effect("is seen from preparingTellMs on and not before, as far as it is, until it is ready", () =>
    Effect.gen(function*() {
      const { events, preparing } = yield* start
      const iso = yield* work
      const fiber = yield* fork(preparing.run("/home/ada/linux.iso", iso.run))
      yield* TestClock.adjust(Limits.preparingTellMs - 1)
      assert.deepStrictEqual([yield* preparing.views, events], [[], []])
      yield* TestClock.adjust(1)
      const [first] = yield* preparing.views
      assert.deepInclude(first, { title: "linux.iso", hashedBytes: 0, totalBytes: undefined })
      yield* iso.tell(300, 1_000)
      assert.deepInclude((yield* preparing.views)[0], { id: first!.id, hashedBytes: 300, totalBytes: 1_000 })
      yield* TestClock.adjust(Limits.preparingTellMs)
      yield* iso.succeed
      assert.strictEqual(yield* Fiber.join(fiber), "root")
      assert.isEmpty(yield* preparing.views)
      yield* TestClock.adjust("1 minute")
      const told = { preparation: first!.id, title: "linux.iso" }
      assert.deepStrictEqual(events, [
        { event: "share.preparing", ...told, hashedBytes: 0 },
        { event: "share.preparing", ...told, hashedBytes: 300, bytes: 1_000 },
        { event: "share.prepared", ...told, outcome: "ready" }
      ])
    }))

  it.effect("is not seen at all where it takes less than preparingTellMs, whatever comes of it", () =>
    Effect.gen(function*() {
      const { events, preparing } = yield* start
      for (const end of ["succeed", "fail"] as const) {
        const quick = yield* work
        const fiber = yield* fork(Effect.exit(preparing.run("/notes.txt", quick.run)))
        yield* quick.tell(1, 2)
        yield* TestClock.adjust(Limits.preparingTellMs - 1)
        yield* quick[end]
        yield* Fiber.join(fiber)
        yield* TestClock.adjust("1 minute")
      }
      assert.deepStrictEqual(events, [])
    }))

  it.effect("is told of at most every preparingTellMs, however fast it goes on", () =>
    Effect.gen(function*() {
      const { events, preparing } = yield* start
      const iso = yield* work
      yield* fork(preparing.run("/linux.iso", iso.run))
      for (let ms = 0; ms < 10 * Limits.preparingTellMs; ms += 5) {
        yield* iso.tell(ms, 100_000)
        yield* TestClock.adjust(5)
      }
      assert.lengthOf(events, 10)
    }))

  it.effect("is gone when it fails, and whoever asked for it knows why", () =>
    Effect.gen(function*() {
      const { events, preparing } = yield* start
      const iso = yield* work
      const fiber = yield* fork(Effect.flip(preparing.run("/linux.iso", iso.run)))
      yield* TestClock.adjust("1 second")
      yield* iso.fail
      assert.strictEqual(yield* Fiber.join(fiber), "trouble")
      assert.isEmpty(yield* preparing.views)
      assert.deepInclude(events.at(-1), { event: "share.prepared", outcome: "failed" })
    }))

  it.effect("is called off by its id, or by its title the newest of that title, and no other is", () =>
    Effect.gen(function*() {
      const { events, preparing } = yield* start
      const works = yield* Effect.all([work, work, work])
      const fibers = yield* Effect.forEach(
        works,
        ({ run }, index) => fork(Effect.flip(preparing.run(`/${index}/data.bin`, run)))
      )
      yield* TestClock.adjust("1 second")
      const interrupted = () => works.map(({ known }) => known.interrupted)
      const [first] = yield* preparing.views
      assert.isTrue(yield* preparing.callOff("data.bin"))
      assert.deepStrictEqual(interrupted(), [false, false, true])
      assert.isTrue(yield* preparing.callOff(first!.id))
      assert.deepStrictEqual(interrupted(), [true, false, true])
      assert.isFalse(yield* preparing.callOff(first!.id))
      assert.isFalse(yield* preparing.callOff("other.bin"))
      for (const fiber of [fibers[0]!, fibers[2]!]) {
        assert.deepInclude(yield* Fiber.join(fiber), { _tag: "SessionRefused", reason: "called-off" })
      }
      assert.lengthOf(yield* preparing.views, 1)
      assert.lengthOf(events.filter((event) => event.event === "share.prepared" && event.outcome === "called-off"), 2)
    }))

  it.effect("happens as a whole where it is called off too late", () =>
    Effect.gen(function*() {
      const { preparing } = yield* start
      const steps: Array<string> = []
      const late = Effect.sleep("5 seconds").pipe(Effect.andThen(Effect.sync(() => steps.push("written"))))
      const fiber = yield* fork(preparing.run("/linux.iso", () => late))
      yield* TestClock.adjust("1 second")
      yield* fork(preparing.callOff("linux.iso"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(steps, [])
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), 1)
      assert.deepStrictEqual(steps, ["written"])
    }))

  it.effect("goes on when whoever asked for it is gone, and ends with the session", () =>
    Effect.gen(function*() {
      const { close, preparing } = yield* start
      const [left, ended] = yield* Effect.all([work, work])
      const page = yield* fork(preparing.run("/a", left.run))
      yield* Fiber.interrupt(page)
      yield* fork(Effect.exit(preparing.run("/b", ended.run)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* preparing.views).map(({ title }) => title), ["a", "b"])
      yield* left.succeed
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* preparing.views).map(({ title }) => title), ["b"])
      yield* close
      assert.deepStrictEqual([left.known.interrupted, ended.known.interrupted], [false, true])
      assert.isEmpty(yield* preparing.views)
    }))

  it.effect("is at most sharesMax at a time, and one more when another is ready", () =>
    Effect.gen(function*() {
      const { preparing } = yield* start
      const first = yield* work
      const others = yield* work
      yield* fork(preparing.run("/first", first.run))
      for (let index = 1; index < Limits.sharesMax; index++) yield* fork(preparing.run(`/${index}`, others.run))
      yield* TestClock.adjust(Limits.preparingTellMs)
      assert.lengthOf(yield* preparing.views, Limits.sharesMax)
      const surplus = Effect.exit(preparing.run("/surplus", () => Effect.void))
      assert.include(JSON.stringify(yield* surplus), "too-many-shares")
      yield* first.succeed
      yield* TestClock.adjust(1)
      assert.isTrue(Exit.isSuccess(yield* surplus))
    }))
})
