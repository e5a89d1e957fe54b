/** What a device makes of genuine, forged, repeated and foreign datagrams. Real keys and signatures. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Discovery from "../../src/protocol/Discovery.ts"
import type { PublicKey } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import { layerNode } from "../../src/services/node/CryptoNode.ts"
import { announcementOf, certify, pairOf, sessionOf } from "../support/Announcements.ts"

const crypto = Effect.runSync(Crypto.pipe(Effect.provide(layerNode)))
const root = pairOf(crypto, 1)
const host = pairOf(crypto, 2)
const session = certify(crypto, root, host)

/** A listening device that counts the signatures it checks. `trusting` takes them all for good. */
const listener = (options: { readonly trusting?: boolean } = {}) => {
  let verificationsCount = 0
  const state = Discovery.make({
    verify: (kind, session, signed) => {
      verificationsCount++
      return options.trusting === true || crypto.verify(kind, session, signed)
    },
    peerId: crypto.peerId,
    nowMs: 0
  })
  return {
    state,
    get verificationsCount() {
      return verificationsCount
    },
    hear: (bytes: Uint8Array, source: string, nowMs: number) => {
      const outcome = Discovery.receive(state, bytes, source, nowMs)
      return outcome._tag === "Dropped" ? outcome.reason : outcome.again ? "again" : "sighted"
    },
    roots: (nowMs: number) =>
      new Set(Discovery.sighted(state, nowMs).map(({ certificate }) => certificate.certificate.root))
  }
}

/** Sessions of as many teachers, each announced by its host. */
const rooms = Array.from({ length: 100 }, (_, i) => {
  const teacher = pairOf(crypto, 1_000 + i)
  const certificate = certify(crypto, teacher, host, { session: sessionOf(i) })
  return { root: teacher.publicKey, bytes: announcementOf(crypto, certificate, host, 4_711) }
})
const sourceOf = (number: number) => `10.0.${number >> 8}.${number & 255}`

describe("Discovery", () => {
  it("sights a peer where the datagram comes from, at the port it names", () => {
    const { hear, state } = listener()
    assert.strictEqual(hear(announcementOf(crypto, session, host, 4_711), "10.0.0.1", 0), "sighted")
    const student = pairOf(crypto, 3)
    assert.strictEqual(hear(announcementOf(crypto, session, student, 4_712), "10.0.0.2", 0), "sighted")
    assert.deepStrictEqual(Discovery.sighted(state, 0), [
      {
        certificate: session,
        peer: crypto.peerId(host.publicKey),
        address: { host: "10.0.0.1", port: 4_711 },
        byHost: true
      },
      {
        certificate: session,
        peer: crypto.peerId(student.publicKey),
        address: { host: "10.0.0.2", port: 4_712 },
        byHost: false
      }
    ])
  })

  it("checks two signatures of the first announcement, one of the next peer's, none of a repeated one (invariant 2)", () => {
    const room = listener()
    const first = announcementOf(crypto, session, host, 4_711)
    room.hear(first, "10.0.0.1", 0)
    assert.strictEqual(room.verificationsCount, 2)
    room.hear(announcementOf(crypto, session, pairOf(crypto, 3), 4_711), "10.0.0.2", 0)
    assert.strictEqual(room.verificationsCount, 3)
    for (let i = 0; i < 1_000; i++) room.hear(first, "10.0.0.1", i)
    assert.strictEqual(room.verificationsCount, 3)
  })

  it("reports a repeated announcement now and then, and one from another address at once", () => {
    const { hear } = listener()
    const bytes = announcementOf(crypto, session, host, 4_711)
    assert.strictEqual(hear(bytes, "10.0.0.1", 0), "sighted")
    assert.strictEqual(hear(bytes, "10.0.0.1", 1), "again")
    assert.strictEqual(hear(bytes, "10.0.9.1", 1), "sighted")
    assert.strictEqual(hear(bytes, "10.0.0.1", Limits.sightingReportMs - 1), "again")
    assert.strictEqual(hear(bytes, "10.0.0.1", Limits.sightingReportMs), "sighted")
    assert.strictEqual(hear(bytes, "10.0.0.1", Limits.sightingReportMs + 1), "again")
  })

  it("checks announcementVerificationsBurstMax signatures at once, and not one more", () => {
    const room = listener()
    const outcomes = rooms.map(({ bytes }, i) => room.hear(bytes, sourceOf(i), 0))
    assert.strictEqual(room.verificationsCount, Limits.announcementVerificationsBurstMax)
    // Two signatures each: the session's and the device's.
    const heard = Limits.announcementVerificationsBurstMax / 2
    assert.isTrue(outcomes.slice(0, heard).every((outcome) => outcome === "sighted"))
    assert.isTrue(outcomes.slice(heard).every((outcome) => outcome === "rate"))
  })

  it("does not sight itself, also when its own words come from elsewhere (invariant 5)", () => {
    const { hear, state } = listener()
    const bytes = announcementOf(crypto, session, host, 4_711)
    assert.strictEqual(hear(bytes, "10.0.0.1", 0), "sighted")
    state.own.add(host.publicKey)
    assert.strictEqual(hear(bytes, "10.0.0.1", 1_000), "own")
    assert.strictEqual(hear(announcementOf(crypto, session, host, 4_712), "10.0.0.9", 1_000), "own")
  })

  it("tells garbage, forgeries and other versions apart, and counts them (invariant 1)", () => {
    const { hear, state } = listener()
    const bytes = announcementOf(crypto, session, host, 4_711)
    const forged = announcementOf(
      crypto,
      {
        ...session,
        signed: { ...session.signed, signature: crypto.sign(host, "certificate", "-", session.signed.body).signature }
      },
      host,
      4_711
    )
    const foreign = Uint8Array.from(bytes, (byte, i) => (i === 4 ? 2 : byte))
    assert.strictEqual(hear(forged, "10.0.0.1", 0), "forged")
    assert.strictEqual(hear(foreign, "10.0.0.1", 0), "other-version")
    assert.strictEqual(hear(new Uint8Array(2_000), "10.0.0.1", 0), "garbage")
    assert.strictEqual(hear(bytes.subarray(1), "10.0.0.1", 0), "garbage")
    assert.deepStrictEqual(Discovery.sighted(state, 0), [])
    assert.deepStrictEqual(Discovery.otherVersions(state, 0), [2])
    assert.deepStrictEqual(Discovery.otherVersions(state, Limits.sightingAgeMs + 1), [])
    assert.deepInclude(state.counts, { "sighted": 0, "forged": 1, "other-version": 1, "garbage": 2 })
  })

  it("keeps forgeries from one address and from many within the budget (invariant 2)", () => {
    const seconds = 10
    for (const addressesCount of [1, 1_000]) {
      const room = listener()
      const forgeries = rooms.map(({ bytes }) => bytes.map((byte, i) => (i === 60 ? byte ^ 1 : byte)))
      for (let i = 0; i < seconds * 1_000; i++) {
        room.hear(forgeries[i % forgeries.length]!, sourceOf(i % addressesCount), i)
      }
      const perSecond = addressesCount === 1
        ? Limits.announcementsPerAddressPerSecondMax
        : Limits.announcementVerificationsPerSecondMax
      assert.isAtMost(room.verificationsCount, (seconds + 1) * perSecond)
      assert.isAbove(room.verificationsCount, (seconds - 1) * perSecond)
    }
  })

  it("hears a newcomer beside a neighbor that floods the network (invariant 2)", () => {
    const room = listener()
    const genuine = announcementOf(crypto, session, host, 4_711)
    for (let i = 0; i < 5_000; i++) {
      room.hear(rooms[i % 100]!.bytes.map((byte, j) => (j === 60 ? 65 : byte)), "10.0.0.66", i)
    }
    assert.strictEqual(room.hear(genuine, "10.0.0.1", 5_000), "sighted")
  })

  it("forgets a session half a minute after it was last heard, and its peers one by one", () => {
    const { hear, roots, state } = listener()
    const student = announcementOf(crypto, session, pairOf(crypto, 3), 4_711)
    hear(announcementOf(crypto, session, host, 4_711), "10.0.0.1", 0)
    hear(student, "10.0.0.2", 10_000)
    assert.strictEqual(Discovery.sighted(state, Limits.sightingAgeMs).length, 2)
    assert.strictEqual(Discovery.sighted(state, Limits.sightingAgeMs + 1).length, 1)
    assert.strictEqual(roots(Limits.sightingAgeMs + 10_001).size, 0)
  })

  it("lists the session of a root's newest certificate only, and peers that still hold an older one of it", () => {
    const { hear, roots, state } = listener()
    const restarted = certify(crypto, root, pairOf(crypto, 4), { epoch: 2 })
    const other = certify(crypto, root, host, { epoch: 3, session: sessionOf(2) })
    const student = pairOf(crypto, 3)
    const sessions = () => Discovery.sighted(state, 0).map(({ certificate }) => certificate.certificate.epoch)
    hear(announcementOf(crypto, session, student, 4_711), "10.0.0.1", 0)
    hear(announcementOf(crypto, restarted, pairOf(crypto, 4), 4_711), "10.0.0.2", 0)
    hear(announcementOf(crypto, session, student, 4_712), "10.0.0.1", 0)
    assert.deepStrictEqual(sessions(), [1, 2, 1])
    hear(announcementOf(crypto, other, host, 4_711), "10.0.0.3", 0)
    assert.deepStrictEqual(sessions(), [3])
    assert.strictEqual(hear(announcementOf(crypto, restarted, student, 4_711), "10.0.0.1", 0), "superseded")
    assert.strictEqual(roots(0).size, 1)
    assert.strictEqual(hear(announcementOf(crypto, restarted, student, 4_711), "10.0.0.1", 40_000), "sighted")
  })

  const Index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: rooms.length - 1 }))

  it.prop(
    "lists the wanted sessions whatever else is announced, and never more than it may (invariants 3 and 4)",
    {
      wanted: Schema.Array(Index).check(Schema.isMaxLength(5)),
      ranks: Schema.Array(Schema.Natural).check(Schema.isMinLength(rooms.length), Schema.isMaxLength(rooms.length)),
      sourcesCount: Schema.Literals([1, 4, 50])
    },
    ({ ranks, sourcesCount, wanted }) => {
      const { hear, roots, state } = listener({ trusting: true })
      const wantedRoots = new Set<PublicKey>(wanted.map((i) => rooms[i]!.root))
      Discovery.want(state, (root) => wantedRoots.has(root))
      const order = Array.from(rooms.keys()).toSorted((a, b) => ranks[a]! - ranks[b]!)
      order.forEach((room, i) => {
        const source = sourceOf(room % sourcesCount)
        const isWanted = wantedRoots.has(rooms[room]!.root)
        const outcome = hear(rooms[room]!.bytes, source, i * 60)
        assert.isTrue(outcome === "sighted" || (outcome === "surplus" && !isWanted))
        const ofSource = Array.from(state.listed.values()).filter((one) => one.source === source && !one.wanted)
        assert.isAtMost(ofSource.length, Limits.sessionsPerAddressMax)
        assert.isAtMost(state.listed.size, Limits.sessionsListedMax)
      })
      const listed = roots(order.length * 60)
      for (const one of wantedRoots) assert.isTrue(listed.has(one))
      assert.strictEqual(listed.size >= Limits.sessionsListedMax, sourcesCount === 50)
    }
  )

  it("never evicts a session that has become wanted (invariant 4)", () => {
    const { hear, roots, state } = listener({ trusting: true })
    rooms.forEach(({ bytes }, i) => hear(bytes, sourceOf(i), i * 60))
    const early = new Set(rooms.slice(0, 5).map((room) => room.root))
    const late = new Set(rooms.slice(-5).map((room) => room.root))
    Discovery.want(state, (root) => early.has(root) || late.has(root))
    rooms.forEach(({ bytes }, i) => hear(bytes, sourceOf(i), 10_000 + i * 60))
    const listed = roots(16_000)
    assert.isTrue([...early, ...late].every((one) => listed.has(one)))
    assert.strictEqual(state.listed.size, Limits.sessionsListedMax)
  })

  it("keeps a bounded number of peers and addresses however many are announced (invariant 3)", () => {
    const { hear, state } = listener({ trusting: true })
    const students = Array.from(
      { length: 40 },
      (_, i) => announcementOf(crypto, session, pairOf(crypto, 100 + i), 4_711)
    )
    for (let i = 0; i < 5_000; i++) hear(students[i % 40]!, sourceOf(i), i * 10)
    assert.strictEqual(Discovery.sighted(state, 50_000).length, Limits.sightingsPerSessionMax)
    assert.strictEqual(state.unknownBySource.size <= Limits.announcingAddressesMax, true)
    assert.strictEqual(Array.from(state.listed.values())[0]!.sightings.size, Limits.sightingsPerSessionMax)
  })
})
