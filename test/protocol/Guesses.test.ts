/** Join codes under attack and in a class that comes to its lesson. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Guesses from "../../src/protocol/Guesses.ts"
import type { PublicKey } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"

const key = (n: number) => `${n}`.padStart(43, "K") as PublicKey
const address = (n: number) => `10.0.${n >> 8}.${n & 255}`
const minuteMs = 60_000

const Try = Schema.Struct({
  key: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 })),
  address: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
  right: Schema.Boolean,
  afterMs: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3_000 }))
})

/** The largest number of times in any minute. */
const mostInAMinute = (times: ReadonlyArray<number>): number =>
  Math.max(0, ...times.map((start) => times.filter((time) => time >= start && time < start + minuteMs).length))

describe("Guesses", () => {
  it.prop(
    "answers no more wrong codes in any minute than allowed, of a key, of an address and of all (invariant 2)",
    { tries: Schema.Array(Try).check(Schema.isMaxLength(300)) },
    ({ tries }) => {
      const state = Guesses.make()
      const wrong: Array<{ key: number; address: number; atMs: number }> = []
      let nowMs = 0
      for (const each of tries) {
        nowMs += each.afterMs
        const isWrong = Guesses.answer(state, key(each.key), address(each.address), each.right, nowMs) === "wrong"
        if (isWrong) wrong.push({ ...each, atMs: nowMs })
      }
      assert.isAtMost(mostInAMinute(wrong.map(({ atMs }) => atMs)), Limits.wrongCodesMax)
      for (let n = 0; n <= 40; n++) {
        for (const field of ["key", "address"] as const) {
          const times = wrong.filter((each) => each[field] === n).map(({ atMs }) => atMs)
          assert.isAtMost(mostInAMinute(times), Limits.wrongCodesPerSourceMax)
        }
      }
    }
  )

  it.prop(
    "decides whether to look at a code before it knows whether it is right (invariant 3)",
    { tries: Schema.Array(Try).check(Schema.isMaxLength(200)) },
    ({ tries }) => {
      const state = Guesses.make()
      let nowMs = 0
      for (const each of tries) {
        nowMs += each.afterMs
        const twin = structuredClone(state)
        const right = Guesses.answer(twin, key(each.key), address(each.address), true, nowMs)
        const wrong = Guesses.answer(state, key(each.key), address(each.address), false, nowMs)
        assert.strictEqual(right === "later", wrong === "later")
      }
    }
  )

  it("lets in a whole class behind one address at once, and again and again (invariant 1)", () => {
    const state = Guesses.make()
    for (let n = 0; n < 500; n++) assert.strictEqual(Guesses.answer(state, key(n), "10.0.0.1", true, n), "right")
    assert.strictEqual(state.all.length + state.addresses.size + state.keys.size, 0)
  })

  it("never keeps out who knows the code while one address guesses with a new key each time", () => {
    const state = Guesses.make()
    const wrong: Array<number> = []
    for (let nowMs = 0; nowMs < 10 * minuteMs; nowMs += 50) {
      if (Guesses.answer(state, key(1_000 + nowMs), "172.16.0.66", false, nowMs) === "wrong") wrong.push(nowMs)
      if (nowMs % 1_000 === 0) {
        const student = nowMs / 1_000
        assert.strictEqual(Guesses.answer(state, key(student), address(student), true, nowMs), "right")
      }
    }
    assert.strictEqual(mostInAMinute(wrong), Limits.wrongCodesPerSourceMax)
  })

  it("keeps places for addresses that were never wrong while a hundred addresses guess", () => {
    const state = Guesses.make()
    const attackers = Array.from({ length: 100 }, (_, n) => address(1_000 + n))
    // Each of them loses its part in the reserve with its first wrong code.
    let nowMs = 0
    for (; attackers.some((each) => !state.addresses.has(each)); nowMs += 100) {
      for (const [n, each] of attackers.entries()) Guesses.answer(state, key(1_000 + n), each, false, nowMs)
    }
    for (const endMs = nowMs + 30 * minuteMs; nowMs < endMs; nowMs += 100) {
      for (const [n, each] of attackers.entries()) Guesses.answer(state, key(1_000 + n), each, false, nowMs)
      if (nowMs < endMs - 29 * minuteMs) continue
      assert.strictEqual(Guesses.answer(state, key(1), "10.9.9.9", true, nowMs), "right")
    }
  })

  it("forgets wrong codes after an hour, so it keeps no more than an hour of them (invariant 4)", () => {
    const state = Guesses.make()
    for (let nowMs = 0, n = 0; nowMs < 180 * minuteMs; nowMs += 500, n++) {
      Guesses.answer(state, key(n), `2001:db8:${(n >> 8).toString(16)}:${(n & 255).toString(16)}::1`, false, nowMs)
      assert.isAtMost(state.addresses.size, 61 * Limits.wrongCodesMax)
      assert.isAtMost(state.keys.size, 61 * Limits.wrongCodesMax)
      assert.isAtMost(state.all.length, Limits.wrongCodesMax)
    }
  })

  it.each([
    ["192.168.1.7", "192.168.1.7"],
    ["::ffff:192.168.1.7", "192.168.1.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:0DB8:0001:0002::1", "2001:db8:1:2"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["fe80::1", "fe80:0:0:0"],
    ["fe80::abcd:1%eth0", "fe80:0:0:0"],
    ["::1", "0:0:0:0"]
  ])("takes %s for one of %s", (host, source) => {
    assert.strictEqual(Guesses.sourceOf(host), source)
  })
})
