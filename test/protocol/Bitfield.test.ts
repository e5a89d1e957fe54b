/** Sets of chunk indexes as bytes, against plain sets. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Bitfield from "../../src/protocol/Bitfield.ts"

const Count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 }))
const Steps = Schema.Array(Schema.Tuple([Schema.Boolean, Schema.Natural])).check(Schema.isMaxLength(100))

describe("Bitfield", () => {
  it.prop(
    "is a set: what was added and not removed is in it, nothing else",
    { count: Count, steps: Steps },
    ({ count, steps }) => {
      const bits = Bitfield.make(count)
      const model = new Set<number>()
      for (const [adding, draw] of steps) {
        const index = draw % count
        if (adding) {
          Bitfield.add(bits, index)
          model.add(index)
        } else {
          Bitfield.remove(bits, index)
          model.delete(index)
        }
      }
      assert.deepStrictEqual([...Bitfield.indexes(bits)], [...model].toSorted((a, b) => a - b))
      assert.strictEqual(Bitfield.size(bits), model.size)
      for (let i = 0; i < count + 20; i++) assert.strictEqual(Bitfield.has(bits, i), model.has(i))
      assert.isTrue(Bitfield.fits(bits, count))
    }
  )

  it.prop("is full with exactly its count", { count: Count }, ({ count }) => {
    const bits = Bitfield.full(count)
    assert.strictEqual(Bitfield.size(bits), count)
    assert.isTrue(Bitfield.fits(bits, count))
    assert.isFalse(Bitfield.has(bits, count))
  })

  it.prop("fits no other length, and no bit beyond its count", { count: Count }, ({ count }) => {
    const bits = Bitfield.make(count)
    assert.isFalse(Bitfield.fits(bits, count + 8))
    assert.isFalse(Bitfield.fits(bits.subarray(1), count))
    if (count % 8 === 0) return
    bits[bits.length - 1] = 1
    assert.isFalse(Bitfield.fits(bits, count))
  })

  it("counts bits from the highest, as on the wire", () => {
    const bits = Bitfield.make(12)
    Bitfield.add(bits, 0)
    Bitfield.add(bits, 9)
    assert.deepStrictEqual(bits, new Uint8Array([0x80, 0x40]))
    assert.deepStrictEqual(Bitfield.full(12), new Uint8Array([0xff, 0xf0]))
  })

  it("holds nothing and fits nothing of a share without chunks", () => {
    assert.deepStrictEqual(Bitfield.full(0), new Uint8Array())
    assert.isTrue(Bitfield.fits(new Uint8Array(), 0))
  })
})
