import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Pace from "../../src/protocol/Pace.ts"
import { chance } from "../../src/simulator/Scenario.ts"

const burstMs = 20
const holdMs = 200
/** So much is the system given to hold. */
const queueMs = 25
const mostMs = 2 * Pace.periodMs

/** Sends what the rate allows in one more period, and looks at it. */
const look = (pace: Pace.Pace, congested: number) => {
  Pace.left(pace, pace.bytesPerMs * Pace.periodMs, pace.periodAtMs + Pace.periodMs)
  Pace.judge(pace, congested, pace.periodAtMs + Pace.periodMs)
}

/** A multicast that has sent for a while, with a look at each period. */
const after = (periods: number, congested: number) => {
  const pace = Pace.make(0)
  Pace.resume(pace, 0)
  for (let i = 1; i <= periods; i++) look(pace, congested)
  return pace
}

/** How many bytes leave at once, in datagrams of this size. */
const takeAll = (pace: Pace.Pace, bytes: number, nowMs: number): number => {
  let taken = 0
  while (Pace.take(pace, bytes, nowMs)) taken += bytes
  return taken
}

const Step = Schema.Struct({
  afterMs: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 120 })),
  bytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40_000 })),
  congested: Schema.Literals([0, 0, 0.1, 0.25, 0.26, 0.5, 1]),
  blocked: Schema.Boolean,
  leftPart: Schema.Literals([0, 0.5, 1])
})
const Steps = Schema.Array(Step).check(Schema.isMaxLength(200))

/** Whether a process has its turn in a millisecond: always, or by spells of up to 60 ms without it, 4 parts of 10. */
const spells = (random: (() => number) | undefined) => {
  let hasTurn = true
  let left = 0
  return () => {
    if (random === undefined) return true
    if (left <= 0) {
      hasTurn = !hasTurn
      left = random() * (hasTurn ? 90 : 60)
    }
    left--
    return hasTurn
  }
}

/** A sender that always has something to send, in front of a way out that carries so much and refuses the rest. */
const throughNarrow = (mbitPerSecond: number, pieceBytes: number, durationMs: number, random?: () => number) => {
  const capacity = mbitPerSecond * 125
  const hasTurn = spells(random)
  const pace = Pace.make(0)
  Pace.resume(pace, 0)
  const rates: Array<number> = []
  let queued = 0
  let held = 0
  let carried = 0
  for (let nowMs = 0; nowMs < durationMs; nowMs++) {
    carried += Math.min(queued, capacity)
    queued -= Math.min(queued, capacity)
    const hand = () => {
      while (held > 0 && queued + pieceBytes <= Math.max(2 * pieceBytes, pace.bytesPerMs * queueMs)) {
        held--
        queued += pieceBytes
        Pace.left(pace, pieceBytes, nowMs)
      }
    }
    if (nowMs % Pace.periodMs === 0) rates.push(pace.bytesPerMs / capacity)
    if (!hasTurn()) continue
    hand()
    if (held > 0) Pace.block(pace)
    Pace.judge(pace, 0, nowMs)
    while ((held < 2 || held * pieceBytes < pace.bytesPerMs * burstMs) && Pace.take(pace, pieceBytes, nowMs)) held++
    hand()
  }
  return { rates, carried: carried / capacity / durationMs, best: pace.bestBytesPerMs / capacity }
}

const meanOf = (numbers: ReadonlyArray<number>) => numbers.reduce((sum, n) => sum + n, 0) / numbers.length

describe("Pace", () => {
  it.prop(
    "lets no more leave at once than 20 ms of the rate, or one datagram (invariant 1)",
    { steps: Steps },
    ({ steps }) => {
      const pace = Pace.make(0)
      let nowMs = 0
      for (const { afterMs, blocked, bytes, congested, leftPart } of steps) {
        nowMs += afterMs
        if (blocked) Pace.block(pace)
        Pace.judge(pace, congested, nowMs)
        const taken = takeAll(pace, bytes, nowMs) + takeAll(pace, Math.ceil(bytes / 7), nowMs)
        assert.isAtMost(taken, Math.max(bytes, burstMs * pace.bytesPerMs) + bytes / 7)
        Pace.left(pace, taken * leftPart, nowMs)
      }
    }
  )

  it("makes up for a rest with 20 ms of the rate, or with one datagram that is larger (invariant 1)", () => {
    const pace = Pace.make(0)
    const rested = burstMs * pace.bytesPerMs
    assert.strictEqual(takeAll(pace, rested / 10, 5_000), rested)
    assert.strictEqual(takeAll(pace, 3 * rested, 10_000), 3 * rested)
    assert.isFalse(Pace.take(pace, rested, 10_000))
  })

  it("lets the rate leave over a longer time, no more and hardly less (invariant 1)", () => {
    const pace = Pace.make(0)
    const bytes = 8_192
    let taken = 0
    for (let nowMs = 1; nowMs <= 10_000; nowMs++) taken += takeAll(pace, bytes, nowMs)
    assert.isAtMost(taken, 10_000 * pace.bytesPerMs)
    assert.isAtLeast(taken, 10_000 * pace.bytesPerMs - bytes)
  })

  it.prop(
    "never has a higher rate after a period in which more than a quarter are congested (invariant 2)",
    { steps: Steps },
    ({ steps }) => {
      const pace = Pace.make(0)
      let nowMs = 0
      for (const { afterMs, blocked, bytes, congested, leftPart } of steps) {
        nowMs += afterMs
        if (blocked) Pace.block(pace)
        const before = pace.bytesPerMs
        Pace.judge(pace, congested, nowMs)
        if (congested > Pace.congestedPart) assert.isAtMost(pace.bytesPerMs, before)
        Pace.left(pace, takeAll(pace, bytes, nowMs) * leftPart, nowMs)
      }
    }
  )

  it("grows with a quarter of the listeners congested, and shrinks with more than that (invariant 2)", () => {
    for (const [phase, periods] of [["growing", 3], ["steady", 12]] as const) {
      const settled = (congested: number) => {
        const pace = after(3, 0)
        // Whoever was cut once and is carried since is steady.
        if (phase === "steady") {
          for (let i = 4; i <= periods; i++) look(pace, i === 4 ? 1 : 0)
        }
        assert.strictEqual(pace.phase, phase)
        const before = pace.bytesPerMs
        look(pace, congested)
        return pace.bytesPerMs / before
      }
      assert.isAbove(settled(Pace.congestedPart), 1)
      assert.isBelow(settled(Pace.congestedPart + 0.01), 1)
    }
  })

  it("cuts the rate once for what is still on its way, and again after that (invariant 2)", () => {
    const pace = after(3, 0)
    const ratesOf = (congestedMs: number) => {
      const rates: Array<number> = []
      const fromMs = pace.periodAtMs
      for (let t = Pace.periodMs; t <= congestedMs; t += Pace.periodMs) {
        Pace.judge(pace, 1, fromMs + t)
        rates.push(pace.bytesPerMs)
      }
      return rates
    }
    const rates = ratesOf(holdMs + Pace.periodMs)
    assert.strictEqual(new Set(rates.slice(0, -1)).size, 1)
    assert.isBelow(rates.at(-1)!, rates[0]!)
  })

  it("goes no lower than what is worth it, or half of the best, and says so when that is too fast as well", () => {
    for (const best of [0, 2_000]) {
      const pace = after(3, 0)
      pace.bestBytesPerMs = best
      const least = Pace.leastBytesPerMs(pace)
      assert.strictEqual(least, best === 0 ? Pace.worthBytesPerMs : 1_000)
      const fromMs = pace.periodAtMs
      let exhaustedAt = Infinity
      let lowestAt = Infinity
      for (let t = Pace.periodMs; t <= 10_000; t += Pace.periodMs) {
        Pace.judge(pace, 1, fromMs + t)
        assert.isAtLeast(pace.bytesPerMs, least)
        if (pace.bytesPerMs === least) lowestAt = Math.min(lowestAt, t)
        if (pace.exhausted) exhaustedAt = Math.min(exhaustedAt, t)
      }
      assert.strictEqual(exhaustedAt - lowestAt, holdMs, "not before that rate was tried")
    }
  })

  it.each([[0, 0.9], [0.05, 0.9], [0.1, 0.9], [0.3, 0.7], [0.5, 0.5], [1, 0.5]])(
    "shrinks a steady rate by what is lost, by a tenth at least and by half at most: %d lost (invariant 2)",
    (lost, factor) => {
      const pace = after(3, 0)
      pace.phase = "steady"
      const { bytesPerMs } = pace
      Pace.judge(pace, 1, pace.periodAtMs + Pace.periodMs, lost)
      assert.strictEqual(pace.bytesPerMs, bytesPerMs * factor)
    }
  )

  it("grows by less near the rate that was too fast, for ten seconds", () => {
    const pace = after(3, 0)
    pace.phase = "steady"
    const tooFast = pace.bytesPerMs
    Pace.judge(pace, 1, pace.periodAtMs + Pace.periodMs, 0.5)
    const { cutAtMs } = pace
    const grows: Array<{ readonly of: number; readonly by: number; readonly atMs: number }> = []
    while (pace.periodAtMs < cutAtMs + 11_000) {
      const { bytesPerMs } = pace
      look(pace, 0)
      if (pace.bytesPerMs > bytesPerMs) {
        grows.push({ of: bytesPerMs / tooFast, by: pace.bytesPerMs / bytesPerMs, atMs: pace.periodAtMs - cutAtMs })
      }
    }
    for (const { atMs, by, of } of grows) {
      assert.closeTo(by, of >= 0.9 && atMs < 10_000 ? 1.002 : 1.02, 1e-9, `${of} at ${atMs} ms`)
    }
    assert.isTrue(grows.some(({ by }) => by < 1.01) && grows.some(({ atMs, by }) => by > 1.01 && atMs > 10_000))
  })

  it("grows as at first, and from where it is, once it is told that it was cut for nothing", () => {
    const pace = after(3, 0)
    look(pace, 1)
    const { bytesPerMs } = pace
    Pace.regrow(pace)
    look(pace, 0)
    assert.strictEqual(pace.bytesPerMs, 1.5 * bytesPerMs)
  })

  it("leaves the rate as it is while nobody has said anything about it", () => {
    const pace = after(3, 0)
    const before = pace.bytesPerMs
    for (let i = 1; i <= 20; i++) {
      Pace.left(pace, before * Pace.periodMs, 150 + i * Pace.periodMs)
      Pace.judge(pace, undefined, 150 + i * Pace.periodMs)
    }
    assert.strictEqual(pace.bytesPerMs, before)
  })

  for (const mbitPerSecond of [5, 10, 40, 100]) {
    for (const pieceBytes of [8 * 1_024, 32 * 1_024]) {
      it(`finds what a way out of ${mbitPerSecond} Mbit/s carries, in pieces of ${pieceBytes} bytes (invariant 3)`, () => {
        const { carried, rates } = throughNarrow(mbitPerSecond, pieceBytes, 20_000)
        for (const from of [40, 100, 200, 300]) {
          const mean = meanOf(rates.slice(from, from + 100))
          assert.isTrue(mean >= 0.8 && mean <= 1.05, `${mean} of what is carried`)
        }
        assert.isAtLeast(carried, 0.9)
      })
    }
  }

  for (const mbitPerSecond of [5, 40, 100]) {
    it(`takes a sender that has its turn six parts of ten for no narrow way out, at ${mbitPerSecond} Mbit/s (invariant 3)`, () => {
      for (let seed = 1; seed <= 20; seed++) {
        const { best, rates } = throughNarrow(mbitPerSecond, 32 * 1_024, 10_000, chance(seed))
        // Half of the best is where a cast ends.
        assert.isBelow(best, 1.5)
        assert.isAbove(Math.min(...rates.slice(10)), 0.65)
        assert.isAbove(meanOf(rates.slice(10)), 0.85)
        assert.isBelow(Math.min(...rates.slice(10)), 1.2)
      }
    })
  }

  it("comes to it within a second from a way out of 100 Mbit/s (invariant 3)", () => {
    const { rates } = throughNarrow(100, 8 * 1_024, 1_000)
    assert.isAbove(Math.max(...rates), 0.8)
    assert.isAtMost(rates.at(-1)!, 1.1)
  })

  it("takes datagrams that the system took at once for no measure of its way out", () => {
    const pace = after(3, 0)
    const { bytesPerMs, periodAtMs } = pace
    pace.phase = "steady"
    pace.filling = false
    // A look that came too late: everything is measured anew.
    Pace.judge(pace, 0, periodAtMs + mostMs + 1)
    const beganMs = pace.periodAtMs
    const bytes = 32 * 1_024
    for (const afterMs of [200, 200.25]) Pace.left(pace, bytes, beganMs + afterMs)
    Pace.block(pace)
    for (const afterMs of [100, 200, 250]) Pace.judge(pace, 0, beganMs + afterMs)
    assert.strictEqual(pace.bestBytesPerMs, 0)
    assert.strictEqual(pace.bytesPerMs, bytesPerMs)
    // And what is taken in a longer time is one: what left together at first left before it.
    Pace.left(pace, bytes, beganMs + 300)
    Pace.judge(pace, 0, beganMs + 320)
    assert.closeTo(pace.bestBytesPerMs, bytes / 100, 1)
  })

  it("takes what the way out carries for the rate, whether listeners complain or have not answered yet", () => {
    for (const congested of [undefined, 0, 1]) {
      const pace = Pace.make(0)
      pace.phase = "steady"
      pace.filling = false
      // A way of 600 bytes a millisecond behind a rate of 2,500.
      for (let nowMs = 0; nowMs <= 300; nowMs++) {
        if (nowMs % 50 === 0) Pace.left(pace, 30_000, nowMs)
        Pace.block(pace)
        if (nowMs % Pace.periodMs === 10) Pace.judge(pace, congested === 1 && nowMs < 200 ? 0 : congested, nowMs)
      }
      assert.isBelow(pace.bytesPerMs, 605)
      assert.isAbove(pace.bytesPerMs, 560)
      assert.isAbove(pace.cutAtMs, 0)
    }
  })

  it("gives the system 25 ms of the rate to hold, and until that is measured 256 KiB at most", () => {
    const pace = Pace.make(0)
    for (
      const [measures, bytesPerMs, queueBytes] of [
        [[], 10_000, 250_000],
        [[], 10_500, 256 * 1_024],
        [[10_500], 10_500, 262_500],
        [[50_000], 50_000, 1_250_000]
      ] as const
    ) assert.strictEqual(Pace.queueBytes({ ...pace, measures, bytesPerMs }), queueBytes)
  })

  it("is too fast when all of the highest rate has left at three looks in a row, and not when a queue takes it at two", () => {
    const pace = Pace.make(0)
    Pace.resume(pace, 0)
    while (pace.bytesPerMs < 150_000) look(pace, 0)
    for (const isUsed of [true, true, false, true, true]) {
      pace.datagramBytes = 0
      if (isUsed) look(pace, 0)
      else Pace.judge(pace, 0, pace.periodAtMs + Pace.periodMs)
      assert.isFalse(Pace.isTooFast(pace))
    }
    look(pace, 0)
    assert.isTrue(Pace.isTooFast(pace))
    assert.strictEqual(pace.bytesPerMs, 150_000)
  })

  it("takes what fills the queue after a rest for no measure of its way out", () => {
    const pace = Pace.make(0)
    pace.phase = "steady"
    const send = (bytes: number, sinceMs: number) => {
      for (let nowMs = sinceMs; nowMs <= sinceMs + 200; nowMs += Pace.periodMs) {
        Pace.left(pace, bytes, nowMs)
        Pace.block(pace)
        Pace.judge(pace, 0, nowMs)
      }
    }
    Pace.resume(pace, 1_000)
    send(75_000, 1_000)
    assert.deepStrictEqual([pace.bytesPerMs, pace.bestBytesPerMs], [2_500, 0])
    send(30_000, 1_250)
    assert.closeTo(pace.bestBytesPerMs, 600, 60)
    Pace.resume(pace, 2_000)
    const before = pace.bytesPerMs
    send(25_000, 2_000)
    assert.strictEqual(pace.bytesPerMs, before)
  })

  it("is not changed by a look that comes too late, whatever was seen", () => {
    for (const congested of [0, 1]) {
      const look = (lateMs: number) => {
        const pace = after(3, 0)
        const { bytesPerMs, phase } = pace
        Pace.left(pace, 100, pace.periodAtMs)
        Pace.left(pace, pace.bytesPerMs * mostMs, pace.periodAtMs + mostMs)
        Pace.block(pace)
        Pace.judge(pace, congested, pace.periodAtMs + lateMs)
        return { isSame: pace.bytesPerMs === bytesPerMs && pace.phase === phase, pace }
      }
      assert.isFalse(look(mostMs).isSame)
      const { isSame, pace } = look(mostMs + 1)
      assert.isTrue(isSame)
      assert.strictEqual(pace.phase, "growing")
      assert.strictEqual(pace.leftBytes, 0)
      assert.isFalse(pace.blocked)
    }
  })

  it("is looked at no more often than once a period", () => {
    const pace = Pace.make(0)
    const before = pace.bytesPerMs
    Pace.judge(pace, 1, Pace.periodMs - 1)
    assert.strictEqual(pace.bytesPerMs, before)
    Pace.judge(pace, 1, Pace.periodMs)
    assert.isBelow(pace.bytesPerMs, before)
  })

  it("forgets after a rest what it might have sent, and what it measured before", () => {
    const pace = Pace.make(0)
    assert.isTrue(Pace.take(pace, 1_000, 1_000))
    Pace.left(pace, 1_000, 1_000)
    Pace.block(pace)
    Pace.resume(pace, 60_000)
    assert.isFalse(Pace.take(pace, 1_000, 60_000))
    assert.deepStrictEqual([pace.leftBytes, pace.leftSinceMs, pace.blocked], [0, 60_000, false])
    const before = pace.bytesPerMs
    Pace.judge(pace, 1, 60_000 + Pace.periodMs - 1)
    assert.strictEqual(pace.bytesPerMs, before)
    Pace.judge(pace, 1, 60_000 + Pace.periodMs)
    assert.isBelow(pace.bytesPerMs, before)
  })

  it.prop("says when a datagram may leave", { steps: Steps }, ({ steps }) => {
    const pace = Pace.make(0)
    let nowMs = 0
    for (const { afterMs, bytes, congested } of steps) {
      nowMs += afterMs
      Pace.judge(pace, congested, nowMs)
      takeAll(pace, bytes, nowMs)
      const atMs = Pace.nextMs(pace, bytes)
      assert.isAtLeast(atMs, nowMs)
      assert.isFalse(Pace.take(structuredClone(pace), bytes, atMs - 0.001))
      assert.isTrue(Pace.take(structuredClone(pace), bytes, atMs + 0.001))
    }
  })

  it("does not grow while what there is to send is less than the rate", () => {
    const pace = after(2, 0)
    const before = pace.bytesPerMs
    for (let i = 0; i < 40; i++) {
      Pace.left(pace, before * Pace.periodMs / 10, pace.periodAtMs + Pace.periodMs)
      Pace.judge(pace, 0, pace.periodAtMs + Pace.periodMs)
    }
    assert.isAtMost(pace.bytesPerMs, 1.5 * before)
  })

  it("waits for two departures before it says how much leaves", () => {
    const pace = Pace.make(0)
    Pace.resume(pace, 0)
    const look = (period: number, bytes: number) => {
      if (bytes > 0) Pace.left(pace, bytes, period * Pace.periodMs)
      Pace.block(pace)
      Pace.judge(pace, 0, period * Pace.periodMs)
      return pace.bytesPerMs
    }
    const before = pace.bytesPerMs
    for (let period = 1; period <= 8; period++) assert.strictEqual(look(period, 0), before)
    assert.strictEqual(look(9, 20_000), before)
    assert.strictEqual(pace.phase, "growing")
    assert.strictEqual(look(10, 20_000), before)
    assert.strictEqual(pace.phase, "growing")
    // 20,000 bytes in 50 ms. The first measure, of 100 ms, ends the growth, the second, of 200 ms more, counts.
    for (let period = 11; period <= 14; period++) assert.strictEqual(look(period, 20_000), before)
    assert.strictEqual(pace.phase, "steady")
    assert.closeTo(look(15, 20_000), 400 * 0.985, 1)
  })

  it("goes on to grow where the system refuses a datagram now and then and takes what the rate is", () => {
    for (const isSteady of [false, true]) {
      const pace = after(3, 0)
      // Whoever was cut once and is carried since is steady.
      if (isSteady) { for (let i = 1; i <= 9; i++) look(pace, i === 1 ? 1 : 0) }
      for (let i = 0; i < 4; i++) {
        const before = pace.bytesPerMs
        Pace.block(pace)
        look(pace, 0)
        assert.closeTo(pace.bytesPerMs / before, isSteady ? 1.02 : 1.5, 0.001)
      }
    }
  })

  it("takes the most of the last four measures for what is carried, and forgets the fifth", () => {
    const pace = Pace.make(0)
    Pace.resume(pace, 0)
    let period = 0
    const measure = (bytes: number) => {
      for (let i = 0; i < 4; i++) {
        period++
        Pace.left(pace, bytes, period * Pace.periodMs)
        Pace.block(pace)
        Pace.judge(pace, 0, period * Pace.periodMs)
      }
      return pace.bytesPerMs
    }
    while (pace.phase === "growing" || pace.measures.length < 3) measure(100_000)
    for (let i = 1; i <= 3; i++) assert.isAtLeast(measure(40_000), 2_000 * 0.985, `the most is ${i} measures old`)
    assert.closeTo(measure(40_000), 800 * 0.985, 1)
  })
})
