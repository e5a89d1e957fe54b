/** The session this device is in: who it is there, who hosts it, and what is allowed. Chosen before anything else runs. */
import { Context, Effect, Layer, Redacted, Result, Schema } from "effect"
import { Certificate, type VerifiedCertificate } from "../protocol/Certificate.ts"
import type { PeerId, PublicKey, SessionId } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import { bodyCharactersMax, MembershipCertificate } from "../protocol/MembershipCertificate.ts"
import type { Signed } from "../protocol/Signed.ts"
import { Crypto, type KeyPair } from "./Crypto.ts"

export interface SessionContextOptions {
  readonly self: KeyPair
  readonly name: string
  /** At least one; all of one root and one session. */
  readonly certificates: readonly [VerifiedCertificate, ...ReadonlyArray<VerifiedCertificate>]
  /** Of a closed session: what a student says to be let in, and what the host asks for. */
  readonly joinCode?: Redacted.Redacted | undefined
  /** The membership of an earlier run. */
  readonly membership?: Signed | undefined
}

export class SessionContext extends Context.Service<SessionContext, {
  readonly session: SessionId
  /** The root key this device has decided to trust for the session. */
  readonly root: PublicKey
  readonly self: KeyPair
  readonly peer: PeerId
  /** Whether this device holds the key that its certificate names as host. */
  readonly isHost: boolean
  /** The name people see. */
  readonly name: string
  /** Every verified certificate of the session, oldest epoch first; at least one. */
  readonly certificates: () => ReadonlyArray<VerifiedCertificate>
  /** The one with the largest epoch. */
  readonly certificate: () => Certificate
  /**
   * Adds those of the certificates that are valid for this session: right signature, root and session. `certified` says
   * whether any was, `news` whether any was not known before, and `forged` whether one was not valid: honest peers pass
   * on only what they have checked, and the rest is not looked at.
   */
  readonly learn: (certificates: ReadonlyArray<Signed>) => {
    readonly certified: boolean
    readonly news: boolean
    readonly forged: boolean
  }
  /** The peer that the newest certificate names as host. */
  readonly hostPeer: () => PeerId
  /** Whether the key is or was a host of the session. */
  readonly isHostKey: (key: PublicKey) => boolean
  /** Whether a peer must show that it belongs before it learns anything; the newest certificate says so. */
  readonly isClosed: () => boolean
  /** Whether the holder of the key belongs: a host, a member by a host's word, or, in an open session, anybody. */
  readonly belongs: (key: PublicKey, membership: Signed | undefined) => boolean
  /** What this device shows in a closed session. */
  readonly membership: () => Signed | undefined
  /** Takes the statement as this device's own membership, if it is one; `undefined` forgets what there was. */
  readonly setMembership: (membership: Signed | undefined) => boolean
  readonly joinCode: Redacted.Redacted | undefined
  /** Whether this is the code that the host asks for, up to blanks, case and form of characters. */
  readonly isJoinCode: (code: string) => boolean
  /** The host's word that the holder of the key belongs. */
  readonly admit: (key: PublicKey) => Signed
  /** The teacher has shut out the holder of the key, for the rest of the session. */
  readonly remove: (key: PublicKey) => void
  readonly isRemoved: (key: PublicKey) => boolean
}>()("labfx/services/SessionContext") {
  static readonly layer = (options: SessionContextOptions) => Layer.effect(SessionContext, make(options))
}

const decodeCertificate = Schema.decodeUnknownResult(Schema.fromJsonString(Certificate))

/** Checks a certificate's signature and shape; says nothing of whether its root key deserves trust. */
export const verifyCertificate = (crypto: Crypto["Service"], signed: Signed): VerifiedCertificate | undefined => {
  if (signed.body.length > Limits.datagramBytesMax || !crypto.verify("certificate", "-", signed)) return undefined
  const certificate = decodeCertificate(signed.body)
  return Result.isSuccess(certificate) && certificate.success.root === signed.key
    ? { certificate: certificate.success, signed }
    : undefined
}

const decodeMembership = Schema.decodeUnknownResult(Schema.fromJsonString(MembershipCertificate))

/** People write a code on a board and type it on other keyboards. */
const codeKey = (code: string): string => code.normalize("NFKC").toLowerCase().replace(/\s+/gu, "")

const make = Effect.fnUntraced(function*(options: SessionContextOptions) {
  const crypto = yield* Crypto
  const [{ certificate: { root, session } }] = options.certificates
  let certificates = options.certificates.toSorted((a, b) => a.certificate.epoch - b.certificate.epoch)

  const learn = (given: ReadonlyArray<Signed>) => {
    let certified = false
    let news = false
    for (const signed of given) {
      if (
        certificates.some((known) => known.signed.signature === signed.signature && known.signed.body === signed.body)
      ) {
        certified = true
        continue
      }
      const verified = verifyCertificate(crypto, signed)
      if (verified?.certificate.root !== root || verified.certificate.session !== session) {
        return { certified, news, forged: true }
      }
      certified = true
      // One certificate an epoch: a second one says nothing that anybody would have to act upon.
      if (certificates.some(({ certificate }) => certificate.epoch === verified.certificate.epoch)) continue
      news = true
      certificates = [...certificates, verified]
        .toSorted((a, b) => a.certificate.epoch - b.certificate.epoch)
        .slice(-Limits.certificatesMax)
    }
    return { certified, news, forged: false }
  }

  const certificate = () => certificates.at(-1)!.certificate
  const self = options.self.publicKey
  const isHostKey = (key: PublicKey) => certificates.some(({ certificate }) => certificate.host === key)
  const removed = new Set<PublicKey>()

  const isMembershipOf = (key: PublicKey, { body }: Signed): boolean => {
    const decoded = decodeMembership(body)
    return Result.isSuccess(decoded) && decoded.success.member === key
  }
  const isGenuine = (signed: Signed): boolean =>
    signed.body.length <= bodyCharactersMax && crypto.verify("membership", session, signed)

  // Who signed the one of an earlier run may be known only by a certificate that is still to be learned; others will judge.
  let membership = options.membership !== undefined && isGenuine(options.membership) &&
      isMembershipOf(self, options.membership)
    ? options.membership
    : undefined
  let admitted = 0
  // Compared as hashes, so that the time it takes says nothing about the code.
  const hashOf = (code: string) => crypto.sha256Text(new TextEncoder().encode(codeKey(code)))
  const codeHash = options.joinCode === undefined ? undefined : hashOf(Redacted.value(options.joinCode))

  return SessionContext.of({
    session,
    root,
    self: options.self,
    peer: crypto.peerId(options.self.publicKey),
    isHost: certificate().host === options.self.publicKey,
    name: options.name,
    certificates: () => certificates,
    certificate,
    learn,
    hostPeer: () => crypto.peerId(certificate().host),
    isHostKey,
    isClosed: () => certificate().policy.closed,
    belongs: (key, shown) =>
      !certificate().policy.closed || isHostKey(key) ||
      (shown !== undefined && isHostKey(shown.key) && isGenuine(shown) && isMembershipOf(key, shown)),
    membership: () => membership,
    setMembership: (given) => {
      if (given !== undefined && !(isHostKey(given.key) && isGenuine(given) && isMembershipOf(self, given))) {
        return false
      }
      membership = given
      return true
    },
    joinCode: options.joinCode,
    isJoinCode: (code) => codeHash !== undefined && hashOf(code) === codeHash,
    admit: (member) => {
      const membership: MembershipCertificate = { member, number: ++admitted }
      return crypto.sign(options.self, "membership", session, JSON.stringify(membership))
    },
    remove: (key) => void removed.add(key),
    isRemoved: (key) => removed.has(key)
  })
})
