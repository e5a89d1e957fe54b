/** Many at once, or one alone: nobody is inside with the one, and the one is not kept out by a steady stream of others. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema } from "effect"
import * as Gate from "../../../src/services/store/Gate.ts"

describe("Gate", () => {
  it.effect.prop(
    "never lets anybody in beside the one who is alone, and everybody through in the end",
    {
      visitors: Schema.Array(
        Schema.Tuple([Schema.Boolean, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 }))])
      )
    },
    ({ visitors }) =>
      Effect.gen(function*() {
        const gate = Gate.makeUnsafe()
        const inside = { many: 0, alone: 0, done: 0 }
        const visit = Effect.fnUntraced(function*(alone: boolean, turns: number) {
          if (alone) inside.alone++
          else inside.many++
          for (let i = 0; i < turns; i++) {
            if (alone) assert.isFalse(gate.isOpen())
            assert.isTrue(alone ? inside.alone === 1 && inside.many === 0 : inside.alone === 0)
            yield* Effect.yieldNow
          }
          if (alone) inside.alone--
          else inside.many--
          inside.done++
        })
        yield* Effect.forEach(
          visitors,
          ([alone, turns]) => alone ? gate.alone(visit(true, turns)) : gate.shared(visit(false, turns)),
          { concurrency: "unbounded", discard: true }
        )
        assert.strictEqual(inside.done, visitors.length)
        assert.isTrue(gate.isOpen())
      })
  )

  it.effect("lets in the one before those who come after it", () =>
    Effect.gen(function*() {
      const gate = Gate.makeUnsafe()
      const leave = yield* Deferred.make<void>()
      const order: Array<string> = []
      const first = yield* Effect.forkChild(gate.shared(Deferred.await(leave)), { startImmediately: true })
      const alone = yield* Effect.forkChild(gate.alone(Effect.sync(() => order.push("alone"))), {
        startImmediately: true
      })
      const later = yield* Effect.forkChild(gate.shared(Effect.sync(() => order.push("later"))), {
        startImmediately: true
      })
      yield* Deferred.succeed(leave, undefined)
      yield* Effect.forEach([first, alone, later], (fiber) => Fiber.join(fiber as Fiber.Fiber<unknown>))
      assert.deepStrictEqual(order, ["alone", "later"])
    }))
})
