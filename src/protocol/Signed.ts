/**
 * A statement and the proof of who made it.
 *
 * What is signed is text, and that text travels as it was signed: verify first, then decode, store and forward the
 * same text. Nothing is ever re-encoded before a signature is checked.
 */
import { Schema } from "effect"
import { PublicKey, type SessionId, Signature } from "./Ids.ts"

export const Signed = Schema.Struct({
  /** Who says so. */
  key: PublicKey,
  signature: Signature,
  /** JSON text, exactly as it was signed. */
  body: Schema.String
})
export type Signed = typeof Signed.Type

/** What a statement is about; a signature for one kind never verifies as another. */
export type Kind = "announcement" | "certificate" | "entry" | "status" | "membership" | "cast-notice"

const encoder = new TextEncoder()

/**
 * The bytes under the signature: a domain line with kind and session, then the body as UTF-8.
 *
 * A statement that is not of one session (a certificate introduces its own) has the session `-`.
 * Lone surrogates have no UTF-8 of their own, so two different texts could share one signature: callers refuse a body
 * that is not {@link isWellFormed} before they verify it.
 */
export const signedBytes = (kind: Kind, session: SessionId | "-", body: string): Uint8Array =>
  encoder.encode(`labfx/1/${kind}/${session}\n${body}`)

/** Whether the text has a single UTF-8 form. */
export const isWellFormed = (body: string): boolean => body.isWellFormed()
