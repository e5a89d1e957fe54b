/** From what the teacher keeps, a phrase or the line of a key file, to the seed of the root key. */
import { Context, Effect, Layer, Redacted, Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"
import type { PublicKey } from "../protocol/Ids.ts"
import * as Phrase from "../protocol/Phrase.ts"
import * as Words from "../protocol/Words.ts"
import { Crypto } from "./Crypto.ts"

/** The secret is not one to use. Says nothing of the secret itself. */
export class SecretError extends Schema.TaggedError<SecretError>()("SecretError", {
  /**
   * `weak`: estimated below `Phrase.strengthBitsMin`. `mistyped`: six words and a check word, but one of them is wrong.
   * `malformed-key`: begins as a key does, and is none.
   */
  reason: Schema.Literals(["empty", "weak", "mistyped", "malformed-key"]),
  /** What is left to guess, by a cautious estimate; only for `weak`. */
  strengthBits: Schema.optionalKey(Schema.Natural)
}) {}

/** A fresh secret, with what everybody may know of it. */
export interface Secret {
  /** What the teacher keeps: a phrase, or the line of a key file. */
  readonly text: Redacted.Redacted
  readonly publicKey: PublicKey
  /** The fingerprint: six words to compare. */
  readonly words: string
}

export class Secrets extends Context.Service<Secrets, {
  /**
   * The 32-byte seed of a secret; the same secret gives the same seed on every machine. A phrase takes half a second and
   * 128 MiB, a key nothing. `allowWeak` lets pass what is weak, never what is mistyped.
   */
  readonly seed: (text: Redacted.Redacted, allowWeak: boolean) => Effect.Effect<Uint8Array, SecretError>
  readonly generate: (kind: "key" | "phrase") => Effect.Effect<Secret>
}>()("labfx/services/Secrets") {
  static readonly layer = Layer.suspend(() => Layer.effect(Secrets, make))
}

/** A key file is this and 32 bytes as base64url, on one line. */
const keyPrefix = "labfx-key-1:"

const decodeKey = (text: string): Uint8Array | undefined => {
  const bytes = Base64Url.decode(text)
  return Result.isSuccess(bytes) && bytes.success.length === 32 && Base64Url.encode(bytes.success) === text
    ? bytes.success
    : undefined
}

/** A constant: a phrase has to give the same key on every machine, and nothing else is known there. */
const salt = new TextEncoder().encode("labfx/1/root-key")

const make = Effect.gen(function*() {
  const crypto = yield* Crypto

  const derive = (text: string) => crypto.scrypt(new TextEncoder().encode(text), salt)

  const seed = Effect.fnUntraced(function*(redacted: Redacted.Redacted, allowWeak: boolean) {
    const text = Redacted.value(redacted).trim()
    if (text === "") return yield* new SecretError({ reason: "empty" })
    if (text.startsWith(keyPrefix)) {
      const key = decodeKey(text.slice(keyPrefix.length))
      return key ?? (yield* new SecretError({ reason: "malformed-key" }))
    }
    const recognized = Phrase.recognize(crypto.sha256, text)
    if (recognized.kind === "mistyped") return yield* new SecretError({ reason: "mistyped" })
    const strengthBits = recognized.kind === "phrase" ? Phrase.phraseBits : Phrase.strengthBits(recognized.text)
    if (strengthBits < Phrase.strengthBitsMin && !allowWeak) {
      return yield* new SecretError({ reason: "weak", strengthBits: Math.floor(strengthBits) })
    }
    return yield* derive(recognized.text)
  })

  const generate = Effect.fnUntraced(function*(kind: "key" | "phrase") {
    const text = kind === "key"
      ? `${keyPrefix}${Base64Url.encode(yield* crypto.randomBytes(32))}`
      : Phrase.make(crypto.sha256, yield* crypto.randomBytes(Phrase.entropyBytes))
    const redacted = Redacted.make(text, { label: "secret" })
    const { publicKey } = crypto.keyPair(yield* Effect.orDie(seed(redacted, false)))
    return { text: redacted, publicKey, words: Words.fingerprint(publicKey, crypto.sha256) }
  })

  return Secrets.of({ seed, generate })
})
