/** The certificate, as programs that know nothing of labfx read it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { createPublicKey, generateKeyPairSync, sign, X509Certificate } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { selfSignedCertificate } from "../../src/protocol/Der.ts"
import { tempFolder } from "../support/TempFolder.ts"

const pair = generateKeyPairSync("ed25519")
const spki = pair.publicKey.export({ format: "der", type: "spki" })
const der = selfSignedCertificate(spki.subarray(-32), (bytes) => sign(null, bytes, pair.privateKey))
const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----\n`

/** Not every machine that runs the tests has it; the one that builds releases has. */
const openssl = (() => {
  try {
    return execFileSync("openssl", ["version"], { encoding: "utf8" }).startsWith("OpenSSL")
  } catch {
    return false
  }
})()

describe("Der", () => {
  it("makes a certificate that carries the key and verifies under it", () => {
    const certificate = new X509Certificate(der)
    assert.isTrue(certificate.publicKey.equals(createPublicKey(pair.publicKey.export({ format: "pem", type: "spki" }))))
    assert.isTrue(certificate.verify(pair.publicKey))
    assert.isTrue(certificate.checkIssued(certificate))
    assert.strictEqual(certificate.subject, "CN=labfx")
    assert.deepStrictEqual([certificate.validFrom, certificate.validTo], [
      "Jan  1 00:00:00 2000 GMT",
      "Dec 31 23:59:59 9999 GMT"
    ])
  })

  it("does not verify under any other key", () => {
    assert.isFalse(new X509Certificate(der).verify(generateKeyPairSync("ed25519").publicKey))
  })

  it.effect.skipIf(!openssl)("is read and verified by openssl, to the last byte", () =>
    Effect.gen(function*() {
      const file = join(yield* tempFolder, "peer.pem")
      writeFileSync(file, pem)
      const text = execFileSync("openssl", ["x509", "-in", file, "-noout", "-text"], { encoding: "utf8" })
      assert.include(text, "Version: 3 (0x2)")
      assert.include(text, "Public Key Algorithm: ED25519")
      const again = execFileSync("openssl", ["x509", "-in", file, "-outform", "der"])
      assert.deepStrictEqual(new Uint8Array(again), der)
      const verified = execFileSync("openssl", ["verify", "-check_ss_sig", "-CAfile", file, file], { encoding: "utf8" })
      assert.include(verified, "OK")
    }).pipe(Effect.scoped))
})
