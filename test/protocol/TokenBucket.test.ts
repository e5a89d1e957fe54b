import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as TokenBucket from "../../src/protocol/TokenBucket.ts"

describe("TokenBucket", () => {
  it.prop(
    "never gives more than its burst and its rate allow, over any stretch of time",
    {
      waits: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 700 }))),
      perSecond: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 })),
      burst: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 }))
    },
    ({ burst, perSecond, waits }) => {
      const bucket = TokenBucket.make(perSecond, burst, 0)
      let now = 0
      let taken = 0
      for (const wait of waits) {
        now += wait
        while (TokenBucket.take(bucket, now)) taken++
        assert.isAtMost(taken, burst + (now * perSecond) / 1_000 + 1e-6)
      }
    }
  )

  it("says how long to wait, and has a token then and not before", () => {
    const bucket = TokenBucket.make(5, 1, 0)
    assert.strictEqual(TokenBucket.waitMs(bucket, 0), 0)
    assert.isTrue(TokenBucket.take(bucket, 0))
    const wait = TokenBucket.waitMs(bucket, 0)
    assert.isFalse(TokenBucket.take(bucket, wait - 1))
    assert.isTrue(TokenBucket.take(bucket, wait))
  })

  it("spends what is not there yet, and says when it is", () => {
    const bucket = TokenBucket.make(5, 10, 0)
    assert.strictEqual(TokenBucket.spend(bucket, 0, 10), 0)
    assert.strictEqual(TokenBucket.spend(bucket, 0, 5), 1_000)
    assert.strictEqual(TokenBucket.spend(bucket, 500, 5), 1_500)
    assert.isFalse(TokenBucket.take(bucket, 2_000))
    assert.isTrue(TokenBucket.take(bucket, 2_200))
  })

  it("takes a clock that runs backwards for one that stands still", () => {
    const bucket = TokenBucket.make(5, 1, 1_000)
    assert.isTrue(TokenBucket.take(bucket, 1_000))
    assert.isFalse(TokenBucket.take(bucket, 0))
  })
})
