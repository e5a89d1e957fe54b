/** The rarest-first structure against a plain model of it: counts in an array and a set of what is wanted. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import * as Picker from "../../src/protocol/Picker.ts"

const chunksCount = 12

const Operation = Schema.Struct({
  kind: Schema.Literals(["want", "unwant", "claim", "unclaim"]),
  index: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: chunksCount - 1 }))
})

const run = (operations: ReadonlyArray<typeof Operation.Type>) => {
  const picker = Picker.make(chunksCount)
  const claims = Array.from({ length: chunksCount }, () => 0)
  const wanted = new Set<number>()
  for (const { kind, index } of operations) {
    if (kind === "unclaim" && claims[index] === 0) continue
    Picker[kind](picker, index)
    if (kind === "want") wanted.add(index)
    else if (kind === "unwant") wanted.delete(index)
    else claims[index]! += kind === "claim" ? 1 : -1
  }
  return { picker, claims, wanted }
}

const Operations = Schema.Array(Operation).check(Schema.isMaxLength(80))

describe("Picker", () => {
  it.prop("keeps the wanted chunks once each, sorted by claims (invariant 1)", { operations: Operations }, (input) => {
    const { picker, claims, wanted } = run(input.operations)
    const order = Array.from(picker.order.subarray(0, picker.size))
    assert.deepStrictEqual(order.toSorted((a, b) => a - b), [...wanted].toSorted((a, b) => a - b))
    assert.deepStrictEqual(Array.from(picker.claims), claims)
    order.forEach((index, place) => {
      assert.strictEqual(picker.place[index], place)
      if (place > 0) assert.isAtLeast(claims[index]!, claims[order[place - 1]!]!)
    })
    picker.ends.forEach((end, count) =>
      assert.strictEqual(end, order.filter((index) => claims[index]! <= count).length, `end of count ${count}`)
    )
  }, { arbitrary: { runs: 500 } })

  it.prop(
    "picks a rarest wanted chunk of those that are offered (invariant 2)",
    {
      operations: Operations,
      offered: Schema.Array(Schema.Boolean).check(Schema.isMinLength(chunksCount), Schema.isMaxLength(chunksCount)),
      random: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.999 }))
    },
    ({ operations, offered, random }) => {
      const { picker, claims, wanted } = run(operations)
      const bits = Bitfield.make(chunksCount)
      offered.forEach((is, index) => is && Bitfield.add(bits, index))
      const candidates = [...wanted].filter((index) => offered[index])
      const picked = Picker.pick(picker, bits, random)
      const any = Picker.pickAny(picker, bits, random)
      if (candidates.length === 0) {
        assert.strictEqual(picked, -1)
        assert.strictEqual(any, -1)
      } else {
        assert.include(candidates, picked)
        assert.include(candidates, any)
        assert.strictEqual(claims[picked], Math.min(...candidates.map((index) => claims[index]!)))
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it("gives every chunk of a tie its turn", () => {
    const picker = Picker.make(chunksCount)
    for (let index = 0; index < chunksCount; index++) Picker.want(picker, index)
    const picks = Array.from(
      { length: chunksCount },
      (_, i) => Picker.pick(picker, Bitfield.full(chunksCount), i / chunksCount)
    )
    assert.strictEqual(new Set(picks).size, chunksCount)
  })
})
