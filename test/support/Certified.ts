/** Sessions for tests: a root key, a host key and a certificate, all from small numbers. */
import { Effect } from "effect"
import type { Certificate } from "../../src/protocol/Certificate.ts"
import type { SessionId } from "../../src/protocol/Ids.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import { seed } from "../../src/simulator/CryptoSeeded.ts"

export { seed }

/** A signed certificate; what `fields` does not say is that of an open session with everything allowed to students. */
export const certify = Effect.fnUntraced(function*(
  fields: Partial<Certificate> & { readonly rootSeed?: number; readonly hostSeed?: number } = {}
) {
  const crypto = yield* Crypto
  const { hostSeed = 2, rootSeed = 1, ...rest } = fields
  const root = crypto.keyPair(seed(rootSeed))
  const host = crypto.keyPair(seed(hostSeed))
  const certificate: Certificate = {
    version: 1,
    root: root.publicKey,
    session: "AAAAAAAAAAAAAAAAAAAAAA" as SessionId,
    host: host.publicKey,
    title: "Test",
    epoch: 1,
    policy: { closed: false, studentsMayWrite: true, studentsMayShare: false },
    ...rest
  }
  const signed = crypto.sign(root, "certificate", "-", JSON.stringify(certificate))
  return { root, host, verified: { certificate, signed } }
})
