import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Mailbox from "../../src/services/Mailbox.ts"

/** Notes each item when it begins and when it is done, which for those that are told to wait is later. */
const notes = () => {
  const noted: Array<string> = []
  const waiting = new Map<number, Deferred.Deferred<void>>()
  return {
    noted,
    hold: (item: number) => void waiting.set(item, Deferred.makeUnsafe<void>()),
    letGo: (item: number) => Deferred.succeed(waiting.get(item)!, undefined).pipe(Effect.andThen(settled)),
    work: (item: number) =>
      Effect.gen(function*() {
        noted.push(`${item}`)
        const held = waiting.get(item)
        if (held === undefined) return
        yield* Deferred.await(held)
        noted.push(`${item} done`)
      })
  }
}

const settled = Effect.repeat(Effect.yieldNow, { times: 20 })
const alone = TestClock.adjust(Mailbox.aloneAfterMs)

describe("Mailbox", () => {
  it.effect("begins what comes alone before offer returns", () =>
    Effect.gen(function*() {
      const mailbox = yield* Mailbox.make<number>()
      const { noted, work } = notes()
      yield* mailbox.process(work)
      yield* settled
      for (const item of [1, 2, 3]) {
        assert.isTrue(mailbox.offer(item))
        assert.lengthOf(noted, item)
        yield* alone
      }
      assert.strictEqual(mailbox.size(), 0)
    }).pipe(Effect.scoped))

  it.effect("lets each but the first of many that come in one moment take a turn of the scheduler", () =>
    Effect.gen(function*() {
      const mailbox = yield* Mailbox.make<number>()
      const { noted, work } = notes()
      yield* mailbox.process(work)
      for (const item of [1, 2, 3]) mailbox.offer(item)
      assert.deepStrictEqual(noted, ["1"])
      yield* settled
      assert.deepStrictEqual(noted, ["1", "2", "3"])
      yield* TestClock.adjust(Mailbox.aloneAfterMs - 1)
      mailbox.offer(4)
      assert.lengthOf(noted, 3)
      yield* settled
      assert.lengthOf(noted, 4)
    }).pipe(Effect.scoped))

  it.effect("lets what comes meanwhile wait, and works it off in order and one at a time", () =>
    Effect.gen(function*() {
      const mailbox = yield* Mailbox.make<number>()
      const { hold, letGo, noted, work } = notes()
      yield* mailbox.process(work)
      hold(1)
      hold(3)
      for (const item of [1, 2, 3, 4]) mailbox.offer(item)
      yield* settled
      assert.deepStrictEqual(noted, ["1"])
      assert.strictEqual(mailbox.size(), 2, "one of them has been taken, and waits for its turn")
      mailbox.offer(5)
      yield* letGo(1)
      assert.deepStrictEqual(noted, ["1", "1 done", "2", "3"])
      mailbox.offer(6)
      yield* letGo(3)
      assert.deepStrictEqual(noted, ["1", "1 done", "2", "3", "3 done", "4", "5", "6"])
      yield* alone
      mailbox.offer(7)
      assert.strictEqual(noted.at(-1), "7")
    }).pipe(Effect.scoped))

  it.effect("keeps what comes before anybody works it off, and after the last one has gone", () =>
    Effect.gen(function*() {
      const mailbox = yield* Mailbox.make<number>()
      const first = notes()
      const scope = yield* Scope.make()
      mailbox.offer(1)
      mailbox.offer(2)
      yield* mailbox.process(first.work).pipe(Scope.provide(scope))
      mailbox.offer(3)
      assert.deepStrictEqual(first.noted, [], "what waits has come before")
      yield* settled
      assert.deepStrictEqual(first.noted, ["1", "2", "3"])
      yield* Scope.close(scope, Exit.void)
      mailbox.offer(4)
      yield* settled
      assert.strictEqual(mailbox.size(), 1)
      const second = notes()
      yield* mailbox.process(second.work)
      yield* settled
      assert.deepStrictEqual([first.noted, second.noted], [["1", "2", "3"], ["4"]])
    }).pipe(Effect.scoped))

  it.effect("lets at most max wait: of more offer says no, and put waits", () =>
    Effect.gen(function*() {
      const mailbox = yield* Mailbox.make<number>(2)
      const { noted, work } = notes()
      assert.deepStrictEqual([1, 2, 3].map(mailbox.offer), [true, true, false])
      yield* Effect.forkScoped(mailbox.put(4))
      yield* settled
      assert.strictEqual(mailbox.size(), 2)
      yield* mailbox.process(work)
      yield* settled
      assert.deepStrictEqual(noted, ["1", "2", "4"])
    }).pipe(Effect.scoped))
})
