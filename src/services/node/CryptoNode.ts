/** {@link Crypto} over node:crypto. */
import { Effect, Layer } from "effect"
import * as NodeCrypto from "node:crypto"
import { sealBytes } from "../../protocol/Fragment.ts"
import type { PeerId, PublicKey, Signature } from "../../protocol/Ids.ts"
import { isWellFormed, signedBytes } from "../../protocol/Signed.ts"
import { Crypto, type KeyPair } from "../Crypto.ts"

/** What precedes the 32 key bytes in the two standard encodings of Ed25519 keys (RFC 8410). */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex")
const spkiPrefix = Buffer.from("302a300506032b6570032100", "hex")

/** Verifying keys kept ready: importing one costs as much as half a verification, and a room has at most 256 authors. */
const publicKeysMax = 512

/** N, r and p are part of what a phrase means: another value is another key. */
const scryptOptions = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 1024 * 1024 }

/**
 * The bytes of base64url text, or nothing if the text is not the one way to write `length` bytes. Node decodes leniently,
 * and the unused low bits of the last character would give one key several names.
 */
const decode = (text: string, length: number): Buffer | undefined => {
  const bytes = Buffer.from(text, "base64url")
  return bytes.length === length && bytes.toString("base64url") === text ? bytes : undefined
}

const importSeed = (seed: Uint8Array): NodeCrypto.KeyObject =>
  NodeCrypto.createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: "der", type: "pkcs8" })

/** Private keys live exactly as long as their pairs. */
const privateKeys = new WeakMap<KeyPair, NodeCrypto.KeyObject>()

const privateKey = (pair: KeyPair): NodeCrypto.KeyObject => {
  const known = privateKeys.get(pair)
  if (known !== undefined) return known
  const key = importSeed(pair.seed)
  privateKeys.set(pair, key)
  return key
}

/** Signs bytes as they are; for what has its own domain, such as a TLS certificate. Node layers only. */
export const signRaw = (pair: KeyPair, bytes: Uint8Array): Uint8Array => NodeCrypto.sign(null, bytes, privateKey(pair))

/** The private key as node:tls takes it. Node layers only. */
export const privateKeyPem = (pair: KeyPair): string =>
  privateKey(pair).export({ format: "pem", type: "pkcs8" }) as string

/** The raw key as the text that names it everywhere. */
export const publicKeyText = (raw: Uint8Array): PublicKey => Buffer.from(raw).toString("base64url") as PublicKey

/** A peer is named by the SHA-256 of its raw key. */
export const peerIdOf = (key: PublicKey): PeerId =>
  NodeCrypto.hash("sha256", Buffer.from(key, "base64url"), "base64url") as PeerId

const keyPair = (seed: Uint8Array): KeyPair => {
  if (seed.length !== 32) throw new RangeError("an Ed25519 seed has 32 bytes")
  const own = Uint8Array.from(seed)
  const key = importSeed(own)
  const spki = NodeCrypto.createPublicKey(key).export({ format: "der", type: "spki" })
  const pair: KeyPair = { publicKey: publicKeyText(spki.subarray(spkiPrefix.length)), seed: own }
  privateKeys.set(pair, key)
  return pair
}

/** The keys used last, oldest first: a Map keeps the order of insertion. */
const publicKeys = new Map<PublicKey, NodeCrypto.KeyObject>()

const verifyingKey = (text: PublicKey): NodeCrypto.KeyObject | undefined => {
  let key = publicKeys.get(text)
  if (key === undefined) {
    const raw = decode(text, 32)
    if (raw === undefined) return undefined
    key = NodeCrypto.createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: "der", type: "spki" })
  } else {
    publicKeys.delete(text)
  }
  publicKeys.set(text, key)
  if (publicKeys.size > publicKeysMax) publicKeys.delete(publicKeys.keys().next().value!)
  return key
}

const verify: Crypto["Service"]["verify"] = (kind, session, signed) => {
  if (!isWellFormed(signed.body)) return false
  const signature = decode(signed.signature, 64)
  if (signature === undefined) return false
  const key = verifyingKey(signed.key)
  return key !== undefined && NodeCrypto.verify(null, signedBytes(kind, session, signed.body), key, signature)
}

const cipher = "aes-256-gcm"
/** Handing over the bytes of a key costs more than sealing a datagram. */
const sealingKeys = new WeakMap<Uint8Array, NodeCrypto.KeyObject>()

const sealingKey = (bytes: Uint8Array): NodeCrypto.KeyObject => {
  const known = sealingKeys.get(bytes)
  if (known !== undefined) return known
  const key = NodeCrypto.createSecretKey(bytes)
  sealingKeys.set(bytes, key)
  return key
}

const seal: Crypto["Service"]["seal"] = (key, nonce, clear, parts) => {
  const sealing = NodeCrypto.createCipheriv(cipher, sealingKey(key), nonce).setAAD(clear)
  const sealed = Array.from(parts, (part) => sealing.update(part))
  sealing.final()
  return [...sealed, sealing.getAuthTag()]
}

const unseal: Crypto["Service"]["unseal"] = (key, nonce, clear, sealed) => {
  const bytes = sealed.length - sealBytes
  if (bytes < 0) return undefined
  const opening = NodeCrypto.createDecipheriv(cipher, sealingKey(key), nonce).setAAD(clear).setAuthTag(
    sealed.subarray(bytes)
  )
  const opened = opening.update(sealed.subarray(0, bytes))
  try {
    opening.final()
    return opened
  } catch {
    return undefined
  }
}

export const layerNode = Layer.succeed(
  Crypto,
  Crypto.of({
    sha256: (bytes) => Uint8Array.from(NodeCrypto.hash("sha256", bytes, "buffer")),
    sha256Text: (bytes) => NodeCrypto.hash("sha256", bytes, "base64url"),
    keyPair,
    peerId: peerIdOf,
    sign: (pair, kind, session, body) => ({
      key: pair.publicKey,
      signature: Buffer.from(signRaw(pair, signedBytes(kind, session, body))).toString("base64url") as Signature,
      body
    }),
    verify,
    seal,
    unseal,
    scrypt: (password, salt) =>
      Effect.callback((resume) => {
        NodeCrypto.scrypt(password, salt, 32, scryptOptions, (error, key) => {
          resume(error === null ? Effect.succeed(Uint8Array.from(key)) : Effect.die(error))
        })
      }),
    randomBytes: (length) => Effect.sync(() => Uint8Array.from(NodeCrypto.randomBytes(length)))
  })
)
