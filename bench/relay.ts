/**
 * What messages and statuses cost: 50 relays in one process, real signatures, links in memory without latency.
 *
 *   node bench/relay.ts
 *
 * Every device has about ten links. A message is on its way from `write` until the last of the 50 has delivered it. All
 * devices share one core here, so the times are those of a room whose every device is fifty times slower; the processor
 * time is what counts. Sockets, TLS and frames are left out; every message is written as JSON and checked once a hop.
 */
import { Console, Effect, Layer, Random, type Scope } from "effect"
import { Root } from "../src/protocol/Ids.ts"
import { Crypto } from "../src/services/Crypto.ts"
import { MessageRelay } from "../src/services/MessageRelay.ts"
import { layerNode } from "../src/services/node/CryptoNode.ts"
import { PeerManager } from "../src/services/PeerManager.ts"
import { SessionContext } from "../src/services/SessionContext.ts"
import { DiskMemory } from "../src/simulator/DiskMemory.ts"
import { certify, seed } from "../test/support/Certified.ts"
import { mesh } from "../test/support/GossipSimulator.ts"
import { VirtualPeers } from "../test/support/VirtualPeers.ts"

const devicesCount = 50
const shortcutsCount = 200
const warmUpCount = 100
const messagesCount = 200
const messageIntervalMs = 60
const statusWarmUpSeconds = 20
const statusSeconds = 60

const quantile = (sorted: ReadonlyArray<number>, q: number): number => sorted[Math.floor(q * (sorted.length - 1))]!
const cpuMicros = () => {
  const { system, user } = process.cpuUsage()
  return system + user
}

const device = Effect.fnUntraced(function*(network: VirtualPeers, index: number) {
  const crypto = yield* Crypto
  const { verified } = yield* certify()
  const self = crypto.keyPair(seed(2 + index))
  const peer = crypto.peerId(self.publicKey)
  const peers = Layer.effect(
    PeerManager,
    Effect.flatMap(SessionContext, (context) => network.attach(peer, self.publicKey, context))
  )
  const relay = yield* MessageRelay.pipe(
    Effect.provide(
      yield* Layer.build(
        MessageRelay.layer("/state").pipe(
          Layer.provide(peers),
          Layer.provide(SessionContext.layer({ self, name: `device ${index}`, certificates: [verified] })),
          Layer.provide(new DiskMemory().layer)
        )
      )
    )
  )
  return { peer, relay }
})

const room: Effect.Effect<void, unknown, Scope.Scope | Crypto> = Effect.gen(function*() {
  const network = yield* VirtualPeers.make({ latencyMsMin: 0, latencyMsMax: 0 })
  const devices = yield* Effect.forEach(Array.from({ length: devicesCount }, (_, i) => i), (i) => device(network, i))
  const draw = Random.next
  const edges = mesh({
    parents: yield* Effect.forEach(devices.slice(1), () => draw),
    shortcuts: yield* Effect.forEach(Array.from({ length: shortcutsCount }), () => Effect.all([draw, draw]))
  })
  for (const [a, b] of edges) yield* network.link(devices[a]!.peer, devices[b]!.peer)

  /** Of each message under way: when it was written, and how many devices still wait for it. */
  const underWay = new Map<string, { readonly atMs: number; left: number }>()
  let tookMs: Array<number> = []
  const delivered = (text: string) => {
    const message = underWay.get(text)!
    if (--message.left === 0) tookMs.push(performance.now() - message.atMs)
  }
  for (const { relay } of devices) {
    yield* relay.delivered.process(({ entry: { content } }) =>
      Effect.sync(() => {
        if (content._tag === "Text") delivered(content.text)
      })
    )
  }

  const say = Effect.fnUntraced(function*(from: number, count: number) {
    for (let i = from; i < from + count; i++) {
      const text = `message ${i}`
      underWay.set(text, { atMs: performance.now(), left: devicesCount })
      yield* devices[(i * 7) % devicesCount]!.relay.write({ _tag: "Text", text })
      yield* Effect.sleep(messageIntervalMs)
    }
    // Late is not lost: on a busy machine the last ones take their time, and they must not count for the next run.
    for (let waits = 0; waits < 200 && tookMs.length < count; waits++) yield* Effect.sleep(100)
  })

  yield* Effect.sleep(500)
  yield* say(0, warmUpCount)
  tookMs = []
  network.sent.length = 0
  const before = cpuMicros()
  yield* say(warmUpCount, messagesCount)
  const perDelivery = (cpuMicros() - before) / (messagesCount * devicesCount)
  const sorted = tookMs.toSorted((a, b) => a - b)
  const entries = network.sent.filter(({ message }) => message._tag === "Entries").length
  yield* Console.log(
    `messages: ${devicesCount} devices, ${edges.length} links, ${sorted.length} of ${messagesCount} delivered everywhere; ` +
      `to the last device p50 ${quantile(sorted, 0.5).toFixed(1)} ms, p99 ${quantile(sorted, 0.99).toFixed(1)} ms; ` +
      `${perDelivery.toFixed(0)} us of CPU a delivery; ` +
      `${(entries / messagesCount / edges.length).toFixed(2)} times over each link`
  )

  const root = Root.make("R".repeat(43))
  const setStatuses = (second: number) =>
    Effect.forEach(devices, ({ relay }) =>
      relay.setStatus({
        program: "labfx 0.1.0",
        links: 10,
        receiveBytesPerSecond: second * 1_000,
        shares: [{ root, verifiedBytes: second * 100_000, complete: false }]
      }), { discard: true })
  // That everybody has come is heard by everybody; it is not what a lesson costs.
  yield* setStatuses(0)
  yield* Effect.sleep(statusWarmUpSeconds * 1_000)
  for (const [what, isBusy] of [["all receiving", true], ["nothing happening", false]] as const) {
    const statusBefore = cpuMicros()
    network.sent.length = 0
    for (let second = 0; second < statusSeconds; second++) {
      if (isBusy) yield* setStatuses(second)
      yield* Effect.sleep(1_000)
    }
    const each = devicesCount * statusSeconds
    const sizes = network.sent.filter(({ message }) => message._tag === "Statuses")
      .map(({ message, to }) => ({ to, bytes: JSON.stringify(message).length }))
    const bytes = (all: typeof sizes) => all.reduce((sum, { bytes }) => sum + bytes, 0)
    yield* Console.log(
      `statuses, ${what}: ${((cpuMicros() - statusBefore) / 1_000 / each).toFixed(2)} ms of CPU a device and second, ` +
        `${(sizes.length / each).toFixed(2)} messages, ${
          (bytes(sizes) / each / 1_000).toFixed(1)
        } KB; to the teacher ` +
        `${(bytes(sizes.filter(({ to }) => to === devices[0]!.peer)) / statusSeconds / 1_000).toFixed(1)} KB a second`
    )
  }
})

await Effect.runPromise(room.pipe(Effect.scoped, Effect.provide(layerNode), Random.withSeed("relay")))
