/** Keys, signatures and hashes as every other module relies on them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { PublicKey, SessionId, Signature } from "../../src/protocol/Ids.ts"
import type { Kind, Signed } from "../../src/protocol/Signed.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import { layerNode } from "../../src/services/node/CryptoNode.ts"

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const session = "AAAAAAAAAAAAAAAAAAAAAA" as SessionId
const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/** The text with the lowest bit of its last character turned: other text, the same bytes to a lenient decoder. */
const alias = (text: string) => text.slice(0, -1) + base64url[base64url.indexOf(text.at(-1)!) ^ 1]!

describe("Crypto", () => {
  it.layer(layerNode)((it) => {
    it.effect("makes the key of RFC 8032, test 3", () =>
      Effect.gen(function*() {
        const crypto = yield* Crypto
        const pair = crypto.keyPair(
          Buffer.from("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "hex")
        )
        assert.strictEqual(
          hex(Buffer.from(pair.publicKey, "base64url")),
          "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
        )
      }))

    it.effect("seals parts so that only the same key, nonce and clear bytes open them, as NIST's test case 16 does", () =>
      Effect.gen(function*() {
        const { seal, unseal } = yield* Crypto
        const bytes = (text: string) => Uint8Array.from(Buffer.from(text, "hex"))
        // McGrew and Viega, The Galois/Counter Mode of Operation, appendix B.
        const key = bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
        const nonce = bytes("cafebabefacedbaddecaf888")
        const clear = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2")
        const plain = bytes(
          "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        )
        const sealed = Uint8Array.from(
          Buffer.concat(seal(key, nonce, clear, [plain.subarray(0, 5), plain.subarray(5)]))
        )
        assert.strictEqual(
          hex(sealed),
          "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
            "76fc6ece0f4e1768cddf8853bb2d551b"
        )
        assert.deepStrictEqual(Uint8Array.from(unseal(key, nonce, clear, sealed)!), plain)
        const turned = (from: Uint8Array) => from.map((byte, i) => i === from.length - 1 ? byte ^ 1 : byte)
        assert.isUndefined(unseal(turned(key), nonce, clear, sealed))
        assert.isUndefined(unseal(key, turned(nonce), clear, sealed))
        assert.isUndefined(unseal(key, nonce, turned(clear), sealed))
        assert.isUndefined(unseal(key, nonce, clear, turned(sealed)))
        assert.isUndefined(unseal(key, nonce, clear, sealed.subarray(0, 15)))
      }))

    it.effect("names a peer by the SHA-256 of its raw key", () =>
      Effect.gen(function*() {
        const crypto = yield* Crypto
        const pair = crypto.keyPair(new Uint8Array(32).fill(7))
        assert.strictEqual(
          crypto.peerId(pair.publicKey) as string,
          crypto.sha256Text(Buffer.from(pair.publicKey, "base64url"))
        )
        assert.strictEqual(
          hex(crypto.sha256(new TextEncoder().encode("abc"))),
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        )
      }))

    it.effect("keeps its own copy of a seed", () =>
      Effect.gen(function*() {
        const crypto = yield* Crypto
        const seed = new Uint8Array(32).fill(1)
        const pair = crypto.keyPair(seed)
        seed.fill(2)
        assert.deepStrictEqual(crypto.keyPair(pair.seed), pair)
      }))

    it.effect.prop(
      "accepts exactly what was signed: any change to kind, session, key, signature or body is refused",
      { body: Schema.String.check(Schema.isMaxLength(200)) },
      ({ body }) =>
        Effect.gen(function*() {
          const crypto = yield* Crypto
          const pair = crypto.keyPair(new Uint8Array(32).fill(3))
          const signed = crypto.sign(pair, "entry", session, body)
          // A lone surrogate has no UTF-8 of its own.
          assert.strictEqual(crypto.verify("entry", session, signed), body.isWellFormed())
          const other = crypto.keyPair(new Uint8Array(32).fill(4))
          const wrong: ReadonlyArray<[Kind, SessionId | "-", Signed]> = [
            ["status", session, signed],
            ["entry", "-", signed],
            ["entry", session, { ...signed, key: other.publicKey }],
            ["entry", session, { ...signed, signature: crypto.sign(other, "entry", session, body).signature }],
            ["entry", session, { ...signed, body: `${body} ` }]
          ]
          for (const [kind, id, statement] of wrong) assert.isFalse(crypto.verify(kind, id, statement))
        })
    )

    it.effect.prop(
      "answers false to arbitrary text and never throws",
      { key: Schema.String, signature: Schema.String, body: Schema.String },
      ({ body, key, signature }) =>
        Effect.gen(function*() {
          const crypto = yield* Crypto
          const signed = { key: key as PublicKey, signature: signature as Signature, body }
          assert.isFalse(crypto.verify("entry", session, signed))
          const pair = crypto.keyPair(new Uint8Array(32).fill(5))
          const good = crypto.sign(pair, "entry", session, "x")
          assert.isFalse(crypto.verify("entry", session, { ...good, key: signed.key }))
          assert.isFalse(crypto.verify("entry", session, { ...good, signature: signed.signature }))
        })
    )

    it.effect("refuses a second spelling of a key or a signature", () =>
      Effect.gen(function*() {
        const crypto = yield* Crypto
        const signed = crypto.sign(crypto.keyPair(new Uint8Array(32).fill(6)), "entry", session, "x")
        assert.isTrue(crypto.verify("entry", session, signed))
        assert.isFalse(crypto.verify("entry", session, { ...signed, key: alias(signed.key) as PublicKey }))
        assert.isFalse(crypto.verify("entry", session, { ...signed, signature: alias(signed.signature) as Signature }))
        assert.isFalse(crypto.verify("entry", session, { ...signed, key: `${signed.key}=` as PublicKey }))
      }))

    it.effect("goes on verifying when more keys come by than it keeps", () =>
      Effect.gen(function*() {
        const crypto = yield* Crypto
        const statements = Array.from({ length: 600 }, (_, i) => {
          const seed = new Uint8Array(32)
          new DataView(seed.buffer).setUint32(0, i)
          return crypto.sign(crypto.keyPair(seed), "entry", session, `${i}`)
        })
        for (const statement of [...statements, ...statements]) {
          assert.isTrue(crypto.verify("entry", session, statement))
        }
      }))

    it.effect("derives the scrypt key that other implementations derive", () =>
      Effect.gen(function*() {
        const crypto = yield* Crypto
        const text = new TextEncoder()
        const key = yield* crypto.scrypt(text.encode("labfx"), text.encode("salt"))
        // python3 -c 'import hashlib; print(hashlib.scrypt(b"labfx", salt=b"salt", n=2**17, r=8, p=1, maxmem=2**28, dklen=32).hex())'
        assert.strictEqual(hex(key), "41a02f47fa8f75cf99992056271a9d7c9d2a77b7809c3fe97d12b67b64400217")
      }))
  })
})
