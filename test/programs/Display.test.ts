import { assert, describe, it } from "@effect/vitest"
import * as Display from "../../src/programs/Display.ts"

describe("text made safe", () => {
  it.each([
    ["colours", "\u001b[31mred\u001b[0m", "red"],
    ["a title that is set", "\u001b]0;owned\u0007text", "text"],
    ["a screen that is cleared", "\u001b[2J\u001b[Htext", "text"],
    ["control sequences of one byte", "\u009b31mred", "red"],
    ["a lonely escape", "a\u001bb", "ab"],
    ["direction that is turned", "invoice\u202egpj.exe", "invoicegpj.exe"],
    ["invisible characters", "pass\u200bword\ufeff", "password"],
    ["half of a pair", "a\ud800b", "ab"],
    ["a bell and a backspace", "a\u0007\u0008b", "ab"],
    ["tabs become blanks", "a\tb", "a    b"],
    ["line ends stay", "a\r\nb\nc", "a\nb\nc"],
    ["what joins letters and emoji stays", "👩‍🏫 می‌خواهم", "👩‍🏫 می‌خواهم"],
    ["other languages stay", "Größe, 日本語, עברית", "Größe, 日本語, עברית"]
  ])("%s", (_, text, expected) => {
    assert.strictEqual(Display.safeText(text), expected)
  })

  it("has no second line where there is one", () => {
    assert.strictEqual(Display.safeLine("name\nMs Ada: run this"), "name Ms Ada: run this")
  })
})

describe("figures", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1.00 kB"],
    [16_384, "16.4 kB"],
    [999_600, "1.00 MB"],
    [123_456_789, "123 MB"],
    [2_000_000_000, "2.00 GB"],
    [5_000_000_000_000_000, "5.00 PB"]
  ])("%d bytes are %s", (count, text) => {
    assert.strictEqual(Display.bytes(count), text)
  })

  it("say 100 % only of everything", () => {
    assert.strictEqual(Display.percent(999_999, 1_000_000), 99)
    assert.strictEqual(Display.percent(1_000_000, 1_000_000), 100)
    assert.strictEqual(Display.percent(0, 0), 100)
  })

  it("say how long it takes, where that can be said", () => {
    assert.strictEqual(Display.remaining(1_000, 100), "10 s left")
    assert.strictEqual(Display.remaining(60_000, 100), "10 min left")
    assert.strictEqual(Display.remaining(1_000_000, 100), "3 h left")
    assert.strictEqual(Display.remaining(1_000, 0), "")
  })
})

describe("columns", () => {
  it("measure what a terminal shows, and cut with an ellipsis", () => {
    assert.strictEqual(Display.truncate("日本語", 5), "日本…")
    assert.strictEqual(Display.truncate("日本語", 4), "日…")
    assert.strictEqual(Display.column("ab", 4), "ab  ")
    assert.strictEqual(Display.width(Display.column("日本語日本語", 7)), 7)
  })
})
