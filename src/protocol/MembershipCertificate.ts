/**
 * The host's word that a device belongs to a closed session: a signed statement of kind `membership` in that session.
 *
 * It is bound to the device's key, which every handshake proves, so whoever copies it gains nothing.
 */
import { Schema } from "effect"
import { PublicKey } from "./Ids.ts"

export const MembershipCertificate = Schema.Struct({
  member: PublicKey,
  /** The how many-th this host has signed, for logs. */
  number: Schema.Natural
})
export type MembershipCertificate = typeof MembershipCertificate.Type

/** The longest body of one, in characters. */
export const bodyCharactersMax = 256
