import { assert, describe, it } from "@effect/vitest"
import { parse, type Typed } from "../../src/programs/Typed.ts"
import * as Limits from "../../src/protocol/Limits.ts"

describe("a typed line", () => {
  it.each<[string, string, Typed]>([
    ["is said as it stands", "  indented code", { _tag: "Say", text: "  indented code" }],
    ["is nothing when blank", "   ", { _tag: "Nothing" }],
    ["says a slash that is doubled", "//etc/hosts is the file", { _tag: "Say", text: "/etc/hosts is the file" }],
    ["shares a path with blanks", "/share my lab/data set.csv", { _tag: "Share", path: "my lab/data set.csv" }],
    ["shares a path in quotes, as terminals drop it", "/share '/home/a b/c'", { _tag: "Share", path: "/home/a b/c" }],
    ["withdraws by name", "/unshare \"data set.csv\"", { _tag: "Unshare", name: "data set.csv" }],
    ["asks who is here", "/who", { _tag: "Who" }],
    ["asks for help", "/help", { _tag: "Help" }],
    ["leaves", " /quit ", { _tag: "Quit" }],
    ["with a misspelt command is refused, not said", "/shar x", {
      _tag: "Refused",
      reason: { _tag: "UnknownCommand", command: "shar" }
    }],
    ["that shares nothing is refused", "/share ", {
      _tag: "Refused",
      reason: { _tag: "NothingNamed", command: "share" }
    }]
  ])("%s", (_, line, expected) => {
    assert.deepStrictEqual(parse(line), expected)
  })

  it("beyond the limit in bytes is refused, at the limit it is said", () => {
    assert.strictEqual(parse("é".repeat(Limits.messageTextBytesMax / 2))._tag, "Say")
    assert.deepStrictEqual(parse("é".repeat(Limits.messageTextBytesMax / 2) + "!"), {
      _tag: "Refused",
      reason: { _tag: "TooLong" }
    })
  })
})
