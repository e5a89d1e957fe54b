/** Hashes, keys and signatures. Synchronous, so that a simulation stays a function of its seed. */
import { Context, Effect } from "effect"
import type { PeerId, PublicKey } from "../protocol/Ids.ts"
import type { SessionId } from "../protocol/Ids.ts"
import type { Kind, Signed } from "../protocol/Signed.ts"

/** An Ed25519 key pair. The private half never leaves this value except through {@link Crypto} and Identity. */
export interface KeyPair {
  readonly publicKey: PublicKey
  /** The 32 bytes the key was made from (RFC 8032 seed). Never logged, never put into an error. */
  readonly seed: Uint8Array
}

export class Crypto extends Context.Service<Crypto, {
  /** SHA-256, 32 bytes. Hardware speed: about 1.3 GB/s. */
  readonly sha256: (bytes: Uint8Array) => Uint8Array
  /** SHA-256 as base64url text, 43 characters. */
  readonly sha256Text: (bytes: Uint8Array) => string
  /** The key pair of a 32-byte seed; the same seed gives the same pair. */
  readonly keyPair: (seed: Uint8Array) => KeyPair
  readonly peerId: (key: PublicKey) => PeerId
  readonly sign: (pair: KeyPair, kind: Kind, session: SessionId | "-", body: string) => Signed
  /** Whether the statement is its key's own word. False for anything malformed; never throws. */
  readonly verify: (kind: Kind, session: SessionId | "-", signed: Signed) => boolean
  /** AES-256-GCM: the parts sealed, one after the other, and the seal of 16 bytes; `clear` is authenticated with them. */
  readonly seal: (
    key: Uint8Array,
    nonce: Uint8Array,
    clear: Uint8Array,
    parts: ReadonlyArray<Uint8Array>
  ) => ReadonlyArray<Uint8Array>
  /** What {@link seal} has sealed, or nothing if key, nonce or any byte is another. Never throws. */
  readonly unseal: (
    key: Uint8Array,
    nonce: Uint8Array,
    clear: Uint8Array,
    sealed: Uint8Array
  ) => Uint8Array | undefined
  /** scrypt with N = 2^17, r = 8, p = 1: 32 bytes, about 0.5 s and 128 MiB. */
  readonly scrypt: (password: Uint8Array, salt: Uint8Array) => Effect.Effect<Uint8Array>
  /** Unpredictable bytes. In a simulation they come from its seed. */
  readonly randomBytes: (length: number) => Effect.Effect<Uint8Array>
}>()("labfx/services/Crypto") {}
