/** The status machine on any connected mesh: everybody learns how everybody stands, at a bounded price. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { PublicKey, Root, Signature } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import type { Signed } from "../../src/protocol/Signed.ts"
import { sourcesChanged, type Status } from "../../src/protocol/Status.ts"
import * as Statuses from "../../src/protocol/Statuses.ts"
import type { Statuses as Message } from "../../src/protocol/Wire.ts"
import { type Edge, keyOf, line, mesh, MeshDraws, peerOf } from "../support/GossipSimulator.ts"

const statusOf = (key: PublicKey, number: number, links: number): { signed: Signed; status: Status } => {
  const status: Status = { number, name: "somebody", links, receiveBytesPerSecond: 0, shares: [] }
  const signature = `${key}${number}_${links}`.padEnd(86, "_") as Signature
  return { signed: { key, signature, body: JSON.stringify(status) }, status }
}

/** Machines over links that deliver at once; every device says something new by its number of links. */
class Room {
  readonly machines: Array<Statuses.State>
  readonly links = new Set<string>()
  readonly #sentMs = new Map<string, number>()
  readonly #underWay: Array<{ readonly from: number; readonly to: number; readonly statuses: Message["statuses"] }> = []
  verified = 0
  nowMs = 1_000_000
  readonly says: Array<number>

  constructor(count: number, edges: ReadonlyArray<Edge>) {
    this.machines = Array.from({ length: count }, (_, i) => Statuses.make(keyOf(i)))
    this.says = Array.from({ length: count }, () => 0)
    for (const edge of edges) this.connect(edge)
  }

  connect([a, b]: Edge): void {
    this.links.add(`${a}>${b}`).add(`${b}>${a}`)
    this.#step(a, { _tag: "NeighborUp", peer: peerOf(b) })
    this.#step(b, { _tag: "NeighborUp", peer: peerOf(a) })
    this.#deliver()
  }

  cut([a, b]: Edge): void {
    this.links.delete(`${a}>${b}`)
    this.links.delete(`${b}>${a}`)
    this.input(a, { _tag: "NeighborDown", peer: peerOf(b) })
    this.input(b, { _tag: "NeighborDown", peer: peerOf(a) })
  }

  change(index: number, links: number): void {
    this.says[index] = links
    this.input(index, { _tag: "Changed", matters: false })
  }

  pass(seconds: number, except: ReadonlyArray<number> = []): void {
    for (let i = 0; i < seconds; i++) {
      this.nowMs += 1_000
      this.machines.forEach((_, index) => {
        if (!except.includes(index)) this.input(index, { _tag: "Tick" })
      })
    }
  }

  /** What a device knows of the others: their numbers of links. */
  view(index: number): Record<string, number> {
    return Object.fromEntries(
      Statuses.current(this.machines[index]!).map(({ key, status }) => [key, status.links]).toSorted()
    )
  }

  receive(to: number, from: number, statuses: ReadonlyArray<Signed>): void {
    this.#take(to, from, statuses)
    this.#deliver()
  }

  input(index: number, input: Statuses.Input): void {
    this.#step(index, input)
    this.#deliver()
  }

  #take(to: number, from: number, statuses: ReadonlyArray<Signed>): void {
    const state = this.machines[to]!
    if (!Statuses.admits(state, peerOf(from), this.nowMs)) return
    const items = statuses.map((signed) => {
      const fresh = Statuses.sight(state, signed) === "new"
      if (fresh) this.verified++
      return { signed, status: fresh ? (JSON.parse(signed.body) as Status) : undefined }
    })
    this.#step(to, { _tag: "Received", peer: peerOf(from), items })
  }

  #step(index: number, input: Statuses.Input): void {
    const state = this.machines[index]!
    const before = new Map(Array.from(state.known.values(), ({ key, status }) => [key, status.number]))
    const outputs = Statuses.step(state, input, this.nowMs)
    for (const { key, status } of state.known.values()) {
      if (status.number < (before.get(key) ?? 0)) throw new Error(`an older status of ${key}`)
    }
    for (const output of outputs) {
      if (output._tag === "Sign") {
        this.#step(index, { _tag: "Signed", ...statusOf(keyOf(index), output.number, this.says[index]!) })
      } else if (output._tag === "Send") {
        this.#send(index, Number.parseInt(output.peer.slice(1), 10), output.message)
      }
    }
  }

  #send(from: number, to: number, { statuses }: Message): void {
    const link = `${from}>${to}`
    if (!this.links.has(link)) return
    if (this.nowMs - (this.#sentMs.get(link) ?? -Infinity) < Limits.statusBatchIntervalMs) throw new Error("too often")
    this.#sentMs.set(link, this.nowMs)
    this.#underWay.push({ from, to, statuses })
  }

  #deliver(): void {
    for (let next = this.#underWay.shift(); next !== undefined; next = this.#underWay.shift()) {
      if (this.links.has(`${next.from}>${next.to}`)) this.#take(next.to, next.from, next.statuses)
    }
  }
}

const madeUp = (from: number, count: number, number: number): ReadonlyArray<Signed> =>
  Array.from({ length: count }, (_, i) => statusOf(keyOf(100 + from + i), number, i).signed)

const Index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))

describe("Statuses", () => {
  it.prop(
    "reach all of 50 devices on any connected mesh, each verified about once (invariants 1, 2 and 3)",
    { draws: MeshDraws(50, 60), changes: Schema.Array(Schema.Tuple([Index, Index])).check(Schema.isMaxLength(40)) },
    ({ changes, draws }) => {
      const room = new Room(50, mesh(draws))
      for (let i = 0; i < 50; i++) room.change(i, 1_000 + i)
      for (const [peer, links] of changes) {
        room.change(peer % 50, links)
        room.pass(1)
      }
      room.pass(110)
      const expected = Object.fromEntries(room.says.map((links, i) => [keyOf(i), links] as const).toSorted())
      for (let i = 0; i < 50; i++) assert.deepStrictEqual(room.view(i), expected, `device ${i}`)
      // Everybody signs every 20 s at least and every 10 s at most.
      const signed = room.machines.reduce((sum, { number }) => sum + number, 0)
      assert.isAtMost(room.verified, 1.5 * 50 * signed)
    },
    { arbitrary: { runs: 10 } }
  )

  it("cross a line of ten devices within its batches, and a change too", () => {
    const room = new Room(10, line(10))
    for (let i = 0; i < 10; i++) room.change(i, i)
    room.pass(2 * 10)
    assert.strictEqual(Object.keys(room.view(9)).length, 10)
    room.change(0, 77)
    room.pass(2 * 10 + 3)
    assert.strictEqual(room.view(9)[keyOf(0)], 77)
  })

  it("are signed at most every three seconds, however often they change, and the last change counts", () => {
    const room = new Room(2, line(2))
    for (let i = 0; i < 30; i++) {
      room.change(0, i)
      room.pass(1)
    }
    assert.isAtMost(room.machines[0]!.number, 11)
    room.pass(5)
    assert.strictEqual(room.view(1)[keyOf(0)], 29)
  })

  it("are signed by each device as seldom as statusesPerSecondMax asks of the whole room, and no more seldom", () => {
    const fullRate = (Limits.statusesPerSecondMax * Limits.statusIntervalMs) / 1_000
    for (
      const [count, intervalMs] of [
        [fullRate, Limits.statusIntervalMs],
        [fullRate + 1, Limits.statusIntervalMs + 1_000 / Limits.statusesPerSecondMax],
        [2 * fullRate, 2 * Limits.statusIntervalMs]
      ] as const
    ) {
      const state = Statuses.make(keyOf(0))
      const signs = (input: Statuses.Input, nowMs: number) =>
        Statuses.step(state, input, nowMs).some(({ _tag }) => _tag === "Sign")
      Statuses.step(state, { _tag: "NeighborUp", peer: peerOf(1) }, 0)
      const items = Array.from({ length: count - 1 }, (_, i) => statusOf(keyOf(i + 1), 1, 1))
      Statuses.step(state, { _tag: "Received", peer: peerOf(1), items }, 0)
      assert.isTrue(signs({ _tag: "Changed", matters: false }, 0))
      Statuses.step(state, { _tag: "Signed", ...statusOf(keyOf(0), 1, 1) }, 0)
      assert.isFalse(signs({ _tag: "Changed", matters: false }, intervalMs - 1))
      assert.isTrue(signs({ _tag: "Tick" }, intervalMs))
    }
  })

  it("are signed as soon as statusIntervalMs allows in a room of any size when something matters", () => {
    const state = Statuses.make(keyOf(0))
    const signs = (input: Statuses.Input, nowMs: number) =>
      Statuses.step(state, input, nowMs).some(({ _tag }) => _tag === "Sign")
    Statuses.step(state, { _tag: "NeighborUp", peer: peerOf(1) }, 0)
    const items = Array.from({ length: 60 }, (_, i) => statusOf(keyOf(i + 1), 1, 1))
    Statuses.step(state, { _tag: "Received", peer: peerOf(1), items }, 0)
    assert.isTrue(signs({ _tag: "Changed", matters: true }, 0))
    Statuses.step(state, { _tag: "Signed", ...statusOf(keyOf(0), 1, 1) }, 0)
    assert.isFalse(signs({ _tag: "Changed", matters: true }, Limits.statusIntervalMs - 1))
    // What came after it does not make it matter less.
    assert.isTrue(signs({ _tag: "Changed", matters: false }, Limits.statusIntervalMs))
  })

  it("are forgotten a minute after their device fell silent, and old news does not bring them back (invariant 4)", () => {
    const room = new Room(4, line(3))
    for (let i = 0; i < 3; i++) room.change(i, i)
    room.pass(10)
    const old = room.machines[1]!.known.get(keyOf(0))!.signed
    room.cut([0, 1])
    room.pass(60, [0])
    assert.deepStrictEqual(Object.keys(room.view(1)), [keyOf(1), keyOf(2)])
    assert.deepStrictEqual(Object.keys(room.view(2)), [keyOf(1), keyOf(2)])
    room.receive(1, 2, [old])
    room.connect([1, 3])
    assert.deepStrictEqual(Object.keys(room.view(1)), [keyOf(1), keyOf(2)])
    assert.deepStrictEqual(Object.keys(room.view(3)), [keyOf(1), keyOf(2)])
    room.connect([0, 1])
    room.pass(30)
    assert.strictEqual(Object.keys(room.view(2)).length, 3)
  })

  it("go on from the number that others remember when a device starts again (invariant 5)", () => {
    const room = new Room(2, line(2))
    for (let i = 0; i < 30; i++) {
      room.change(0, i)
      room.pass(3)
    }
    const before = room.machines[0]!.number
    assert.isAbove(before, 20)
    room.cut([0, 1])
    room.machines[0] = Statuses.make(keyOf(0))
    room.change(0, 555)
    room.connect([0, 1])
    room.pass(3)
    assert.isAbove(room.machines[0].number, before)
    assert.strictEqual(room.view(1)[keyOf(0)], 555)
  })

  it("tell of changed sources where they are the host's, and where they are of anybody else tell nothing of that", () => {
    const share = (index: number, problem?: "source-changed" | "disk-full"): Status["shares"][number] => ({
      root: keyOf(index) as string as Root,
      verifiedBytes: 0,
      complete: false,
      ...(problem === undefined ? {} : { problem })
    })
    const said = (index: number, shares: Status["shares"]) => ({
      key: keyOf(index),
      status: { ...statusOf(keyOf(index), 1, 0).status, shares }
    })
    const all = [
      said(1, [share(7, "source-changed"), share(8, "source-changed")]),
      said(0, [share(7, "source-changed"), share(8), share(9, "disk-full")]),
      said(2, [share(7)])
    ]
    const roots = [7, 8, 9].map((index) => share(index).root)
    assert.deepStrictEqual([...sourcesChanged(all, keyOf(0))], [[roots[0], true], [roots[1], false], [roots[2], false]])
    assert.deepStrictEqual([...sourcesChanged(all, keyOf(3))], [])
  })

  it("of made-up devices do not take more than their room, and a flood of them is not looked at", () => {
    const room = new Room(2, line(2))
    for (let i = 0; i < 100; i++) room.receive(0, 1, madeUp(0, 64, i))
    assert.isAtMost(room.verified, 8 * 64)
    room.pass(100)
    for (let i = 0; i < 8; i++) room.receive(0, 1, madeUp(64 * i, 64, 1_000))
    assert.isAtMost(room.machines[0]!.known.size, Limits.statusPeersMax)
  })
})
