/** The journal of a download: whatever becomes of a write, the newest whole slot is found. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as NodeCrypto from "node:crypto"
import * as Bitfield from "../../../src/protocol/Bitfield.ts"
import * as Journal from "../../../src/services/store/Journal.ts"

const sha256 = (bytes: Uint8Array) => new Uint8Array(NodeCrypto.createHash("sha256").update(bytes).digest())
const Count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))

describe("Journal", () => {
  it.prop(
    "gives the newest slot, and the one before where the newest was torn at any byte",
    { count: Count, marks: Schema.Array(Schema.Natural).check(Schema.isMinLength(2)), tear: Schema.Natural },
    ({ count, marks, tear }) => {
      const size = Journal.slotBytes(count)
      const file = new Uint8Array(2 * size)
      const bits = Bitfield.make(count)
      let before = bits.slice()
      let untorn = file.slice()
      for (const [i, mark] of marks.entries()) {
        before = bits.slice()
        untorn = file.slice()
        Bitfield.add(bits, mark % count)
        file.set(Journal.encodeSlot(i + 1, bits, sha256), Journal.slotPosition(i + 1, count))
      }
      assert.deepStrictEqual(Journal.decode(file, count, sha256), { sequence: marks.length, bits })
      // The newest write got this far.
      const torn = untorn.slice()
      const position = Journal.slotPosition(marks.length, count)
      torn.set(file.subarray(position, position + tear % size), position)
      const decoded = Journal.decode(torn, count, sha256)
      if (decoded?.sequence === marks.length) assert.deepStrictEqual(decoded.bits, bits)
      else assert.deepStrictEqual(decoded, { sequence: marks.length - 1, bits: before })
    }
  )

  it("finds nothing in what is no journal, or one of another share", () => {
    assert.isUndefined(Journal.decode(new Uint8Array(), 10, sha256))
    assert.isUndefined(Journal.decode(new Uint8Array(500), 10, sha256))
    assert.isUndefined(Journal.decode(Journal.encodeSlot(1, Bitfield.full(10), sha256), 30, sha256))
  })
})
