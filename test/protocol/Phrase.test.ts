/** The teacher's phrase: made, recognised, and other secrets estimated. */
import { assert, describe, it } from "@effect/vitest"
import { wordlist } from "@scure/bip39/wordlists/english.js"
import { Schema } from "effect"
import { createHash } from "node:crypto"
import * as Phrase from "../../src/protocol/Phrase.ts"

const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash("sha256").update(bytes).digest())

const Entropy = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))).check(
  Schema.isMinLength(Phrase.entropyBytes),
  Schema.isMaxLength(Phrase.entropyBytes)
)

describe("Phrase", () => {
  it.prop("recognises every phrase it makes, however it is spelled", { entropy: Entropy }, ({ entropy }) => {
    const phrase = Phrase.make(sha256, Uint8Array.from(entropy))
    assert.strictEqual(phrase.split(" ").length, 7)
    for (
      const text of [
        phrase,
        phrase.toUpperCase(),
        phrase.replaceAll(" ", "-"),
        ` ${phrase.replaceAll(" ", "\u00a0 ")}\n`
      ]
    ) {
      assert.deepStrictEqual(Phrase.recognize(sha256, text), { kind: "phrase", text: phrase })
    }
  })

  it.prop(
    "notices nearly every wrong word, and never takes the other phrase for the one that was made",
    { entropy: Entropy, place: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 })) },
    ({ entropy, place }) => {
      const phrase = Phrase.make(sha256, Uint8Array.from(entropy)).split(" ")
      const wrong = (word: string) => phrase.map((right, i) => (i === place ? word : right)).join(" ")
      assert.deepStrictEqual(Phrase.recognize(sha256, wrong("qqqq")), { kind: "mistyped", word: "qqqq" })
      const unnoticed = wordlist.filter((word) =>
        word !== phrase[place] && Phrase.recognize(sha256, wrong(word)).kind === "phrase"
      )
      // One in 2,048 fits by chance: ten at once would be a broken check.
      assert.isBelow(unnoticed.length, 10)
    },
    { arbitrary: { runs: 20 } }
  )

  it("counts a text as its NFKC form with single spaces", () => {
    assert.strictEqual(Phrase.normalize("  ﬁne\u00a0\t Ünder  x "), "fine Ünder x")
    assert.strictEqual(Phrase.normalize("U\u0308"), Phrase.normalize("\u00dc"))
  })

  it("finds weak what people choose", () => {
    const weak = [
      "",
      "secret",
      "hunter2",
      "password1234567890",
      "Passwort!Passwort!Passwort!Passwort!",
      "correct horse battery staple",
      "to be or not to be, that is the question",
      "four score and seven years ago our fathers brought forth",
      "im Anfang war das Wort, und das Wort war bei Gott",
      "Informatik-2024-Gruppe3",
      "qwertyuiop asdfghjkl zxcvbnm",
      "1234567890123456789012345678901234567890",
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "........................................",
      "the lab of our school and the course of the teacher",
      "2021 2022 2023 2024 2025"
    ]
    for (const text of weak) assert.isBelow(Phrase.strengthBits(text), Phrase.strengthBitsMin, text)
  })

  it("lets pass what a machine or dice have chosen", () => {
    const strong = [
      "x7Kq9vTz3mWpR2bN",
      "v9$Kq2!xLm7@pZw3&Tn",
      "b3f1c09a7de84425a6f0c9e17d53b8aa",
      "cleft cam synod lacy yr wok",
      "75293018466120938571",
      "kJ8s-Qe2nVt9_bXyR4mW0g"
    ]
    for (const text of strong) assert.isAtLeast(Phrase.strengthBits(text), Phrase.strengthBitsMin, text)
  })

  it.prop(
    "never finds a text stronger than its characters could be, nor stronger for being said twice",
    { text: Schema.String.check(Schema.isMaxLength(60)) },
    ({ text }) => {
      const bits = Phrase.strengthBits(text)
      assert.isAtMost(bits, 6.6 * Array.from(Phrase.normalize(text)).length)
      assert.closeTo(Phrase.strengthBits(`${text} ${text}`), bits, 1e-9)
    }
  )
})
