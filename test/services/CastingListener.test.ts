/** What a device without a link to the host makes of what neighbors pass on, and when it has one. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import type { CastNotice } from "../../src/protocol/CastNotice.ts"
import { PeerId } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import type { Signed } from "../../src/protocol/Signed.ts"
import type { CastMessage } from "../../src/protocol/Wire.ts"
import * as Casting from "../../src/services/Casting.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import { Multicast } from "../../src/services/Multicast.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import type { PeerInfo } from "../../src/services/PeerManager.ts"
import { SessionContext } from "../../src/services/SessionContext.ts"
import { castUser } from "../support/CastUser.ts"
import { certify, seed } from "../support/Certified.ts"
import { scopedInTime } from "../support/InTime.ts"

const peer = (n: number) => PeerId.make(`${n}`.padStart(43, "p"))
const lan = { name: "lan", address: "10.0.0.9", broadcast: "10.0.0.255", prefixLength: 24, loopback: false }

/** A student that sends nowhere, and what it does. */
const student = Effect.gen(function*() {
  const crypto = yield* Crypto
  const certified = yield* certify()
  const groups: Array<string> = []
  const said: Array<readonly [to: PeerId, tag: CastMessage["_tag"]]> = []
  let overheadBytes = 0
  const multicast = Layer.succeed(Multicast, {
    sender: () => Effect.never,
    receive: (all) => Effect.sync(() => void groups.push(...all.map(({ host }) => host))),
    interfaces: Effect.succeed([lan])
  })
  const context = SessionContext.layer({
    self: crypto.keyPair(seed(1_001)),
    name: "student",
    certificates: [certified.verified]
  })
  const services = yield* Layer.build(Layer.mergeAll(multicast, context))
  const casting = yield* Casting.make(castUser(crypto, {
    send: (to, { _tag }) => void said.push([to, _tag]),
    overhead: (_, bytes) => {
      overheadBytes += bytes
    }
  })).pipe(Effect.provide(services))
  const hostPeer = Context.get(services, SessionContext).hostPeer()
  const host: PeerInfo = {
    peer: hostPeer,
    key: certified.host.publicKey,
    name: "teacher",
    address: { host: "10.0.0.1", port: 1 },
    dialled: true,
    isHost: true
  }
  const sign = (number: number, by = certified.host, body: Partial<CastNotice> & { pad?: string } = {}): Signed =>
    crypto.sign(
      by,
      "cast-notice",
      certified.verified.certificate.session,
      JSON.stringify({
        number,
        from: "10.0.0.1",
        group: { host: `239.255.0.${number}`, port: 24_727 },
        key: `${number}`.padStart(43, "A"),
        casts: [],
        ...body
      })
    )
  const hear = (from: PeerId, notice: Signed) =>
    Effect.sync(() => casting.hear(from, { _tag: "Casts", notice, ignorable: true })).pipe(
      Effect.andThen(TestClock.adjust(1)),
      Effect.andThen(Effect.promise(() => new Promise((resume) => setImmediate(resume)))),
      Effect.andThen(Effect.yieldNow)
    )
  return { casting, crypto, groups, said, host, sign, hear, overheadBytes: () => overheadBytes }
})

const alone = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(scopedInTime, Effect.provide(CryptoNode.layerNode))

describe("CastingListener", () => {
  it.effect("listens where the host has signed that it casts, whoever passes it on, and passes it on", () =>
    Effect.gen(function*() {
      const { casting, groups, hear, said, sign } = yield* student
      casting.nearHost(peer(2), false)
      yield* hear(peer(1), sign(1))
      assert.deepStrictEqual(groups, ["239.255.0.1"])
      assert.deepStrictEqual(said, [[peer(2), "Casts"]])
      yield* hear(peer(2), sign(2))
      yield* hear(peer(1), sign(1))
      assert.deepStrictEqual(groups, ["239.255.0.1", "239.255.0.2"])
      assert.lengthOf(said, 1)
    }).pipe(alone))

  it.effect("passes over what the host has not signed, and what is too long, as overhead", () =>
    Effect.gen(function*() {
      const { crypto, groups, hear, overheadBytes, said, sign, casting } = yield* student
      casting.nearHost(peer(2), false)
      const own = crypto.keyPair(seed(1_002))
      const genuine = sign(1)
      const long = (count: number) => {
        const { body } = sign(3)
        return sign(3, undefined, { pad: "x".repeat(count - body.length - `,"pad":""`.length) })
      }
      const tooLong = long(Limits.castNoticeCharactersMax + 1)
      const lies = [sign(1, own), { ...sign(1, own), key: genuine.key }, { ...genuine, body: sign(2).body }, tooLong]
      for (const notice of lies) yield* hear(peer(1), notice)
      assert.deepStrictEqual([groups, said], [[], []])
      assert.strictEqual(overheadBytes(), lies.reduce((sum, { body }) => sum + body.length, 0))
      yield* hear(peer(1), long(Limits.castNoticeCharactersMax))
      assert.deepStrictEqual(groups, ["239.255.0.3"])
    }).pipe(alone))

  it.effect("hears the host alone once that has spoken of casts, and not because a link to it was there for a moment", () =>
    Effect.gen(function*() {
      const { casting, groups, hear, host, said, sign } = yield* student
      yield* hear(peer(1), sign(1))
      // The host has no room for one more link.
      casting.peerUp(host)
      casting.peerDown(host.peer)
      casting.nearHost(peer(2), false)
      assert.deepStrictEqual(said, [[peer(2), "Casts"]])

      casting.peerUp(host)
      yield* hear(host.peer, sign(2))
      assert.deepStrictEqual(said.splice(0), [[peer(2), "Casts"], [peer(2), "Casts"]])
      yield* hear(peer(1), sign(3))
      assert.deepStrictEqual([groups, said], [["239.255.0.1"], []])

      // What it knew may be of a host that is gone.
      casting.peerDown(host.peer)
      casting.nearHost(peer(3), false)
      assert.isEmpty(said)
      yield* hear(peer(1), sign(2))
      assert.deepStrictEqual(groups, ["239.255.0.1", "239.255.0.2"])
    }).pipe(alone))
})
