/** Chunks that go down trees: what the origin plans, and what everybody does with a promise. */
import { assert, describe, it } from "@effect/vitest"
import { Base64Url } from "effect/encoding"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import { type ChunkIndex, PeerId, Root } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Swarm from "../../src/protocol/Swarm.ts"
import { hopOf, type Route, type SwarmMessage } from "../../src/protocol/Wire.ts"

const KiB = 1024
const root = Root.make("r".repeat(43))
const chunksCount = 401
const member = (number: number) => PeerId.make(`${number}`.padEnd(43, "m"))
const [a, b, c] = [member(101), member(102), member(103)] as const
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i)
const indexes = (...all: ReadonlyArray<number>) => all as unknown as ReadonlyArray<ChunkIndex>

const bits = (some: ReadonlyArray<number>) => {
  const all = Bitfield.make(chunksCount)
  for (const index of some) Bitfield.add(all, index)
  return all
}

/** Messages of one kind among outputs, with their receivers. */
const sent = <Tag extends SwarmMessage["_tag"]>(outputs: ReadonlyArray<Swarm.Output>, tag: Tag) =>
  outputs.flatMap((output) =>
    output._tag === "Send" && output.message._tag === tag
      ? [{ ...output.message as Extract<SwarmMessage, { readonly _tag: Tag }>, to: output.peer }]
      : []
  )

const served = (outputs: ReadonlyArray<Swarm.Output>) =>
  outputs.flatMap((output) => output._tag === "Serve" ? [`${output.index} to ${hopOf(output.peer)}`] : [])

class Device {
  readonly swarm = Swarm.make({ random: () => 0.5 })
  nowMs = 10_000

  constructor(origin: boolean, peers: ReadonlyArray<PeerId>, chunkSizeBytes = 64 * KiB) {
    this.step({
      _tag: "ShareOpened",
      root,
      manifestChunksCount: 1,
      chunksCount,
      chunkSizeBytes,
      manifestChunkSizeBytes: 4 * KiB,
      have: bits(origin ? upTo(chunksCount) : [0]),
      manifestKnown: true,
      origin
    })
    for (const peer of peers) this.step({ _tag: "PeerUp", peer })
  }

  step(input: Swarm.Input): ReadonlyArray<Swarm.Output> {
    return Swarm.step(this.swarm, input, this.nowMs)
  }

  receive(peer: PeerId, message: SwarmMessage): ReadonlyArray<Swarm.Output> {
    return this.step({ _tag: "Message", peer, message })
  }

  claim(peer: PeerId, some: ReadonlyArray<number> = []): ReadonlyArray<Swarm.Output> {
    return this.receive(peer, { _tag: "Bitfield", share: root, bits: Base64Url.encode(bits(some)) })
  }

  have(peer: PeerId, ...some: ReadonlyArray<number>): ReadonlyArray<Swarm.Output> {
    return this.receive(peer, { _tag: "Have", share: root, indexes: indexes(...some) })
  }

  promise(peer: PeerId, some: ReadonlyArray<number>, below: Partial<Route> = {}): ReadonlyArray<Swarm.Output> {
    return this.receive(peer, { _tag: "Route", share: root, indexes: indexes(...some), hops: [], depths: [], ...below })
  }

  deliver(peer: PeerId, index: number): ReadonlyArray<Swarm.Output> {
    return [
      ...this.step({ _tag: "DataArrived", peer, root, index, bytes: 64 * KiB, last: true }),
      ...this.step({ _tag: "ChunkStored", peer, root, index })
    ]
  }

  tick(ms: number): ReadonlyArray<Swarm.Output> {
    this.nowMs += ms
    return this.step({ _tag: "Tick" })
  }
}

/** An origin with so many neighbors that have opened its share. */
const origin = (count: number, chunkSizeBytes?: number) => {
  const members = upTo(count).map(member)
  const device = new Device(true, members, chunkSizeBytes)
  const outputs = members.flatMap((peer) => device.claim(peer))
  return { device, members, outputs: [...outputs] }
}

/** Everybody says that it is linked with all the others, and with the origin. */
const answer = (device: Device, members: ReadonlyArray<PeerId>, more: ReadonlyArray<string> = []) =>
  members.flatMap((peer) => {
    const peers = ["0rigin00", ...members.filter((other) => other !== peer).map(hopOf), ...more]
    return [...device.receive(peer, { _tag: "Neighbors", share: root, peers, hoarders: [] })]
  })

describe("Routes, at the origin", () => {
  it("are planned for more than ten neighbors and more than a small share: each is asked whom it is linked with", () => {
    const few = origin(Limits.fullMeshPeersMax)
    assert.isEmpty(sent(few.outputs, "Survey"))
    assert.isNotEmpty(sent(few.outputs, "Have"))
    const large = origin(Limits.fullMeshPeersMax + 1)
    assert.sameMembers(sent(large.outputs, "Survey").map(({ to }) => to), large.members)
    const small = 1024 * KiB / (chunksCount - 1)
    assert.isEmpty(sent(origin(12, Math.floor(small)).outputs, "Survey"))
    assert.isNotEmpty(sent(origin(12, Math.ceil(small)).outputs, "Survey"))
    // The first neighbors come when the room is small still.
    assert.isNotEmpty(sent(answer(large.device, large.members), "Route"))
  })

  it("promise each chunk to the root of one tree that reaches everybody, in turns", () => {
    const { device, members } = origin(12)
    const routes = sent(answer(device, members), "Route")
    assert.strictEqual(new Set(routes.map(({ to }) => to)).size, 2)
    for (const { depths, hops, to } of routes) {
      assert.sameMembers([hopOf(to), ...hops], members.map(hopOf))
      assert.strictEqual(depths.length, hops.length)
      assert.strictEqual(depths.filter((depth) => depth === 0).length, 2)
    }
    const promised = routes.flatMap(({ indexes }) => indexes.map(Number))
    assert.strictEqual(new Set(promised).size, promised.length)
    assert.isAtLeast(promised.length, 8)
  })

  it("wait for everybody's answer, but for none longer than 150 ms after the one before", () => {
    const { device, members } = origin(12)
    const silent = new Set(members.slice(11))
    const handedOut = (outputs: ReadonlyArray<Swarm.Output>) => [...sent(outputs, "Route"), ...sent(outputs, "Have")]
    const before = answer(device, members.filter((peer) => !silent.has(peer)))
    assert.isEmpty(sent(before, "Route"))
    assert.strictEqual(Swarm.wakeAtMs(device.swarm), device.nowMs + 150)
    assert.isEmpty(handedOut(device.tick(149)))
    const routes = sent(device.tick(1), "Route")
    assert.isNotEmpty(routes)
    for (const { hops } of routes) for (const peer of silent) assert.notInclude(hops, hopOf(peer))
  })

  it("are none where the origin is not linked to a part of the room", () => {
    const strangers = ["stranger1", "stranger2"].map((name) => name.slice(1))
    const within = origin(12)
    assert.isNotEmpty(sent(answer(within.device, within.members, strangers.slice(1)), "Route"))
    const beyond = origin(12)
    const outputs = [...answer(beyond.device, beyond.members, strangers), ...beyond.device.tick(200)]
    assert.isEmpty(sent(outputs, "Route"))
    assert.isNotEmpty(sent(outputs, "Have"))
  })

  it("hand a chunk to another when the root does not want it, or is gone", () => {
    const { device, members } = origin(12)
    const [first] = sent(answer(device, members), "Route")
    const [index, ...others] = first!.indexes
    const outputs = others.flatMap((index) => [...device.receive(first!.to, { _tag: "Cancel", share: root, index })])
    outputs.push(...device.step({ _tag: "PeerDown", peer: first!.to }))
    const handedOut: Array<number> = []
    for (let round = 0; round < 1_000; round++) {
      for (const output of outputs.splice(0)) {
        if (output._tag !== "Serve") continue
        const { index, peer } = output
        handedOut.push(index)
        outputs.push(
          ...device.step({ _tag: "Served", peer, root, index, bytes: 64 * KiB }),
          ...device.have(peer, index)
        )
      }
      outputs.push(...device.tick(10))
    }
    assert.includeMembers(handedOut, [index!, ...others])
  })

  it("end for a share when two say that somebody hoards, or nobody says that a root has passed on what it got", () => {
    const routes = (outputs: ReadonlyArray<Swarm.Output>) => sent(outputs, "Route")
    const goOn = ({ device, members }: ReturnType<typeof origin>) =>
      upTo(20).flatMap((i) => [...members.flatMap((peer) => [...device.have(peer, i + 1)]), ...device.tick(200)])
    for (const witnesses of [1, 2]) {
      const room = origin(12)
      answer(room.device, room.members)
      const [hoarder, ...others] = room.members
      const neighbors = { _tag: "Neighbors", share: root, peers: [], hoarders: [hopOf(hoarder!)] } as const
      for (const peer of others.slice(0, witnesses)) {
        room.device.receive(peer, { ...neighbors, peers: room.members.map(hopOf) })
      }
      assert.strictEqual(routes([...room.device.tick(200), ...goOn(room)]).length > 0, witnesses < 2)
    }
    for (const isPassedOn of [true, false]) {
      const room = origin(12)
      const [first] = routes(answer(room.device, room.members))
      const index = first!.indexes[0]!
      room.device.step({ _tag: "Served", peer: first!.to, root, index, bytes: 64 * KiB })
      room.device.have(first!.to, index)
      room.device.tick(3_900)
      if (isPassedOn) room.device.have(room.members.find((peer) => peer !== first!.to)!, index)
      assert.strictEqual(routes([...room.device.tick(200), ...goOn(room)]).length > 0, isPassedOn)
    }
  })

  it("leave out who receives at less than a third of the others' rate", () => {
    const { device, members } = origin(12)
    answer(device, members)
    const slow = members[3]!
    const out: Array<number> = upTo(40).map((i) => i + 1)
    for (const peer of members) if (peer !== slow) device.have(peer, ...out)
    device.tick(5_000)
    const later = [
      ...device.tick(200),
      ...members.flatMap((peer) => [...device.have(peer, ...upTo(10).map((i) => i + 41))])
    ]
    const routes = sent(later, "Route")
    assert.isNotEmpty(routes)
    for (const { hops, to } of routes) assert.notInclude([hopOf(to), ...hops], hopOf(slow))
  })
})

describe("Routes, at everybody", () => {
  it("tell whom a device is linked with when it knows the manifest, and when that changes", () => {
    const device = new Device(false, [a, b])
    const survey = { _tag: "Survey", share: root } as const
    assert.deepStrictEqual(sent(device.receive(a, survey), "Neighbors"), [
      { _tag: "Neighbors", share: root, peers: [hopOf(a), hopOf(b)], hoarders: [], to: a }
    ])
    device.step({ _tag: "PeerUp", peer: c })
    assert.deepStrictEqual(sent(device.tick(250), "Neighbors").map(({ peers }) => peers.length), [3])
    assert.isEmpty(sent(device.tick(250), "Neighbors"))
  })

  it("pass a promise on to the children at once, and the chunk when it is here, in order", () => {
    const device = new Device(false, [a, b, c])
    for (const peer of [a, b, c]) device.claim(peer)
    const hops = [hopOf(b), hopOf(member(7)), hopOf(member(8)), hopOf(c), hopOf(member(9))]
    const outputs = device.promise(a, [5, 6], { hops, depths: [0, 1, 1, 0, 1] })
    assert.deepStrictEqual(outputs.filter(({ _tag }) => _tag === "Expect").length, 2)
    assert.deepStrictEqual(sent(outputs, "Route").map(({ depths, hops, to }) => ({ depths, hops, to })), [
      { to: b, hops: [hopOf(member(7)), hopOf(member(8))], depths: [0, 0] },
      { to: c, hops: [hopOf(member(9))], depths: [0] }
    ])
    assert.isEmpty(served(outputs))
    const here = device.deliver(a, 6)
    assert.deepStrictEqual(sent(here, "Have").map(({ to }) => to), [a])
    assert.include(served(here), `6 to ${hopOf(b)}`)
  })

  it("announce what came by promise after 0.6 to 1.2 s, to those who lack it", () => {
    const device = new Device(false, [a, b, c])
    for (const peer of [a, b, c]) device.claim(peer)
    device.promise(a, [5])
    device.deliver(a, 5)
    device.have(c, 5)
    const announced = upTo(14).map(() => sent(device.tick(100), "Have").map(({ to }) => to))
    assert.isEmpty(announced.slice(0, 5).flat())
    assert.deepStrictEqual(announced.flat(), [b])
  })

  it("are refused for what is here, in flight, of the manifest, or beyond the share", () => {
    const device = new Device(false, [a, b])
    device.claim(b, [3])
    device.promise(a, [5])
    device.deliver(a, 5)
    const outputs = device.promise(a, [0, 3, 5])
    assert.deepStrictEqual(sent(outputs, "Cancel").map(({ index, to }) => [Number(index), to]), [[0, a], [3, a], [
      5,
      a
    ]])
    const beyond = device.promise(a, [chunksCount])
    assert.deepStrictEqual(beyond.map((output) => output._tag === "Disconnect" && output.code), ["protocol"])
  })

  it("are given up after a while when somebody else has the chunk, and who breaks two that it has is not believed", () => {
    for (const has of [true, false]) {
      const device = new Device(false, [a, b])
      device.claim(a)
      device.claim(b)
      device.receive(c, { _tag: "Survey", share: root })
      device.deliver(b, 400)
      for (let index = 1; index <= 2; index++) {
        assert.isEmpty(sent(device.promise(a, [index]), "Cancel"))
        device.have(b, index)
        assert.isEmpty(sent(device.tick(has ? 900 : 1_900), "Cancel"))
        // When most neighbors have announced it, it is given up at once.
        if (has) device.have(a, index)
        const late = has ? device.tick(100) : [...device.tick(200), ...device.tick(1)]
        assert.deepStrictEqual(sent(late, "Cancel").map((message) => [Number(message.index), message.to]), [[index, a]])
        assert.include(sent(late, "Request").map((message) => Number(message.index)), index)
        device.receive(a, { _tag: "Reject", share: root, index: indexes(index)[0]! })
        device.deliver(b, index)
      }
      assert.deepStrictEqual(sent(device.promise(a, [9]), "Cancel").map(({ to }) => to), has ? [a] : [])
      const survey = device.receive(b, { _tag: "Survey", share: root })
      assert.deepStrictEqual(sent(survey, "Neighbors").map(({ hoarders }) => hoarders), [has ? [hopOf(a)] : []])
    }
  })

  it("find room for one chunk of a link at a time, and for inFlightBytesMax of all links", () => {
    const size = Limits.chunkBytesMax
    const most = Limits.inFlightBytesMax / size
    const peers = upTo(most + 1).map(member)
    const device = new Device(false, peers, size)
    peers.forEach((peer, i) => device.promise(peer, [2 * i + 1, 2 * i + 2]))
    const mayBegin = (i: number, index: number) => Swarm.mayBegin(device.swarm, member(i), root, index)
    const arrive = (i: number, index: number, bytes: number, last: boolean) =>
      device.step({ _tag: "DataArrived", peer: member(i), root, index, bytes, last })
    for (let i = 0; i < most; i++) {
      assert.isTrue(mayBegin(i, 2 * i + 1))
      arrive(i, 2 * i + 1, 1_000, false)
      assert.isFalse(mayBegin(i, 2 * i + 2))
    }
    assert.isFalse(mayBegin(most, 2 * most + 1))
    arrive(0, 1, size - 1_000, true)
    device.step({ _tag: "ChunkStored", peer: member(0), root, index: 1 })
    assert.isTrue(mayBegin(0, 2))
    assert.isTrue(mayBegin(most, 2 * most + 1))
  })

  it("wait on a link up to their limit, and what is beyond is not promised", () => {
    const device = new Device(false, [a, b])
    for (const peer of [a, b]) device.claim(peer)
    const hops = { hops: [hopOf(b)], depths: [0] }
    const half = Limits.promisesPerLinkMax / 2
    const passed = [0, half, 2 * half].flatMap((
      from
    ) => [...device.promise(a, upTo(half).map((i) => from + i + 1), hops)])
    const promised = sent(passed, "Route").flatMap(({ indexes }) => indexes)
    assert.strictEqual(promised.length, Limits.promisesPerLinkMax)
    // One is kept, so there is room for one.
    device.deliver(a, 1)
    const more = sent(device.promise(a, [300, 301], hops), "Route").flatMap(({ indexes }) => indexes.map(Number))
    assert.deepStrictEqual(more, [300])
  })

  it("are answered when they are not wanted any more, or the share is closed", () => {
    const device = new Device(false, [a, b])
    for (const peer of [a, b]) device.claim(peer)
    device.promise(a, [5, 6], { hops: [hopOf(b)], depths: [0] })
    const rejected = (outputs: ReadonlyArray<Swarm.Output>) =>
      sent(outputs, "Reject").map(({ index, to }) => [Number(index), to])
    assert.deepStrictEqual(
      rejected(device.receive(b, { _tag: "Cancel", share: root, index: indexes(5)[0]! })),
      [[5, b]]
    )
    assert.deepStrictEqual(rejected(device.step({ _tag: "ShareClosed", root })), [[6, b]])
  })
})
