/**
 * The swarm machine on random meshes and random interleavings. The simulator checks the machine's numbered invariants at
 * every output, so a property here says what is disturbed and that everybody finishes all the same.
 *
 * A failing run prints its replay token; put it in `{ arbitrary: { replay } }` to step through the same history.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Base64Url } from "effect/encoding"
import * as Bitfield from "../../src/protocol/Bitfield.ts"
import { PeerId, Root } from "../../src/protocol/Ids.ts"
import * as Swarm from "../../src/protocol/Swarm.ts"
import { type SimulatedShare, SwarmSimulator } from "../support/SwarmSimulator.ts"

const Seed = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 - 1 }))

/** A small generator (xorshift): one seed makes a whole history. */
const draws = (seed: number) => {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const KiB = 1024

const share = (name: string, chunksCount: number, chunkSizeBytes = 64 * KiB): SimulatedShare => ({
  root: Root.make(name.padStart(43, "r")),
  manifestChunksCount: 2,
  chunksCount,
  chunkSizeBytes
})

/** A connected mesh: a random tree and some more links. So large a part of the devices may expect a cast. */
const mesh = (peersCount: number, seed: number, shares: ReadonlyArray<SimulatedShare>, quietPart = 0) => {
  const random = draws(seed)
  const below = (count: number) => Math.floor(random() * count)
  const simulator = new SwarmSimulator(peersCount, shares, random)
  const { devices } = simulator
  for (const device of devices) device.quiet = !device.origin && random() < quietPart
  const connect = () => {
    for (let i = 1; i < peersCount; i++) simulator.connect(devices[i]!, devices[below(i)]!)
    for (let i = 0; i < peersCount; i++) simulator.connect(devices[i]!, devices[below(peersCount)]!)
  }
  // Links may come before shares are known, and after.
  const opens = devices.flatMap((device) => shares.map((share) => () => simulator.open(device, share)))
  opens.splice(below(opens.length + 1), 0, connect)
  for (const act of opens) act()
  return { simulator, devices, random, below }
}

const finishes = (
  { simulator, devices, below }: ReturnType<typeof mesh>,
  who: (peer: string) => boolean = () => true,
  tillMs = 600_000
) => {
  const all = devices.filter((device) => who(device.peer))
  simulator.run(below, tillMs, () => all.every((device) => simulator.isComplete(device)))
  const missing = all.filter((device) => !simulator.isComplete(device)).map((device) => device.peer)
  assert.deepStrictEqual(missing, [], `not complete at ${simulator.nowMs} ms`)
}

describe("Swarm", () => {
  it.prop("brings every chunk to everyone on any connected mesh (invariants 1 to 8)", {
    seed: Seed,
    peersCount: Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 12 })),
    chunksCount: Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 40 }))
  }, ({ seed, peersCount, chunksCount }) => {
    const world = mesh(peersCount, seed, [share("a", chunksCount)])
    finishes(world)
    for (const device of world.devices) assert.strictEqual(device.completed, device.origin ? 0 : 1)
    world.simulator.run(world.below, world.simulator.nowMs + 200, () => false)
    assert.strictEqual(world.simulator.unanswered, 0)
    assert.deepStrictEqual(world.simulator.disconnects, [])
  }, { arbitrary: { runs: 100 } })

  it.prop("finishes several shares of different sizes, opened in any order, also beyond one manifest (invariant 8)", {
    seed: Seed
  }, ({ seed }) => {
    const world = mesh(6, seed, [share("a", 20), share("b", 3, 1024), share("c", 30, 1024 * KiB)])
    finishes(world)
    for (const device of world.devices) assert.strictEqual(device.completed, device.origin ? 0 : 3)
  }, { arbitrary: { runs: 50 } })

  it.prop("finishes what a cast leaves, that some wait for, some in vain, and some do not (invariants 8 and 9)", {
    seed: Seed
  }, ({ seed }) => {
    const shares = [share("a", 30)]
    const world = mesh(10, seed, shares, 0.7)
    const { simulator, devices, random, below } = world
    simulator.disturbed = true
    const [cast] = shares
    for (const device of devices) device.castManifest = random() < 0.5
    const hearing = devices.filter(({ origin, quiet }) => origin || (quiet && random() < 0.8))
    const some = (count: number) => {
      let events = below(count)
      simulator.run(below, 600_000, () => events-- === 0)
    }
    for (const device of hearing) {
      some(50)
      simulator.beginCast(device, cast!)
    }
    for (let index = 0; index < 30; index++) {
      some(50)
      // Who lacks some of the manifest then asks for it, or waits until the cast is over.
      if (index === 2) { for (const device of hearing) if (random() < 0.5) simulator.missManifest(device, cast!) }
      for (const device of hearing) if (!device.origin && random() < 0.9) simulator.castTo(device, cast!, index)
    }
    for (const device of hearing) {
      some(50)
      simulator.endCast(device, cast!)
    }
    finishes(world)
    assert.deepStrictEqual(simulator.disconnects, [])
  }, { arbitrary: { runs: 100 } })

  it.prop("finishes while links end and come back (invariants 1 to 6 and 8)", { seed: Seed }, ({ seed }) => {
    const world = mesh(8, seed, [share("a", 30)])
    const { simulator, devices, below } = world
    simulator.disturbed = true
    for (let round = 0; round < 40; round++) {
      const [a, b] = [devices[below(8)]!, devices[below(8)]!]
      if (a.neighbors.has(b)) simulator.cut(a, b)
      else simulator.connect(a, b)
      if (round % 10 === 9) simulator.restart(devices[below(8)]!)
      let events = below(200)
      simulator.run(below, 600_000, () => events-- === 0)
    }
    for (let i = 1; i < 8; i++) simulator.connect(devices[i]!, devices[i - 1]!)
    finishes(world)
  }, { arbitrary: { runs: 100 } })

  it.prop(
    "finishes whatever the host says of whom to ask, while links end and come back (invariants 1 to 6, 8 and 10)",
    {
      seed: Seed
    },
    ({ seed }) => {
      const shares = [share("a", 30)]
      const world = mesh(8, seed, shares)
      const { simulator, devices, random, below } = world
      simulator.disturbed = true
      for (let i = 1; i < 8; i++) simulator.connect(devices[i]!, devices[0]!)
      for (let round = 0; round < 30; round++) {
        const device = devices[1 + below(7)]!
        if (random() < 0.7) simulator.direct(device, shares[0]!, random() < 0.7)
        else if (device.neighbors.has(devices[0]!)) simulator.cut(device, devices[0]!)
        else simulator.connect(device, devices[0]!)
        let events = below(150)
        simulator.run(below, 600_000, () => events-- === 0)
      }
      for (let i = 1; i < 8; i++) simulator.connect(devices[i]!, devices[i - 1]!)
      // One who hears the host no more, and believes what it said last.
      for (const neighbor of Array.from(devices[0]!.neighbors)) if (random() < 0.3) simulator.cut(neighbor, devices[0]!)
      simulator.connect(devices[1]!, devices[0]!)
      finishes(world)
      assert.deepStrictEqual(simulator.disconnects, [])
    },
    { arbitrary: { runs: 100 } }
  )

  it.prop("finishes without the origin once one copy is out, also for those who come later (promise P6)", {
    seed: Seed
  }, ({ seed }) => {
    const world = mesh(8, seed, [share("a", 30)])
    const { simulator, devices, below } = world
    const late = devices[7]!
    for (const neighbor of Array.from(late.neighbors)) simulator.cut(late, neighbor)
    simulator.disturbed = true
    for (let i = 2; i < 7; i++) simulator.connect(devices[i]!, devices[i - 1]!)
    simulator.run(below, 600_000, () => simulator.isOutOnce)
    assert.isTrue(simulator.isOutOnce)
    for (const neighbor of Array.from(devices[0]!.neighbors)) simulator.cut(devices[0]!, neighbor)
    simulator.connect(late, devices[1 + below(6)]!)
    finishes(world, (peer) => peer !== devices[0]!.peer)
  }, { arbitrary: { runs: 100 } })

  it.prop("an origin that restarts in a room where all is out hands out nothing twice (invariant 7)", {
    seed: Seed
  }, ({ seed }) => {
    const world = mesh(6, seed, [share("a", 30)])
    const { simulator, devices } = world
    finishes(world)
    const origin = devices[0]!
    simulator.restart(origin)
    const late = simulator.devices[5]!
    for (const bits of late.have.values()) bits.fill(0)
    simulator.restart(late)
    simulator.connect(late, devices[1]!)
    simulator.disturbed = true
    finishes(world)
  }, { arbitrary: { runs: 50 } })

  it.prop("finishes beside peers that never answer, refuse what they claim or send rubbish (promise P8)", {
    seed: Seed,
    behaviour: Schema.Literals(["silent", "rejecting", "poisoning"])
  }, ({ seed, behaviour }) => {
    const world = mesh(10, seed, [share("a", 20)])
    const { simulator, devices } = world
    simulator.disturbed = true
    devices[9]!.behaviour = behaviour
    for (let i = 2; i < 9; i++) simulator.connect(devices[i]!, devices[i - 1]!)
    finishes(world, (peer) => peer !== devices[9]!.peer)
    for (const { by, peer, code } of simulator.disconnects) {
      assert.strictEqual(code, "poison")
      assert.strictEqual(peer, devices[9]!.peer)
      assert.notStrictEqual(by, peer)
    }
  }, { arbitrary: { runs: 100 } })

  it.prop("asks for nothing of a paused share and goes on with it when it is resumed", { seed: Seed }, ({ seed }) => {
    const shares = [share("a", 20)]
    const world = mesh(6, seed, shares)
    const { simulator, devices, below } = world
    simulator.disturbed = true
    let events = below(300)
    simulator.run(below, 600_000, () => events-- === 0)
    simulator.pause(devices[5]!, shares[0]!)
    events = 300
    simulator.run(below, 600_000, () => events-- === 0)
    simulator.resume(devices[5]!, shares[0]!)
    finishes(world)
  }, { arbitrary: { runs: 100 } })

  it.prop("forgets a share that is closed and takes it up again when it is opened again, in any order", {
    seed: Seed
  }, ({ seed }) => {
    const shares = [share("a", 20)]
    const world = mesh(6, seed, shares)
    const { simulator, devices, below } = world
    simulator.disturbed = true
    for (let round = 0; round < 10; round++) {
      const device = devices[below(6)]!
      let events = below(200)
      simulator.run(below, 600_000, () => events-- === 0)
      simulator.close(device, shares[0]!)
      events = below(100)
      simulator.run(below, 600_000, () => events-- === 0)
      simulator.open(device, shares[0]!)
    }
    finishes(world)
  }, { arbitrary: { runs: 100 } })

  it("an origin goes on with the only one there is, however long that left its chunks unfetched", () => {
    const { root } = share("a", 0)
    const peer = PeerId.make("p".repeat(43))
    const origin = Swarm.make({ random: () => 0.5 })
    const reveals = (inputs: ReadonlyArray<Swarm.Input>, nowMs: number) =>
      inputs.flatMap((input) => [...Swarm.step(origin, input, nowMs)]).filter((output) =>
        output._tag === "Send" && output.message._tag === "Have"
      ).length
    const have = Bitfield.full(42)
    const manifest = Base64Url.encode(Uint8Array.of(0b1100_0000, 0, 0, 0, 0, 0))
    assert.isAbove(
      reveals([
        {
          _tag: "ShareOpened",
          root,
          manifestChunksCount: 2,
          chunksCount: 42,
          chunkSizeBytes: 64 * KiB,
          manifestChunkSizeBytes: KiB,
          have,
          manifestKnown: true,
          origin: true,
          cast: undefined
        },
        { _tag: "PeerUp", peer, isHost: false },
        { _tag: "Message", peer, message: { _tag: "Bitfield", share: root, bits: manifest } }
      ], 0),
      0
    )
    // Its disk is full: it asks for nothing. Then it is not, and what is revealed must not be what it may not have.
    let later = 0
    for (let nowMs = 100; nowMs <= 5_000; nowMs += 100) {
      const count = reveals([{ _tag: "Tick" }], nowMs)
      if (nowMs > 2_500) later += count
    }
    assert.isAbove(later, 0)
  })
})
