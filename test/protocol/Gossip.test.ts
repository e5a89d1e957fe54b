/**
 * The log machine on any connected mesh, with any interleaving, cuts, rejoins and crashes.
 *
 * A failing run prints its replay token; put it in `{ arbitrary: { replay } }` to step through the same history.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Entry } from "../../src/protocol/Entry.ts"
import * as Gossip from "../../src/protocol/Gossip.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import {
  type Edge,
  entryOf,
  GossipSimulator,
  keyOf,
  line,
  mesh,
  MeshDraws,
  peerOf,
  text
} from "../support/GossipSimulator.ts"

const Index = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))
const Picks = Schema.Array(Index).check(Schema.isMaxLength(64))
const picker = (picks: ReadonlyArray<number>) => {
  let i = 0
  return () => (picks.length === 0 ? 0 : picks[i++ % picks.length]!)
}

const Action = Schema.Union([
  Schema.TaggedStruct("Write", { peer: Index }),
  Schema.TaggedStruct("Move", { count: Index, pick: Index }),
  Schema.TaggedStruct("Cut", { edge: Index }),
  Schema.TaggedStruct("Rejoin", { edge: Index }),
  Schema.TaggedStruct("Restart", { peer: Index }),
  Schema.TaggedStruct("Pass", { ms: Index })
])

/** Everybody shows the same, and all of it. */
const assertConverged = (simulator: GossipSimulator, count: number) => {
  const expected = simulator.shown(0)
  assert.strictEqual(expected.length, count)
  for (let i = 1; i < simulator.machines.length; i++) assert.deepStrictEqual(simulator.shown(i), expected, `peer ${i}`)
}

describe("Gossip", () => {
  it.prop(
    "delivers every entry exactly once to each of 50 peers on any connected mesh (invariants 1, 2 and 3)",
    { draws: MeshDraws(50, 60), writers: Schema.Array(Index).check(Schema.isMaxLength(20)), picks: Picks },
    ({ draws, picks, writers }) => {
      const edges = mesh(draws)
      const simulator = new GossipSimulator(50, edges)
      const pick = picker(picks)
      simulator.runToQuiet(pick, 2 * edges.length)
      writers.forEach((writer, i) => {
        assert.isTrue(simulator.write(writer % 50, text(`line ${i}`)))
        for (let moves = pick() % 50; moves > 0; moves--) simulator.move(pick())
      })
      simulator.runToQuiet(pick, 2 * edges.length * (writers.length + 1))
      assertConverged(simulator, writers.length)
      assert.isAtMost(simulator.entriesCrossed, 2 * edges.length * writers.length)
      assert.isAtMost(simulator.verified, 49 * writers.length)
      assert.strictEqual(simulator.overheadBytes, 0, "nothing twice (invariant 9)")
      assert.deepStrictEqual(simulator.disconnects, [])
    },
    { arbitrary: { runs: 100 } }
  )

  it.prop(
    "converges after any cuts, rejoins, crashes and interleavings (invariants 1 to 4)",
    { draws: MeshDraws(12, 12), actions: Schema.Array(Action).check(Schema.isMaxLength(80)), picks: Picks },
    ({ actions, draws, picks }) => {
      const edges = mesh(draws)
      const simulator = new GossipSimulator(12, edges)
      let written = 0
      for (const action of actions) {
        switch (action._tag) {
          case "Write":
            if (simulator.write(action.peer % 12, text(`line ${written}`))) written++
            break
          case "Move":
            for (let i = action.count % 40; i > 0; i--) simulator.move(action.pick + i)
            break
          case "Cut":
            simulator.cut(edges[action.edge % edges.length]!)
            break
          case "Rejoin":
            simulator.connect(edges[action.edge % edges.length]!)
            break
          case "Restart":
            simulator.restart(action.peer % 12)
            break
          case "Pass":
            simulator.tick(action.ms)
        }
      }
      for (const edge of edges) simulator.connect(edge)
      simulator.runToQuiet(picker(picks), 100_000)
      simulator.pass(20)
      assertConverged(simulator, written)
      assert.strictEqual(simulator.overheadBytes, 0, "nothing twice (invariant 9)")
      const messages = simulator.messagesSent
      simulator.pass(40)
      assert.strictEqual(simulator.messagesSent, messages, "a quiet room stays quiet")
      assert.deepStrictEqual(simulator.disconnects, [])
    },
    { arbitrary: { runs: 300 } }
  )

  it("goes from the host to everybody at once, and over every other link once, a moment later (invariant 3)", () => {
    const students = Array.from({ length: 20 }, (_, i) => i + 1)
    const toHost = students.map((i): Edge => [i, 0])
    const between = students.flatMap((i) => [1, 2, 5].map((far): Edge => [i, 1 + ((i + far) % 20)]))
    const simulator = new GossipSimulator(21, [...toHost, ...between])
    simulator.runToQuiet(() => 0, 1_000)
    const startedMs = simulator.nowMs
    simulator.write(0, text("good morning"))
    while (simulator.move(0)) { /* no time passes */ }
    assert.isTrue(students.every((i) => simulator.delivered[i]!.length === 1))
    assert.strictEqual(simulator.entriesCrossed, toHost.length)
    simulator.runToQuiet(() => 0, 1_000)
    assert.strictEqual(simulator.entriesCrossed, toHost.length + between.length)
    assert.isAtMost(simulator.nowMs - startedMs, 250)
  })

  it("is spared those who have it from the host too, and not those who have no link to the host", () => {
    // Five students linked with the host and each other, and one who is linked with one of them alone.
    const near = [1, 2, 3, 4, 5]
    const between = near.flatMap((i) => near.filter((far) => far > i).map((far): Edge => [i, far]))
    const simulator = new GossipSimulator(7, [...near.map((i): Edge => [i, 0]), ...between, [1, 6]])
    simulator.tellNearHost()
    simulator.runToQuiet(() => 0, 1_000)
    simulator.write(0, text("good morning"))
    const expectCrossed = (count: number) => {
      while (simulator.move(0)) { /* no time passes */ }
      assert.strictEqual(simulator.entriesCrossed, count)
    }
    expectCrossed(5)
    simulator.tick(100)
    expectCrossed(6)
    assert.strictEqual(simulator.delivered[6]!.length, 1)
    for (let second = 0; second < 40; second++) {
      simulator.tick(1_000)
      expectCrossed(6)
    }
  })

  it("comes from those who have it from the host to one whom the host does not reach: when it says so, when its heads do, or else some seconds after they were due", () => {
    const entry = (number: number) => {
      const { entry, signed } = entryOf(keyOf(0), number, text(`${number}`))
      return { signed, entry }
    }
    const near = (dialled: boolean) => {
      const state = Gossip.make(keyOf(1), 0)
      const sent: Array<number> = []
      const step = (input: Gossip.Input, nowMs: number) => {
        for (const output of Gossip.step(state, input, nowMs)) {
          if (output._tag !== "Send" || output.peer !== peerOf(2) || output.message._tag !== "Entries") continue
          sent.push(...output.message.entries.map(({ body }) => (JSON.parse(body) as Entry).number))
        }
      }
      const heads = (peer: number, number: number, first: boolean, nowMs: number) => {
        const heads = [{ author: keyOf(0), number }]
        step({ _tag: "Heads", peer: peerOf(peer), heads: { _tag: "Heads", first, received: 0, heads } }, nowMs)
      }
      step({ _tag: "Authority", hosts: new Set([keyOf(0)]), policies: [] }, 0)
      for (const peer of [0, 2, 3, 4]) {
        step({ _tag: "NeighborUp", peer: peerOf(peer), isHost: peer === 0, dialled }, 0)
        heads(peer, 0, true, 0)
      }
      step({ _tag: "NeighborNearHost", peer: peerOf(2), near: true }, 0)
      const comes = (number: number, nowMs: number) =>
        step({ _tag: "Entries", peer: peerOf(0), items: [entry(number)], besideBulk: false }, nowMs)
      comes(1, 1_000)
      return { comes, heads, sent, step, state }
    }
    for (const [dialled, lateMs] of [[true, 17_000], [false, 19_000]] as const) {
      const { sent, step } = near(dialled)
      step({ _tag: "Tick" }, 1_000 + lateMs - 1)
      assert.deepStrictEqual(sent, [])
      step({ _tag: "Tick" }, 1_000 + lateMs)
      assert.deepStrictEqual(sent, [1])
    }
    const lost = near(true)
    lost.step({ _tag: "NeighborNearHost", peer: peerOf(2), near: false }, 1_500)
    assert.deepStrictEqual(lost.sent, [1])
    // Heads that crossed with the host's word say nothing; later ones do.
    for (const [atMs, sent] of [[2_999, []], [3_000, [1]]] as const) {
      const lacking = near(true)
      lacking.heads(2, 0, false, atMs)
      assert.deepStrictEqual<ReadonlyArray<number>>(lacking.sent, sent)
    }
    // Who names the first of two has time for the second from when that came.
    const current = near(true)
    current.comes(2, 15_000)
    current.heads(2, 1, false, 15_500)
    current.step({ _tag: "Tick" }, 15_000 + 17_000 - 1)
    assert.deepStrictEqual(current.sent, [])
    current.step({ _tag: "Tick" }, 15_000 + 17_000)
    assert.deepStrictEqual(current.sent, [2])
  })

  it("is relayed ten times as soon while chunks move, because what comes directly may be stuck behind some", () => {
    for (const [besideBulk, laterMs] of [[false, 100], [true, 10]] as const) {
      const simulator = new GossipSimulator(6, [[1, 0], [1, 2], [1, 3], [1, 4], [5, 1]])
      simulator.besideBulk = besideBulk
      simulator.runToQuiet(() => 0, 1_000)
      simulator.write(0, text("good morning"))
      while (simulator.move(0)) { /* no time passes */ }
      assert.strictEqual(simulator.entriesCrossed, 1)
      assert.strictEqual(Gossip.wakeAtMs(simulator.machines[1]!) - simulator.nowMs, laterMs)
      simulator.tick(laterMs)
      while (simulator.move(0)) { /* no time passes */ }
      assert.strictEqual(simulator.entriesCrossed, 4, "to those it has dialled")
      simulator.tick(laterMs)
      while (simulator.move(0)) { /* no time passes */ }
      assert.strictEqual(simulator.entriesCrossed, 5, "and to the one that has dialled it")
    }
  })

  it("goes from a student to the host at once, and by it to everybody", () => {
    const students = Array.from({ length: 20 }, (_, i) => i + 1)
    const simulator = new GossipSimulator(21, [
      ...students.map((i): Edge => [i, 0]),
      ...students.flatMap((i) => [1, 2, 5].map((far): Edge => [i, 1 + ((i + far) % 20)]))
    ])
    simulator.runToQuiet(() => 0, 1_000)
    simulator.write(7, text("here"))
    while (simulator.move(0)) { /* no time passes */ }
    assert.isTrue(students.every((i) => simulator.delivered[i]!.length === 1))
  })

  it("brings a late joiner up to date with 16 MiB, paced, without waiting for time to pass (invariant 4)", () => {
    const simulator = new GossipSimulator(3, [[0, 1]])
    const long = "\"".repeat(4_000)
    let count = 0
    while (simulator.write(0, text(`${count} ${long}`))) {
      count++
      simulator.tick(1_000)
      simulator.runToQuiet(() => 0, 100)
    }
    assert.isAbove(count, 1_500)
    simulator.connect([1, 2])
    simulator.runToQuiet(() => 0, 20_000)
    assertConverged(simulator, count)
  })

  it("lets fresh entries pass while a long history is caught up with", () => {
    const simulator = new GossipSimulator(3, [])
    for (let i = 0; i < 2_000; i++) {
      simulator.write(0, text(`${i} ${"x".repeat(1_000)}`))
      simulator.nowMs += 1_000
    }
    simulator.connect([0, 1])
    simulator.connect([0, 2])
    for (let i = 0; i < 12; i++) simulator.move(i)
    assert.isBelow(simulator.delivered[1]!.length, 1_000)
    simulator.write(2, text("now"))
    let turn = 0
    simulator.runToQuiet(() => turn++, 10_000)
    const before = simulator.delivered[1]!.findIndex(({ author }) => author === keyOf(2))
    assert.strictEqual(simulator.delivered[1]!.length, 2_001)
    assert.isBelow(before, 1_000)
  })

  it("does not send an entry back to where it came from (invariant 3)", () => {
    const simulator = new GossipSimulator(5, line(5))
    simulator.runToQuiet(() => 0, 100)
    simulator.write(2, text("hello"))
    simulator.runToQuiet(() => 0, 100)
    assert.strictEqual(simulator.entriesCrossed, 4)
  })

  it("counts what it acknowledges from the other side's latest beginning", () => {
    const simulator = new GossipSimulator(2, line(2))
    simulator.runToQuiet(() => 0, 10)
    const from = { peer: peerOf(1), author: keyOf(1) }
    const begin: Gossip.Input = {
      _tag: "Heads",
      peer: from.peer,
      heads: { _tag: "Heads", first: true, received: 0, heads: [] }
    }
    const acknowledged = () => {
      const outputs = Gossip.step(simulator.machines[0]!, { _tag: "Tick" }, simulator.nowMs += Limits.headsIntervalMs)
      return outputs.flatMap((output) =>
        output._tag === "Send" && output.message._tag === "Heads" ? [output.message.received] : []
      )
    }
    simulator.receive(0, 1, [1, 2, 3].map((number) => entryOf(from.author, number, text("x")).signed))
    assert.deepStrictEqual(acknowledged(), [3])
    simulator.input(0, begin)
    simulator.receive(0, 1, [entryOf(from.author, 4, text("x")).signed])
    assert.deepStrictEqual(acknowledged(), [1])
  })

  it("knows a duplicate before its signature is checked", () => {
    const simulator = new GossipSimulator(2, line(2))
    simulator.runToQuiet(() => 0, 10)
    const { signed } = entryOf(keyOf(7), 1, text("hi"))
    for (let i = 0; i < 100; i++) simulator.receive(0, 1, [signed])
    assert.strictEqual(simulator.verified, 1)
    assert.strictEqual(Gossip.sight(simulator.machines[0]!, { ...signed, body: "forged" }), "new")
    assert.strictEqual(Gossip.sight(simulator.machines[0]!, { ...signed, key: keyOf(8) }), "new")
  })

  it("counts what a link brings again as overhead, and not what another was quicker with (invariant 9)", () => {
    const simulator = new GossipSimulator(3, [[0, 1], [0, 2]])
    simulator.oncePerWire = false
    simulator.runToQuiet(() => 0, 10)
    const counted = (act: () => void) => {
      const before = simulator.overheadBytes
      act()
      return simulator.overheadBytes - before
    }
    const first = [1, 2, 3].map((number) => entryOf(keyOf(7), number, text(`line ${number}`)).signed)
    const bytes = first.reduce((sum, { body }) => sum + body.length + 176, 0)
    assert.strictEqual(counted(() => simulator.receive(0, 1, first)), 0, "news")
    assert.strictEqual(counted(() => simulator.receive(0, 2, first)), 0, "the same by another link")
    assert.strictEqual(counted(() => simulator.receive(0, 1, first)), bytes, "again")
    const second = entryOf(keyOf(7), 4, text("line 4")).signed
    assert.strictEqual(counted(() => simulator.receive(0, 1, [...first, second])), bytes, "again, with one that is new")
    const beyond = entryOf(keyOf(7), 9, text("line 9")).signed
    assert.strictEqual(counted(() => simulator.receive(0, 1, [beyond])), beyond.body.length + 176, "beyond a gap")
    // What the first heads have named, an honest peer does not send.
    simulator.cut([0, 2])
    simulator.connect([0, 2])
    simulator.runToQuiet(() => 0, 10)
    assert.strictEqual(counted(() => simulator.receive(0, 2, first)), bytes, "over a new link")
  })

  it("delays a student's flood at the first relay and loses none of it (invariant 6)", () => {
    const simulator = new GossipSimulator(5, line(5))
    simulator.runToQuiet(() => 0, 100)
    const startMs = simulator.nowMs
    const flood = Array.from({ length: 200 }, (_, i) => entryOf(keyOf(9), i + 1, text(`spam ${i}`)).signed)
    for (let i = 0; i < 200; i += 50) simulator.receive(1, 0, flood.slice(i, i + 50))
    simulator.pass(60)
    for (let i = 1; i < 5; i++) {
      const mine = simulator.delivered[i]!
      assert.strictEqual(mine.length, 200, `peer ${i}`)
      mine.forEach(({ atMs }, count) => {
        const allowed = Limits.entriesBurstMax + Limits.entriesPerSecondMax * (atMs - startMs) / 1_000
        assert.isAtMost(count + 1, allowed + 1e-6, `peer ${i}`)
      })
    }
    assert.deepStrictEqual(simulator.disconnects, [])
  })

  it("lets the history of a partition pass at once (invariant 6)", () => {
    const simulator = new GossipSimulator(4, [[0, 1], [2, 3]])
    for (let i = 0; i < 100; i++) {
      assert.isTrue(simulator.write(3, text(`there ${i}`)))
      assert.isTrue(simulator.write(1, text(`here ${i}`)))
      simulator.pass(1)
    }
    simulator.connect([1, 2])
    simulator.runToQuiet(() => 0, 1_000)
    assert.strictEqual(simulator.delivered[1]!.length, 200)
    assert.strictEqual(simulator.delivered[2]!.length, 200)
    simulator.pass(20)
    assertConverged(simulator, 200)
  })

  it("does not take what a peer only later says it has for history (invariant 6)", () => {
    const simulator = new GossipSimulator(2, line(2))
    simulator.runToQuiet(() => 0, 10)
    const heads = [{ author: keyOf(9), number: 1_000 }]
    simulator.input(0, { _tag: "Heads", peer: peerOf(1), heads: { _tag: "Heads", first: false, received: 0, heads } })
    const flood = Array.from({ length: 100 }, (_, i) => entryOf(keyOf(9), i + 1, text(`spam ${i}`)).signed)
    simulator.receive(0, 1, flood)
    assert.strictEqual(simulator.delivered[0]!.length, Limits.entriesBurstMax)
  })

  it("takes for history what comes within historyMs of the link, and nothing that comes later (invariant 6)", () => {
    for (
      const [waitedMs, shown] of [[Limits.historyMs - 1, 100], [Limits.historyMs, Limits.entriesBurstMax]] as const
    ) {
      const simulator = new GossipSimulator(2, line(2))
      simulator.runToQuiet(() => 0, 10)
      const heads = [{ author: keyOf(9), number: 100 }]
      simulator.input(0, { _tag: "Heads", peer: peerOf(1), heads: { _tag: "Heads", first: true, received: 0, heads } })
      simulator.tick(waitedMs)
      const history = Array.from({ length: 100 }, (_, i) => entryOf(keyOf(9), i + 1, text(`line ${i}`)).signed)
      simulator.receive(0, 1, history)
      assert.strictEqual(simulator.delivered[0]!.length, shown)
    }
  })

  it("keeps the first of two entries of one number and says so (invariant 5)", () => {
    const simulator = new GossipSimulator(4, line(4))
    simulator.runToQuiet(() => 0, 100)
    const one = entryOf(keyOf(9), 1, text("one")).signed
    const other = entryOf(keyOf(9), 1, text("other")).signed
    simulator.receive(1, 0, [one])
    simulator.receive(2, 3, [other])
    simulator.runToQuiet(() => 0, 100)
    assert.strictEqual(simulator.delivered[1]!.length, 1)
    assert.strictEqual(simulator.delivered[2]!.length, 1)
    assert.deepStrictEqual(simulator.conflicts, [0, 1, 1, 0])
    assert.deepStrictEqual(simulator.disconnects, [])
  })

  it("stops looking at an author who writes one number over and over (invariant 5)", () => {
    const simulator = new GossipSimulator(2, line(2))
    simulator.runToQuiet(() => 0, 10)
    for (let i = 0; i < 100; i++) simulator.receive(0, 1, [entryOf(keyOf(9), 1, text(`version ${i}`)).signed])
    assert.strictEqual(simulator.verified, 1 + Limits.conflictsPerAuthorMax)
    assert.strictEqual(simulator.conflicts[0], 1)
  })

  it("asks again for what lies before a gap", () => {
    const simulator = new GossipSimulator(2, line(2))
    simulator.runToQuiet(() => 0, 10)
    // Peer 1 is wrong about what peer 0 has: no honest history leads here, and it heals nevertheless.
    simulator.write(1, text("line 0"))
    simulator.runToQuiet(() => 0, 10)
    simulator.machines[1]!.links.get(peerOf(0))!.cursors.set(keyOf(1), 3)
    simulator.oncePerWire = false
    for (let i = 1; i < 5; i++) simulator.write(1, text(`line ${i}`))
    simulator.runToQuiet(() => 0, 100)
    assertConverged(simulator, 5)
  })

  it("ends a link that sends nothing but entries beyond a gap", () => {
    const simulator = new GossipSimulator(2, line(2))
    simulator.runToQuiet(() => 0, 10)
    for (let i = 0; i <= Limits.gapsPerLinkMax; i++) {
      simulator.receive(0, 1, [entryOf(keyOf(8), i + 2, text("beyond")).signed])
    }
    assert.deepStrictEqual(simulator.disconnects, ["0: entries beyond a gap"])
  })

  it("blames who forwards what no certificate allows, and takes what a newer certificate allows after all", () => {
    const simulator = new GossipSimulator(3, line(3))
    simulator.oncePerWire = false
    simulator.runToQuiet(() => 0, 10)
    const open = { closed: false, studentsMayWrite: true, studentsMayShare: false }
    const hosts = new Set([keyOf(0)])
    // Peer 2 has learned that students may no longer write; peer 1 not yet.
    simulator.input(2, { _tag: "Authority", hosts, policies: [open, { ...open, studentsMayWrite: false }] })
    simulator.write(1, text("a"))
    simulator.write(1, text("b"))
    simulator.runToQuiet(() => 0, 100)
    assert.strictEqual(simulator.delivered[2]!.length, 0)
    simulator.pass(30)
    assert.strictEqual(simulator.verified, 3, "one look at each device, then a second one is not worth it")
    simulator.input(2, { _tag: "Authority", hosts, policies: [open, { ...open, studentsMayWrite: false }, open] })
    simulator.runToQuiet(() => 0, 100)
    assertConverged(simulator, 2)
    assert.deepStrictEqual(simulator.disconnects, [])

    simulator.receive(0, 1, [entryOf(keyOf(9), 1, { _tag: "End" }).signed])
    assert.deepStrictEqual(simulator.disconnects, ["0: an entry that its author may not write: End"])
  })

  it("takes no more authors and no longer logs than there is room for, and always the teacher", () => {
    const simulator = new GossipSimulator(2, line(2))
    simulator.runToQuiet(() => 0, 10)
    for (let i = 100; i < 500; i++) simulator.receive(1, 0, [entryOf(keyOf(i), 1, text("me too")).signed])
    const students = simulator.machines[1]!.logs.size
    assert.strictEqual(students, Limits.authorsMax - Limits.certificatesMax)
    simulator.write(0, text("teacher"))
    simulator.runToQuiet(() => 0, 10_000)
    assert.isTrue(simulator.delivered[1]!.some(({ author }) => author === keyOf(0)))

    const big = "x".repeat(16_000)
    for (let i = 2; i < 200; i++) {
      simulator.receive(1, 0, [entryOf(keyOf(100), i, text(big)).signed])
      simulator.tick(1_000)
    }
    const log = simulator.machines[1]!.logs.get(keyOf(100))!
    assert.isAtMost(log.bytes, Limits.logBytesPerStudentMax)
    assert.isAbove(log.bytes, Limits.logBytesPerStudentMax - 20_000)
    assert.deepStrictEqual(simulator.disconnects, [])
  })

  it("accepts nothing after the end, and gives those who are behind everything before it (invariant 7)", () => {
    const simulator = new GossipSimulator(4, [[0, 1], [1, 2]])
    for (let i = 0; i < 30; i++) {
      if (i % 6 === 0) simulator.write(0, text(`teacher ${i}`))
      simulator.write(2, text(`student ${i}`))
      simulator.pass(1)
    }
    simulator.write(0, { _tag: "End" })
    simulator.pass(1)
    assert.isFalse(simulator.write(0, text("more")))
    assert.isFalse(simulator.write(2, text("more")))
    assert.strictEqual(Gossip.refusal(simulator.machines[2]!, text("more"), "{}", simulator.nowMs), "ended")
    const { verified } = simulator
    simulator.receive(1, 0, [entryOf(keyOf(0), 7, text("after")).signed, entryOf(keyOf(9), 1, text("after")).signed])
    assert.strictEqual(simulator.verified, verified)
    simulator.connect([1, 3])
    simulator.runToQuiet(() => 0, 1_000)
    simulator.pass(40)
    assertConverged(simulator, 36)
    assert.deepStrictEqual(simulator.delivered[3]!.at(-1)!.entry.content, { _tag: "End" })
  })

  it("never uses a number twice after losing the end of its own log", () => {
    const simulator = new GossipSimulator(3, line(3))
    for (let i = 0; i < 6; i++) simulator.write(1, text(`line ${i}`))
    simulator.runToQuiet(() => 0, 100)
    simulator.restart(1, simulator.persisted[1]!.slice(0, 2))
    simulator.connect([0, 1])
    // Its neighbor's heads come before the entries that they tell of.
    while (Gossip.nextNumber(simulator.machines[1]!) < 7) {
      if (simulator.machines[1]!.ownClaim > 0) assert.isFalse(simulator.write(1, text("too early")))
      assert.isTrue(simulator.move(0))
    }
    assert.isTrue(simulator.write(1, text("line 6")))
    simulator.connect([1, 2])
    simulator.runToQuiet(() => 0, 100)
    assertConverged(simulator, 7)
    assert.deepStrictEqual(simulator.conflicts, [0, 0, 0])
  })

  it("does not wait forever for own entries that a peer only claims to have", () => {
    const simulator = new GossipSimulator(2, line(2))
    const heads = [{ author: keyOf(0), number: 2_000 }]
    simulator.input(0, { _tag: "Heads", peer: peerOf(1), heads: { _tag: "Heads", first: true, received: 0, heads } })
    assert.isFalse(simulator.write(0, text("now")))
    simulator.tick(3_000)
    assert.isTrue(simulator.write(0, text("later")))
  })

  it("survives messages that were meant for an earlier link of the same peer", () => {
    const simulator = new GossipSimulator(2, line(2))
    simulator.oncePerWire = false
    simulator.write(0, text("early"))
    const stale = entryOf(keyOf(5), 3, text("stale")).signed
    simulator.receive(1, 0, [stale, stale])
    for (const first of [true, false, true]) {
      simulator.input(1, {
        _tag: "Heads",
        peer: peerOf(0),
        heads: { _tag: "Heads", first, received: 77, heads: [{ author: keyOf(0), number: 0 }] }
      })
    }
    simulator.runToQuiet(() => 0, 100)
    for (let i = 0; i < 10; i++) simulator.write(i % 2, text(`line ${i}`))
    simulator.pass(40)
    assertConverged(simulator, 11)
    assert.deepStrictEqual(simulator.disconnects, [])
  })

  it.prop(
    "never throws and never delivers out of order, whatever a peer sends (invariant 1)",
    {
      sent: Schema.Array(Schema.Struct({
        author: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })),
        number: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 })),
        version: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
        heads: Schema.Boolean,
        first: Schema.Boolean
      })).check(Schema.isMaxLength(60))
    },
    ({ sent }) => {
      const simulator = new GossipSimulator(3, line(3))
      simulator.oncePerWire = false
      for (const { author, first, heads, number, version } of sent) {
        if (!heads) simulator.receive(1, 0, [entryOf(keyOf(author + 5), number, text(`${number}.${version}`)).signed])
        else {
          simulator.input(1, {
            _tag: "Heads",
            peer: peerOf(0),
            heads: { _tag: "Heads", first, received: number, heads: [{ author: keyOf(author + 5), number }] }
          })
        }
      }
      simulator.pass(30)
      assert.deepStrictEqual(simulator.shown(2), simulator.shown(1))
    },
    { arbitrary: { runs: 200 } }
  )

  it.prop(
    "shows nothing more of whom the teacher has removed, and everybody the same up to there (invariant 8)",
    {
      before: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
      heard: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 })),
      after: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 })),
      restart: Schema.Boolean,
      seed: Schema.Natural
    },
    ({ after, before, heard, restart, seed }) => {
      const simulator = new GossipSimulator(4, line(4))
      simulator.oncePerWire = false
      let draw = seed
      const choose = () => (draw = (draw % 2_147_483_647 * 48_271 + 11) % 2_147_483_647)
      simulator.runToQuiet(choose, 100)
      for (let i = 0; i < before; i++) simulator.write(2, text(`before ${i}`))
      // So much of it is on its way when the teacher decides.
      for (let i = 0; i < heard; i++) simulator.move(choose())
      const here = Gossip.delivered(simulator.machines[0]!, keyOf(2))
      const shown = [0, 1, 3].map((peer) => Gossip.delivered(simulator.machines[peer]!, keyOf(2)))
      simulator.write(0, { _tag: "Remove", key: keyOf(2), name: "two", after: here })
      simulator.runToQuiet(choose, 10_000)
      // It may have been told by nobody: a removed device goes on as it likes, and others hand it on.
      for (let i = 0; i < after; i++) {
        const { signed } = entryOf(keyOf(2), before + i + 1, text(`after ${i}`))
        for (const [to, from] of [[1, 2], [3, 2], [1, 0]] as const) simulator.receive(to, from, [signed])
      }
      if (restart) {
        simulator.restart(1)
        simulator.connect([0, 1])
        simulator.connect([1, 2])
      }
      simulator.pass(60)
      for (const [index, peer] of [0, 1, 3].entries()) {
        const now = Gossip.delivered(simulator.machines[peer]!, keyOf(2))
        assert.isAtLeast(now, here, "everybody has what counts")
        assert.isAtMost(now, Math.max(here, before), "and nothing from afterwards")
        if (peer === 0) assert.strictEqual(now, here)
        else if (shown[index]! > here) assert.isAtLeast(now, shown[index]!, "what was shown stays")
      }
      assert.strictEqual(
        Gossip.refusal(simulator.machines[2]!, text("x"), "x", simulator.nowMs),
        "removed"
      )
      assert.deepStrictEqual(simulator.disconnects, [])
    },
    { arbitrary: { runs: 200 } }
  )

  it("starts again from its disk with what it had, in that order", () => {
    const simulator = new GossipSimulator(2, line(2))
    for (let i = 0; i < 10; i++) simulator.write(i % 2, text(`line ${i}`))
    simulator.runToQuiet(() => 0, 100)
    const before = simulator.delivered[1]!.map(({ entry }) => entry)
    simulator.restart(1)
    const after: ReadonlyArray<Entry> = simulator.delivered[1]!.map(({ entry }) => entry)
    assert.deepStrictEqual(after, before)
    simulator.connect([0, 1])
    const crossed = simulator.entriesCrossed
    simulator.pass(2)
    assert.strictEqual(simulator.entriesCrossed, crossed)
  })
})
