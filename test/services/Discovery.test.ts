/** Discovery on virtual networks: real layers, fibers and signatures; virtual time and wires, seeded chance. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, PubSub, Random, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Announcement from "../../src/protocol/Announcement.ts"
import type { VerifiedCertificate } from "../../src/protocol/Certificate.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import { Crypto, type KeyPair } from "../../src/services/Crypto.ts"
import { Datagrams, ListenError } from "../../src/services/Datagrams.ts"
import { Discovery } from "../../src/services/Discovery.ts"
import { layerNode } from "../../src/services/node/CryptoNode.ts"
import { announcementOf, certify, pairOf } from "../support/Announcements.ts"
import { BroadcastMedium, type Machine, type MediumOptions } from "../support/BroadcastMedium.ts"

const crypto = Effect.runSync(Crypto.pipe(Effect.provide(layerNode)))
const root = pairOf(crypto, 1)
const host = pairOf(crypto, 2)
const session = certify(crypto, root, host)

const discoveryOf = (medium: BroadcastMedium, machine: Machine) =>
  Layer.build(Discovery.layer({ port: 5_000 }).pipe(Layer.provide([medium.datagrams(machine), layerNode]))).pipe(
    Effect.map((context) => Context.get(context, Discovery))
  )

const announcing = (self: KeyPair, certificate: VerifiedCertificate = session, listenPort = 4_711) =>
  Effect.succeed({ certificate, self, listenPort })

/** A machine that takes part in the session until it is switched off. */
const device = Effect.fnUntraced(function*(medium: BroadcastMedium, self: KeyPair, ...networks: Array<number>) {
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const machine = medium.machine(...networks)
  const discovery = yield* discoveryOf(medium, machine).pipe(Scope.provide(scope))
  yield* discovery.announce(announcing(self)).pipe(Scope.provide(scope))
  return { machine, discovery, switchOff: Scope.close(scope, Exit.void) }
})

/** Writes down when it hears what; nothing waits for it. */
const notes = Effect.fnUntraced(function*(medium: BroadcastMedium, discovery: Discovery["Service"]) {
  const heard: Array<{ readonly atMs: number; readonly port: number; readonly host: string }> = []
  const sightings = yield* discovery.sightings
  yield* PubSub.take(sightings).pipe(
    Effect.map(({ address }) => heard.push({ atMs: medium.nowMs, ...address })),
    Effect.forever,
    Effect.forkScoped({ startImmediately: true })
  )
  return heard
})

const onMedium = (
  options: Partial<MediumOptions>,
  seed: number,
  f: (medium: BroadcastMedium) => Effect.Effect<void, never, Scope.Scope>
) =>
  BroadcastMedium.make({ latencyMsMin: 1, latencyMsMax: 30, loss: 0, ...options }).pipe(
    Effect.flatMap(f),
    Effect.scoped,
    Random.withSeed(seed)
  )

/** Announcements a second on one network between two moments. */
const rateOf = (medium: BroadcastMedium, network: number, fromMs: number, toMs: number) =>
  medium.transmissions.filter((one) => one.network === network && one.atMs >= fromMs && one.atMs < toMs).length /
  ((toMs - fromMs) / 1_000)

/** How long somebody who begins to listen at any moment between the two waits for the first announcement: the 95th percentile. */
const waitMsOf = (medium: BroadcastMedium, network: number, fromMs: number, toMs: number) => {
  const times = medium.transmissions.filter((one) => one.network === network).map(({ atMs }) => atMs)
  const waits: Array<number> = []
  for (let atMs = fromMs; atMs < toMs; atMs += 50) waits.push((times.find((time) => time >= atMs) ?? Infinity) - atMs)
  return waits.toSorted((a, b) => a - b)[Math.floor(waits.length * 0.95)]!
}

describe("Discovery", () => {
  const Seed = Schema.Natural

  it.effect.prop(
    "fills a room of 50 with one to three announcements a second, with its host and after it",
    { seed: Seed, loss: Schema.Literals([0, 0.05]) },
    ({ loss, seed }) =>
      onMedium({ loss }, seed, (medium) =>
        Effect.gen(function*() {
          const teacher = yield* device(medium, host, 0)
          for (let i = 0; i < 49; i++) yield* device(medium, pairOf(crypto, 100 + i), 0)
          yield* TestClock.adjust("70 seconds")
          yield* teacher.switchOff
          yield* TestClock.adjust("20 seconds")
          // From half a minute on, everybody also speaks up now and then whatever it hears.
          for (const [fromMs, toMs] of [[3_000, 28_000], [30_000, 69_000], [73_000, 88_000]] as const) {
            assert.isAtMost(rateOf(medium, 0, fromMs, toMs), 3)
            assert.isAtLeast(rateOf(medium, 0, fromMs, toMs), 0.7)
            assert.isAtMost(waitMsOf(medium, 0, fromMs, toMs), 1_500)
          }
          const newcomer = yield* discoveryOf(medium, medium.machine(0))
          const heard = yield* notes(medium, newcomer)
          yield* TestClock.adjust("5 seconds")
          assert.isAtLeast(heard.length, 2)
        })),
    { timeout: 120_000, arbitrary: { runs: 5 } }
  )

  it.effect("answers nobody over UDP: a flood makes a listener send nothing, and a host no more than its second's announcement", () =>
    onMedium({}, 3, (medium) =>
      Effect.gen(function*() {
        const listening = medium.machine(0)
        yield* discoveryOf(medium, listening)
        const teacher = yield* device(medium, host, 0)
        const attacker = medium.machine(0)
        const datagrams = Context.get(yield* Layer.build(medium.datagrams(attacker)), Datagrams)
        const valid = announcementOf(crypto, session, pairOf(crypto, 9), 4_711)
        const forged = valid.map((byte, i) => (i === valid.length - 20 ? byte ^ 1 : byte))
        const garbage = valid.map((byte, i) => (byte * 31 + i) & 255)
        const from = yield* datagrams.interfaces
        for (let ms = 0; ms < 10_000; ms += 10) {
          for (const bytes of [valid, forged, garbage]) yield* datagrams.broadcast(5_000, bytes, from)
          yield* TestClock.adjust(10)
        }
        const addressOf = ({ number }: Machine) => `10.0.${number >> 8}.${number & 255}`
        const sentBy = (machine: Machine) => medium.transmissions.filter(({ source }) => source === addressOf(machine))
        assert.lengthOf(sentBy(attacker), 3_000)
        assert.isEmpty(sentBy(listening))
        assert.isAbove(sentBy(teacher.machine).length, 8)
        assert.isAtMost(sentBy(teacher.machine).length, 1 + 10_000 / Limits.announceIntervalMsMin)
      })))

  it.effect("lets the host be heard at once, and then every second", () =>
    onMedium({}, 1, (medium) =>
      Effect.gen(function*() {
        const heard = yield* notes(medium, yield* discoveryOf(medium, medium.machine(0)))
        yield* device(medium, host, 0)
        yield* TestClock.adjust("10 seconds")
        assert.isAtLeast(medium.transmissions.length, 10)
        assert.isAtMost(medium.transmissions.length, 13)
        // Nobody need be told of each of them.
        assert.isAtMost(heard[0]!.atMs, 30)
        assert.isAtLeast(heard.length, 3)
        assert.isAtMost(heard.length, 1 + 10_000 / Limits.sightingReportMs)
        assert.deepStrictEqual(new Set(heard.map(({ host, port }) => `${host}:${port}`)), new Set(["10.0.0.2:4711"]))
      })))

  it.effect("carries the news into a network that the host does not stand in", () =>
    onMedium({}, 2, (medium) =>
      Effect.gen(function*() {
        yield* device(medium, host, 0)
        yield* device(medium, pairOf(crypto, 3), 0, 1)
        const heard = yield* notes(medium, yield* discoveryOf(medium, medium.machine(1)))
        yield* TestClock.adjust("10 seconds")
        assert.isAtLeast(heard.length, 4)
        assert.isAtMost(rateOf(medium, 0, 0, 10_000), 1.5)
      })))

  it.effect("begins to announce on an interface that comes up later", () =>
    onMedium({}, 3, (medium) =>
      Effect.gen(function*() {
        const teacher = yield* device(medium, host)
        const { discovery } = yield* device(medium, pairOf(crypto, 3), 0)
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(yield* discovery.sighted, [])
        teacher.machine.networks = [0]
        yield* TestClock.adjust("1100 millis")
        assert.strictEqual((yield* discovery.sighted).length, 1)
      })))

  it.effect("never sights itself, forgets who has left, and stops announcing with its scope", () =>
    onMedium({}, 4, (medium) =>
      Effect.gen(function*() {
        const teacher = yield* device(medium, host, 0)
        const student = yield* device(medium, pairOf(crypto, 3), 0)
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(yield* teacher.discovery.sighted, [])
        assert.strictEqual((yield* student.discovery.sighted).length, 1)
        yield* teacher.switchOff
        yield* TestClock.adjust("40 seconds")
        assert.deepStrictEqual(yield* student.discovery.sighted, [])
        yield* student.switchOff
        const sent = medium.transmissions.length
        yield* TestClock.adjust("40 seconds")
        assert.strictEqual(medium.transmissions.length, sent)
      })))

  it.effect("announces anew when the certificate changes, and nothing while it accepts no links", () =>
    onMedium({}, 5, (medium) =>
      Effect.gen(function*() {
        let certificate = session
        let listenPort = 0
        const discovery = yield* discoveryOf(medium, medium.machine(0))
        yield* discovery.announce(Effect.sync(() => ({ certificate, self: host, listenPort })))
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(medium.transmissions, [])
        listenPort = 4_711
        yield* TestClock.adjust("3 seconds")
        certificate = certify(crypto, root, host, { epoch: 2 })
        yield* TestClock.adjust("3 seconds")
        const epochs = medium.transmissions.map(({ bytes }) => {
          const decoded = Announcement.decode(bytes)
          return decoded._tag === "Announcement" ? decoded.announcement.certificate.epoch : decoded._tag
        })
        assert.deepStrictEqual(epochs, epochs.toSorted())
        assert.deepStrictEqual(Array.from(new Set(epochs)), [1, 2])
      })))

  it.effect("tells of other versions and counts what it dropped", () =>
    onMedium({}, 6, (medium) =>
      Effect.gen(function*() {
        const discovery = yield* discoveryOf(medium, medium.machine(0))
        const bytes = announcementOf(crypto, session, host, 4_711)
        yield* medium.inject(0, "10.0.9.9", bytes.map((byte, i) => (i === 4 ? 7 : byte)))
        yield* medium.inject(0, "10.0.9.9", bytes.subarray(0, 300))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* discovery.otherVersions, [7])
        assert.deepInclude(yield* discovery.counts, { "other-version": 1, "garbage": 1, "sighted": 0 })
      })))

  it.effect("works deaf where the port is taken, says why, and listens as soon as it can", () =>
    onMedium({}, 7, (medium) =>
      Effect.gen(function*() {
        const machine = medium.machine(0)
        machine.deafBecause = new ListenError({ port: 5_000, detail: "in use" })
        const discovery = yield* discoveryOf(medium, machine)
        yield* discovery.announce(announcing(pairOf(crypto, 3)))
        yield* device(medium, host, 0)
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual((yield* discovery.problem)?.detail, "in use")
        assert.isTrue(medium.transmissions.some(({ source }) => source === "10.0.0.1"))
        machine.deafBecause = undefined
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual(yield* discovery.problem, undefined)
        assert.strictEqual((yield* discovery.sighted).length, 1)
      })))

  it.effect("keeps a wanted session listed through a flood of others", () =>
    onMedium({}, 8, (medium) =>
      Effect.gen(function*() {
        const discovery = yield* discoveryOf(medium, medium.machine(0))
        yield* discovery.want((one) => one === root.publicKey)
        for (let i = 0; i < 90; i++) {
          const certificate = certify(crypto, pairOf(crypto, 1_000 + i), host)
          yield* medium.inject(0, `10.0.8.${i}`, announcementOf(crypto, certificate, host, 4_711))
          yield* TestClock.adjust("50 millis")
        }
        yield* device(medium, host, 0)
        yield* TestClock.adjust("2 seconds")
        const sighted = yield* discovery.sighted
        assert.strictEqual(sighted.length, Limits.sessionsListedMax)
        assert.isTrue(sighted.some(({ certificate }) => certificate.certificate.root === root.publicKey))
      })))

  it.effect("is a function of its seed", () =>
    Effect.gen(function*() {
      const traces: Array<ReadonlyArray<unknown>> = []
      for (let run = 0; run < 2; run++) {
        yield* onMedium({ loss: 0.1 }, 9, (medium) =>
          Effect.gen(function*() {
            for (let i = 0; i < 8; i++) yield* device(medium, pairOf(crypto, 100 + i), 0)
            const startMs = medium.nowMs
            yield* TestClock.adjust("10 seconds")
            traces.push(medium.transmissions.map(({ atMs, source }) => [atMs - startMs, source]))
          }))
      }
      assert.isAbove(traces[0]!.length, 3)
      assert.deepStrictEqual(traces[0], traces[1])
    }))
})
