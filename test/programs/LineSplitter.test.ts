import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as LineSplitter from "../../src/programs/LineSplitter.ts"

const max = 12

/** What the splitter should give, the plain way. */
const model = (text: string): ReadonlyArray<LineSplitter.Line> => {
  const parts = text.split("\n")
  const lines = parts.at(-1) === "" ? parts.slice(0, -1) : parts
  return lines.map((line) => line.length > max ? { _tag: "TooLong" } : { _tag: "Line", text: line.replace(/\r$/, "") })
}

const pieces = Schema.Array(Schema.Literals(["a", "bc", "\n", "\r\n", "é", "𝄞", "12345678", "1234567890123"]))
  .check(Schema.isMaxLength(40))
const cuts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 }))).check(
  Schema.isMinLength(1),
  Schema.isMaxLength(20)
)

describe("LineSplitter", () => {
  it.prop("gives the same lines however the bytes arrive", { pieces, cuts }, ({ cuts, pieces }) => {
    const text = pieces.join("")
    const bytes = new TextEncoder().encode(text)
    const splitter = LineSplitter.make(max)
    const lines: Array<LineSplitter.Line> = []
    for (let at = 0, turn = 0; at < bytes.length; turn++) {
      const length = cuts[turn % cuts.length]!
      lines.push(...splitter.push(bytes.subarray(at, at + length)))
      at += length
    }
    lines.push(...splitter.end())
    assert.deepStrictEqual(lines, model(text))
  })

  it("never keeps more than one line's maximum of an endless line", () => {
    const splitter = LineSplitter.make(max)
    for (let i = 0; i < 1_000; i++) assert.deepStrictEqual(splitter.push(new Uint8Array(65_536).fill(120)), [])
    assert.deepStrictEqual(splitter.push(new TextEncoder().encode("\nnext\n")), [
      { _tag: "TooLong" },
      { _tag: "Line", text: "next" }
    ])
  })
})
