/** Identifiers that every message, machine and service shares. All are base64url text without padding. */
import { Schema } from "effect"

const digest = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{43}$/))

/** A device in a session: SHA-256 of its raw Ed25519 public key. Proven in the TLS handshake. */
export const PeerId = digest.pipe(Schema.brand("PeerId"))
export type PeerId = typeof PeerId.Type

/** A raw Ed25519 public key, 32 bytes. */
export const PublicKey = digest.pipe(Schema.brand("PublicKey"))
export type PublicKey = typeof PublicKey.Type

/** An Ed25519 signature, 64 bytes. */
export const Signature = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{86}$/)).pipe(Schema.brand("Signature"))
export type Signature = typeof Signature.Type

/** A session: 16 random bytes, chosen by the teacher. A restart with the same secret and state keeps it. */
export const SessionId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{22}$/)).pipe(Schema.brand("SessionId"))
export type SessionId = typeof SessionId.Type

/** A share, named by its content: SHA-256 of its manifest's bytes. The same content is the same share. */
export const Root = digest.pipe(Schema.brand("Root"))
export type Root = typeof Root.Type

/**
 * The place of a chunk in its share: first the chunks that carry the manifest, then those of the content.
 *
 * One numbering for both lets one bitfield, one request and one picker serve both.
 */
export const ChunkIndex = Schema.Natural.pipe(Schema.brand("ChunkIndex"))
export type ChunkIndex = typeof ChunkIndex.Type
