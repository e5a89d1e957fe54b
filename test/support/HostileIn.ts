import { Context, Effect, Random } from "effect"
import { Crypto } from "../../src/services/Crypto.ts"
import * as CryptoSeeded from "../../src/simulator/CryptoSeeded.ts"
import * as Hostile from "../../src/simulator/Hostile.ts"
import type { VirtualLab } from "../../src/simulator/VirtualLab.ts"

/** A member of the lab's session that means harm, until the scope closes. */
export const hostileIn = Effect.fnUntraced(function*(lab: VirtualLab, role: Hostile.Role) {
  const crypto = Context.get(lab.crypto, Crypto)
  const random = yield* Random.Random
  return yield* Hostile.run({
    name: "hostile",
    role,
    port: lab.network.port("10.9.0.1"),
    network: lab.network,
    crypto,
    self: crypto.keyPair(CryptoSeeded.seed(1_000)),
    random: () => random.nextDoubleUnsafe(),
    discoveryPort: 4_000
  })
})
