/** What the host's side of casts leaves of a turn to others. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { PeerId, type Root } from "../../src/protocol/Ids.ts"
import * as Casting from "../../src/services/Casting.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import { Multicast } from "../../src/services/Multicast.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { SessionContext } from "../../src/services/SessionContext.ts"
import { castUser } from "../support/CastUser.ts"
import { certify } from "../support/Certified.ts"

const lan = { name: "lan", address: "10.0.0.1", broadcast: "10.0.0.255", prefixLength: 24, loopback: false }
const root = "r".repeat(43) as Root
const chunkBytes = 64 * 1024
const chunksCount = 4

describe("CastingHost", () => {
  it.live("gives others a turn when sending has taken 10 ms, and goes on after that", () =>
    Effect.gen(function*() {
      const crypto = yield* Crypto
      const { host, verified } = yield* certify()
      // Sending takes 6 ms for each datagram: two of them are a turn.
      let spentMs = 0
      let inARow = 0
      let longest = 0
      let sentBytes = 0
      const multicast = Layer.succeed(Multicast, {
        sender: () =>
          Effect.succeed({
            datagramBytesMax: 9_216,
            send: (parts: ReadonlyArray<Uint8Array>, done: (left: boolean) => void) => {
              spentMs += 6
              longest = Math.max(longest, ++inARow)
              for (const { length } of parts) sentBytes += length
              setImmediate(() => (inARow = 0))
              done(true)
            },
            setQueue: () => {}
          }),
        receive: () => Effect.never,
        interfaces: Effect.succeed([lan])
      })
      const context = SessionContext.layer({ self: host, name: "teacher", certificates: [verified] })
      const services = yield* Layer.build(Layer.mergeAll(multicast, context))
      const casting = yield* Casting.make(castUser(crypto, {
        chunkBytes: () => chunkBytes,
        lacking: () => 4,
        read: (_root, _index, buffer, done) => done(buffer),
        nowMs: () => performance.now() + spentMs
      })).pipe(Effect.provide(services))
      const peers = [2, 3, 4, 5].map((n) => ({ n, peer: PeerId.make(`${n}`.padStart(43, "p")) }))
      for (const { n, peer } of peers) {
        const address = { host: `10.0.0.${n}`, port: 1 }
        casting.peerUp({ peer, key: host.publicKey, name: `${n}`, address, dialled: true, isHost: false })
      }
      yield* Effect.sleep(50)
      for (const { peer } of peers) casting.hear(peer, { _tag: "Tuned", hears: true })
      casting.offer(root, 0, chunksCount, chunksCount * chunkBytes, false)
      for (const { peer } of peers) casting.hear(peer, { _tag: "Ready", cast: 1 })
      // What may leave at once at the first rate is 50,000 bytes: six datagrams, without the rule.
      const isSent = () => sentBytes > chunksCount * chunkBytes
      for (let waits = 0; waits < 200 && !isSent(); waits++) yield* Effect.sleep(10)
      assert.isTrue(isSent())
      assert.isAtMost(longest, 2)
    }).pipe(Effect.scoped, Effect.provide(CryptoNode.layerNode)))
})
