/** What a bare program shows of itself: a key of its own, signed by itself, as labfx does. */
import * as Crypto from "node:crypto"
import type { SecureContextOptions } from "node:tls"
import { selfSignedCertificate } from "../../src/protocol/Der.ts"

export const credentials = (): SecureContextOptions => {
  const { privateKey, publicKey } = Crypto.generateKeyPairSync("ed25519")
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32)
  const der = selfSignedCertificate(raw, (body) => Crypto.sign(null, body, privateKey))
  const cert = `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----\n`
  return {
    key: privateKey.export({ format: "pem", type: "pkcs8" }),
    cert,
    ca: cert,
    minVersion: "TLSv1.3",
    ciphers: "TLS_AES_128_GCM_SHA256"
  }
}
