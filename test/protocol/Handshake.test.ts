import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Handshake from "../../src/protocol/Handshake.ts"
import type { SessionId } from "../../src/protocol/Ids.ts"
import { Hello, versionMax } from "../../src/protocol/Wire.ts"

const session = "AAAAAAAAAAAAAAAAAAAAAA" as SessionId
const hello = (fields: Partial<Hello> = {}): Hello => ({
  _tag: "Hello",
  versions: [1, 1],
  session,
  certificates: [],
  name: "Ada",
  listenPort: 9_000,
  program: "labfx",
  ...fields
})
const Range = Schema.Tuple([
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })),
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))
])

describe("Handshake", () => {
  it.prop("agrees on the newest version that both sides speak, whoever asks", { a: Range, b: Range }, ({ a, b }) => {
    const speaks = ([low, high]: readonly [number, number], version: number) => low <= version && version <= high
    const expected = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0].find((version) => speaks(a, version) && speaks(b, version))
    assert.strictEqual(Handshake.commonVersion(a, b), expected)
    assert.strictEqual(Handshake.commonVersion(b, a), expected)
  })

  it("accepts a peer of the same session with a certificate of its teacher", () => {
    assert.deepStrictEqual(Handshake.judge(hello(), session, true), { _tag: "Accepted", version: 1 })
  })

  it("refuses a newer protocol with both ranges in the words, before anything else is looked at", () => {
    const verdict = Handshake.judge(hello({ versions: [versionMax + 1, versionMax + 3] }), session, false)
    assert.strictEqual(verdict._tag === "Refused" && verdict.code, "version")
    assert.match(verdict._tag === "Refused" ? verdict.detail : "", /1 to 1, the other 2 to 4/)
  })

  it("refuses another session, and a peer that shows no certificate of this one", () => {
    const other = Handshake.judge(hello({ session: "BBBBBBBBBBBBBBBBBBBBBB" as SessionId }), session, true)
    const uncertified = Handshake.judge(hello(), session, false)
    for (const verdict of [other, uncertified]) {
      assert.strictEqual(verdict._tag === "Refused" && verdict.code, "session")
    }
  })
})
