/** P1 and P2 with real processes. The same with 200 kills and its figures: `scripts/kill-many.ts`. */
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import * as Limits from "../../src/protocol/Limits.ts"
import { killed } from "../support/KillScenario.ts"
import * as Lab from "../support/Lab.ts"
import { seeded } from "../support/Stores.ts"

const reason = Lab.namespacesMissing
// oxlint-disable-next-line no-console -- what is not looked at is said
if (reason !== undefined) console.warn(`killed on this machine's own network, without counting bytes: ${reason}`)

describe("a student killed at any moment", () => {
  it.live(
    "P1, P2: starts again by itself, shows nothing that is not whole, and fetches little again",
    () =>
      Effect.gen(function*() {
        const hosts = reason === undefined ? yield* Lab.room(2) : []
        const [teacher, student] = hosts
        const figures = yield* killed(
          { kills: 10, fileBytes: 150_000_000, files: 1_000, seconds: 200, random: seeded(11) },
          teacher === undefined || student === undefined ? undefined : [teacher, student]
        )
        yield* Console.log(`10 kills: ${JSON.stringify(figures)}`)
        assert.strictEqual(figures.needed, 0)
        assert.isAbove(figures.during, 0)
        for (const bytes of figures.againBytes) {
          assert.isAtMost(bytes, Limits.inFlightBytesMax + Limits.unmarkedBytesMax)
        }
      }),
    240_000
  )
})
