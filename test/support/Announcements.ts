/** Certificates and announcements as real teachers and students sign them. */
import * as Announcement from "../../src/protocol/Announcement.ts"
import type { Certificate, VerifiedCertificate } from "../../src/protocol/Certificate.ts"
import { SessionId } from "../../src/protocol/Ids.ts"
import type { Crypto, KeyPair } from "../../src/services/Crypto.ts"

/** A key pair that belongs to the number. */
export const pairOf = (crypto: Crypto["Service"], number: number): KeyPair => {
  const seed = new Uint8Array(32)
  new DataView(seed.buffer).setUint32(0, number)
  return crypto.keyPair(seed)
}

/** A session that belongs to the number. */
export const sessionOf = (number: number): SessionId => SessionId.make(`${number}`.padStart(21, "S") + "A")

export const certify = (
  crypto: Crypto["Service"],
  root: KeyPair,
  host: KeyPair,
  fields: Partial<Omit<Certificate, "root" | "host">> = {}
): VerifiedCertificate => {
  const certificate: Certificate = {
    version: 1,
    root: root.publicKey,
    session: fields.session ?? sessionOf(1),
    host: host.publicKey,
    title: fields.title ?? "Algorithms, Tuesday",
    epoch: fields.epoch ?? 1,
    policy: fields.policy ?? { closed: false, studentsMayWrite: true, studentsMayShare: false }
  }
  return { certificate, signed: crypto.sign(root, "certificate", "-", JSON.stringify(certificate)) }
}

/** The datagram by which `self` announces the session. */
export const announcementOf = (
  crypto: Crypto["Service"],
  { certificate, signed }: VerifiedCertificate,
  self: KeyPair,
  port: number
): Uint8Array => {
  const body = Announcement.statementBody({ port, epoch: certificate.epoch })
  return Announcement.encode(signed, crypto.sign(self, "announcement", certificate.session, body))
}
