/** Links and membership of many devices on the virtual network: real layers, fibers and queues; virtual time and wires. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, PubSub, Random, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { Certificate } from "../../src/protocol/Certificate.ts"
import type { ChunkIndex, PeerId, Root } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import type { LogMessage, SwarmMessage } from "../../src/protocol/Wire.ts"
import { Crypto } from "../../src/services/Crypto.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { type LogEvent, PeerManager, type SwarmEvent, type SwarmUser } from "../../src/services/PeerManager.ts"
import { SessionContext } from "../../src/services/SessionContext.ts"
import { VirtualNetwork } from "../../src/simulator/VirtualNetwork.ts"
import { certify, seed } from "../support/Certified.ts"
import { scopedInTime } from "../support/InTime.ts"

const onNetwork = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(scopedInTime, Effect.provide(CryptoNode.layerNode), Random.withSeed("links"))

const lan = { latencyMsMin: 1, latencyMsMax: 5, bytesPerSecond: 12_500_000 }

interface Device {
  readonly peers: PeerManager["Service"]
  readonly context: SessionContext["Service"]
  readonly log: Array<string>
  readonly swarm: Array<SwarmEvent>
  /** Where chunk data goes; nowhere at first. */
  readonly places: { placeFor: SwarmUser["placeFor"] }
}

/** A device in the session of certificate `certified`, which nobody takes events of the log from. */
const deafDevice = Effect.fnUntraced(function*(
  network: VirtualNetwork,
  index: number,
  certified: Effect.Success<ReturnType<typeof certify>>
) {
  const crypto = yield* Crypto
  const port = network.port(`10.0.${index >> 8}.${index & 255}`)
  const self = index === 0 ? certified.host : crypto.keyPair(seed(1_000 + index))
  const context = SessionContext.layer({ self, name: `device ${index}`, certificates: [certified.verified] })
  const services = yield* Layer.build(
    PeerManager.layer({ listenPort: 9_000, program: "test" }).pipe(
      Layer.provideMerge(context),
      Layer.provide(network.layers(port))
    )
  )
  return { peers: Context.get(services, PeerManager), context: Context.get(services, SessionContext) }
})

/** Another one, with notes of everything it is told. */
const device = Effect.fnUntraced(function*(...args: Parameters<typeof deafDevice>) {
  const { context, peers } = yield* deafDevice(...args)
  const log: Array<string> = []
  const swarm: Array<SwarmEvent> = []
  const note = (event: LogEvent) => {
    if (event._tag === "PeerNearHost") return event.near ? "near host" : "near host no more"
    return event._tag === "PeerUp" ? `up ${event.info.name}` : event._tag
  }
  yield* peers.logEvents.process((event) => Effect.sync(() => void log.push(note(event))))
  const places: { placeFor: SwarmUser["placeFor"] } = { placeFor: () => undefined }
  yield* peers.setSwarmUser({
    // Of the host's link the log hears the same, and only when it changes.
    hear: (event) => event._tag === "PeerNearHost" || swarm.push(event),
    placeFor: (...frame) => places.placeFor(...frame)
  })
  const result: Device = { peers, context, log, swarm, places }
  return result
})

const room = Effect.fnUntraced(function*(count: number, network: VirtualNetwork) {
  const certified = yield* certify()
  const devices = yield* Effect.forEach(
    Array.from({ length: count }, (_, i) => i),
    (i) => device(network, i, certified)
  )
  return devices
})

const linked = (devices: ReadonlyArray<Device>) => Effect.forEach(devices, ({ peers }) => peers.peers)

/** Whether everybody reaches everybody over links. */
const isConnected = (
  devices: ReadonlyArray<Device>,
  links: ReadonlyArray<ReadonlyArray<{ readonly peer: PeerId }>>
) => {
  const index = new Map(devices.map(({ context }, i) => [context.peer, i]))
  const seen = new Set([0])
  for (const i of seen) for (const { peer } of links[i]!) seen.add(index.get(peer)!)
  return seen.size === devices.length
}

/** A room of two, linked. */
const linkedPair = Effect.fnUntraced(function*(network: VirtualNetwork) {
  const [a, b] = yield* room(2, network)
  yield* b!.peers.connect({ host: "10.0.0.0", port: 9_000 })
  yield* TestClock.adjust("2 seconds")
  return [a!, b!] as const
})

describe("PeerManager", () => {
  it.effect("makes a full mesh with one link a pair out of a room that knows only the teacher", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      const devices = yield* room(10, network)
      for (const { peers } of devices.slice(1)) yield* peers.connect({ host: "10.0.0.0", port: 9_000 })
      yield* TestClock.adjust("15 seconds")
      for (const links of yield* linked(devices)) assert.strictEqual(links.length, 9)
      assert.strictEqual(network.connectionsCount, 45)
    }).pipe(onNetwork))

  it.effect(
    "keeps a room of 50 connected with 8 to 12 links on most devices, and heals after a third has crashed",
    () =>
      Effect.gen(function*() {
        const network = yield* VirtualNetwork.make(lan)
        const devices = yield* room(50, network)
        for (const { peers } of devices.slice(1)) yield* peers.connect({ host: "10.0.0.0", port: 9_000 })
        yield* TestClock.adjust("90 seconds")
        const links = yield* linked(devices)
        assert.isTrue(isConnected(devices, links))
        for (const each of links) assert.isAtLeast(each.length, Limits.linksWantedMin)
        const within = links.filter((each) => each.length <= Limits.linksWantedMax + 2).length
        assert.isAtLeast(within, 40, links.map((each) => each.length).join(" "))

        for (let i = 0; i < 17; i++) yield* network.unplug(`10.0.0.${i}`)
        yield* TestClock.adjust("30 seconds")
        const rest = devices.slice(17)
        const after = yield* linked(rest)
        assert.isTrue(isConnected(rest, after))
        for (const each of after) assert.isAtLeast(each.length, Limits.linksDialledMin)
      }).pipe(onNetwork),
    60_000
  )

  it.effect(
    "tells whom it turns away, having as many links as it may have, of others, who take them",
    () =>
      Effect.gen(function*() {
        const network = yield* VirtualNetwork.make(lan)
        const devices = yield* room(Limits.linksMax + 3, network)
        const [teacher, ...students] = devices
        const toTeacher = { host: "10.0.0.0", port: 9_000 }
        for (const { peers } of students.slice(0, Limits.linksMax)) yield* peers.connect(toTeacher)
        yield* TestClock.adjust("5 seconds")
        assert.lengthOf(yield* teacher!.peers.peers, Limits.linksMax)
        const late = students.slice(Limits.linksMax)
        for (const { peers } of late) yield* peers.connect(toTeacher)
        yield* TestClock.adjust("4 seconds")
        assert.lengthOf(yield* teacher!.peers.peers, Limits.linksMax)
        for (const links of yield* linked(late)) assert.isAtLeast(links.length, Limits.linksDialledMin)
      }).pipe(onNetwork),
    60_000
  )

  it.effect("says to its neighbors within some seconds whether it has a link to the host", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      const [, b, c] = yield* room(3, network)
      const nearHost = (events: ReadonlyArray<string>) => events.filter((event) => event.startsWith("near host"))
      yield* c!.peers.connect({ host: "10.0.0.1", port: 9_000 })
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual([...nearHost(b!.log), ...nearHost(c!.log)], [], "none has any")
      yield* b!.peers.connect({ host: "10.0.0.0", port: 9_000 })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([nearHost(b!.log), nearHost(c!.log)], [["near host"], ["near host"]])
      // Before the links to it are given up.
      yield* network.unplug("10.0.0.0")
      yield* TestClock.adjust("12 seconds")
      const lost = ["near host", "near host no more"]
      assert.deepStrictEqual([nearHost(b!.log), nearHost(c!.log)], [lost, lost])
    }).pipe(onNetwork))

  it.effect("hands over messages and chunks in order, says up first and down last, and stops at the end of its scope", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      yield* Effect.gen(function*() {
        const [a, b] = yield* room(2, network)
        yield* b!.peers.connect({ host: "10.0.0.0", port: 9_000 })
        yield* TestClock.adjust("1 second")
        const to = a!.context.peer
        const share = b!.context.root as never
        const place = new Uint8Array(200_000)
        a!.places.placeFor = (_, data, length) => place.subarray(data.offset, data.offset + length)
        const chunk = Uint8Array.from({ length: 200_000 }, (_, i) => i * 7)
        b!.peers.sendChunk(to, { share, index: 3, bytes: chunk, urgent: false, done: () => {} })
        for (let i = 0; i < 5; i++) {
          b!.peers.send(to, { _tag: "Have", share, indexes: [i as never] })
        }
        yield* TestClock.adjust("1 second")
        yield* network.cut("10.0.0.0", "10.0.0.1")
        yield* TestClock.adjust("100 millis")
        assert.deepStrictEqual(place, chunk)
        const tags = a!.swarm.map((event): unknown =>
          event._tag === "PeerMessage" && event.message._tag === "Have" ? event.message.indexes[0] : event._tag
        )
        assert.deepStrictEqual(tags, [
          "PeerUp",
          0,
          1,
          2,
          3,
          4,
          "PeerData",
          "PeerData",
          "PeerData",
          "PeerData",
          "PeerDown"
        ])
        assert.deepStrictEqual(a!.log, ["up device 1", "PeerDown"])
      }).pipe(scopedInTime)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(network.connectionsCount, 0)
    }).pipe(onNetwork))

  it.effect("keeps what is patient until something else leaves or it is let go", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      yield* Effect.gen(function*() {
        const [a, b] = yield* linkedPair(network)
        const share = b.context.root as never
        const say = (index: number, patient: boolean) =>
          b.peers.send(a.context.peer, { _tag: "Have", share, indexes: [index as never] }, patient)
        const heard = TestClock.adjust("2 seconds").pipe(Effect.map(() =>
          a.swarm.flatMap((event): Array<number> =>
            event._tag === "PeerMessage" && event.message._tag === "Have" ? [...event.message.indexes] : []
          )
        ))
        say(1, true)
        say(2, true)
        assert.deepStrictEqual(yield* heard, [])
        say(3, false)
        assert.deepStrictEqual(yield* heard, [3, 1, 2])
        say(4, true)
        assert.deepStrictEqual(yield* heard, [3, 1, 2])
        b.peers.flush()
        assert.deepStrictEqual(yield* heard, [3, 1, 2, 4])
        b.peers.flush()
        say(5, true)
        assert.deepStrictEqual(yield* heard, [3, 1, 2, 4], "that was for what waited then")
      }).pipe(scopedInTime)
    }).pipe(onNetwork))

  it.effect("sends urgent chunks one after another between two frames of one that is not", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      yield* Effect.gen(function*() {
        const [a, b] = yield* linkedPair(network)
        const places = new Map<number, Uint8Array>()
        const done: Array<number> = []
        const send = (index: number, sizeBytes: number, urgent: boolean) => {
          const bytes = Uint8Array.from({ length: sizeBytes }, (_, i) => i * (7 + index))
          places.set(index, new Uint8Array(sizeBytes))
          b.peers.sendChunk(a.context.peer, {
            share: b.context.root as never,
            index,
            bytes,
            urgent,
            done: (sent) => sent && done.push(index)
          })
          return bytes
        }
        a.places.placeFor = (_, data, length) => places.get(data.index)!.subarray(data.offset, data.offset + length)
        const chunks = [send(0, 200_000, false), send(1, 1_000, false)]
        // The first frame is on its way when the urgent ones come.
        yield* Effect.yieldNow
        chunks.push(send(2, 70_000, true), send(3, 1_000, true))
        yield* TestClock.adjust("2 seconds")
        const heard = a.swarm.flatMap((event) => event._tag === "PeerData" ? [Number(event.data.index)] : [])
        assert.deepStrictEqual(heard, [0, 2, 2, 3, 0, 0, 0, 1])
        assert.deepStrictEqual(done, [2, 3, 0, 1])
        for (const [index, bytes] of chunks.entries()) assert.deepStrictEqual(places.get(index), bytes)
      }).pipe(scopedInTime)
    }).pipe(onNetwork))

  it.effect("says at both ends of a link that chunks move, until a second after the last", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      yield* Effect.gen(function*() {
        const [a, b] = yield* linkedPair(network)
        const move = () => [a, b].map(({ peers }) => peers.movesBulk())
        assert.deepStrictEqual(move(), [false, false])
        const place = new Uint8Array(1_000)
        a.places.placeFor = () => place
        const share = b.context.root as never
        const bytes = new Uint8Array(1_000)
        b.peers.sendChunk(a.context.peer, { share, index: 3, bytes, urgent: false, done: () => {} })
        yield* TestClock.adjust("500 millis")
        assert.deepStrictEqual(move(), [true, true])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(move(), [false, false])
      }).pipe(scopedInTime)
    }).pipe(onNetwork))

  for (const isHeard of [true, false]) {
    const what = isHeard ? "and loses nothing" : "and leaves without a listener"
    it.effect(`lets logEventsMax events of the log wait, and what is more with its link, ${what}`, () =>
      Effect.gen(function*() {
        const network = yield* VirtualNetwork.make(lan)
        const certified = yield* certify()
        const deaf = yield* deafDevice(network, 0, certified)
        const talker = yield* device(network, 1, certified)
        const { logEvents } = deaf.peers
        const waiting = Effect.sync(logEvents.size)
        const told: Array<string> = []
        const note = ({ _tag }: { readonly _tag: string }) => told.push(_tag)
        yield* deaf.peers.setSwarmUser({
          hear: (event) => event._tag === "PeerMessage" && told.push("swarm"),
          placeFor: () => undefined
        })
        const say = (message: LogMessage | SwarmMessage, count: number) =>
          Effect.suspend(() => {
            for (let i = 0; i < count; i++) talker.peers.send(deaf.context.peer, message)
            return TestClock.adjust("1 second")
          })
        const heads = { _tag: "Heads", first: false, received: 0, heads: [] } as const
        const have = { _tag: "Have", share: "R".repeat(43) as Root, indexes: [0 as ChunkIndex] } as const
        yield* talker.peers.connect({ host: "10.0.0.0", port: 9_000 })
        yield* TestClock.adjust("1 second")
        // That the talker is there was the first event.
        yield* say(heads, Limits.logEventsMax - 2)
        assert.strictEqual(yield* waiting, Limits.logEventsMax - 1)
        yield* say(heads, 1)
        assert.strictEqual(yield* waiting, Limits.logEventsMax)
        yield* say(have, 1)
        assert.deepStrictEqual(told, ["swarm"], "what the swarm is told does not wait behind the log of others")
        yield* say(heads, 100)
        assert.strictEqual(yield* waiting, Limits.logEventsMax)
        yield* say(have, 1)
        assert.deepStrictEqual(told, ["swarm"], "behind what waits with its link it waits too")
        if (!isHeard) return
        yield* logEvents.process((event) => Effect.sync(() => void note(event)))
        yield* Effect.repeat(Effect.yieldNow, { times: 5_000 })
        const messages = Array.from({ length: Limits.logEventsMax + 99 }, () => "PeerMessage")
        assert.deepStrictEqual(told.filter((each) => each !== "swarm"), ["PeerUp", ...messages])
        assert.lengthOf(told, messages.length + 3)
      }).pipe(onNetwork))
  }

  it.effect("brings no link up before somebody moves chunks, and says everything from then on", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      const certified = yield* certify()
      const late = yield* deafDevice(network, 0, certified)
      const talker = yield* device(network, 1, certified)
      const share = "R".repeat(43) as Root
      yield* talker.peers.connect({ host: "10.0.0.0", port: 9_000 })
      yield* TestClock.adjust("1 second")
      talker.peers.send(late.context.peer, { _tag: "Have", share, indexes: [5 as ChunkIndex] })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* late.peers.peers, [])
      const told: Array<string> = []
      yield* late.peers.setSwarmUser({ hear: ({ _tag }) => void told.push(_tag), placeFor: () => undefined })
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* late.peers.peers, 1)
      assert.deepStrictEqual(told, ["PeerUp", "PeerNearHost", "PeerMessage"])
    }).pipe(onNetwork))

  it.effect("refuses a peer of another session and one whose teacher is another, whatever it calls itself", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      const ours = yield* certify()
      const others: ReadonlyArray<Partial<Certificate> & { rootSeed?: number }> = [
        { session: "BBBBBBBBBBBBBBBBBBBBBB" as never },
        { rootSeed: 77 }
      ]
      const host = yield* device(network, 0, ours)
      for (const [i, other] of others.entries()) {
        const stranger = yield* device(network, 1 + i, yield* certify(other))
        yield* stranger.peers.connect({ host: "10.0.0.0", port: 9_000 })
      }
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* host.peers.peers, [])
      assert.deepStrictEqual(host.log, [])
    }).pipe(onNetwork))

  it.effect("does not link again to a peer that was dropped for poison", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      const [a, b] = yield* room(2, network)
      yield* b!.peers.connect({ host: "10.0.0.0", port: 9_000 })
      yield* TestClock.adjust("1 second")
      yield* a!.peers.disconnect(b!.context.peer, "poison", "a false chunk")
      yield* TestClock.adjust("60 seconds")
      assert.deepStrictEqual(yield* a!.peers.peers, [])
      assert.deepStrictEqual(a!.log, ["up device 1", "PeerDown"])
    }).pipe(onNetwork))

  /** What a person at this device is told of links that did not come about, from now on. */
  const noticesOf = Effect.fnUntraced(function*({ peers }: Device) {
    const told: Array<string> = []
    const notices = yield* peers.notices
    const note = Effect.map(PubSub.take(notices), ({ address, reason }) => told.push(`${reason} ${address.host}`))
    yield* Effect.forkScoped(Effect.forever(note))
    return told
  })

  /** A device that is linked with the host, dropped for poison and dials once more, or more often; then it goes. */
  const poisoner = (network: VirtualNetwork, index: number, certified: Parameters<typeof device>[2], host: Device) =>
    Effect.gen(function*() {
      const { context, peers } = yield* device(network, index, certified)
      yield* peers.connect({ host: "10.0.0.0", port: 9_000 })
      yield* TestClock.adjust("1 second")
      yield* host.peers.disconnect(context.peer, "poison", "a false chunk")
      yield* TestClock.adjust("10 minutes")
    }).pipe(scopedInTime)

  it.effect("tells a person once of a machine that was dropped for poison, however often it dials again", () =>
    Effect.gen(function*() {
      const network = yield* VirtualNetwork.make(lan)
      const certified = yield* certify()
      const host = yield* device(network, 0, certified)
      const told = yield* noticesOf(host)
      for (const index of [1, 2, 1]) yield* poisoner(network, index, certified, host)
      assert.deepStrictEqual(told, ["refused 10.0.0.1", "refused 10.0.0.2"])
    }).pipe(onNetwork))

  it.prop("draws seeds that differ", { n: Schema.Natural }, ({ n }) => {
    assert.notDeepEqual(seed(n), seed(n + 1))
  })
})
