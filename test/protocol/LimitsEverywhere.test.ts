/** Every limit is held by a test on both sides of it: the rest of them, and a walk over all their names. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Gossip from "../../src/protocol/Gossip.ts"
import * as Guesses from "../../src/protocol/Guesses.ts"
import type { PeerId, PublicKey, SessionId } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Membership from "../../src/protocol/Membership.ts"
import * as Names from "../../src/protocol/Names.ts"
import { Identity } from "../../src/services/Identity.ts"
import { MachineId } from "../../src/services/MachineId.ts"
import { Memberships } from "../../src/services/Memberships.ts"
import * as CryptoNode from "../../src/services/node/CryptoNode.ts"
import { DiskMemory } from "../../src/simulator/DiskMemory.ts"
import * as Golden from "../support/Golden.ts"
import { entryOf, GossipSimulator, keyOf } from "../support/GossipSimulator.ts"

/** Limits that no test can go up to and beyond, and why not. A new limit cannot come into this list unnoticed. */
const unprovable: Partial<Record<keyof typeof Limits, string>> = {
  closeGraceMs: "a waiting time of real sockets; what it bounds has no other sign than that time",
  keepAliveAfterMs: "handed to the system, which counts it and shows it to nobody",
  pooledBytesMax: "buffers beyond it are left to the garbage collector, which nobody can see from outside"
}

const tests = Path.resolve(import.meta.dirname, "..")
const text = Fs.readdirSync(tests, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.ts"))
  .map((file) => Fs.readFileSync(Path.join(tests, file), "utf8").replace(/const unprovable[\s\S]*?^\}/m, ""))
  .join("\n")

describe("every limit", () => {
  it.each(Object.keys(Limits))("is named by a test: %s", (name) => {
    assert.strictEqual(name in unprovable, !new RegExp(`\\b${name}\\b`).test(text))
  })
})

const diskWithState = (): DiskMemory => {
  const disk = new DiskMemory()
  disk.put("/state/lock", new Uint8Array(0))
  return disk
}

const peer = (n: number) => `${n}`.padStart(43, "P") as PeerId

describe("Limits of the mesh", () => {
  it("let one machine be dialled as often as allowed in an interval, however many peers are said to be there", () => {
    const mesh = Membership.make(peer(0), false, () => 0)
    const heard = Array.from({ length: 200 }, (_, n) => ({
      peer: peer(n + 1),
      address: { host: "10.0.0.9", port: 1_000 + n }
    }))
    const dials = (nowMs: number, input: Membership.Input) =>
      Membership.step(mesh, input, nowMs).filter(({ _tag }) => _tag === "Dial").length
    let first = dials(0, { _tag: "Heard", announced: true, heard })
    for (let nowMs = 100; nowMs < Limits.dialIntervalMs; nowMs += 100) first += dials(nowMs, { _tag: "Tick" })
    assert.isAtMost(first, Limits.dialsPerIntervalMax)
    assert.isAbove(first, 0)
  })

  it("forget the oldest of the banned when there are more than allowed, and no other", () => {
    const mesh = Membership.make(peer(0), false, () => 0)
    for (let n = 1; n <= Limits.peersBannedMax; n++) Membership.step(mesh, { _tag: "Banned", peer: peer(n) }, 0)
    assert.isTrue(mesh.banned.has(peer(1)))
    Membership.step(mesh, { _tag: "Banned", peer: peer(0x7fff_ffff) }, 0)
    assert.strictEqual(mesh.banned.size, Limits.peersBannedMax)
    assert.isFalse(mesh.banned.has(peer(1)))
    assert.isTrue(mesh.banned.has(peer(2)))
  })
})

describe("Limits of closed sessions", () => {
  const key = (n: number) => `${n}`.padStart(43, "K") as PublicKey
  const wrong = (state: Guesses.State, n: number, host: string) => Guesses.answer(state, key(n), host, false, 1_000)

  it("leave wrongCodesReserved places to addresses that were never wrong, and not one to others", () => {
    const state = Guesses.make()
    const shared = Limits.wrongCodesMax - Limits.wrongCodesReserved
    for (let n = 0; n < shared; n++) assert.strictEqual(wrong(state, n, `10.0.0.${n}`), "wrong")
    assert.strictEqual(wrong(state, 500, "10.0.0.0"), "later")
    for (let n = shared; n < Limits.wrongCodesMax; n++) assert.strictEqual(wrong(state, n, `10.0.0.${n}`), "wrong")
    assert.strictEqual(wrong(state, 501, "10.0.1.1"), "later")
  })

  it("keep joinCodeCharactersMin out of reach of an hour of guessing", () => {
    const guesses = 60 * Limits.wrongCodesMax
    assert.isBelow(guesses / 10 ** Limits.joinCodeCharactersMin, 0.002)
    assert.isAbove(guesses / 10 ** (Limits.joinCodeCharactersMin - 1), 0.01)
  })

  it.effect("keep as many memberships as membershipsKeptMax, and forget the oldest for one more", () =>
    Effect.gen(function*() {
      const memberships = yield* Memberships
      const session = (n: number) => `${n}`.padStart(22, "S") as SessionId
      for (let n = 0; n < Limits.membershipsKeptMax; n++) yield* memberships.keep(session(n), Golden.membershipSigned)
      assert.isDefined(yield* memberships.of(session(0)))
      yield* memberships.keep(session(Limits.membershipsKeptMax), Golden.membershipSigned)
      assert.isUndefined(yield* memberships.of(session(0)))
      for (let n = 1; n <= Limits.membershipsKeptMax; n++) assert.isDefined(yield* memberships.of(session(n)))
    }).pipe(Effect.provide(Memberships.layer("/state").pipe(Layer.provide(diskWithState().layer)))))
})

describe("Limits of logs, names and pins", () => {
  it("close the host's log at logBytesPerHostMax, and not before", () => {
    const simulator = new GossipSimulator(2, [[0, 1]])
    simulator.runToQuiet(() => 0, 10)
    const machine = simulator.machines[1]!
    const said = "x".repeat(16_000)
    for (let n = 1; machine.logs.get(keyOf(0))?.closed === undefined; n++) {
      const before = machine.logs.get(keyOf(0))?.bytes ?? 0
      simulator.receive(1, 0, [entryOf(keyOf(0), n, { _tag: "Text", text: said }).signed])
      const after = machine.logs.get(keyOf(0))!
      assert.isAtMost(after.bytes, Limits.logBytesPerHostMax)
      if (after.closed !== undefined) assert.isAbove(before, Limits.logBytesPerHostMax - 17_000)
    }
    assert.isAbove(Gossip.delivered(machine, keyOf(0)), 1_000)
  })

  it("take a path of pathDepthMax components, and not one more", () => {
    const path = (depth: number) => Array.from({ length: depth }, () => "a").join("/")
    assert.isUndefined(Names.pathProblem(path(Limits.pathDepthMax)))
    assert.isDefined(Names.pathProblem(path(Limits.pathDepthMax + 1)))
  })

  it.effect("remember pinsMax teachers, and forget the oldest for one more", () =>
    Effect.gen(function*() {
      const identity = yield* Identity
      const root = (n: number) => `${n}`.padStart(42, "R").concat("A") as PublicKey
      for (let n = 0; n <= Limits.pinsMax; n++) {
        if (n === Limits.pinsMax) assert.lengthOf(yield* identity.pins, Limits.pinsMax)
        yield* identity.pin({ root: root(n), title: "t" })
      }
      const pins = yield* identity.pins
      assert.lengthOf(pins, Limits.pinsMax)
      assert.strictEqual(pins[0]!.root, root(1))
    }).pipe(Effect.provide(
      Identity.layer("/state").pipe(Layer.provide(Layer.mergeAll(
        new DiskMemory().layer,
        CryptoNode.layerNode,
        Layer.succeed(MachineId, { facts: Effect.succeed({ installation: "i", hardware: ["m"], user: "u" }) })
      )))
    )))
})
