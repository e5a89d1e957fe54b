/** Secrets become keys: the same everywhere, and only those worth using. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Crypto } from "../../src/services/Crypto.ts"
import { layerNode as cryptoLayer } from "../../src/services/node/CryptoNode.ts"
import { SecretError, Secrets } from "../../src/services/Secrets.ts"

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const layer = Secrets.layer.pipe(Layer.provideMerge(cryptoLayer))

describe("Secrets", () => {
  it.layer(layer)((it) => {
    it.effect("derives from a text what any scrypt derives from its normal form", () =>
      Effect.gen(function*() {
        const secrets = yield* Secrets
        // python3 -c 'import hashlib; print(hashlib.scrypt(b"fine text", salt=b"labfx/1/root-key", n=2**17, r=8, p=1, maxmem=2**28, dklen=32).hex())'
        assert.strictEqual(
          hex(yield* secrets.seed(Redacted.make("  ﬁne \n text "), true)),
          "e113803da13758bcf84b5029d669cd03b9d10d75bfce3d4bc4d34ebc0a4c36fd"
        )
      }))

    it.effect("generates phrases that give the same key however they are typed", () =>
      Effect.gen(function*() {
        const secrets = yield* Secrets
        const crypto = yield* Crypto
        const { publicKey, text, words } = yield* secrets.generate("phrase")
        const typed = Redacted.make(Redacted.value(text).toUpperCase().replaceAll(" ", "-"))
        assert.strictEqual(crypto.keyPair(yield* secrets.seed(typed, false)).publicKey, publicKey)
        assert.strictEqual(words.split(" ").length, 6)
      }))

    it.effect("generates key files that hold the seed itself", () =>
      Effect.gen(function*() {
        const secrets = yield* Secrets
        const crypto = yield* Crypto
        const { publicKey, text } = yield* secrets.generate("key")
        const seed = yield* secrets.seed(Redacted.make(`${Redacted.value(text)}\r\n`), false)
        assert.strictEqual(Redacted.value(text), `labfx-key-1:${Buffer.from(seed).toString("base64url")}`)
        assert.strictEqual(crypto.keyPair(seed).publicKey, publicKey)
      }))

    it.effect("refuses what is empty, weak, mistyped or a damaged key, and says nothing of it", () =>
      Effect.gen(function*() {
        const secrets = yield* Secrets
        const phrase = Redacted.value((yield* secrets.generate("phrase")).text)
        const refused = (text: string, allowWeak: boolean) =>
          Effect.map(Effect.flip(secrets.seed(Redacted.make(text), allowWeak)), (error) => {
            assert.instanceOf(error, SecretError)
            if (text.trim() !== "") assert.notInclude(JSON.stringify(error), text.trim())
            return error.reason
          })
        assert.strictEqual(yield* refused(" \n", true), "empty")
        assert.strictEqual(yield* refused("hunter2", false), "weak")
        assert.strictEqual(yield* refused(phrase.replace(/^\w+/, "qqqq"), true), "mistyped")
        assert.strictEqual(yield* refused("labfx-key-1:AAAA", true), "malformed-key")
        assert.strictEqual(yield* refused(`labfx-key-1:${"A".repeat(42)}B`, true), "malformed-key")
      }))
  })
})
