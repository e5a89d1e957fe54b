/** Words for bits, and the fingerprint that a class compares with the board. */
import { assert, describe, it } from "@effect/vitest"
import { wordlist } from "@scure/bip39/wordlists/english.js"
import { Schema } from "effect"
import { createHash } from "node:crypto"
import type { PublicKey } from "../../src/protocol/Ids.ts"
import * as Words from "../../src/protocol/Words.ts"

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash("sha256").update(bytes).digest())
const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" as PublicKey

const NineBytes = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))).check(
  Schema.isMinLength(9),
  Schema.isMaxLength(9)
)

describe("Words", () => {
  it.prop("writes 66 bits as six words, every bit of them counting", { bytes: NineBytes }, ({ bytes }) => {
    const words = Words.encode(Uint8Array.from(bytes), 6)
    const bits = words.map((word) => wordlist.indexOf(word).toString(2).padStart(11, "0")).join("")
    assert.strictEqual(bits, bytes.map((byte) => byte.toString(2).padStart(8, "0")).join("").slice(0, 66))
  })

  it("gives a key the words that every other program gives it", () => {
    // Computed with Python's hashlib and integers.
    assert.strictEqual(Words.fingerprint(key, sha256), "vapor exercise age account sand palm")
  })

  it("reads words however they are written", () => {
    const words = Words.fingerprint(key, sha256)
    const written = [
      words.toUpperCase(),
      words.replaceAll(" ", "-"),
      `  ${words.replaceAll(" ", " \n ")} `,
      words.split(" ").map((word, i) => `${i + 1}. ${word}`).join(", ")
    ]
    for (const text of written) {
      assert.isTrue(Words.same(words, text), text)
      assert.deepStrictEqual(Words.parse(text, 6), words.split(" "))
    }
  })

  it("takes neither fewer, nor more, nor other words for the same", () => {
    const words = Words.fingerprint(key, sha256)
    const others = [
      words.replace(/ \w+$/, ""),
      `${words} zoo`,
      words.replace(/^\w+/, "qqqq"),
      words.replaceAll(" ", ""),
      ""
    ]
    for (const text of others) {
      assert.isFalse(Words.same(words, text), text)
      assert.isUndefined(Words.parse(text, 6), text)
    }
    assert.isFalse(Words.same("", "1. -"))
  })
})
