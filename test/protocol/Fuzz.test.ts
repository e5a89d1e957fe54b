/** Every decoder against mutations of what it reads: a short run of what `scripts/fuzz.ts` does for as long as one likes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import * as Fuzz from "../support/Fuzz.ts"

/** Enough to meet every kind of change; all targets together take some twenty seconds. */
const inputsEach = 1_200

describe("decoders", () => {
  it.effect.each(Fuzz.targets)(
    "give a value or a refusal for whatever they are given: $name",
    (target) =>
      Effect.gen(function*() {
        // One seed that is always the same, and one that never is.
        const fresh = yield* Random.nextIntBetween(0, 2 ** 31).pipe(Random.withSeed(`${process.pid} ${target.name}`))
        for (const seed of [1, fresh]) {
          const { found, tried } = Fuzz.run(target, seed, inputsEach / 2)
          assert.isAtLeast(tried, inputsEach / 2)
          for (const { error, input } of found) {
            assert.fail(`seed ${seed}: ${String(error)}\nfor ${Buffer.from(input).toString("base64").slice(0, 2_000)}`)
          }
        }
      }),
    { timeout: 60_000 }
  )
})
