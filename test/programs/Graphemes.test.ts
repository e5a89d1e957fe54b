import { assert, describe, it } from "@effect/vitest"
import { CliOutput } from "effect/cli"
import * as Display from "../../src/programs/Display.ts"
import { graphemes, isPlain } from "../../src/programs/Graphemes.ts"

describe("graphemes", () => {
  it.each([
    ["", []],
    ["a, b", ["a", ",", " ", "b"]],
    ["e\u0301a", ["e\u0301", "a"]],
    ["👩‍🏫!", ["👩‍🏫", "!"]],
    ["a\r\nb", ["a", "\r\n", "b"]]
  ])("%j are %j", (text, expected) => {
    const found = Array.from(graphemes(text))
    assert.deepStrictEqual(found.map(({ segment }) => segment), expected)
    for (const { index, segment } of found) assert.isTrue(text.startsWith(segment, index))
  })

  it("of plain text are found without Unicode's tables, and are what they would be with them", () => {
    const plain = Array.from({ length: 0x7f - 0x20 }, (_, i) => String.fromCharCode(0x20 + i)).join("")
    assert.isTrue(isPlain(plain))
    assert.deepStrictEqual(
      Array.from(graphemes(plain), ({ index, segment }) => ({ index, segment })),
      Array.from(
        new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(plain),
        ({ index, segment }) => ({ index, segment })
      )
    )
    assert.strictEqual(Display.width(plain), CliOutput.displayWidth(plain))
    for (const other of ["\u001f", "\u007f", "\u00e9", "\n"]) assert.isFalse(isPlain(other))
  })
})
