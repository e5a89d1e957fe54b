/** The relay service on many devices: real layers, fibers, signatures and logs on disk; virtual links and time. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, PubSub, Random, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { Certificate, VerifiedCertificate } from "../../src/protocol/Certificate.ts"
import type { Content } from "../../src/protocol/Entry.ts"
import { type PeerId, Root } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import type { Kind, Signed } from "../../src/protocol/Signed.ts"
import { Crypto, type KeyPair } from "../../src/services/Crypto.ts"
import { LogStore } from "../../src/services/LogStore.ts"
import { type Delivered, MessageRelay } from "../../src/services/MessageRelay.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { PeerManager } from "../../src/services/PeerManager.ts"
import { SessionContext } from "../../src/services/SessionContext.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import { certify, seed } from "../support/Certified.ts"
import { type Edge, line, mesh, MeshDraws } from "../support/GossipSimulator.ts"
import { VirtualPeers } from "../support/VirtualPeers.ts"

const stateFolder = "/state"
/** The seed of the teacher's key; students are `student(1)`, `student(2)`, … */
const teacher = 2
const student = (n: number) => 100 + n

const text = (text: string): Content => ({ _tag: "Text", text })

interface Device {
  readonly pair: KeyPair
  readonly peer: PeerId
  readonly disk: DiskMemory
  readonly context: SessionContext["Service"]
  readonly relay: MessageRelay["Service"]
  /** What it was told, so far. */
  readonly heard: Array<Delivered>
  readonly stop: Effect.Effect<void>
}

/** Starts a device; with the disk of an earlier one it is the same device started again. */
const start = Effect.fnUntraced(function*(
  network: VirtualPeers,
  keySeed: number,
  certificates: readonly [VerifiedCertificate, ...ReadonlyArray<VerifiedCertificate>],
  disk: DiskMemory = new DiskMemory()
) {
  const crypto = yield* Crypto
  const pair = crypto.keyPair(seed(keySeed))
  const peer = crypto.peerId(pair.publicKey)
  const scope = yield* Scope.fork(yield* Effect.scope)
  const peers = Layer.effect(
    PeerManager,
    Effect.flatMap(SessionContext, (context) => network.attach(peer, pair.publicKey, context))
  )
  const services = yield* Layer.buildWithScope(
    MessageRelay.layer(stateFolder).pipe(
      Layer.provideMerge(peers),
      Layer.provideMerge(SessionContext.layer({ self: pair, name: `device ${keySeed}`, certificates })),
      Layer.provideMerge(disk.layer)
    ),
    scope
  )
  const relay = Context.get(services, MessageRelay)
  const heard: Array<Delivered> = []
  yield* relay.delivered.process((delivered) => Effect.sync(() => void heard.push(delivered))).pipe(
    Scope.provide(scope)
  )
  const device: Device = {
    pair,
    peer,
    disk,
    context: Context.get(services, SessionContext),
    relay,
    heard,
    stop: Scope.close(scope, Exit.void)
  }
  return device
})

/** A teacher and students in a mesh, with their links up. */
const room = Effect.fnUntraced(function*(count: number, edges: ReadonlyArray<Edge>) {
  const network = yield* VirtualPeers.make({ latencyMsMin: 1, latencyMsMax: 50 })
  const { verified } = yield* certify()
  const devices: Array<Device> = []
  for (let i = 0; i < count; i++) {
    devices.push(yield* start(network, i === 0 ? teacher : student(i), [verified]))
  }
  for (const [a, b] of edges) yield* network.link(devices[a]!.peer, devices[b]!.peer)
  yield* TestClock.adjust("1 second")
  return { network, devices, verified }
})

/** A peer that speaks for itself: it has a link to one device and keeps to no rule. */
const stranger = Effect.fnUntraced(function*(network: VirtualPeers, keySeed: number, to: Device) {
  const crypto = yield* Crypto
  const pair = crypto.keyPair(seed(keySeed))
  const peers = yield* network.attach(crypto.peerId(pair.publicKey), pair.publicKey)
  yield* network.link(crypto.peerId(pair.publicKey), to.peer)
  peers.send(to.peer, { _tag: "Heads", first: true, received: 0, heads: [] })
  yield* TestClock.adjust("1 second")
  const session = to.context.session
  return {
    peer: crypto.peerId(pair.publicKey),
    sign: (body: string, kind: Kind = "entry"): Signed => crypto.sign(pair, kind, session, body),
    entry: (number: number, content: unknown): Signed =>
      crypto.sign(pair, "entry", session, JSON.stringify({ number, name: "stranger", writtenAt: 0, content })),
    send: (entries: ReadonlyArray<Signed>) => peers.send(to.peer, { _tag: "Entries", entries }),
    say: (message: Parameters<typeof peers.send>[1]) => peers.send(to.peer, message)
  }
})

const textsOf = (device: Device): ReadonlyArray<string> =>
  device.heard.map(({ entry: { content } }) => (content._tag === "Text" ? content.text : content._tag))

const sortedTexts = (device: Device): ReadonlyArray<string> => textsOf(device).toSorted()

const simulated = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | Crypto>) =>
  effect.pipe(Effect.scoped, Effect.provide(CryptoNode.layerNode), Random.withSeed("relay"))

/** Of what waits to be heard, each item takes a turn of the scheduler. */
const settled = Effect.repeat(Effect.yieldNow, { times: 20 })

/** Lets virtual time pass in steps, as timers and links need. */
const pass = (seconds: number) =>
  Effect.forEach(Array.from({ length: seconds }), () => Effect.andThen(TestClock.adjust("1 second"), settled), {
    discard: true
  })

describe("MessageRelay", () => {
  it.effect("does what is to be done first when an entry is on disk and nobody has heard of it, and not for one it refuses", () =>
    simulated(Effect.gen(function*() {
      const { devices: [host, listener] } = yield* room(2, [[0, 1]])
      const first: Array<readonly [onDisk: boolean, delivered: number]> = []
      const note = Effect.gen(function*() {
        // Longer than a message needs.
        yield* Effect.sleep("1 second")
        const kept = Array.from(host!.disk.files("/").values(), (file) => Buffer.from(file).toString())
        first.push([kept.some((each) => each.includes("a hand-out")), host!.heard.length + listener!.heard.length])
      })
      const written = yield* Effect.forkScoped(host!.relay.write(text("a hand-out"), note))
      yield* pass(3)
      yield* Fiber.join(written)
      assert.deepStrictEqual(first, [[true, 0]])
      assert.deepStrictEqual([textsOf(host!), textsOf(listener!)], [["a hand-out"], ["a hand-out"]])
      yield* Effect.flip(host!.relay.write(text("x".repeat(Limits.messageTextBytesMax + 1)), note))
      assert.lengthOf(first, 1)
    })))

  it.effect.prop(
    "brings every message to all 50 devices of any connected mesh, once and in its author's order",
    { draws: MeshDraws(50, 40) },
    ({ draws }) =>
      simulated(Effect.gen(function*() {
        const { devices } = yield* room(50, mesh(draws))
        for (let i = 0; i < 3; i++) {
          yield* Effect.forEach(devices.slice(0, 4), ({ relay }, at) => relay.write(text(`${at}:${i}`)), {
            concurrency: "unbounded"
          })
        }
        yield* pass(4)
        for (const device of devices) {
          for (let at = 0; at < 4; at++) {
            const mine = textsOf(device).filter((each) => each.startsWith(`${at}:`))
            assert.deepStrictEqual(mine, [`${at}:0`, `${at}:1`, `${at}:2`])
          }
          assert.strictEqual(device.heard.length, 12)
          assert.isTrue(
            device.heard.every(({ byHost, peer, replayed }) => !replayed && byHost === (peer === devices[0]!.peer))
          )
        }
      })),
    { timeout: 60_000, arbitrary: { runs: 3 } }
  )

  it.effect("is a function of its seed", () => {
    const run = simulated(Effect.gen(function*() {
      const { devices, network } = yield* room(10, line(10))
      yield* Effect.forEach(devices, ({ relay }, i) => relay.write(text(`${i}`)), { concurrency: "unbounded" })
      yield* pass(5)
      return network.sent.map(({ atMs, from, message, to }) => `${atMs} ${from} ${to} ${message._tag}`)
    })).pipe(Effect.provide(TestClock.layer()))
    return Effect.gen(function*() {
      const first = yield* run
      assert.isAbove(first.length, 100)
      assert.deepStrictEqual(yield* run, first)
    })
  })

  it.effect("catches up with what was said while a link was cut", () =>
    simulated(Effect.gen(function*() {
      const { devices: [a, b, c], network } = yield* room(3, line(3))
      yield* a!.relay.write(text("before"))
      yield* pass(1)
      yield* network.cut(a!.peer, b!.peer)
      yield* a!.relay.write(text("here"))
      yield* c!.relay.write(text("there"))
      yield* pass(1)
      yield* network.link(a!.peer, b!.peer)
      yield* pass(1)
      for (const device of [a!, b!, c!]) assert.deepStrictEqual(sortedTexts(device), ["before", "here", "there"])
    })))

  it.effect("delivers its log again after a restart, marked as such and never twice", () =>
    simulated(Effect.gen(function*() {
      const { devices: [a, b], network, verified } = yield* room(2, line(2))
      for (let i = 0; i < 5; i++) yield* [a!, b!][i % 2]!.relay.write(text(`${i}`))
      yield* pass(1)
      const before = textsOf(b!)
      yield* b!.stop
      yield* a!.relay.write(text("missed"))
      const again = yield* start(network, student(1), [verified], b!.disk)
      yield* network.link(a!.peer, again.peer)
      yield* pass(2)
      assert.deepStrictEqual(textsOf(again), [...before, "missed"])
      assert.deepStrictEqual(again.heard.map(({ replayed }) => replayed), [true, true, true, true, true, false])
      const entry = yield* again.relay.write(text("back"))
      assert.strictEqual(entry.number, 3)
      yield* pass(1)
      assert.strictEqual(textsOf(a!).at(-1), "back")
    })))

  it.effect("has on disk what it has delivered, whenever it is killed", () =>
    simulated(Effect.gen(function*() {
      const { devices: [a, b], network, verified } = yield* room(2, line(2))
      let device = b!
      for (let i = 0; i < 8; i++) {
        yield* a!.relay.write(text(`${2 * i}`))
        yield* a!.relay.write(text(`${2 * i + 1}`))
        yield* TestClock.adjust(7 * i)
        const before = textsOf(device)
        device.disk.kill()
        yield* device.stop
        device = yield* start(network, student(1), [verified], device.disk)
        yield* pass(1)
        assert.deepStrictEqual(textsOf(device).slice(0, before.length), before)
        yield* network.link(a!.peer, device.peer)
        yield* pass(1)
        assert.deepStrictEqual(textsOf(device), textsOf(a!))
      }
    })))

  it.effect("never uses a number twice, also when the end of its own log is lost", () =>
    simulated(Effect.gen(function*() {
      const { devices: [a, b], network, verified } = yield* room(2, line(2))
      for (let i = 0; i < 4; i++) yield* b!.relay.write(text(`${i}`))
      yield* pass(1)
      yield* b!.stop
      // The device's log is gone altogether: worse than any crash.
      const again = yield* start(network, student(1), [verified])
      yield* network.link(a!.peer, again.peer)
      yield* pass(1)
      const writing = yield* Effect.forkScoped(again.relay.write(text("4")))
      yield* pass(5)
      assert.strictEqual((yield* Fiber.join(writing)).number, 5)
      yield* pass(1)
      assert.deepStrictEqual(textsOf(a!), ["0", "1", "2", "3", "4"])
      assert.deepStrictEqual(textsOf(again), ["0", "1", "2", "3", "4"])
    })))

  it.effect("keeps its own entries through a power cut", () =>
    simulated(Effect.gen(function*() {
      const { devices: [a], network, verified } = yield* room(1, [])
      for (let i = 0; i < 3; i++) yield* a!.relay.write(text(`${i}`))
      a!.disk.crash(() => 0)
      const again = yield* start(network, teacher, [verified], a!.disk)
      yield* pass(1)
      assert.deepStrictEqual(textsOf(again), ["0", "1", "2"])
      assert.strictEqual((yield* again.relay.write(text("3"))).number, 4)
    })))

  it.effect(
    "gives a late joiner the history, 5,000 entries of it",
    () =>
      simulated(Effect.gen(function*() {
        const { devices: [a], network, verified } = yield* room(1, [])
        yield* a!.stop
        const crypto = yield* Crypto
        const records = Array.from({ length: 5_000 }, (_, i) => {
          const body = JSON.stringify({ number: i + 1, name: "teacher", writtenAt: 0, content: text(`line ${i}`) })
          return { kind: "entry" as const, signed: crypto.sign(a!.pair, "entry", verified.certificate.session, body) }
        })
        yield* Effect.scoped(Effect.gen(function*() {
          const log = yield* (yield* LogStore).open(verified.certificate.session)
          yield* log.append(records, false)
        })).pipe(Effect.provide(LogStore.layer(stateFolder).pipe(Layer.provide(a!.disk.layer))))
        const old = yield* start(network, teacher, [verified], a!.disk)
        const late = yield* start(network, student(1), [verified])
        // Of what waits each takes a turn or two, and no time.
        yield* Effect.repeat(Effect.yieldNow, { times: 10_000 })
        assert.strictEqual(old.heard.length, 5_000)
        yield* network.link(old.peer, late.peer)
        // Verifying takes real turns of the event loop, which virtual time does not wait for.
        for (let i = 0; i < 500 && late.heard.length < 5_000; i++) yield* TestClock.adjust("100 millis")
        assert.strictEqual(late.heard.length, 5_000)
        assert.deepStrictEqual(textsOf(late), textsOf(old))
      })),
    { timeout: 60_000 }
  )

  it.effect("ends the link of a peer that sends what no honest one does, and goes on", () =>
    simulated(Effect.gen(function*() {
      const { devices: [a, b], network } = yield* room(2, line(2))
      const crypto = yield* Crypto
      type Stranger = Effect.Success<ReturnType<typeof stranger>>
      const attacks: ReadonlyArray<readonly [string, (peer: Stranger) => Signed]> = [
        ["a forged entry", (peer) => ({ ...peer.entry(1, text("x")), body: peer.entry(1, text("y")).body })],
        ["a forged entry", (peer) => ({ ...peer.entry(1, text("x")), key: a!.pair.publicKey })],
        ["a forged entry", (peer) => peer.sign(peer.entry(1, text("x")).body, "status")],
        ["an oversized entry", (peer) => peer.sign("x".repeat(Limits.entryBodyBytesMax + 1))],
        ["an oversized entry", (peer) => peer.sign("é".repeat(Limits.entryBodyBytesMax / 2 + 1))],
        ["an unreadable entry", (peer) => peer.sign("{")],
        ["an unreadable entry", (peer) => peer.sign("[".repeat(20_000))],
        ["an unreadable entry", (peer) => peer.entry(0, text("x"))],
        ["an unreadable entry", (peer) => peer.entry(1, { _tag: "Unknown" })],
        ["an unreadable entry", (peer) => peer.entry(1, text("x".repeat(Limits.messageTextBytesMax + 1)))],
        ["an entry that its author may not write: End", (peer) => peer.entry(1, { _tag: "End" })],
        [
          "an entry that its author may not write: Unshare",
          (peer) => peer.entry(1, { _tag: "Unshare", root: crypto.sha256Text(new Uint8Array()) })
        ]
      ]
      for (const [i, [detail, attack]] of attacks.entries()) {
        const peer = yield* stranger(network, 500 + i, a!)
        peer.send([attack(peer)])
        yield* pass(1)
        assert.deepStrictEqual(network.ended.at(-1), { by: a!.peer, peer: peer.peer, code: "protocol", detail })
      }
      assert.strictEqual(network.ended.length, attacks.length)
      const status = yield* stranger(network, 600, a!)
      status.say({ _tag: "Statuses", statuses: [status.sign("{}", "status")] })
      yield* pass(1)
      assert.strictEqual(network.ended.at(-1)!.detail, "an unreadable status")
      yield* b!.relay.write(text("still here"))
      yield* pass(1)
      assert.deepStrictEqual(textsOf(a!), ["still here"])
    })))

  it.effect("says why it does not write what it may not, what is too long and what comes too fast", () =>
    simulated(Effect.gen(function*() {
      const { devices: [, b] } = yield* room(2, line(2))
      const root = Root.make(b!.context.root)
      const share: Content = {
        _tag: "Share",
        root,
        kind: "file",
        title: "mine.txt",
        sizeBytes: 1,
        filesCount: 1,
        chunkSizeBytes: 65_536,
        chunksCount: 1,
        manifest: { sizeBytes: 100, chunkSizeBytes: 65_536, hashes: [root] }
      }
      for (const content of [share, { _tag: "Unshare", root }, { _tag: "End" }, text("")] as const) {
        assert.strictEqual((yield* Effect.flip(b!.relay.write(content))).reason, "not-allowed")
      }
      const long = text("x".repeat(Limits.messageTextBytesMax + 1))
      assert.strictEqual((yield* Effect.flip(b!.relay.write(long))).reason, "too-long")
      yield* b!.relay.write(text("x".repeat(Limits.messageTextBytesMax)))
      for (let i = 1; i < Limits.entriesBurstMax; i++) yield* b!.relay.write(text(`${i}`))
      assert.strictEqual((yield* Effect.flip(b!.relay.write(text("one more")))).reason, "too-fast")
      yield* pass(1)
      yield* b!.relay.write(text("one more"))
    })))

  it.effect("delays a student's spam at every relay and loses nothing of it", () =>
    simulated(Effect.gen(function*() {
      const { devices, network } = yield* room(4, line(4))
      const spammer = yield* stranger(network, 700, devices[1]!)
      spammer.send(Array.from({ length: 100 }, (_, i) => spammer.entry(i + 1, text(`${i}`))))
      for (let second = 1; second <= 20; second++) {
        yield* pass(1)
        for (const { heard } of devices) {
          assert.isAtMost(heard.length, Limits.entriesBurstMax + Limits.entriesPerSecondMax * (second + 1))
        }
      }
      for (const device of devices) assert.strictEqual(device.heard.length, 100)
      assert.deepStrictEqual(network.ended, [])
    })))

  it.effect("passes a new certificate on before the entries of the host that it names", () =>
    simulated(Effect.gen(function*() {
      const { devices, network } = yield* room(4, line(4))
      yield* devices[0]!.relay.write(text("first host"))
      yield* pass(1)
      yield* devices[0]!.stop
      yield* network.cut(devices[0]!.peer, devices[1]!.peer)
      // The teacher starts again: a new key, a newer certificate, and nobody else has heard of it.
      const later: Partial<Certificate> = {
        epoch: 2,
        policy: { ...devices[0]!.context.certificate().policy, studentsMayWrite: false }
      }
      const { verified } = yield* certify({ hostSeed: 3, ...later })
      const again = yield* start(network, 3, [verified], devices[0]!.disk)
      yield* network.link(again.peer, devices[1]!.peer)
      yield* again.relay.write({ _tag: "Unshare", root: Root.make(again.context.root) })
      yield* pass(2)
      for (const device of devices.slice(1)) {
        assert.deepStrictEqual(textsOf(device), ["first host", "Unshare"])
        assert.deepStrictEqual(device.heard.map(({ byHost }) => byHost), [true, true])
        assert.strictEqual((yield* Effect.flip(device.relay.write(text("hm")))).reason, "not-allowed")
      }
      assert.deepStrictEqual(textsOf(again), ["first host", "Unshare"])
      assert.deepStrictEqual(network.ended, [])

      // A student that starts again and is told of the newest certificate only still knows who was host before.
      yield* devices[3]!.stop
      const restarted = yield* start(network, student(3), [verified], devices[3]!.disk)
      yield* pass(1)
      assert.deepStrictEqual(restarted.heard.map(({ byHost }) => byHost), [true, true])
    })))

  it.effect("is over once the teacher ends it", () =>
    simulated(Effect.gen(function*() {
      const { devices } = yield* room(3, line(3))
      yield* devices[0]!.relay.write({ _tag: "End" })
      yield* pass(1)
      for (const { relay } of devices) {
        assert.strictEqual((yield* Effect.flip(relay.write(text("more")))).reason, "ended")
      }
    })))

  it.effect("goes on while the disk fails, refuses own entries meanwhile and keeps what came later", () =>
    simulated(Effect.gen(function*() {
      const { devices: [a, b], network, verified } = yield* room(2, line(2))
      b!.disk.failNext("write", 1_000, "full")
      yield* a!.relay.write(text("heard anyway"))
      yield* pass(1)
      assert.deepStrictEqual(textsOf(b!), ["heard anyway"])
      assert.strictEqual((yield* Effect.flip(b!.relay.write(text("mine")))).reason, "disk")
      b!.disk.recover()
      // By itself, once the disk works again.
      yield* pass(2)
      yield* b!.stop
      const between = yield* start(network, student(1), [verified], b!.disk)
      yield* pass(1)
      assert.deepStrictEqual(textsOf(between), ["heard anyway"])
      assert.strictEqual((yield* between.relay.write(text("mine now"))).number, 1)
      yield* between.stop
      const again = yield* start(network, student(1), [verified], b!.disk)
      yield* pass(1)
      assert.deepStrictEqual(textsOf(again), ["heard anyway", "mine now"])
    })))

  it.effect("opens its log as soon as the disk works that failed at the start, and neither loses nor repeats anything", () =>
    simulated(Effect.gen(function*() {
      const { devices: [a, b], network, verified } = yield* room(2, line(2))
      yield* b!.relay.write(text("earlier, mine"))
      yield* a!.relay.write(text("earlier"))
      yield* pass(1)
      yield* b!.stop
      b!.disk.failNext("read", 1_000, "io")
      const failing = yield* start(network, student(1), [verified], b!.disk)
      yield* pass(2)
      assert.deepStrictEqual(textsOf(failing), [])
      assert.strictEqual((yield* Effect.flip(failing.relay.write(text("mine")))).reason, "disk")
      b!.disk.recover()
      yield* pass(2)
      assert.deepStrictEqual(textsOf(failing), ["earlier, mine", "earlier"])
      assert.isTrue(failing.heard.every(({ replayed }) => replayed))
      assert.strictEqual((yield* failing.relay.write(text("mine now"))).number, 2)
      yield* failing.stop
      const again = yield* start(network, student(1), [verified], b!.disk)
      yield* pass(1)
      assert.deepStrictEqual(textsOf(again), ["earlier, mine", "earlier", "mine now"])
    })))

  it.effect("spreads statuses over a line of ten devices, and forgets who is gone", () =>
    simulated(Effect.gen(function*() {
      const { devices } = yield* room(10, line(10))
      const [host, last] = [devices[0]!, devices[9]!]
      const changes = yield* last.relay.statusChanges
      const count = Effect.map(last.relay.statuses, (all) => all.length)
      const seen = (at: typeof last, of: typeof last) =>
        Effect.map(at.relay.statuses, (all) => all.find(({ peer }) => peer === of.peer)?.status)
      for (const [i, { relay }] of devices.entries()) {
        yield* relay.setStatus({ links: i, receiveBytesPerSecond: 0, shares: [] })
      }
      yield* pass(25)
      assert.strictEqual(yield* count, 10)
      assert.isAbove((yield* PubSub.takeAll(changes)).length, 0)
      // Figures go to the host; what matters of the host's goes to everybody.
      const middle = devices[5]!
      yield* last.relay.setStatus({ links: 99, receiveBytesPerSecond: 0, shares: [] })
      yield* middle.relay.setStatus({ links: 55, receiveBytesPerSecond: 0, shares: [] })
      const share = { root: Root.make("R".repeat(43)), verifiedBytes: 0, complete: false } as const
      yield* host.relay.setStatus({
        links: 77,
        receiveBytesPerSecond: 0,
        shares: [{ ...share, problem: "source-changed" }]
      })
      yield* pass(12)
      assert.strictEqual((yield* seen(host, middle))?.links, 55)
      assert.strictEqual((yield* seen(last, middle))?.links, 5)
      yield* pass(13)
      assert.strictEqual((yield* seen(host, last))?.links, 99)
      assert.strictEqual((yield* seen(last, host))?.shares[0]?.problem, "source-changed")
      yield* host.stop
      yield* pass(90)
      assert.strictEqual(yield* count, 9)
    })))
})
