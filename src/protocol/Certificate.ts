/**
 * The session certificate: the root key's word that one peer key hosts one session.
 *
 * It is the only thing a student has to trust; everything the teacher says is signed with the key it names.
 */
import { Schema } from "effect"
import { PublicKey, SessionId } from "./Ids.ts"
import * as Limits from "./Limits.ts"
import type { Signed } from "./Signed.ts"
import { shortText } from "./Text.ts"

export const Policy = Schema.Struct({
  /** Whether a student needs the join code. */
  closed: Schema.Boolean,
  /** Whether students may write messages. */
  studentsMayWrite: Schema.Boolean,
  /** Whether students may share files. */
  studentsMayShare: Schema.Boolean
})
export type Policy = typeof Policy.Type

export const Certificate = Schema.Struct({
  version: Schema.Literal(1),
  /** The teacher's long-lived key; the certificate is signed by it. */
  root: PublicKey,
  session: SessionId,
  /** The key that hosts the session, made fresh at every start of the teacher. */
  host: PublicKey,
  title: shortText(Limits.titleBytesMax),
  /** Of two certificates of one root, the one with the larger epoch counts. */
  epoch: Schema.Natural,
  policy: Policy
})
export type Certificate = typeof Certificate.Type

/**
 * Whether `a` takes the place of `b`, both of one root. Two sessions of one epoch are a mistake of their teacher; all
 * devices then settle on the same one, whichever they hear first.
 */
export const supersedes = (a: Certificate, b: Certificate): boolean =>
  a.epoch > b.epoch || (a.epoch === b.epoch && a.session > b.session)

/** A certificate whose signature has been checked, with the statement it came from. */
export interface VerifiedCertificate {
  readonly certificate: Certificate
  readonly signed: Signed
}
