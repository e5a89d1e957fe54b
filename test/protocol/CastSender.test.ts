/** A host that casts to a small room. The room checks at every output what must hold always. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as CastSender from "../../src/protocol/CastSender.ts"
import { type Head, lengthAt } from "../../src/protocol/Fragment.ts"
import { PeerId, Root } from "../../src/protocol/Ids.ts"
import * as Limits from "../../src/protocol/Limits.ts"
import * as Pace from "../../src/protocol/Pace.ts"
import type { CastMessage } from "../../src/protocol/Wire.ts"
import { chance } from "../../src/simulator/Scenario.ts"

const KiB = 1024
const peer = (n: number) => PeerId.make(`${n}`.padStart(43, "p"))
const root = (n: number) => Root.make(`${n}`.padStart(43, "r"))

const listenersMin = 3
const aliveMs = 300
const readyWaitMs = 200
const readyWaitMsMax = 3_000
const floodedMs = 600
const lastMs = 60
const echoMs = 300
const tiredMs = 60_000
const arrivingMs = 10_000
/** A `Tick` comes so late at most. */
const tickMs = 50
/** What a piece takes of the cable. */
const overheadFactor = 1.03

interface Habits {
  readonly readyAfterMs: number
  readonly loses: (sequence: number, bytes: number) => boolean
  readonly delayMs: number
}
const plain: Habits = { readyAfterMs: 0, loses: () => false, delayMs: 0 }

interface Student extends Habits {
  hears: boolean
  sequence: number
  received: number
  reported: number
  reportMs: number
  reportAtMs: number
  /** How many fragments of each chunk have come. */
  readonly came: Map<number, number>
}

interface Share {
  readonly urgent?: boolean
  readonly firstIndex: number
  readonly endIndex: number
  readonly chunkBytes: (index: number) => number
}
const share = (chunksCount: number, chunkBytes = 64 * KiB, lastBytes = chunkBytes): Share => ({
  firstIndex: 0,
  endIndex: chunksCount,
  chunkBytes: (index) => index === chunksCount - 1 ? lastBytes : chunkBytes
})

interface Piece {
  readonly root: Root
  readonly index: number
  readonly offset: number
  readonly isLast: boolean
  readonly atMs: number
}

class Room {
  readonly sender: CastSender.CastSender
  readonly students = new Map<PeerId, Student>()
  readonly begun: Array<Root> = []
  readonly over: Array<Root> = []
  /** Of those that are over: which were given up with room to spare. */
  readonly spare: Array<Root> = []
  readonly pieces: Array<Piece> = []
  readonly parities: Array<Head> = []
  /** Into pieces of how many bytes each chunk was cut. */
  readonly cut = new Map<number, number>()
  readonly aliveAtMs: Array<number> = []
  /** What each neighbor was told last of each cast. */
  readonly told = new Map<PeerId, Map<number, boolean>>()
  readonly rootOf = new Map<number, Root>()
  readonly overAtMs = new Map<Root, number>()
  hushed = false
  readonly urgent: Array<Root> = []
  isHere: (root: Root, index: number) => boolean = () => true
  lacking: (root: Root, index: number) => number
  /** What the way out carries, and what it was given. */
  bytesPerMs: number
  held: Array<CastSender.Fragment> = []
  private creditBytes = 0
  private readonly later: Array<readonly [number, () => void]> = []
  private wakeMs = Infinity
  nowMs: number

  constructor({ bytesPerMs = Infinity, few = 0, nowMs = 0 } = {}) {
    this.nowMs = nowMs
    this.bytesPerMs = bytesPerMs
    this.lacking = () => this.students.size
    this.sender = CastSender.make((root, index) => this.lacking(root, index), nowMs, { least: listenersMin, few })
  }

  input(input: CastSender.Input): ReadonlyArray<CastSender.Output> {
    const outputs = CastSender.step(this.sender, input, this.nowMs)
    for (const output of outputs) this.perform(output)
    this.pump()
    return outputs
  }

  private perform(output: CastSender.Output): void {
    switch (output._tag) {
      case "Begun":
        assert.notInclude(this.open(), output.root)
        this.begun.push(output.root)
        return
      case "Over":
        assert.include(this.open(), output.root)
        for (const [number, root] of this.rootOf) {
          if (root !== output.root) continue
          for (const [to, { hears }] of this.students) {
            if (hears) assert.notStrictEqual(this.told.get(to)!.get(number), false, "not told that it is over")
          }
        }
        this.over.push(output.root)
        if (output.spare) this.spare.push(output.root)
        return
      case "Send":
        assert.isTrue(this.students.get(output.peer)!.hears)
        return this.receive(output.peer, output.message)
    }
  }

  /** Begun and not over. */
  open(): ReadonlyArray<Root> {
    const open = this.begun.slice()
    for (const root of this.over) open.splice(open.indexOf(root), 1)
    return open
  }

  private receive(to: PeerId, message: CastMessage): void {
    assert.strictEqual(message._tag, "Cast")
    if (message._tag !== "Cast") return
    const student = this.students.get(to)!
    assert.isTrue(message.reportMs >= Limits.castReportMsMin && message.reportMs <= Limits.castReportMsMax)
    this.rootOf.set(message.cast, message.share)
    this.told.get(to)!.set(message.cast, message.over)
    if (message.over) return void this.overAtMs.set(message.share, this.nowMs)
    student.reportMs = message.reportMs
    if (student.readyAfterMs === Infinity) return
    this.after(student.readyAfterMs, () => this.say(to, { _tag: "Ready", cast: message.cast }))
  }

  after(ms: number, act: () => void): void {
    this.later.push([this.nowMs + ms, act])
  }

  say(from: PeerId, message: CastMessage): void {
    const student = this.students.get(from)
    if (student !== undefined && message._tag === "Tuned") {
      student.hears = message.hears
      // Whoever hears nothing waits for nothing.
      if (!message.hears) this.told.get(from)!.clear()
    }
    this.input({ _tag: "Message", peer: from, message })
  }

  enter(n: number, habits: Partial<Habits> = {}): PeerId {
    const id = peer(n)
    this.students.set(id, {
      ...plain,
      ...habits,
      hears: false,
      sequence: 0,
      received: 0,
      reported: 0,
      reportMs: Infinity,
      reportAtMs: -Infinity,
      came: new Map()
    })
    this.told.set(id, new Map())
    this.input({ _tag: "NeighborUp", peer: id })
    return id
  }

  /** Neighbors that hear the multicast. */
  tune(count: number, habits: Partial<Habits> = {}): void {
    for (let i = 0; i < count; i++) this.say(this.enter(this.students.size, habits), { _tag: "Tuned", hears: true })
  }

  leave(id: PeerId): void {
    this.students.delete(id)
    this.input({ _tag: "NeighborDown", peer: id })
  }

  cast(n: number, share: Share): ReadonlyArray<CastSender.Output> {
    let bytes = 0
    if (share.urgent === true) this.urgent.push(root(n))
    for (let index = share.firstIndex; index < share.endIndex; index++) bytes += share.chunkBytes(index)
    return this.input({ _tag: "ShareOpened", root: root(n), urgent: false, ...share, bytes })
  }

  pump(): void {
    const { sender } = this
    for (;;) {
      const { isHere, nowMs } = this
      const fragment = CastSender.next(sender, { hushed: this.hushed, isHere: isHere, nowMs })
      if (fragment === undefined) break
      this.watch(fragment)
      if (this.bytesPerMs === Infinity) this.leaves(fragment)
      else this.held.push(fragment)
    }
    this.wakeMs = CastSender.wakeAtMs(sender, this)
  }

  private watch({ bytes, clear, head, isLast, root }: CastSender.Fragment): void {
    const { nowMs } = this
    assert.deepStrictEqual(clear, { sequence: this.sequence() + 1, sentMs: nowMs })
    this.sequences.push(clear.sequence)
    if (root === undefined) {
      assert.deepStrictEqual({ bytes, head, isLast }, {
        bytes: 0,
        head: { cast: 0, index: 0, offset: 0, pieceBytes: 0, parity: 0 },
        isLast: false
      })
      return void this.aliveAtMs.push(nowMs)
    }
    if (this.hushed) assert.include(this.urgent, root)
    assert.isTrue(this.isHere(root, head.index))
    assert.strictEqual(this.rootOf.get(head.cast), root)
    assert.include(this.open(), root)
    for (const [to, { hears }] of this.students) {
      if (hears) assert.isFalse(this.told.get(to)!.get(head.cast), "a fragment that was not told of, or is too late")
    }
    assert.isAtMost(bytes, this.sender.pieceBytes)
    assert.isAtMost(bytes, head.pieceBytes)
    this.cut.set(head.index, head.pieceBytes)
    if (head.parity > 0) return void this.parities.push(head)
    this.pieces.push({ root, index: head.index, offset: head.offset, isLast, atMs: nowMs })
  }
  private readonly sequences: Array<number> = []
  sequence(): number {
    return this.sequences.at(-1) ?? 0
  }

  private leaves(fragment: CastSender.Fragment): void {
    CastSender.left(this.sender, fragment, true, this.nowMs)
    for (const student of this.students.values()) {
      if (!student.hears || student.loses(fragment.clear.sequence, fragment.bytes)) continue
      student.sequence = fragment.clear.sequence
      student.received++
      student.came.set(fragment.head.index, (student.came.get(fragment.head.index) ?? 0) + 1)
    }
  }

  private carry(): void {
    if (this.bytesPerMs === Infinity) return
    this.creditBytes = Math.min(
      this.creditBytes + this.bytesPerMs,
      Math.max(25 * this.bytesPerMs, Limits.pieceBytesMax)
    )
    while (this.held.length > 0 && this.creditBytes >= this.held[0]!.bytes) {
      this.creditBytes -= this.held[0]!.bytes
      this.leaves(this.held.shift()!)
    }
  }

  private report(): void {
    for (const [from, student] of this.students) {
      const { delayMs, received, reportAtMs, sequence } = student
      if (!student.hears || sequence === student.reported || this.nowMs < reportAtMs) continue
      student.reported = sequence
      student.reportAtMs = this.nowMs + student.reportMs
      this.say(from, { _tag: "Report", sequence, received, delayMs })
    }
  }

  /** Lets so much time go by, or until something is so. */
  run(ms: number, until: () => boolean = () => false): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs && !until(); this.nowMs++) {
      this.carry()
      for (const due of this.later.filter(([atMs]) => atMs <= this.nowMs)) {
        this.later.splice(this.later.indexOf(due), 1)
        due[1]()
      }
      this.report()
      if (this.nowMs >= this.wakeMs) this.input({ _tag: "Tick" })
    }
  }

  /** When the rate is cut, so many times. */
  cuts(count: number): ReadonlyArray<number> {
    const cuts: Array<number> = []
    let before = 0
    this.run(10_000, () => {
      if (this.sender.pace.bytesPerMs < before) cuts.push(this.nowMs)
      before = this.sender.pace.bytesPerMs
      return cuts.length >= count
    })
    return cuts
  }

  isOver(n: number): boolean {
    return this.overAtMs.has(root(n))
  }

  /** Opens a share and lets a cast of it go wrong: a way out that carries ten megabits, and one who hears half of it. */
  tire(n: number): number {
    this.cast(n, share(2_000))
    assert.include(this.open(), root(n))
    this.run(20_000, () => this.isOver(n))
    return this.overAtMs.get(root(n))!
  }
}

const piecesOf = (n: number, { chunkBytes, endIndex, firstIndex }: Share, pieceBytes: number) => {
  const pieces: Array<Omit<Piece, "atMs">> = []
  for (let index = firstIndex; index < endIndex; index++) {
    for (let offset = 0; offset < chunkBytes(index); offset += pieceBytes) {
      const isLast = offset + lengthAt(pieceBytes, chunkBytes(index), offset) === chunkBytes(index)
      pieces.push({ root: root(n), index, offset, isLast })
    }
  }
  return pieces
}
const where = (pieces: ReadonlyArray<Piece>) => pieces.map(({ atMs: _, ...piece }) => piece)

const Seed = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 - 1 }))

/** Half of the datagrams do not come. */
const half = (sequence: number) => sequence % 2 === 0
const slow = { bytesPerMs: 1_250 }

describe("CastSender", () => {
  it.each([
    [2, 2, false],
    [3, 3, true],
    [3, 4, true],
    [3, 5, false],
    [5, 8, false],
    [6, 8, true]
  ])("casts when enough hear it: %i of %i, %s", (hearing, neighbors, isCast) => {
    const room = new Room()
    room.tune(hearing)
    for (let i = hearing; i < neighbors; i++) room.enter(i)
    assert.strictEqual(room.cast(1, share(3)).some(({ _tag }) => _tag === "Begun"), isCast)
    room.run(10_000)
    assert.strictEqual(room.pieces.length, isCast ? 24 : 0)
  })

  it("begins a cast when enough have come to hear it, up to ten seconds later", () => {
    for (const [afterMs, isCast] of [[arrivingMs - 1, true], [arrivingMs, false]] as const) {
      const room = new Room()
      room.tune(3)
      const late = [room.enter(3), room.enter(4)]
      assert.deepStrictEqual(room.cast(1, share(3)), [])
      room.nowMs += afterMs
      for (const id of late) room.say(id, { _tag: "Tuned", hears: true })
      assert.strictEqual(room.begun.length, isCast ? 1 : 0)
      room.run(5_000)
      assert.strictEqual(room.pieces.length, isCast ? 24 : 0)
    }
  })

  it("begins no cast later of what was closed meanwhile, nor of what was opened while it was tired", () => {
    const room = new Room(slow)
    room.tune(2)
    room.cast(1, share(3))
    room.input({ _tag: "ShareClosed", root: root(1) })
    room.tune(6)
    assert.isEmpty(room.begun)
    room.tune(1, { loses: half })
    const gaveUpMs = room.tire(2)
    assert.deepStrictEqual(room.cast(3, share(3)), [])
    room.nowMs = gaveUpMs + tiredMs
    room.input({ _tag: "Tick" })
    assert.deepStrictEqual(room.begun, [root(2)])
  })

  it("tells whoever hears of a cast before anything of it leaves, and nobody else (invariant 1)", () => {
    const room = new Room()
    room.tune(4)
    room.enter(4)
    const outputs = room.cast(1, share(3))
    assert.deepStrictEqual(outputs, [
      { _tag: "Begun", root: root(1) },
      ...[0, 1, 2, 3].map((n) => ({
        _tag: "Send" as const,
        peer: peer(n),
        message: { _tag: "Cast" as const, share: root(1), cast: 1, over: false, reportMs: 100 }
      }))
    ])
    assert.isEmpty(room.pieces)
    room.run(1_000)
    assert.lengthOf(room.pieces, 24)
  })

  it("lets nothing of a share leave after it was told that it is over (invariant 1)", () => {
    const room = new Room(slow)
    room.tune(3)
    room.cast(1, share(100))
    room.run(500)
    const { length } = room.pieces
    assert.isAbove(length, 0)
    room.input({ _tag: "ShareClosed", root: root(1) })
    assert.deepStrictEqual(room.input({ _tag: "ShareClosed", root: root(1) }), [])
    room.run(5_000)
    assert.lengthOf(room.pieces, length)
  })

  it("asks a large room to report so that not more than 125 reports come a second", () => {
    for (const [count, reportMs] of [[12, 100], [13, 104], [64, 512]] as const) {
      const room = new Room()
      room.tune(count)
      const [told] = room.cast(1, share(1)).filter(({ _tag }) => _tag === "Send")
      assert.deepInclude(told, {
        message: { _tag: "Cast", share: root(1), cast: 1, over: false, reportMs }
      })
    }
  })

  it("waits until all are ready, and begins at once then", () => {
    const room = new Room()
    room.tune(3)
    room.tune(1, { readyAfterMs: 150 })
    room.cast(1, share(3))
    room.run(1_000)
    assert.strictEqual(room.begun.length, 1)
    assert.isTrue(room.pieces[0]!.atMs >= 150 && room.pieces[0]!.atMs <= 160)
  })

  it("goes on without the last ones after a while", () => {
    const room = new Room()
    room.tune(3, { readyAfterMs: 100 })
    room.tune(1, { readyAfterMs: Infinity })
    room.cast(1, share(3))
    room.run(1_000)
    assert.isAtLeast(room.pieces[0]!.atMs, 100 + readyWaitMs)
    assert.isAtMost(room.pieces[0]!.atMs, 100 + readyWaitMs + tickMs + 10)
  })

  it("goes on after three seconds with the three that are ready", () => {
    const room = new Room()
    room.tune(3)
    room.tune(5, { readyAfterMs: Infinity })
    room.cast(1, share(3))
    room.run(5_000)
    assert.isAtLeast(room.pieces[0]!.atMs, readyWaitMsMax)
    assert.isAtMost(room.pieces[0]!.atMs, readyWaitMsMax + tickMs + 10)
    assert.lengthOf(room.pieces, 24)
  })

  it("is over after three seconds when fewer are ready (invariant 3)", () => {
    const room = new Room()
    room.tune(2)
    room.tune(2, { readyAfterMs: Infinity })
    room.cast(1, share(3))
    room.run(readyWaitMsMax)
    assert.isFalse(room.isOver(1))
    room.run(tickMs + 1)
    assert.isTrue(room.isOver(1))
    room.run(echoMs + tickMs)
    assert.deepStrictEqual(room.over, [root(1)])
    assert.isEmpty(room.pieces)
  })

  it("does not take those for ready that do not hear, that have left, or that mean another cast", () => {
    for (const spoil of ["deaf", "gone", "other"]) {
      const room = new Room()
      room.tune(3)
      room.tune(1, { readyAfterMs: Infinity })
      if (spoil !== "deaf") room.enter(4)
      room.cast(1, share(3))
      room.say(peer(4), { _tag: "Ready", cast: 1 })
      if (spoil === "other") room.say(peer(3), { _tag: "Ready", cast: 2 })
      room.run(100)
      if (spoil === "deaf") room.say(peer(0), { _tag: "Tuned", hears: false })
      if (spoil === "gone") room.leave(peer(0))
      room.run(50)
      assert.isEmpty(room.pieces)
    }
  })

  it.prop(
    "casts each piece of each chunk once and in order (invariant 2)",
    {
      firstIndex: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 })),
      chunksCount: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 8 })),
      chunkBytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 * KiB })),
      lastBytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 * KiB })),
      pieceBytes: Schema.Literals([Limits.pieceBytesMin, Limits.pieceBytesMax])
    },
    ({ chunkBytes, chunksCount, firstIndex, lastBytes, pieceBytes }) => {
      const room = new Room()
      room.sender.pieceBytes = pieceBytes
      room.tune(3)
      const shared = {
        ...share(firstIndex + chunksCount, chunkBytes, Math.min(chunkBytes, lastBytes)),
        firstIndex
      }
      room.cast(1, shared)
      room.run(5_000)
      assert.deepStrictEqual(where(room.pieces), piecesOf(1, shared, pieceBytes))
      assert.deepStrictEqual(room.over, [root(1)])
    }
  )

  it("does not cast again what was cast, although it is opened again while it is on (invariant 2)", () => {
    const room = new Room(slow)
    room.tune(3)
    room.cast(1, share(20))
    for (let i = 0; i < 40; i++) {
      room.run(100)
      room.cast(1, share(20))
      if (room.isOver(1)) break
    }
    assert.deepStrictEqual(where(room.pieces), piecesOf(1, share(20), room.sender.pieceBytes))
    assert.deepStrictEqual(room.begun, [root(1)])
  })

  it.each([[4, 3], [12, 3], [13, 4], [16, 4], [17, 5]])(
    "in a room of %i casts what %i lack, and not what fewer do (invariant 2)",
    (count, least) => {
      const room = new Room()
      room.tune(count)
      const lacking = [least - 1, least, least - 1, least - 1, least, 0]
      room.lacking = (_, index) => lacking[index]!
      room.cast(1, share(lacking.length))
      room.run(1_000, () => room.sender.casts.values().next().value?.running === true)
      room.run(1_000)
      assert.deepStrictEqual(Array.from(new Set(room.pieces.map(({ index }) => index))), [1, 4])
      assert.lengthOf(room.pieces, 16)
      assert.deepStrictEqual(room.over, [root(1)])
    }
  )

  it("skips what nearly everybody got meanwhile, and finishes the chunk it is at (invariant 2)", () => {
    const room = new Room({ bytesPerMs: 400 })
    room.tune(3)
    room.cast(1, share(10))
    room.run(5_000, () => room.pieces.at(-1)?.index === 2)
    room.lacking = (_, index) => index < 8 ? 0 : 3
    room.run(5_000)
    const counts = Array.from({ length: 10 }, (_, i) => room.pieces.filter(({ index }) => index === i).length)
    assert.deepStrictEqual(counts, [8, 8, 8, 0, 0, 0, 0, 0, 8, 8])
  })

  it("is over at once when nobody lacks anything (invariants 2 and 3)", () => {
    const room = new Room()
    room.tune(3)
    room.lacking = () => 0
    room.cast(1, share(10))
    room.run(1_000)
    assert.isEmpty(room.pieces)
    assert.deepStrictEqual(room.over, [root(1)])
  })

  it("tells ahead which chunks leave next, and none that is skipped", () => {
    const room = new Room()
    assert.deepStrictEqual(CastSender.ahead(room.sender, 1_000_000, false), [])
    room.tune(3)
    room.lacking = (_, index) => index % 2 === 0 ? 3 : 2
    room.isHere = () => false
    room.cast(1, share(9))
    assert.deepStrictEqual(CastSender.ahead(room.sender, 1_000_000, false), [])
    room.run(10)
    const indexes = (bytes: number) => CastSender.ahead(room.sender, bytes, false).map(({ index }) => index)
    assert.deepStrictEqual(indexes(1), [0])
    assert.deepStrictEqual(indexes(64 * KiB), [0])
    assert.deepStrictEqual(indexes(64 * KiB + 1), [0, 2])
    assert.deepStrictEqual(indexes(10 ** 9), [0, 2, 4, 6, 8])
  })

  it("casts nothing that is not in memory, but says that it is there", () => {
    const room = new Room()
    room.tune(3)
    room.isHere = () => false
    room.run(2_000)
    room.cast(1, share(2))
    const { length } = room.aliveAtMs
    room.run(3_000)
    assert.isEmpty(room.pieces)
    assert.isAtLeast(room.aliveAtMs.length - length, 8)
    room.isHere = () => true
    room.run(1_000)
    assert.lengthOf(room.pieces, 16)
  })

  it("casts the share with the least left first", () => {
    const room = new Room(slow)
    room.tune(3)
    room.cast(1, share(100))
    room.run(1_000)
    assert.isTrue(room.pieces.length > 0 && room.pieces.length < 800)
    const before = room.pieces.length
    room.cast(2, share(3))
    room.run(600)
    const after = room.pieces.slice(before)
    const small = after.map(({ root }, i) => ({ root, i })).filter((each) => each.root === root(2)).map(({ i }) => i)
    assert.lengthOf(small, 24)
    assert.strictEqual(small[23]! - small[0]!, 23)
    assert.isAbove(after.length, small[23]! + 1)
    room.run(20_000)
    assert.deepStrictEqual(where(room.pieces.filter((each) => each.root === root(1))), piecesOf(1, share(100), 8 * KiB))
    assert.deepStrictEqual(room.over, [root(2), root(1)])
  })

  it("casts no pieces while something is more urgent, but says that it is there", () => {
    const room = new Room(slow)
    room.tune(3)
    room.cast(1, share(100))
    room.run(2_000)
    room.hushed = true
    const { length } = room.pieces
    const fromMs = room.nowMs
    room.run(5_000)
    assert.lengthOf(room.pieces, length)
    const alive = [fromMs, ...room.aliveAtMs.filter((atMs) => atMs >= fromMs), room.nowMs]
    for (const [i, atMs] of alive.slice(1).entries()) assert.isAtMost(atMs - alive[i]!, aliveMs + tickMs)
    room.hushed = false
    room.run(20_000)
    assert.deepStrictEqual(where(room.pieces), piecesOf(1, share(100), 8 * KiB))
    assert.deepStrictEqual(room.over, [root(1)])
  })

  it("casts what is urgent meanwhile, though something else has less left", () => {
    const room = new Room(slow)
    room.tune(3)
    room.cast(1, share(2))
    room.hushed = true
    room.cast(2, { ...share(10), urgent: true })
    const ahead = () => CastSender.ahead(room.sender, 1, room.hushed).map((each) => each.root)
    room.run(100)
    assert.deepStrictEqual(ahead(), [root(2)])
    room.run(5_000)
    assert.deepStrictEqual(where(room.pieces), piecesOf(2, share(10), 8 * KiB))
    assert.deepStrictEqual(room.over, [root(2)])
    room.hushed = false
    room.run(1_000)
    assert.deepStrictEqual(room.over, [root(2), root(1)])
  })

  it("does not make up for what could not leave while something was more urgent", () => {
    const room = new Room()
    room.tune(3)
    room.cast(1, share(1_000))
    room.run(100)
    room.hushed = true
    room.run(1_000)
    room.hushed = false
    const { length } = room.pieces
    room.pump()
    assert.lengthOf(room.pieces, length)
  })

  it("is not over before the last datagrams have arrived, nor for this device before it was heard who has what (invariant 3)", () => {
    const room = new Room()
    room.tune(3)
    room.cast(1, share(3))
    room.run(1_000, () => room.pieces.length === 24)
    const leftMs = room.pieces.at(-1)!.atMs
    room.run(1_000, () => room.isOver(1))
    const overMs = room.overAtMs.get(root(1))!
    assert.isTrue(overMs >= leftMs + lastMs && overMs <= leftMs + lastMs + tickMs, `${overMs - leftMs}`)
    room.run(1_000, () => room.over.length > 0)
    assert.isTrue(room.nowMs > overMs + echoMs && room.nowMs <= overMs + echoMs + tickMs + 1)
  })

  it("is over at once when the share is closed or everybody has left, whether anything has left or not (invariant 3)", () => {
    for (const ms of [0, 1_000]) {
      for (const why of ["closed", "gone", "deaf"]) {
        const room = new Room(slow)
        room.tune(4, { readyAfterMs: 500 })
        room.cast(1, share(100))
        room.run(ms)
        if (why === "closed") room.input({ _tag: "ShareClosed", root: root(1) })
        for (const n of [0, 1, 2, 3]) {
          if (why === "gone") room.leave(peer(n))
          if (why === "deaf") room.say(peer(n), { _tag: "Tuned", hears: false })
        }
        // What has not left only this device has: nobody is waited for.
        assert.deepStrictEqual(room.over, [root(1)], why)
        assert.strictEqual(room.pieces.length > 0, ms > 0)
      }
    }
  })

  it("ends a cast when fewer than three of four hear it any more (invariant 4)", () => {
    for (const [deaf, ends] of [[2, false], [3, true]] as const) {
      const room = new Room(slow)
      room.tune(8)
      room.cast(1, share(200))
      room.run(1_000)
      for (let n = 0; n < deaf; n++) room.say(peer(n), { _tag: "Tuned", hears: false })
      room.run(200)
      assert.strictEqual(room.isOver(1), ends)
    }
  })

  it("ends a cast that floods one listener while the others are fine, unless it is over in a moment (invariant 4)", () => {
    const long = share(200)
    const short = share(100)
    for (
      const [loses, what, ends] of [
        [half, long, true],
        [half, short, false],
        [(n: number) => n % 4 === 0, long, false]
      ] as const
    ) {
      const room = new Room(slow)
      room.tune(7)
      room.tune(1, { loses })
      room.cast(1, what)
      const fromMs = room.nowMs
      room.run(3_000, () => room.isOver(1))
      assert.strictEqual(room.isOver(1), ends)
      if (ends) assert.isAbove(room.nowMs - fromMs, floodedMs)
    }
  })

  // The rate goes up and down by a tenth meanwhile.
  it.each([[10_000, true], [7_500, false]])("ends it with %i ms to go: %s (invariant 4)", (remainingMs, ends) => {
    const room = new Room(slow)
    let isBad = false
    room.tune(7)
    room.tune(1, { loses: (n) => isBad && half(n) })
    room.cast(1, share(300))
    const leftMs = () => (300 - (room.pieces.at(-1)?.index ?? 0)) * 64 * KiB / room.sender.pace.bytesPerMs
    room.run(20_000, () => room.nowMs > 1_000 && leftMs() < remainingMs)
    isBad = true
    room.run(1_000)
    assert.strictEqual(room.isOver(1), ends)
  })

  it("goes on when a listener was flooded for a moment (invariant 4)", () => {
    const room = new Room(slow)
    let isBad = false
    room.tune(7)
    room.tune(1, { loses: (n) => isBad && half(n) })
    room.cast(1, share(200))
    room.run(1_000)
    isBad = true
    room.run(floodedMs - 100)
    isBad = false
    room.run(2_000)
    assert.isFalse(room.isOver(1))
  })

  it("ends a cast that floods many while most lose nothing, and goes on where most lose something (invariant 4)", () => {
    for (const [others, ends] of [[() => false, true], [(n: number) => n % 8 === 0, false]] as const) {
      const room = new Room(slow)
      room.tune(5, { loses: others })
      room.tune(3, { loses: half })
      room.cast(1, share(200))
      room.run(600)
      assert.strictEqual(room.isOver(1), ends)
      assert.isEmpty(room.spare, "the others take what the way out carries")
    }
  })

  /** A room behind ways in that carry so much each, of which so many lose what is too much. */
  const behind = (bytesPerMs: number, lose = 12) => {
    const random = chance(5)
    const room = new Room()
    room.sender.pieceBytes = Limits.pieceBytesMax
    room.tune(lose, { loses: () => random() > bytesPerMs / room.sender.pace.bytesPerMs })
    room.tune(12 - lose)
    room.cast(1, share(1_000))
    return room
  }

  it("leaves a room to links whose ways in are narrower than the way out, once that shows (invariant 4)", () => {
    for (const lose of [9, 12]) {
      const room = behind(5_000, lose)
      room.run(800)
      assert.isTrue(room.isOver(1))
      assert.strictEqual(room.spare.length, 1)
    }
    // Also when the way out has ended the growth by then, and is not measured yet.
    let isBad = false
    const full = new Room({ bytesPerMs: 4_000 })
    full.sender.pieceBytes = Limits.pieceBytesMax
    full.tune(12, { loses: (sequence) => isBad && sequence % 5 < 3 })
    full.cast(1, share(2_000))
    const { pace } = full.sender
    full.run(1_000, () => pace.phase === "steady")
    assert.deepStrictEqual({ measures: pace.measures, limited: pace.limited }, { measures: [], limited: false })
    isBad = true
    full.run(200)
    assert.isTrue(full.isOver(1))
    // From the first, at the lowest rates: a sample of small pieces shows it, when it is lost no more.
    const slow = behind(1_800)
    slow.run(500)
    assert.isFalse(slow.isOver(1))
    slow.run(4_500)
    assert.isTrue(slow.isOver(1))
    assert.strictEqual(slow.spare.length, 1)
  })

  it("does not leave it to them where fewer than three quarters lose it, or the way out is the narrowest", () => {
    const some = behind(5_000, 8)
    some.run(800)
    assert.isFalse(some.isOver(1))
    // All lose for a while, as where their programs have no turn.
    for (
      const [bytesPerMs, calmMs, pace, isOver] of [
        [4_000, 1_000, {}, false],
        [Infinity, 300, {}, true],
        // Where it has long been carried that was but a moment.
        [Infinity, 300, { bytesPerMs: 40_000, phase: "steady", measures: [40_000] }, false]
      ] as const
    ) {
      let isBad = false
      const room = new Room({ bytesPerMs })
      room.sender.pieceBytes = Limits.pieceBytesMax
      Object.assign(room.sender.pace, pace)
      room.tune(12, { loses: () => isBad })
      room.cast(1, share(2_000))
      room.run(calmMs)
      assert.strictEqual(room.sender.pace.limited, bytesPerMs < Infinity)
      isBad = true
      room.run(350)
      isBad = false
      room.run(1_000)
      assert.strictEqual(room.isOver(1), isOver)
    }
  })

  it.each([
    // Listeners, which of them are few, what the way out carries, and whether it is worth a cast.
    [9, 10, 2_600, false],
    [9, 10, 3_600, true],
    [10, 10, 2_600, true],
    [4, 10, 750, false]
  ])(
    "for %i listeners, few below %i, casts on at %i bytes a millisecond: %s (invariant 4)",
    (count, few, bytesPerMs, isWorth) => {
      const room = new Room({ bytesPerMs, few })
      room.tune(count)
      room.cast(1, share(1_000))
      room.run(6_000)
      assert.strictEqual(room.isOver(1), !isWorth)
      assert.isEmpty(room.spare)
      if (!isWorth) assert.isAbove(room.overAtMs.get(root(1))!, 1_000)
    }
  )

  it("counts anew for how long a rate is too low for a few when it was not meanwhile (invariant 4)", () => {
    const room = new Room({ bytesPerMs: 4_300, few: 10 })
    room.tune(4)
    room.cast(1, share(2_000))
    room.run(2_000)
    const lowMs: Array<number> = []
    for (const _ of [1, 2, 3]) {
      const sinceMs = room.nowMs
      room.sender.pace.bytesPerMs = 2_250
      room.run(2_000, () => room.isOver(1) || room.sender.pace.bytesPerMs > 3_200)
      lowMs.push(room.nowMs - sinceMs)
    }
    assert.isFalse(room.isOver(1))
    assert.isBelow(Math.max(...lowMs), 1_000)
    assert.isAbove(Math.min(...lowMs), 500)
  })

  it("ends a cast whose rate has fallen to half of what was carried (invariant 4)", () => {
    const room = new Room(slow)
    const habits = { ...plain }
    room.tune(8)
    for (const student of room.students.values()) {
      Object.defineProperty(student, "delayMs", { get: () => habits.delayMs })
    }
    room.cast(1, share(1_000))
    room.run(5_000)
    assert.isFalse(room.isOver(1))
    const best = room.sender.pace.bestBytesPerMs
    assert.isAbove(best, 1_000)
    Object.assign(habits, { delayMs: 151 })
    let last = Infinity
    room.run(5_000, () => {
      if (!room.isOver(1)) last = room.sender.pace.bytesPerMs
      return room.isOver(1)
    })
    assert.isTrue(room.isOver(1))
    // The cut that ends it is not seen from here.
    assert.isBelow(0.9 * last, best / 2)
    assert.isAtLeast(last, best / 2)
  })

  it.each([[100, 200, 300], [300, 300, 700]])(
    "cuts the rate again when most have reported twice since, every %i ms: after %i to %i ms",
    (reportMs, leastMs, mostMs) => {
      const room = new Room()
      room.tune(8, { delayMs: 1_000 })
      room.cast(1, share(1_000))
      for (const student of room.students.values()) student.reportMs = reportMs
      const cuts = room.cuts(3)
      for (const i of [1, 2]) {
        assert.isAtLeast(cuts[i]! - cuts[i - 1]!, leastMs)
        assert.isAtMost(cuts[i]! - cuts[i - 1]!, mostMs + tickMs)
      }
    }
  )

  it.each([[0.9, 0], [1.1, 8]])(
    "takes who hears a fragment late by %d times what six need for congested: %i of 8",
    (part, count) => {
      const room = new Room({ bytesPerMs: 500 })
      room.tune(8)
      room.sender.pieceBytes = Limits.pieceBytesMax
      room.cast(1, share(200))
      room.run(3_000)
      assert.isBelow(room.sender.pace.bytesPerMs, 700)
      for (const student of room.students.values()) {
        Object.defineProperty(student, "delayMs", {
          get: () => Math.round(part * 6 * Limits.pieceBytesMax / room.sender.pace.bytesPerMs)
        })
      }
      const congested = () => Array.from(room.sender.neighbors.values()).filter(({ congested }) => congested).length
      room.run(600, () => congested() === 8)
      assert.strictEqual(congested(), count)
    }
  )

  it("looks for the rate anew after it was given up: by then it may be another network", () => {
    const room = new Room(slow)
    const habits = { ...plain }
    room.tune(8)
    for (const student of room.students.values()) {
      Object.defineProperty(student, "delayMs", { get: () => habits.delayMs })
    }
    room.cast(1, share(1_000))
    room.run(3_000)
    Object.assign(habits, { delayMs: 200 })
    room.run(10_000, () => room.isOver(1))
    assert.isTrue(room.isOver(1))
    Object.assign(habits, { delayMs: 0 })
    room.run(tiredMs)
    room.pieces.length = 0
    room.cast(2, share(20))
    room.run(5_000)
    assert.lengthOf(room.pieces, 160)
  })

  it("asks to be woken once a period while it waits for a chunk to be read", () => {
    const room = new Room()
    room.tune(3)
    room.run(2_000)
    room.isHere = () => false
    room.cast(1, share(2))
    let ticksCount = 0
    for (let ms = 0; ms <= 1_000; ms++) {
      if (room.nowMs >= CastSender.wakeAtMs(room.sender, room)) ticksCount++
      room.run(1)
    }
    assert.strictEqual(ticksCount, 1_000 / tickMs)
  })

  it("looks at the rate once a period, however often it is asked in between when it wants to", () => {
    const room = new Room()
    room.tune(3)
    room.run(2_000)
    room.cast(1, share(200))
    room.run(500)
    const before = CastSender.wakeAtMs(room.sender, { ...room, isHere: () => false })
    for (let i = 1; i <= tickMs; i++) {
      const nowMs = room.nowMs + i
      CastSender.step(room.sender, { _tag: "Message", peer: peer(1), message: { _tag: "Ready", cast: 9 } }, nowMs)
      assert.strictEqual(CastSender.wakeAtMs(room.sender, { ...room, isHere: () => false }), before)
    }
  })

  it("tells a neighbor that hears again of the cast that it has lost", () => {
    const room = new Room(slow)
    room.tune(4)
    room.cast(1, share(400))
    room.run(1_000)
    const [id] = room.students.keys()
    room.say(id!, { _tag: "Tuned", hears: false })
    assert.strictEqual(room.told.get(id!)!.size, 0)
    room.say(id!, { _tag: "Tuned", hears: true })
    assert.deepStrictEqual(Array.from(room.told.get(id!)!), [[1, false]])
  })

  it("takes a delay of 150 ms for none", () => {
    const room = new Room(slow)
    room.tune(8, { delayMs: 150 })
    room.cast(1, share(1_000))
    room.run(8_000)
    assert.isFalse(room.isOver(1))
    assert.isAbove(room.sender.pace.bestBytesPerMs, 1_000)
  })

  it.prop(
    "ends in the time that its bytes need at the least rate that is worth it, whatever is reported (invariant 4)",
    { seed: Seed, delayed: Schema.Boolean },
    ({ delayed, seed }) => {
      const random = chance(seed)
      const room = new Room()
      for (let n = 0; n < 6; n++) {
        const lost = random()
        room.tune(1, {
          readyAfterMs: random() < 0.2 ? Infinity : random() * 4_000,
          loses: () => random() < lost,
          delayMs: delayed ? 1_000 : Math.floor(random() * 160)
        })
      }
      const shared = share(40)
      const bytes = 40 * 64 * KiB * overheadFactor
      room.cast(1, shared)
      room.run(readyWaitMsMax + bytes / Pace.worthBytesPerMs + lastMs + echoMs + 4 * tickMs, () => room.over.length > 0)
      assert.deepStrictEqual(room.over, [root(1)])
    },
    { arbitrary: { runs: 40 } }
  )

  it("casts nothing for a minute after it gave up, then again, and then for two (invariant 4)", () => {
    const room = new Room(slow)
    room.tune(7)
    room.tune(1, { loses: half })
    let n = 1
    for (const restMs of [tiredMs, 2 * tiredMs]) {
      const gaveUpMs = room.tire(n++)
      room.run(5_000)
      room.nowMs = gaveUpMs + restMs - 1
      assert.deepStrictEqual(room.cast(n++, share(1)), [])
      room.nowMs++
    }
    assert.isNotEmpty(room.cast(n, share(1)))
  })

  it("is not tired of what was closed, or for which too few were ready", () => {
    const room = new Room(slow)
    room.tune(4, { readyAfterMs: Infinity })
    room.cast(1, share(100))
    room.run(4_000)
    assert.deepStrictEqual(room.over, [root(1)])
    room.cast(2, share(100))
    room.input({ _tag: "ShareClosed", root: root(2) })
    assert.isNotEmpty(room.cast(3, share(1)))
  })

  it("is not changed by reports that cannot be true (invariant 4)", () => {
    const room = new Room(slow)
    room.tune(8)
    room.enter(8)
    room.cast(1, share(200))
    room.run(1_000)
    const state = () => structuredClone(room.sender.neighbors)
    const before = state()
    const { received, sequence } = before.get(peer(0))!
    const sent = room.sequence()
    assert.isTrue(received > 0 && sequence < sent)
    const tell = (from: PeerId, sequence: number, received: number) =>
      room.input({ _tag: "Message", peer: from, message: { _tag: "Report", sequence, received, delayMs: 5_000 } })
    tell(peer(0), sent + 1, received)
    tell(peer(0), 2 ** 32 - 1, received)
    tell(peer(0), sequence, received)
    tell(peer(0), sequence - 1, received)
    tell(peer(0), sent, received - 1)
    tell(peer(0), sent, received + (sent - sequence) + 1)
    tell(peer(8), sent, sent)
    tell(peer(9), sent, sent)
    assert.deepStrictEqual(state(), before)
    tell(peer(0), sent, received + (sent - sequence))
    assert.isTrue(state().get(peer(0))!.congested)
  })

  it("does not count what had left before somebody listened as lost", () => {
    const room = new Room(slow)
    room.tune(4)
    room.cast(1, share(200))
    room.run(1_000)
    room.tune(1)
    room.run(2_000, () => room.sender.neighbors.get(peer(4))!.congested)
    assert.isFalse(room.isOver(1))
    assert.isFalse(room.sender.neighbors.get(peer(4))!.congested)
    room.say(peer(4), { _tag: "Tuned", hears: false })
    room.run(1_000)
    const student = room.students.get(peer(4))!
    student.received = 0
    student.reported = student.sequence
    const fromMs = room.nowMs
    room.say(peer(4), { _tag: "Tuned", hears: true })
    room.run(500, () => room.sender.neighbors.get(peer(4))!.congested)
    assert.isFalse(room.sender.neighbors.get(peer(4))!.congested)
    assert.isAbove(room.sender.neighbors.get(peer(4))!.reportedMs, fromMs)
  })

  it("tells a neighbor that hears later of what is being cast, and not of what is over (invariant 1)", () => {
    const room = new Room(slow)
    room.tune(4)
    room.cast(1, share(1))
    room.run(100, () => room.isOver(1))
    room.cast(2, share(200))
    room.cast(3, share(200))
    room.run(1_000)
    assert.deepStrictEqual(room.over, [root(1)])
    room.input({ _tag: "ShareClosed", root: root(3) })
    const late = room.enter(4)
    room.run(50)
    assert.strictEqual(room.told.get(late)!.size, 0)
    room.say(late, { _tag: "Tuned", hears: true })
    assert.deepStrictEqual(Array.from(room.told.get(late)!), [[2, false]])
    room.say(late, { _tag: "Tuned", hears: true })
    room.input({ _tag: "ShareClosed", root: root(2) })
    assert.deepStrictEqual(Array.from(room.told.get(late)!), [[2, true]])
  })

  it("lets three datagrams show a new neighbor whether it hears them", () => {
    const room = new Room({ nowMs: 500 })
    assert.strictEqual(CastSender.wakeAtMs(room.sender, room), Infinity)
    room.enter(0)
    assert.strictEqual(CastSender.wakeAtMs(room.sender, room), 520)
    room.run(10_000)
    assert.deepStrictEqual(room.aliveAtMs, [520, 700, 1_500])
    assert.strictEqual(CastSender.wakeAtMs(room.sender, room), Infinity)
    room.hushed = true
    const againMs = room.nowMs
    room.enter(1)
    room.run(10_000)
    assert.deepStrictEqual(room.aliveAtMs.slice(3), [againMs + 20, againMs + 200, againMs + 1_000])
  })

  it.prop(
    "is over once for each time it has begun, whatever happens meanwhile (invariants 1 to 3)",
    { seed: Seed },
    ({ seed }) => {
      const random = chance(seed)
      const below = (count: number) => Math.floor(random() * count)
      const room = new Room(random() < 0.5 ? slow : {})
      room.lacking = () => below(8)
      let hereFrom = 0
      room.isHere = (_, index) => index % 3 >= hereFrom
      const somebody = () => peer(below(8))
      const acts: ReadonlyArray<() => void> = [
        () =>
          void room.enter(below(8), {
            readyAfterMs: random() < 0.3 ? Infinity : below(1_000),
            loses: () => random() < 0.1
          }),
        () => void (random() < 0.2 && room.leave(somebody())),
        () => room.say(somebody(), { _tag: "Tuned", hears: random() < 0.9 }),
        () => room.students.forEach((_, id) => room.say(id, { _tag: "Tuned", hears: true })),
        () => room.say(somebody(), { _tag: "Ready", cast: below(6) }),
        () => {
          const sequence = below(room.sequence() + 3)
          room.say(somebody(), { _tag: "Report", sequence, received: below(sequence + 2), delayMs: below(200) })
        },
        () => void room.cast(below(4), { ...share(1 + below(30)), firstIndex: below(3) }),
        () => void (random() < 0.3 && room.input({ _tag: "ShareClosed", root: root(below(4)) })),
        () => void (room.hushed = random() < 0.3),
        () => void (hereFrom = below(3) - 1),
        () => room.run(below(500)),
        () => void room.input({ _tag: "Tick" })
      ]
      for (let n = 0; n < 5; n++) room.tune(1)
      for (let i = 0; i < 150; i++) acts[below(acts.length)]!()
      for (const id of room.students.keys()) room.leave(id)
      room.run(echoMs + 2 * tickMs)
      assert.deepStrictEqual(room.over.toSorted(), room.begun.toSorted())
      assert.strictEqual(room.sender.casts.size, 0)
      const once = new Set(room.pieces.map(({ atMs: _, ...piece }) => JSON.stringify(piece)))
      if (new Set(room.begun).size === room.begun.length) assert.strictEqual(once.size, room.pieces.length)
    }
  )

  /** A room in which each frame is lost now and then, whatever the rate, and what is cast to it until it is over. */
  const lossy = (framesLost: number, { chunkBytes = 64 * KiB, chunksCount = 200, seed = 1 } = {}) => {
    const random = chance(seed)
    const room = new Room({ bytesPerMs: 5_000 })
    room.sender.pieceBytes = Limits.pieceBytesMax
    room.tune(12, { loses: (_, bytes) => random() > (1 - framesLost) ** Math.ceil((bytes + 50) / 1_480) })
    room.cast(1, share(chunksCount, chunkBytes))
    room.run(60_000, () => room.isOver(1))
    /** Which part of the chunks from one on is whole, on average. */
    const wholeFrom = (first: number) => {
      let count = 0
      for (const { came } of room.students.values()) {
        for (let index = first; index < chunksCount; index++) {
          if ((came.get(index) ?? 0) >= Math.ceil(chunkBytes / room.cut.get(index)!)) count++
        }
      }
      return count / (room.students.size * (chunksCount - first))
    }
    return { room, wholeFrom }
  }

  it.each([[0.01, 64], [0.01, 256], [0.05, 64], [0.03, 1_024]])(
    "where of frames %f are lost at any rate, nearly all chunks of %i KiB are whole all the same (invariant 5)",
    (framesLost, kibibytes) => {
      const chunkBytes = kibibytes * KiB
      const chunksCount = 30_000 / kibibytes
      const { room, wholeFrom } = lossy(framesLost, { chunkBytes, chunksCount: Math.floor(chunksCount) })
      const settled = Math.floor(0.4 * chunksCount)
      assert.isAbove(wholeFrom(settled), 0.95)
      // In large pieces, without parity, it would be so many.
      assert.isBelow((1 - framesLost) ** (chunkBytes / 1_480), 0.65)
      // The rate was cut for nothing, and is what the way out carries again.
      assert.isAbove(room.sender.pace.bytesPerMs, 0.85 * 5_000)
      // Parity costs little more than what is lost.
      const parityBytes = room.parities.filter(({ index }) => index >= settled).reduce(
        (sum, each) => sum + each.pieceBytes,
        0
      )
      const frames = Math.ceil(chunkBytes / (192 * 1_408))
      assert.isBelow(parityBytes, (4 * framesLost * frames + 0.02) * chunkBytes * (chunksCount - settled))
    }
  )

  it("casts the next share in small pieces from the first where they were needed for this one (invariant 5)", () => {
    const { room } = lossy(0.01)
    room.run(10_000)
    room.pieces.length = 0
    room.cut.clear()
    room.cast(2, share(50))
    room.run(10_000, () => room.isOver(2))
    assert.deepStrictEqual(new Set(room.cut.values()), new Set([CastSender.smallPieceBytes]))
    assert.isBelow(room.nowMs - room.pieces[0]!.atMs, 1_500)
  })

  it("cuts no chunk into more pieces than parity can be of", () => {
    const { room } = lossy(0.01, { chunkBytes: 1_024 * KiB, chunksCount: 30 })
    assert.strictEqual(room.cut.get(29), 4 * CastSender.smallPieceBytes)
    assert.isAbove(room.parities.length, 0)
  })

  it.each([[14_000, true], [20_000, false]])(
    "makes pieces small where many lose some after a cut from %i bytes a millisecond: %s",
    (bytesPerMs, isSmall) => {
      const room = new Room()
      room.sender.pieceBytes = Limits.pieceBytesMax
      Object.assign(room.sender.pace, { bytesPerMs, phase: "steady" })
      room.tune(12, { loses: (sequence) => sequence % 5 === 0 })
      room.cast(1, share(600))
      room.run(2_000, () => room.sender.pace.cutAtMs > 0)
      assert.isAbove(room.sender.pace.cutAtMs, 0)
      assert.strictEqual(room.sender.pace.bytesPerMs <= 15_000, isSmall)
      assert.strictEqual(room.sender.smallUntilMs > room.nowMs, isSmall)
    }
  )

  it("comes back to large pieces three seconds after nothing was lost any more", () => {
    const room = new Room({ bytesPerMs: 5_000 })
    let isBad = true
    room.sender.pieceBytes = Limits.pieceBytesMax
    room.tune(6, { loses: (sequence) => isBad && sequence % 5 === 0 })
    room.tune(6)
    room.cast(1, share(600))
    const sizeNow = () => room.cut.get(room.pieces.at(-1)?.index ?? 0)
    room.run(2_000, () => sizeNow() === CastSender.smallPieceBytes)
    isBad = false
    const fromMs = room.nowMs
    room.run(10_000, () => sizeNow() === Limits.pieceBytesMax)
    assert.isTrue(room.nowMs - fromMs > 2_900 && room.nowMs - fromMs < 4_500, `${room.nowMs - fromMs}`)
    const { length } = room.parities
    room.run(500)
    assert.lengthOf(room.parities, length)
  })

  it("casts large pieces, and no parity, where datagrams are late and none is lost", () => {
    const room = new Room(slow)
    room.tune(8, { delayMs: 151 })
    room.cast(1, share(100))
    room.run(3_000)
    assert.isBelow(room.sender.pace.bytesPerMs, 1_250)
    assert.deepStrictEqual(new Set(room.cut.values()), new Set([8 * KiB]))
    assert.isEmpty(room.parities)
  })

  it("seeks the rate anew, and soon, when it was cut for nothing (invariant 5)", () => {
    const random = chance(3)
    const room = new Room({ bytesPerMs: 5_000 })
    room.sender.pieceBytes = Limits.pieceBytesMax
    const frameLoss = { of: 0.01 }
    room.tune(12, { loses: (_, bytes) => random() > (1 - frameLoss.of) ** Math.ceil((bytes + 50) / 1_480) })
    room.cast(1, share(1_000))
    room.run(3_000, () => room.sender.usualLoss > 0)
    const { bytesPerMs } = room.sender.pace
    assert.isBelow(bytesPerMs, 3_000)
    room.run(250)
    assert.isAbove(room.sender.pace.bytesPerMs, 2 * bytesPerMs)
    // And when nothing is lost any more pieces become large again.
    frameLoss.of = 0
    room.run(5_000)
    assert.strictEqual(room.cut.get(room.pieces.at(-1)!.index), Limits.pieceBytesMax)
    assert.isFalse(room.isOver(1))
  })

  it("takes what is lost right after a cut for lost by what was too fast", () => {
    const random = chance(4)
    const room = new Room({ bytesPerMs: 5_000 })
    room.sender.pieceBytes = Limits.pieceBytesMax
    let usual = 0
    const isBad = () => room.nowMs < 400 || room.nowMs < room.sender.pace.cutAtMs + 190
    room.tune(12, { loses: () => isBad() && random() < 0.1 })
    room.cast(1, share(400))
    room.run(4_000, () => {
      usual = Math.max(usual, room.sender.usualLoss)
      return false
    })
    assert.isAbove(room.sender.pace.cutAtMs, 0)
    assert.isBelow(usual, 0.01)
  })

  it("waits with the next cut for three quarters of those who report", () => {
    for (const [slowCount, leastMs, mostMs] of [[2, 200, 300], [3, 300, 700]] as const) {
      const room = new Room()
      room.tune(8, { delayMs: 1_000 })
      room.cast(1, share(1_000))
      const students = Array.from(room.students.values())
      for (const [i, student] of students.entries()) student.reportMs = i < slowCount ? 300 : 100
      const [, second, third] = room.cuts(3)
      assert.isAtLeast(third! - second!, leastMs)
      assert.isBelow(third! - second!, mostMs)
    }
  })
})
