/** Who links to whom: the machine alone, with failures, crossing dials and lies as inputs. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { PeerId } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Membership from "../../src/protocol/Membership.ts"
import type { Address } from "../../src/protocol/Wire.ts"

const peer = (n: number) => String(n).padStart(43, "p") as PeerId
const address = (n: number): Address => ({ host: `10.0.${n >> 8}.${n & 255}`, port: 9_000 })

/** Always the same draws for the same seed. */
const draws = (seed: number) => () => {
  seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
  return seed / 0x80000000
}

const hears = (machine: Membership.Membership, count: number, nowMs: number) =>
  Membership.step(
    machine,
    {
      _tag: "Heard",
      announced: true,
      heard: Array.from({ length: count }, (_, i) => ({ peer: peer(i + 1), address: address(i + 1) }))
    },
    nowMs
  )

const up = (n: number, dialled: boolean, isHost = false): Membership.Input => ({
  _tag: "LinkUp",
  peer: peer(n),
  isHost,
  dialled,
  remote: address(n),
  address: address(n)
})

const Step = Schema.Union([
  Schema.TaggedStruct("Up", { n: Schema.Natural, dialled: Schema.Boolean }),
  Schema.TaggedStruct("Down", { n: Schema.Natural }),
  Schema.TaggedStruct("Fail", { n: Schema.Natural }),
  Schema.TaggedStruct("Links", { n: Schema.Natural, links: Schema.Natural }),
  Schema.TaggedStruct("Ban", { n: Schema.Natural }),
  Schema.TaggedStruct("Wait", { ms: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5_000 })) })
])

describe("Membership", () => {
  it.prop(
    "agrees on both sides which of two crossing links stays (invariant 1)",
    { a: Schema.Natural, b: Schema.Natural },
    ({ a, b }) => {
      if (a === b) return
      assert.notStrictEqual(Membership.keepsDialled(peer(a), peer(b)), Membership.keepsDialled(peer(b), peer(a)))
    }
  )

  it.prop(
    "never dials a linked, banned or already dialled peer, nor a failed one before its delay is over (invariants 2 and 6)",
    {
      known: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })),
      steps: Schema.Array(Step).check(Schema.isMaxLength(60)),
      seed: Schema.Natural
    },
    ({ known, seed, steps }) => {
      const machine = Membership.make(peer(0), false, draws(seed))
      const linked = new Set<PeerId>()
      const banned = new Set<PeerId>()
      const dialling = new Set<PeerId>()
      const notBefore = new Map<PeerId, number>()
      let now = 0
      const look = (outputs: ReadonlyArray<Membership.Output>) => {
        for (const output of outputs) {
          if (output._tag !== "Dial") continue
          const target = output.expected!
          assert.isFalse(linked.has(target), "linked")
          assert.isFalse(banned.has(target), "banned")
          assert.isFalse(dialling.has(target), "dialling")
          assert.isAtLeast(now, notBefore.get(target) ?? 0, "delay")
          dialling.add(target)
        }
      }
      look(hears(machine, known, now))
      for (const step of steps) {
        const n = step._tag === "Wait" ? 0 : 1 + (step.n % known)
        const it = peer(n)
        if (step._tag === "Wait") {
          now += step.ms
          look(Membership.step(machine, { _tag: "Tick" }, now))
        } else if (step._tag === "Up" && !banned.has(it)) {
          linked.add(it)
          dialling.delete(it)
          look(Membership.step(machine, up(n, step.dialled), now))
        } else if (step._tag === "Down" && linked.has(it)) {
          linked.delete(it)
          dialling.delete(it)
          notBefore.set(it, now + 500)
          look(Membership.step(machine, { _tag: "LinkDown", peer: it, code: "leaving" }, now))
        } else if (step._tag === "Fail" && dialling.has(it)) {
          dialling.delete(it)
          notBefore.set(it, now + 1_000)
          look(Membership.step(machine, { _tag: "DialFailed", address: address(n), expected: it, self: false }, now))
        } else if (step._tag === "Links") {
          look(Membership.step(machine, { _tag: "PeerLinks", peer: it, links: step.links }, now))
        } else if (step._tag === "Ban") {
          banned.add(it)
          look(Membership.step(machine, { _tag: "Banned", peer: it }, now))
        }
      }
    }
  )

  it("dials everybody in a room of fullMeshPeersMax and no more than it wants in a larger one, a few of them at first", () => {
    for (
      const [others, wanted] of [[Limits.fullMeshPeersMax - 1, Limits.fullMeshPeersMax - 1], [
        50,
        Limits.linksWantedMin
      ]]
    ) {
      const machine = Membership.make(peer(0), false, draws(1))
      const tick = (nowMs: number) => Membership.step(machine, { _tag: "Tick" }, nowMs).length
      assert.strictEqual(hears(machine, others!, 0).length, Limits.linksDialledFirst)
      assert.strictEqual(tick(Membership.politenessMs - 1), 0)
      assert.strictEqual(tick(Membership.politenessMs), wanted! - Limits.linksDialledFirst)
    }
  })

  it("waits to be dialled no longer than politenessMs, and dials no more than it is short of then", () => {
    const machine = Membership.make(peer(0), false, draws(1))
    hears(machine, 50, 0)
    for (const n of [1, 2, 3]) Membership.step(machine, up(n, false), 0)
    const dialled = Membership.step(machine, { _tag: "Tick" }, Membership.politenessMs).length
    assert.strictEqual(dialled, Limits.linksWantedMin - Limits.linksDialledFirst - 3)
  })

  it("lets the smaller PeerId dial first in a small room once it has links of its own", () => {
    const machine = Membership.make(peer(5), false, draws(1))
    for (const n of [1, 2, 3]) Membership.step(machine, up(n, true), 0)
    const heard = (n: number) =>
      Membership.step(machine, { _tag: "Heard", announced: true, heard: [{ peer: peer(n), address: address(n) }] }, 0)
    assert.deepStrictEqual(heard(4), [])
    assert.deepStrictEqual(heard(6), [{ _tag: "Dial", address: address(6), expected: peer(6) }])
    assert.deepStrictEqual(Membership.step(machine, { _tag: "Tick" }, Membership.politenessMs), [
      { _tag: "Dial", address: address(4), expected: peer(4) }
    ])
  })

  it("dials linksDialledMin itself even when others have dialled it often enough (invariant 3)", () => {
    const machine = Membership.make(peer(0), false, draws(1))
    hears(machine, 50, 0)
    for (let n = 1; n <= 50; n++) {
      Membership.step(machine, { _tag: "DialFailed", address: address(n), expected: peer(n), self: false }, 0)
    }
    for (let n = 1; n <= 9; n++) Membership.step(machine, up(n, false), 0)
    const outputs = Membership.step(machine, { _tag: "Tick" }, 60_000)
    assert.strictEqual(outputs.filter(({ _tag }) => _tag === "Dial").length, Limits.linksDialledMin)
  })

  it("dials where a peer says it is, however often others say that it is elsewhere", () => {
    const machine = Membership.make(peer(0), false, draws(1))
    const hear = (host: number, announced: boolean, nowMs: number) =>
      Membership.step(machine, { _tag: "Heard", announced, heard: [{ peer: peer(1), address: address(host) }] }, nowMs)
        .flatMap((output) => output._tag === "Dial" ? [output.address] : [])
    const fail = (host: number, nowMs: number) =>
      Membership.step(
        machine,
        { _tag: "DialFailed", address: address(host), expected: peer(1), self: false },
        nowMs
      ).flatMap((output) => output._tag === "Dial" ? [output.address] : [])
    assert.deepStrictEqual(hear(66, false, 0), [address(66)])
    assert.deepStrictEqual(hear(1, true, 10), [])
    // What has failed stays behind, also when it is said again, and a new lie goes behind what was announced.
    assert.deepStrictEqual(fail(66, 20), [])
    for (const lie of [66, 67, 68, 69, 70, 66]) hear(lie, false, 30)
    assert.deepStrictEqual(machine.known.get(peer(1))!.addresses[0], address(1))
    assert.lengthOf(machine.known.get(peer(1))!.addresses, Limits.addressesPerPeerMax)
    // A peer that has moved is dialled there at once.
    assert.deepStrictEqual(fail(1, 40), [])
    assert.deepStrictEqual(hear(2, true, 50), [address(2)])
  })

  it("dials the host first, and although it has links enough, where the host can have a link to everybody (invariant 3)", () => {
    for (const [others, fits] of [[Limits.linksMax - 1, true], [Limits.linksMax, false]] as const) {
      const dialled = (links: number) => {
        const machine = Membership.make(peer(0), false, draws(1), () => peer(40))
        for (let n = 1; n <= links; n++) Membership.step(machine, up(n, n <= Limits.linksDialledMin), 0)
        return hears(machine, others, Membership.politenessMs).flatMap((output) =>
          output._tag === "Dial" && output.expected !== undefined ? [output.expected] : []
        )
      }
      assert.strictEqual(dialled(0)[0] === peer(40), fits)
      assert.deepStrictEqual(dialled(Limits.linksWantedMax), fits ? [peer(40)] : [])
      assert.deepStrictEqual(dialled(40), [], "it has that link")
    }
  })

  it("dials somebody new now and then while it has no link to the host, whoever has failed before (invariant 7)", () => {
    const host = 30
    /** A room of 30 of whom the second half is out of reach; gives who of these is dialled in the next minutes. */
    const acrossIn = (known: number, isHost: boolean, hasHostLink: boolean) => {
      const machine = Membership.make(peer(0), isHost, draws(5), () => peer(host))
      hears(machine, known, 0)
      const fail = (n: number, nowMs: number) =>
        Membership.step(machine, { _tag: "DialFailed", address: address(n), expected: peer(n), self: false }, nowMs)
      for (let n = 15; n <= known; n++) for (let times = 0; times < 5; times++) fail(n, 0)
      for (let n = 1; n <= Limits.linksWantedMax; n++) Membership.step(machine, up(n, n % 2 === 0), 0)
      if (hasHostLink) Membership.step(machine, up(host, true, true), 0)
      const across: Array<number> = []
      for (let nowMs = 1_000; nowMs <= 20 * Membership.mixIntervalMs; nowMs += 1_000) {
        for (const output of Membership.step(machine, { _tag: "Tick" }, nowMs)) {
          if (output._tag !== "Dial") continue
          const n = Array.from({ length: known }, (_, i) => i + 1).find((n) => peer(n) === output.expected)!
          if (n >= 15 && n !== host) across.push(n)
          fail(n, nowMs)
        }
      }
      return across
    }
    const across = acrossIn(host, false, false)
    assert.isAtLeast(across.length, 10)
    assert.isAtMost(across.length, 40)
    assert.isAtLeast(new Set(across).size, 5)
    assert.isEmpty(acrossIn(host, false, true))
    assert.isEmpty(acrossIn(host, true, false))
  })

  it("gives up a link only with too many of its own, towards a peer that has enough (invariant 4)", () => {
    const machine = Membership.make(peer(0), false, draws(1))
    hears(machine, 30, 0)
    for (let n = 1; n <= Limits.linksWantedMax; n++) Membership.step(machine, up(n, true), 0)
    Membership.step(machine, { _tag: "PeerLinks", peer: peer(3), links: 40 }, 0)
    const closes = () =>
      Membership.step(machine, { _tag: "Tick" }, Membership.settledMs).filter(({ _tag }) => _tag === "Close")
    assert.deepStrictEqual(closes(), [])
    Membership.step(machine, up(20, true), 0)
    assert.deepStrictEqual(closes().map((output) => "peer" in output && output.peer), [peer(3)])
    Membership.step(machine, { _tag: "PeerLinks", peer: peer(3), links: Limits.linksWantedMin }, 0)
    assert.deepStrictEqual(closes(), [])
  })

  it("gives up no link between the host and anybody (invariant 4)", () => {
    for (const isHost of [true, false]) {
      const machine = Membership.make(peer(0), isHost, draws(1))
      hears(machine, 30, 0)
      for (let n = 1; n <= Limits.linksWantedMax + 3; n++) Membership.step(machine, up(n, true, n === 3), 0)
      Membership.step(machine, { _tag: "PeerLinks", peer: peer(3), links: 40 }, 0)
      Membership.step(machine, { _tag: "PeerLinks", peer: peer(4), links: Limits.linksWantedMin + 1 }, 0)
      const closed = Membership.step(machine, { _tag: "Tick" }, Membership.settledMs).flatMap((output) =>
        output._tag === "Close" ? [output.peer] : []
      )
      assert.deepStrictEqual(closed, isHost ? [] : [peer(4)])
    }
  })

  it("knows at most peersKnownMax peers and forgets those it never reached first (invariant 5)", () => {
    const machine = Membership.make(peer(0), false, draws(1))
    for (let n = 1; n <= 5; n++) Membership.step(machine, up(n, true), n)
    hears(machine, 2 * Limits.peersKnownMax, 100)
    assert.strictEqual(machine.known.size, Limits.peersKnownMax)
    for (let n = 1; n <= 5; n++) assert.isTrue(machine.known.has(peer(n)))
  })

  it("tries a typed address for as long as it fails, and never again once it is this device itself", () => {
    const machine = Membership.make(peer(0), false, draws(1))
    const typed = address(9)
    const dial: ReadonlyArray<Membership.Output> = [{ _tag: "Dial", address: typed, expected: undefined }]
    assert.deepStrictEqual(Membership.step(machine, { _tag: "Typed", address: typed }, 0), dial)
    const failed = (self: boolean, nowMs: number) =>
      Membership.step(machine, { _tag: "DialFailed", address: typed, expected: undefined, self }, nowMs)
    let now = 0
    for (let turn = 0; turn < 20; turn++) {
      assert.deepStrictEqual(failed(false, now), [])
      now += Membership.redialMsMax
      assert.deepStrictEqual(Membership.step(machine, { _tag: "Tick" }, now), dial)
    }
    assert.deepStrictEqual(failed(true, now), [])
    assert.deepStrictEqual(Membership.step(machine, { _tag: "Tick" }, now + Membership.redialMsMax), [])
  })

  it("tells a peer of others it has reached, never of the peer itself", () => {
    const machine = Membership.make(peer(0), false, draws(1))
    hears(machine, 3, 0)
    Membership.step(machine, up(1, true), 0)
    Membership.step(machine, up(2, false), 0)
    const told = Membership.toTell(machine, peer(1), new Set()).map(({ peer }) => peer)
    assert.deepStrictEqual(told, [peer(2)])
    assert.deepStrictEqual(Membership.toTell(machine, peer(1), new Set(told)), [])
  })

  it("tells of loopback addresses only on the same machine", () => {
    const machine = Membership.make(peer(0), false, draws(1))
    const here = { host: "127.0.0.1", port: 9_001 }
    Membership.step(machine, {
      _tag: "LinkUp",
      peer: peer(1),
      isHost: false,
      dialled: true,
      remote: here,
      address: here
    }, 0)
    Membership.step(machine, { ...up(2, true) }, 0)
    Membership.step(machine, {
      _tag: "LinkUp",
      peer: peer(3),
      isHost: false,
      dialled: true,
      remote: here,
      address: here
    }, 0)
    const told = (to: number) => Membership.toTell(machine, peer(to), new Set()).map(({ peer }) => peer)
    assert.deepStrictEqual(told(2), [])
    assert.sameMembers([...told(3)], [peer(1), peer(2)])
  })
})
