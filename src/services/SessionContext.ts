/** The session this device is in: who it is there, who hosts it, and what is allowed. Chosen before anything else runs. */
import { Context, Effect, Layer, Result, Schema } from "effect"
import { Certificate, type VerifiedCertificate } from "../protocol/Certificate.ts"
import type { PeerId, PublicKey, SessionId } from "../protocol/Ids.ts"
import * as Limits from "../protocol/Limits.ts"
import type { Signed } from "../protocol/Signed.ts"
import { Crypto, type KeyPair } from "./Crypto.ts"

export interface SessionContextOptions {
  readonly self: KeyPair
  readonly name: string
  /** At least one; all of one root and one session. */
  readonly certificates: readonly [VerifiedCertificate, ...ReadonlyArray<VerifiedCertificate>]
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
   * whether any was, `news` whether any was not known before.
   */
  readonly learn: (certificates: ReadonlyArray<Signed>) => { readonly certified: boolean; readonly news: boolean }
  /** Whether the key is or was a host of the session. */
  readonly isHostKey: (key: PublicKey) => boolean
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
      if (verified?.certificate.root !== root || verified.certificate.session !== session) continue
      certified = true
      // One certificate an epoch: a second one says nothing that anybody would have to act upon.
      if (certificates.some(({ certificate }) => certificate.epoch === verified.certificate.epoch)) continue
      news = true
      certificates = [...certificates, verified]
        .toSorted((a, b) => a.certificate.epoch - b.certificate.epoch)
        .slice(-Limits.certificatesMax)
    }
    return { certified, news }
  }

  const certificate = () => certificates.at(-1)!.certificate
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
    isHostKey: (key) => certificates.some(({ certificate }) => certificate.host === key)
  })
})
